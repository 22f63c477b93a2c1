"""Voxel silhouettes by warp and reduction: values by hand, SciPy's interpolation, gradients."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from monoform.projection.voxel_max import voxel_any, voxel_max, voxel_max_perspective, voxel_softmax

OPERATORS = [voxel_max, voxel_any, voxel_softmax, voxel_max_perspective]
EYE = torch.eye(3, dtype=torch.float64)[None]


def turns(batch: int) -> torch.Tensor:
    return torch.as_tensor(Rotation.random(batch, random_state=3).as_matrix())


def noise(batch: int, side: int) -> torch.Tensor:
    return torch.rand(batch, side, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("operator", OPERATORS)
def test_empty_and_off_screen(operator):
    assert not operator(torch.zeros(1, 6, 6, 6).double(), turns(3)).any()
    assert not operator(noise(1, 6), EYE, torch.tensor([[9.0, 0, 0]]).double()).any()


@pytest.mark.parametrize("operator", OPERATORS)
def test_full_at_the_centre(operator):
    image = operator(torch.ones(1, 8, 8, 8).double(), EYE)
    assert torch.allclose(image[:, 3:5, 3:5], torch.ones(1, 2, 2).double(), atol=1e-6)


def test_single_cell_lands_on_its_row_and_column():
    grid = torch.zeros(1, 8, 8, 8).double()
    grid[0, 6, 1, 3] = 0.7
    assert voxel_max(grid, EYE)[0].nonzero().tolist() == [[1, 3]]


def test_half_a_cell_of_shift_shares_it():
    grid = torch.zeros(1, 8, 8, 8).double()
    grid[0, 4, 4, 4] = 1
    image = voxel_max(grid, EYE, torch.tensor([[0.5 / 8, 0, 0]]).double())
    assert torch.allclose(image[0, 4, 4:6], torch.tensor([0.5, 0.5]).double())


def test_turns_right_handed():
    """R(e_z, 90 degrees) takes e_x to e_y."""
    grid = torch.zeros(1, 9, 9, 9).double()
    grid[0, 4, 4, 8] = 1
    R = torch.as_tensor(Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix())[None]
    assert voxel_max(grid, R)[0].argmax() == 8 * 9 + 4


def test_one_grid_meets_many_poses():
    grid, R = noise(1, 7), turns(4)
    assert torch.allclose(voxel_max(grid, R), voxel_max(grid.expand(4, -1, -1, -1), R))


def test_equals_scipy():
    grid, R, t = noise(1, 7), turns(1), np.array([0.1, -0.05, 0.02])
    centres = (np.arange(7) + 0.5) / 7 - 0.5
    z, y, x = np.meshgrid(centres, centres, centres, indexing="ij")
    source = (np.stack([x, y, z], -1) - t) @ R[0].numpy()
    index = np.moveaxis((source[..., ::-1] + 0.5) * 7 - 0.5, -1, 0)
    padded = np.pad(grid[0].numpy(), 2)  # SciPy's own border does not fade out
    expected = map_coordinates(padded, index + 2, order=1, mode="constant").max(0)
    assert np.abs(voxel_max(grid, R, torch.as_tensor(t)[None])[0].numpy() - expected).max() < 1e-9


def test_soft_variants_enclose_the_max():
    grid, R = noise(1, 7), turns(2)
    largest = voxel_max(grid, R)
    assert (voxel_softmax(grid, R) <= largest + 1e-12).all()
    assert (voxel_any(grid, R) >= largest - 1e-12).all()


def test_nearer_cells_look_larger_in_perspective():
    near, far = torch.zeros(2, 1, 12, 12, 12).double()
    near[:, 0, 3:9, 3:9] = 1
    far[:, 11, 3:9, 3:9] = 1
    assert voxel_max_perspective(near, EYE).sum() > 1.5 * voxel_max_perspective(far, EYE).sum()


@pytest.mark.parametrize("operator", OPERATORS)
def test_gradcheck(operator):
    t = torch.tensor([[0.02, -0.03, 1.37 if operator is voxel_max_perspective else 0.01]]).double()
    inputs = [x.requires_grad_() for x in (noise(1, 4), turns(1), t)]
    assert torch.autograd.gradcheck(operator, inputs, eps=1e-7, atol=1e-5)
