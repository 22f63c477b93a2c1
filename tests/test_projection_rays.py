"""Rays through a voxel grid: probabilities, SciPy's interpolation, gradients."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from monoform.projection.rays import ray_silhouette, ray_stops

SIZE = (9, 11)
SETTING = {"near_far": (1.0, 3.0), "samples": 24}
EYE = torch.eye(3, dtype=torch.float64)[None]
AHEAD = torch.tensor([[0.0, 0.0, 2.0]]).double()
K = torch.tensor([[[14.0, 0, 5.5], [0, 14.0, 4.5], [0, 0, 1]]]).double()


def turns(batch: int) -> torch.Tensor:
    return torch.as_tensor(Rotation.random(batch, random_state=3).as_matrix())


def noise(side: int = 6) -> torch.Tensor:
    return torch.rand(1, side, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.9


def test_empty_full_behind_and_off_screen():
    full = torch.ones(1, 6, 6, 6).double()
    assert not ray_silhouette(0 * full, EYE, AHEAD, K, SIZE, **SETTING).any()
    assert ray_silhouette(full, EYE, AHEAD, K, SIZE, **SETTING)[0, 4, 5] > 1 - 1e-5
    assert not ray_silhouette(full, EYE, -AHEAD, K, SIZE, **SETTING).any()
    assert not ray_silhouette(full, EYE, AHEAD + torch.tensor([9.0, 0, 0]), K, SIZE, **SETTING).any()


def test_single_cell_lands_on_its_pixel():
    grid = torch.zeros(1, 9, 9, 9).double()
    grid[0, 4, 4, 8] = 1
    R = torch.as_tensor(Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix())[None]
    for turn, pixel in ((EYE, (4, 8)), (R, (7, 5))):
        image = ray_silhouette(grid, turn, AHEAD, K, SIZE, near_far=(1.0, 3.0), samples=64)[0]
        assert divmod(int(image.argmax()), SIZE[1]) == pixel


def test_stops_and_escape_sum_to_one():
    stops, escape = ray_stops(noise(), turns(3), AHEAD, K, SIZE, **SETTING)
    assert stops.shape == (3, 24, *SIZE)
    assert torch.allclose(stops.sum(1) + escape, torch.ones(3, *SIZE).double(), atol=1e-12)
    silhouette = ray_silhouette(noise(), turns(3), AHEAD, K, SIZE, **SETTING)
    assert torch.allclose(1 - escape, silhouette, atol=1e-12)
    mask = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1)) > 0.5
    paper = torch.where(mask, escape, stops.sum(1))
    assert torch.allclose(paper, (silhouette - mask.double()).abs(), atol=1e-12)


def test_principal_point_shifts_the_image():
    moved = K.clone()
    moved[:, 0, 2] += 1
    image = ray_silhouette(noise(), turns(1), AHEAD, K, SIZE, **SETTING)
    shifted = ray_silhouette(noise(), turns(1), AHEAD, moved, SIZE, **SETTING)
    assert torch.allclose(image[..., :-1], shifted[..., 1:])


def test_equals_scipy():
    grid, R = noise(), turns(1)
    v, u = np.meshgrid(np.arange(9) + 0.5, np.arange(11) + 0.5, indexing="ij")
    depths = 1 + 2 * (np.arange(24) + 0.5) / 24
    ray = np.stack([(u - 5.5) / 14, (v - 4.5) / 14, np.ones_like(u)], -1)
    source = (ray * depths[:, None, None, None] - AHEAD[0].numpy()) @ R[0].numpy()
    index = np.moveaxis((source[..., ::-1] + 0.5) * 6 - 0.5, -1, 0)
    values = map_coordinates(np.pad(grid[0].numpy(), 2), index + 2, order=1, mode="constant")
    found = ray_silhouette(grid, R, AHEAD, K, SIZE, **SETTING)[0].numpy()
    assert np.abs(found - (1 - (1 - values).prod(0))).max() < 1e-9


def test_full_cells_keep_gradients_finite():
    grid = torch.ones(1, 6, 6, 6).double().requires_grad_()
    ray_silhouette(grid, turns(1), AHEAD, K, SIZE, **SETTING).sum().backward()
    assert grid.grad is not None
    assert torch.isfinite(grid.grad).all()


def test_wrong_depths_are_refused():
    with pytest.raises(ValueError, match="near"):
        ray_silhouette(noise(), EYE, AHEAD, K, SIZE, near_far=(2.0, 1.0))


def test_gradcheck():
    inputs = [x.clone().requires_grad_() for x in (noise(4), turns(1), AHEAD + 0.013, K / 4)]
    run = lambda grid, R, t, K: ray_silhouette(grid, R, t, K, (2, 3), near_far=(1.0, 3.0), samples=9)  # noqa: E731
    assert torch.autograd.gradcheck(run, inputs, eps=1e-7, atol=1e-5)
