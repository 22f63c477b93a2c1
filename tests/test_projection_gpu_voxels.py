"""The Triton kernels for voxel grids: equal to their PyTorch twins in values and gradients, and machine code for CUDA."""

import pytest
import torch
from scipy.spatial.transform import Rotation

import gpu_cases
from gpu_cases import DEVICE
from projection_cases import camera, relative

pytest.importorskip("triton", reason="the kernels are written in Triton")

from monoform.projection import rays as ray_operator
from monoform.projection import voxel_max as max_operator
from monoform.projection.gpu import rays, voxel_max

SIZE = (9, 11)
NEAR_FAR = (1.0, 3.0)
FOCAL = max_operator.PTN_FOCAL
K = torch.tensor([[[14.0, 0.3, 5.2], [0, 13.0, 4.6], [0, 0, 1]]]).double()
EYE = torch.eye(3, dtype=torch.float64)[None]


@pytest.fixture(autouse=True)
def _large_tiles(monkeypatch):
    """The interpreter's time goes with the number of programs and steps; `test_tiles_as_shipped` undoes this."""
    if DEVICE == "cpu":
        for module in (rays, voxel_max):
            for name, size in (("ROWS", 8), ("COLUMNS", 16), ("STEPS", 8)):
                monkeypatch.setattr(module, name, size)


class Kernel(torch.autograd.Function):
    """Either module's kernels as an operator."""

    @staticmethod
    def forward(ctx, module, occupancy, rays, samples, h, w):
        image, ctx.saved = module.forward(occupancy.to(DEVICE), rays.to(DEVICE), samples, h, w)
        ctx.module = module
        return image.to(occupancy)

    @staticmethod
    def backward(ctx, *grad_outputs):
        _, to_grid, to_rays, *_ = ctx.needs_input_grad
        grads = ctx.module.backward(ctx.saved, grad_outputs[0].to(DEVICE), to_grid=to_grid, to_rays=to_rays)
        return None, *(None if grad is None else grad.to(grad_outputs[0]) for grad in grads), None, None, None


def by_rays(occupancy, R, t, K, size_hw=SIZE, samples=21):
    directions = torch.linalg.inv(K.double())
    lines = max_operator.pixel_rays(directions, R, t, NEAR_FAR, samples, occupancy.shape[-1], len(occupancy))
    return Kernel.apply(rays, occupancy, lines, samples, *size_hw)


def by_rays_twin(occupancy, R, t, K, size_hw=SIZE, samples=21):
    return ray_operator.ray_silhouette(
        occupancy, R, t, K=K, size_hw=size_hw, near_far=NEAR_FAR, samples=samples, backend="torch"
    )  # fmt: skip


def by_max(occupancy, R, t, _):
    side = occupancy.shape[-1]
    return Kernel.apply(
        voxel_max, occupancy, max_operator.parallel_rays(R, t, side, len(occupancy)), side, side, side
    )  # fmt: skip


def by_max_twin(occupancy, R, t, _):
    return max_operator.voxel_max(occupancy, R, t, backend="torch")


def by_perspective(occupancy, R, t, _):
    side = occupancy.shape[-1]
    scale = torch.tensor([[[1 / side, 0, -0.5], [0, 1 / side, -0.5], [0, 0, FOCAL]]]).to(R) / FOCAL
    lines = max_operator.pixel_rays(scale, R, t, (FOCAL, FOCAL + 1), side, side, len(occupancy))
    return Kernel.apply(voxel_max, occupancy, lines, side, side, side)


def by_perspective_twin(occupancy, R, t, _):
    return max_operator.voxel_max_perspective(occupancy, R, t, backend="torch")


OPERATORS = {
    "rays": (by_rays, by_rays_twin, 2.0),
    "max": (by_max, by_max_twin, 0.0),
    "perspective": (by_perspective, by_perspective_twin, FOCAL + 0.5),
}
"""The kernel, its twin, and the depth of the grid's centre at which it is seen whole."""


@pytest.fixture(params=OPERATORS)
def operator(request):
    return OPERATORS[request.param]


def noise(batch: int, side: int, largest: float = 0.9) -> torch.Tensor:
    return largest * torch.rand(
        batch, side, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )  # fmt: skip


