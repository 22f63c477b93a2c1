"""Rays through a voxel grid: the contract, probabilities, SciPy's interpolation."""

from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from monoform.projection.kernels import rays as kernel
from monoform.projection.rays import ray_silhouette, ray_stops
from monoform.projection.voxel_max import pixel_rays
from projection_cases import backend, same_in_forked_child  # noqa: F401 (a fixture)
from voxel_cases import EYE, KernelContract, PerspectiveContract, noise, turns

SIZE = (9, 11)
AHEAD = torch.tensor([[0.0, 0.0, 2.0]]).double()
K = torch.tensor([[[14.0, 0, 5.5], [0, 14.0, 4.5], [0, 0, 1]]]).double()
VIEW = {"K": K, "size_hw": SIZE, "near_far": (1.0, 3.0), "samples": 24}


class TestContract(PerspectiveContract, KernelContract):
    draw = staticmethod(partial(ray_silhouette, size_hw=SIZE, near_far=(1.0, 3.0), samples=24))
    camera: ClassVar[dict[str, torch.Tensor]] = {"K": K}
    ahead = 2.0

    @staticmethod
    def project(x: float, y: float, z: float) -> tuple[float, float]:
        return 14 * x / z + 5.5, 14 * y / z + 4.5


def test_stops_and_escape_sum_to_one():
    grid = noise(side=6)
    stops, escape = ray_stops(grid, turns(3), AHEAD, **VIEW)
    assert stops.shape == (3, 24, *SIZE)
    assert torch.allclose(stops.sum(1) + escape, torch.ones(3, *SIZE).double(), atol=1e-12)
    silhouette = ray_silhouette(grid, turns(3), AHEAD, backend="torch", **VIEW)
    assert torch.allclose(1 - escape, silhouette, atol=1e-12)
    mask = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1)) > 0.5
    paper = torch.where(mask, escape, stops.sum(1))
    assert torch.allclose(paper, (silhouette - mask.double()).abs(), atol=1e-12)


def test_stops_without_t_are_straight_ahead():
    for found, expected in zip(ray_stops(noise(), turns(1), **VIEW), ray_stops(noise(), turns(1), AHEAD, **VIEW)):
        assert torch.equal(found, expected)


def test_principal_point_shifts_the_image(backend):  # noqa: F811
    moved = K.clone()
    moved[:, 0, 2] += 1
    image = ray_silhouette(noise(), turns(1), AHEAD, backend=backend, **VIEW)
    shifted = ray_silhouette(noise(), turns(1), AHEAD, backend=backend, **{**VIEW, "K": moved})
    assert torch.allclose(image[..., :-1], shifted[..., 1:], atol=1e-5)


def test_a_batch_of_cameras(backend):  # noqa: F811
    many = torch.cat([K, 0.9 * K, 1.2 * K])
    many[:, 2, 2] = 1
    images = ray_silhouette(noise(), EYE, backend=backend, **{**VIEW, "K": many})
    for image, one in zip(images, many, strict=True):
        expected = ray_silhouette(noise(), EYE, backend=backend, **{**VIEW, "K": one[None]})
        assert torch.allclose(image, expected[0], atol=1e-6)


def test_equals_scipy(backend):  # noqa: F811
    grid, R = noise(side=6), turns(1)
    v, u = np.meshgrid(np.arange(9) + 0.5, np.arange(11) + 0.5, indexing="ij")
    depths = 1 + 2 * (np.arange(24) + 0.5) / 24
    ray = np.stack([(u - 5.5) / 14, (v - 4.5) / 14, np.ones_like(u)], -1)
    source = (ray * depths[:, None, None, None] - AHEAD[0].numpy()) @ R[0].numpy()
    index = np.moveaxis((source[..., ::-1] + 0.5) * 6 - 0.5, -1, 0)
    values = map_coordinates(np.pad(grid[0].numpy(), 2), index + 2, order=1, mode="constant")
    found = ray_silhouette(grid, R, AHEAD, backend=backend, **VIEW)[0].numpy()
    assert np.abs(found - (1 - (1 - values).prod(0))).max() < (1e-9 if backend == "torch" else 1e-5)


@pytest.mark.parametrize("value", [1.0, 1 - 1e-6, 1 - 1e-7, 2.0, 1e30])
def test_full_cells_keep_gradients_finite(backend, value):  # noqa: F811
    for dtype in (torch.float32, torch.float64):
        grid = torch.full((1, 6, 6, 6), value, dtype=dtype, requires_grad=True)
        R, t, K = (x.to(dtype).requires_grad_() for x in (turns(1), AHEAD.clone(), VIEW["K"].clone()))
        image = ray_silhouette(grid, R, t, backend=backend, **{**VIEW, "K": K})
        image.sum().backward()
        assert image.max() <= 1
        for leaf in (grid, R, t, K):
            assert leaf.grad is not None
            assert torch.isfinite(leaf.grad).all()


def test_a_full_cell_has_no_gradient(backend):  # noqa: F811
    """Seen by one ray through the middles of cells of which one is full: the others' gradient is what it lets pass."""
    grid = torch.zeros(1, 5, 5, 5).double()
    grid[0, 2, 2, 2] = 1
    grid.requires_grad_()
    K = torch.tensor([[[1.0, 0, 0.5], [0, 1.0, 0.5], [0, 0, 1]]]).double()
    image = ray_silhouette(grid, EYE, K=K, size_hw=(1, 1), near_far=(1.5, 2.5), samples=5, backend=backend)
    image.sum().backward()
    assert grid.grad is not None
    line = grid.grad[0, :, 2, 2]
    assert line[2] < 1e-12
    assert ((line - 1e-6).abs() < 1e-7)[[0, 1, 3, 4]].all()
    assert abs(grid.grad.sum() - line.sum()) < 1e-9


def test_wrong_depths_are_refused():
    for wrong in ({"near_far": (2.0, 1.0)}, {"near_far": (0.0, 1.0)}, {"samples": 0}):
        for operator in (ray_silhouette, ray_stops):
            with pytest.raises(ValueError, match="near"):
                operator(noise(), EYE, **{**VIEW, **wrong})


def test_forked_child():
    grids = noise(3).numpy()
    rays = pixel_rays(torch.linalg.inv(K), turns(3), AHEAD, (1.0, 3.0), 24, grids.shape[1], 3).numpy()

    def run():
        escape = kernel.forward(grids, rays, 24, *SIZE)
        return np.concatenate([escape.reshape(-1), kernel.backward(grids, rays, 24, escape, escape)[0].reshape(-1)])

    assert same_in_forked_child(run)
