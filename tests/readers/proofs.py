"""What every reader's test proves with the library's own operators: poses against masks, grids against meshes."""

from collections.abc import Callable
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_fill_holes

from monoform.data.samples import Sample
from monoform.errors import InputError
from monoform.meshes import Mesh, bounds, diagonal
from monoform.projection.coverage import coverage
from monoform.voxels import voxelise_closed


def reprojection_iou(sample: Sample, mirror: tuple[int, int, int] = (1, 1, 1), draw: Callable = coverage) -> float:
    """IoU of the stored mask with the sample's mesh (its axes multiplied by `mirror`) under its R, t and K."""
    vertices = sample.mesh.vertices * mirror @ sample.R.T + sample.t
    drawn = draw(
        torch.from_numpy(vertices)[None].float(),
        torch.from_numpy(sample.mesh.faces),
        torch.from_numpy(sample.K)[None].float(),
        sample.mask.shape,
    )[0].numpy()
    a, b = drawn >= 0.5, sample.mask >= 0.5
    return float((a & b).sum() / (a | b).sum())


def assert_pose_fits(sample: Sample, least: float = 0.97) -> None:
    """The mesh meets the mask, and none of its mirror images does."""
    assert reprojection_iou(sample) >= least
    for mirror in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        assert reprojection_iou(sample, mirror) < 0.9


def grid_of_mesh(sample: Sample, voxelise: Callable) -> np.ndarray:
    """The sample's mesh as cells of the sample's grid."""
    scale, offset = (1.0, np.zeros(3)) if sample.voxel_frame is None else sample.voxel_frame
    mesh = Mesh(scale * sample.mesh.vertices + offset, sample.mesh.faces)
    return voxelise(mesh, len(sample.voxels))


def assert_voxels_fit(sample: Sample, least: float, voxelise: Callable = voxelise_closed) -> None:
    """The voxels are the mesh's in place, and in none of the other 47 orders and directions of the axes."""
    grid = sample.voxels if sample.voxel_kind == "solid" else binary_fill_holes(sample.voxels)
    mesh = grid_of_mesh(sample, voxelise)
    ious = {}
    for order, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        other = mesh.transpose(order)[:: flips[0], :: flips[1], :: flips[2]]
        ious[order, flips] = (grid & other).sum() / (grid | other).sum()
    right = ious.pop(((0, 1, 2), (1, 1, 1)))
    assert right >= least
    assert max(ious.values()) < 0.7


def assert_canonical(mesh: Mesh) -> None:
    """Box centred, diagonal 1."""
    np.testing.assert_allclose(bounds(mesh.vertices).mean(0), 0, atol=1e-9)
    assert diagonal(mesh.vertices) == pytest.approx(1)


def refused(call, path: Path, *words: str) -> None:
    """One line that names the file, what is wrong, and what to do."""
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert ";" in message
    for word in words:
        assert word in message
