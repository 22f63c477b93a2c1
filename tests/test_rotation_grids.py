"""Search grids: even cover, angles, no torch."""

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from monoform import rotation_grids, rotations
from monoform.errors import InputError


def test_module_does_not_import_torch():
    code = "import sys, monoform.rotation_grids; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("n", [1, 2, 3, 10, 1000])
def test_directions_are_unit_vectors_of_equal_area(n):
    directions = rotation_grids.sphere_directions(n)
    assert directions.shape == (n, 3)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-12)
    # Equal area: heights are evenly spaced (Archimedes), and the mean is the centre.
    np.testing.assert_allclose(np.diff(directions[:, 2]), -2 / n, atol=1e-12)
    if n >= 10:
        assert np.linalg.norm(directions.mean(0)) < 1 / n


def test_directions_leave_no_gap():
    n = 500
    probes = np.random.default_rng(0).normal(size=(5000, 3))
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    distance, _ = cKDTree(rotation_grids.sphere_directions(n)).query(probes)
    assert distance.max() < 3.2 / math.sqrt(n)  # a hexagonal lattice reaches 2.2
    neighbours, _ = cKDTree(rotation_grids.sphere_directions(n)).query(rotation_grids.sphere_directions(n), k=2)
    assert neighbours[:, 1].min() > 2.5 / math.sqrt(n)


@pytest.mark.parametrize("n", [1, 2, 17, 576])
def test_rotation_grid_holds_rotations(n):
    R = rotation_grids.rotation_grid(n)
    assert R.shape == (n, 3, 3)
    np.testing.assert_allclose(R.transpose(0, 2, 1) @ R, np.broadcast_to(np.eye(3), R.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-12)


@pytest.mark.parametrize("n", [200, 2000])
def test_rotation_grid_covers_evenly(n):
    grid = Rotation.from_matrix(rotation_grids.rotation_grid(n)).as_quat()
    probes = Rotation.random(20_000, rng=np.random.default_rng(0)).as_quat()
    angle = 2 * np.arccos(np.abs(probes @ grid.T).clip(max=1))
    assert angle.min(1).max() < 4.2 / n ** (1 / 3)
    assert np.median(angle.min(1)) < 2.3 / n ** (1 / 3)
    # Equal volume: each grid rotation owns about the same share of the probes; random grids spread by 100 %.
    share = np.bincount(angle.argmin(1), minlength=n) * n / len(probes)
    assert share.std() < 0.25 + math.sqrt(n / len(probes))


def test_upright_grid_equals_the_viewpoints_of_rotations():
    azimuths, elevations, tilts = np.linspace(-3, 3, 7), np.linspace(-0.5, 1.2, 4), np.linspace(-0.1, 0.1, 3)
    R = rotation_grids.upright_grid(azimuths, elevations, tilts)
    assert R.shape == (84, 3, 3)
    angles = [torch.tensor(a) for a in np.meshgrid(azimuths, elevations, tilts, indexing="ij")]
    np.testing.assert_allclose(R.reshape(7, 4, 3, 3, 3), rotations.viewpoint_to_matrix(*angles).numpy(), atol=1e-14)


def test_empty_grids_are_refused():
    for make in (rotation_grids.sphere_directions, rotation_grids.rotation_grid):
        with pytest.raises(InputError, match="at least 1"):
            make(0)