def turns(batch: int) -> torch.Tensor:
    return torch.as_tensor(Rotation.random(batch, random_state=3).as_matrix())


def ahead(depth: float, batch: int = 1) -> torch.Tensor:
    shift = torch.rand(batch, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return 0.1 * (shift - 0.5) + torch.tensor([0, 0, depth]).double()


def run(draw, *inputs):
    """The image, and the gradients of a random loss by those inputs that it depends on."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    image = draw(*leaves)
    weight = torch.rand(image.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) - 0.3
    (image * weight).sum().backward()
    return image.detach(), [leaf.grad for leaf in leaves if leaf.grad is not None]


def assert_equal(operator, *inputs):
    kernel, twin, _ = operator
    (image, grads), (twin_image, twin_grads) = run(kernel, *inputs), run(twin, *inputs)
    assert (image - twin_image).abs().max() <= 1e-4
    assert len(grads) == len(twin_grads)
    for grad, twin_grad in zip(grads, twin_grads):
        assert grad.shape == twin_grad.shape
        assert twin_grad.norm() > 0
        assert relative(grad, twin_grad) <= 1e-3


@pytest.mark.parametrize(("grids", "poses", "side"), [(1, 1, 6), (1, 3, 7), (3, 1, 9), (2, 2, 12)])
def test_equals_twin(operator, grids, poses, side):
    """One grid and many poses, many grids and one pose; sizes that tiles and steps do not divide."""
    assert_equal(operator, noise(grids, side), turns(poses), ahead(operator[2], poses), K)


def test_tiles_as_shipped(operator, monkeypatch):
    monkeypatch.undo()
    assert (rays.ROWS, rays.COLUMNS, rays.STEPS) == (voxel_max.ROWS, voxel_max.COLUMNS, voxel_max.STEPS) == (4, 8, 4)
    assert_equal(operator, noise(1, 7), turns(1), ahead(operator[2]), K)


def test_every_pose_its_camera_and_place():
    cameras = torch.cat([K, K * torch.tensor([1.3, 0.8, 1]).double()[:, None]])
    assert_equal(OPERATORS["rays"], noise(1, 7), turns(1), ahead(2.0, 2), cameras)


@pytest.mark.parametrize(("size_hw", "samples"), [((1, 1), 1), ((3, 17), 24), ((8, 16), 13)])
def test_images_and_samples_of_any_number(size_hw, samples):
    inputs = noise(1, 8), turns(1), ahead(2.0), camera(*size_hw, focal=9)
    found, twin = by_rays(*inputs, size_hw, samples), by_rays_twin(*inputs, size_hw, samples)
    assert found.shape == (1, *size_hw)
    assert twin.max() > 0.1
    assert (found - twin).abs().max() <= 1e-4


def test_a_camera_inside_the_grid():
    assert_equal(OPERATORS["rays"], noise(1, 7, 0.3), turns(2), ahead(1.1, 2), K)


@pytest.mark.parametrize("module", [rays, voxel_max])
def test_no_image(module):
    grid, lines = noise(1, 7).to(DEVICE), max_operator.parallel_rays(turns(2), None, 7, 1).to(DEVICE)
    for chosen, h in ((lines[:0], 7), (lines, 0)):
        image, saved = module.forward(grid, chosen, 7, h, 7)
        grad_grid, grad_rays = module.backward(saved, image)
        assert image.shape == (len(chosen), h, 7)
        assert grad_grid.shape == grid.shape
        assert grad_rays.shape == chosen.shape
        assert not grad_grid.any()
        assert not grad_rays.any()


def test_empty(operator):
    kernel, _, depth = operator
    assert not kernel(torch.zeros(1, 6, 6, 6).double(), turns(1), ahead(depth), K).any()


def test_behind_and_off_screen(operator):
    kernel, _, depth = operator
    away = torch.tensor([[9.0, 0, depth], [0, -9, depth], [0, 0, depth - 9]]).double()
    image, grads = run(kernel, noise(1, 6), turns(3), away, K)
    assert not image.any()
    assert not any(grad.any() for grad in grads)


def test_full(operator):
    kernel, twin, depth = operator
    inputs = torch.ones(1, 8, 8, 8).double(), turns(2), ahead(depth), K
    image, grads = run(kernel, *inputs)
    assert image.max() > 1 - 1e-5
    assert (image - twin(*inputs)).abs().max() <= 1e-4
    assert all(torch.isfinite(grad).all() for grad in grads)


def test_clamped_cells_have_no_gradient():
    grid = noise(1, 6)
    grid[0, 2:4, 2:4, 2:4] = 1.2
    assert_equal(OPERATORS["rays"], grid, EYE, torch.tensor([[0, 0, 2.0]]).double(), K)
    _, (grad, *_) = run(by_rays, 0 * grid + 1.2, EYE, ahead(2.0), K)
    assert not grad[0, 2:4, 2:4, 2:4].any()


def test_single_cell():
    grid = torch.zeros(1, 9, 9, 9).double()
    grid[0, 6, 1, 3] = 0.7
    image, (grad, *_) = run(by_max, grid, EYE, torch.zeros(1, 3).double(), K)
    assert image[0].nonzero().tolist() == [[1, 3]]
    assert image[0, 1, 3] == pytest.approx(0.7)
    assert grad[0, :, 1, 3].nonzero().tolist() == [[6]]
    for pose in zip(turns(3)[:, None], (2.0, 2.1, 1.9)):
        inputs = grid, pose[0], ahead(pose[1]), K
        assert (by_rays(*inputs) - by_rays_twin(*inputs)).abs().max() <= 1e-4


def test_of_equal_samples_the_nearest_has_the_gradient():
    grid = torch.zeros(1, 7, 7, 7).double()
    grid[0, [2, 3, 6]] = 0.5
    _, (grad, *_) = run(by_max, grid, EYE, torch.zeros(1, 3).double(), K)
    _, (twin_grad, *_) = run(by_max_twin, grid, EYE, torch.zeros(1, 3).double(), K)
    assert grad[0, 2].all()
    assert not grad[0, 3:].any()
    assert torch.allclose(grad, twin_grad, atol=1e-5)


def test_below_zero_the_outside_is_largest(operator):
    assert_equal(operator, noise(1, 7) - 0.45, turns(2), ahead(operator[2] + 0.2, 2), K)


def test_what_is_not_a_number_stays_visible(operator):
    kernel, twin, depth = operator
    grid = noise(1, 8)
    grid[0, 3, 4, 5] = torch.nan
    inputs = grid, turns(2), ahead(depth), K
    found = kernel(*inputs).isnan()
    assert found.any()
    assert not found.all()
    assert torch.equal(found, twin(*inputs).isnan())


def test_equals_finite_differences(operator):
    kernel, _, depth = operator
    axes = torch.meshgrid(*[(torch.arange(8).double() - 3.5) / 8] * 3, indexing="ij")
    blob = 0.3 * torch.exp(-9 * sum(axis**2 for axis in axes))[None] + 0.02 * noise(1, 8)
    inputs = blob, turns(1), ahead(depth), K
    generator = torch.Generator().manual_seed(4)
    weight = torch.rand(kernel(*inputs).shape, dtype=torch.float64, generator=generator)
    for changed, reach in ((0, 3e-3), (1, 3e-4), (2, 3e-4), (3, 1e-3)):
        if changed == 3 and kernel is not by_rays:
            continue
        leaf = inputs[changed].clone().requires_grad_()
        with_leaf = (*inputs[:changed], leaf, *inputs[changed + 1 :])
        (kernel(*with_leaf) * weight).sum().backward()
        way = reach * torch.randn(leaf.shape, dtype=torch.float64, generator=generator)
        way = way * (leaf.detach() if changed in (0, 3) else 1)
        there, back = (
            (kernel(*inputs[:changed], x, *inputs[changed + 1 :]) * weight).sum()
            for x in (leaf.detach() + way, leaf.detach() - way)
        )
        assert float((leaf.grad * way).sum()) == pytest.approx(float(there - back) / 2, rel=0.02)


@pytest.mark.parametrize("module", [rays, voxel_max])
def test_gradients_that_nobody_wants_are_not_computed(module):
    lines = max_operator.parallel_rays(turns(2), None, 7, 1).to(DEVICE)
    image, saved = module.forward(noise(1, 7).to(DEVICE), lines, 7, 7, 7)
    grad_grid, grad_rays = module.backward(saved, image)
    alone, none = module.backward(saved, image, to_rays=False)
    assert none is None
    assert torch.allclose(alone, grad_grid, atol=1e-5)
    none, alone = module.backward(saved, image, to_grid=False)
    assert none is None
    assert torch.equal(alone, grad_rays)


@pytest.mark.parametrize("module", [rays, voxel_max])
def test_one_grid_for_many_poses_is_not_copied(module):
    grid, lines = noise(1, 7).float().to(DEVICE), max_operator.parallel_rays(turns(3), None, 7, 1).to(DEVICE)
    image, saved = module.forward(grid, lines, 7, 7, 7)
    grad, _ = module.backward(saved, image)
    expanded, saved_expanded = module.forward(grid.expand(3, -1, -1, -1), lines, 7, 7, 7)
    each, _ = module.backward(saved_expanded, image)
    assert saved.scene.grids.data_ptr() == saved_expanded.scene.grids.data_ptr() == grid.data_ptr()
    assert torch.equal(image, expanded)
    assert torch.allclose(each.sum(0, keepdim=True), grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("module", [rays, voxel_max])
def test_grids_of_any_layout(module):
    """Cells that are not side by side in memory, and a batch that is every second grid of another."""
    grids, lines = noise(6, 7).to(DEVICE), max_operator.parallel_rays(turns(3), None, 7, 1).to(DEVICE)
    for odd in (grids[:3].mT, grids.float()[::2]):
        image, saved = module.forward(odd, lines, 7, 7, 7)
        same, saved_same = module.forward(odd.contiguous(), lines, 7, 7, 7)
        assert torch.equal(image, same)
        assert torch.allclose(
            module.backward(saved, image)[0], module.backward(saved_same, image)[0], atol=1e-6
        )  # fmt: skip


@pytest.mark.parametrize("module", [rays, voxel_max])
def test_wrong_batches_and_huge_grids_are_refused(module):
    with pytest.raises(ValueError, match="2 grids for 3 images"):
        module.forward(noise(2, 6), max_operator.parallel_rays(turns(3), None, 6, 1), 6, 6, 6)
    with pytest.raises(ValueError, match="not 1291"):
        module.forward(torch.zeros(1).expand(1, 1291, 1291, 1291), torch.zeros(1, 2, 3, 3), 6, 6, 6)


def test_machine_code_for_every_cuda_device(monkeypatch):
    monkeypatch.undo()
    tile = {"ROWS": rays.ROWS, "COLUMNS": rays.COLUMNS}
    scene = {"grids": "*fp32", "rays": "*fp32", "grid_stride": "i64", "h": "i32", "w": "i32", "side": "i32"}
    gradients = {"grad": "*fp32", "grad_grids": "*fp32", "sums": "*fp32", "grad_stride": "i64"}
    wanted = {"GRID": True, "RAYS": True}
    kernels = {
        rays: [
            gpu_cases.Kernel("_forward", scene | {"passed": "*fp32", "samples": "i32"}, tile | {"STEPS": rays.STEPS}),
            gpu_cases.Kernel(
                "_backward", scene | gradients | {"passed": "*fp32", "samples": "i32"},
                tile | wanted | {"STEPS": rays.STEPS},
            ),
        ],
        voxel_max: [
            gpu_cases.Kernel(
                "_forward", scene | {"largest": "*fp32", "largest_at": "*i32", "samples": "i32"},
                tile | {"STEPS": voxel_max.STEPS},
            ),
            gpu_cases.Kernel("_backward", scene | gradients | {"largest_at": "*i32"}, tile | wanted, num_warps=1),
        ],
    }  # fmt: skip
    for module, asked in kernels.items():
        found = gpu_cases.compile_for_cuda(module.__name__, asked)
        assert len(found) == len(asked) * len(gpu_cases.CAPABILITIES)
        assert all(kernel.registers <= 64 and not kernel.local_bytes for kernel in found)
