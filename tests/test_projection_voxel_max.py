"""Voxel silhouettes by warp and reduction: the contract, values by hand, SciPy's interpolation."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from monoform.projection.kernels import voxel_max as kernel
from monoform.projection.voxel_max import (
    PTN_FOCAL,
    parallel_rays,
    voxel_any,
    voxel_max,
    voxel_max_perspective,
    voxel_softmax,
)
from projection_cases import backend, same_in_forked_child  # noqa: F401 (a fixture)
from voxel_cases import EYE, SIDE, KernelContract, PerspectiveContract, VoxelContract, noise, turns


def seen_in_parallel(x: float, y: float, z: float) -> tuple[float, float]:
    return (x + 0.5) * SIDE, (y + 0.5) * SIDE


def seen_in_perspective(x: float, y: float, z: float) -> tuple[float, float]:
    return (x / z * PTN_FOCAL + 0.5) * SIDE, (y / z * PTN_FOCAL + 0.5) * SIDE


class TestMax(VoxelContract, KernelContract):
    draw = staticmethod(voxel_max)
    project = staticmethod(seen_in_parallel)
    picks_one = True


class TestMaxPerspective(PerspectiveContract, KernelContract):
    draw = staticmethod(voxel_max_perspective)
    project = staticmethod(seen_in_perspective)
    ahead = PTN_FOCAL + 0.5
    picks_one = True


class TestAny(VoxelContract):
    draw = staticmethod(voxel_any)
    project = staticmethod(seen_in_parallel)

    @pytest.fixture
    def backend(self):
        return "torch"


class TestSoftmax(VoxelContract):
    draw = staticmethod(voxel_softmax)
    project = staticmethod(seen_in_parallel)

    @pytest.fixture
    def backend(self):
        return "torch"


def test_half_a_cell_of_shift_shares_it(backend):  # noqa: F811
    grid = torch.zeros(1, 8, 8, 8).double()
    grid[0, 4, 4, 4] = 1
    image = voxel_max(grid, EYE, torch.tensor([[0.5 / 8, 0, 0]]).double(), backend=backend)
    assert torch.allclose(image[0, 4, 4:6], torch.tensor([0.5, 0.5]).double())


def test_identity_is_the_plain_maximum(backend):  # noqa: F811
    """Also of values below 0, where no sample outside the grid is in the way."""
    grid = noise(2, 7) - 1
    assert torch.allclose(voxel_max(grid, EYE, backend=backend), grid.amax(1), atol=1e-6)


def test_the_first_of_equal_samples_has_the_gradient(backend):  # noqa: F811
    for value in (0.0, 0.5):
        grid = torch.zeros(1, 6, 6, 6).double()
        grid[0, 2] = grid[0, 4] = value
        grid.requires_grad_()
        voxel_max(grid, EYE, backend=backend).sum().backward()
        assert grid.grad is not None
        layer = torch.tensor([0.0, 0, 36, 0, 0, 0] if value else [36.0, 0, 0, 0, 0, 0]).double()
        assert torch.allclose(grid.grad.sum((0, 2, 3)), layer, atol=1e-4)


@pytest.mark.parametrize("z", [0.5, -0.5], ids=["before the grid", "behind the grid"])
def test_a_sample_outside_beats_what_is_below_zero(backend, z):  # noqa: F811
    grid = (noise(1, 6) - 1).requires_grad_()
    image = voxel_max(grid, EYE, torch.tensor([[0.0, 0.0, z]]).double(), backend=backend)
    image.sum().backward()
    assert not image.any()
    assert grid.grad is not None
    assert not grid.grad.any()


def test_equals_scipy(backend):  # noqa: F811
    grid, R, t = noise(1, 7), turns(1), np.array([0.1, -0.05, 0.02])
    centres = (np.arange(7) + 0.5) / 7 - 0.5
    z, y, x = np.meshgrid(centres, centres, centres, indexing="ij")
    source = (np.stack([x, y, z], -1) - t) @ R[0].numpy()
    index = np.moveaxis((source[..., ::-1] + 0.5) * 7 - 0.5, -1, 0)
    padded = np.pad(grid[0].numpy(), 2)  # SciPy's own border does not fade out
    expected = map_coordinates(padded, index + 2, order=1, mode="constant").max(0)
    found = voxel_max(grid, R, torch.as_tensor(t)[None], backend=backend)[0].numpy()
    assert np.abs(found - expected).max() < (1e-9 if backend == "torch" else 1e-5)


def test_soft_variants_enclose_the_max():
    grid, R = noise(1, 7), turns(2)
    largest = voxel_max(grid, R, backend="torch")
    assert (voxel_softmax(grid, R) <= largest + 1e-12).all()
    assert (voxel_any(grid, R) >= largest - 1e-12).all()


@pytest.mark.parametrize("operator", [voxel_any, voxel_softmax])
def test_what_has_no_kernel_says_so(operator):
    with pytest.raises(ValueError, match="PyTorch"):
        operator(noise(), EYE, backend="numba")


def test_forked_child():
    grids, rays = noise(3).numpy(), parallel_rays(turns(3), None, SIDE, 3).numpy()

    def run():
        image, taken = kernel.forward(grids, rays, SIDE, SIDE, SIDE)
        return np.concatenate([image.reshape(-1), kernel.backward(grids, rays, taken, image)[0].reshape(-1)])

    assert same_in_forked_child(run)


@pytest.mark.parametrize(
    ("grids", "rays"), [((2, 4, 4, 4), (3, 2, 3, 3)), ((1, 4, 4, 5), (1, 2, 3, 3)), ((1, 4, 4, 4), (1, 3, 3))]
)
def test_wrong_shapes_are_refused(grids, rays):
    with pytest.raises(ValueError, match="grids"):
        kernel.forward(np.zeros(grids), np.zeros(rays), 4, 4, 4)


@pytest.mark.parametrize("operator", [voxel_max, voxel_any, voxel_softmax, voxel_max_perspective])
def test_cells_that_are_no_floats_are_refused(operator):
    with pytest.raises((ValueError, TypeError), match=r"grid\.float|Float\["):  # the tests check types first
        operator(torch.ones(1, 4, 4, 4, dtype=torch.bool), EYE)


def test_precisions_may_be_mixed(backend):  # noqa: F811
    grid, R = torch.rand(1, 5, 5, 5), EYE.double()
    assert torch.equal(voxel_max(grid, R, backend=backend), voxel_max(grid, R.float(), backend=backend))
    assert voxel_max(grid.bfloat16(), R, backend=backend).dtype == torch.bfloat16
