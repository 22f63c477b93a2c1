"""The Triton coverage: equal to its twins, exact where areas are, bit by bit the same, and machine code for every device."""

import importlib

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import ConvexHull

import gpu_cases
from projection_cases import SIZE, bumpy_sphere, camera, nasty_points, placed, relative, variants

pytest.importorskip("triton", reason="the kernels are written in Triton")

from monoform.projection.clipping import project
from monoform.projection.coverage import coverage_torch
from monoform.projection.gpu.coverage import backward, forward
from monoform.projection.kernels.coverage import Topology
from monoform.projection.kernels.coverage import backward as backward_numba
from monoform.projection.kernels.coverage import forward as forward_numba

BOX = np.array([[0, 1, 3], [0, 3, 2], [4, 7, 5], [4, 6, 7], [0, 5, 1], [0, 4, 5], [2, 3, 7], [2, 7, 6], [0, 6, 4], [0, 2, 6],
                [1, 5, 7], [1, 7, 3]])  # fmt: skip
"""Faces of a box whose corner i has the bits of i as coordinates."""


def seen(v: np.ndarray, batch: int = 2, size_hw: tuple[int, int] = SIZE) -> torch.Tensor:
    """A mesh as `batch` cameras see it: points (batch, v, 3) [x_px, y_px, depth] on the device."""
    return project(placed(v, batch), camera(*size_hw).expand(batch, -1, -1)).float().to(gpu_cases.DEVICE)


def loss_weight(points: torch.Tensor, h: int, w: int) -> torch.Tensor:
    return torch.rand(len(points), h, w, generator=torch.Generator().manual_seed(0)).to(points)


def triton_both(points, topologies, h, w) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and the gradient (b, v, 2) of a random loss."""
    alpha, saved = forward(points, topologies, h, w)
    return alpha, backward(saved, loss_weight(points, h, w))


def torch_both(points, topologies, h, w) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = points.double().requires_grad_()
    alpha = coverage_torch(leaf, topologies, h, w)
    (alpha * loss_weight(points, h, w)).sum().backward()
    assert leaf.grad is not None
    return alpha.detach().float(), leaf.grad[..., :2].float()


def numba_both(points, topologies, h, w) -> tuple[torch.Tensor, torch.Tensor]:
    alpha, saved = forward_numba(points.cpu().numpy(), topologies, h, w)
    grad = backward_numba(saved, loss_weight(points, h, w).cpu().numpy())
    return torch.as_tensor(alpha).to(points), torch.as_tensor(grad).to(points)


def by_place(v: np.ndarray, grad: torch.Tensor) -> torch.Tensor:
    """Of edges that lie on each other either may be the outermost: vertices at one place count together."""
    _, place = np.unique(np.round(v, 9), axis=0, return_inverse=True)
    return torch.zeros_like(grad).index_add(1, torch.as_tensor(place.reshape(-1)).to(grad.device), grad)


@pytest.mark.parametrize("name", variants())
def test_equals_twins(name):
    v, f = variants()[name]
    job = (seen(v), [Topology(f)], *SIZE)
    alpha, grad = triton_both(*job)
    assert alpha.dtype == grad.dtype == torch.float32
    for other in (torch_both, numba_both):
        twin, twin_grad = other(*job)
        assert (alpha - twin).abs().max() <= 1e-4
        assert relative(by_place(v, grad), by_place(v, twin_grad)) <= 1e-3


@pytest.mark.parametrize("size_hw", [(1, 1), (3, 131), (65, 5)])
@pytest.mark.parametrize("name", ["closed", "open"])
def test_sizes_that_no_block_divides(name, size_hw):
    """The mesh reaches beyond the small images on all sides."""
    v, f = bumpy_sphere(1)
    job = (seen(v, size_hw=size_hw), [Topology(f if name == "closed" else f[20:])], *size_hw)
    alpha, grad = triton_both(*job)
    twin, twin_grad = torch_both(*job)
    assert (alpha - twin).abs().max() <= 1e-4
    assert relative(grad, twin_grad) <= 1e-3


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_edges_that_meet_on_sample_lines(steps):
    """A soup whose corners lie on fractions of a pixel: of edges on each other both pick the same, vertex by vertex."""
    v, f = bumpy_sphere(1)
    points = seen(v[f].reshape(-1, 3))
    points[..., :2] = (points[..., :2] * steps).round() / steps
    job = (points, [Topology(np.arange(f.size).reshape(-1, 3))], *SIZE)
    alpha, grad = triton_both(*job)
    twin, twin_grad = torch_both(*job)
    assert (alpha - twin).abs().max() <= 1e-4
    assert relative(grad, twin_grad) <= 1e-3


def test_meshes_of_a_batch_may_differ_in_all():
    """Closed, open, closed but for a vertex behind the camera, empty, doubled: each image is as if drawn alone, to the bit."""
    v, f = bumpy_sphere(1)
    icosahedron = trimesh.creation.icosphere(0)
    meshes = [f, f[10:], f, f[:0], np.concatenate([f[5:], f[:30, ::-1]]), np.asarray(icosahedron.faces)]
    topologies = [Topology(mesh) for mesh in meshes]
    points = seen(v, len(meshes))
    points[2, 7, 2] = -1
    points[5, :12] = seen(np.asarray(icosahedron.vertices), 1)[0]
    alpha, grad = triton_both(points, topologies, *SIZE)
    twin, twin_grad = torch_both(points, topologies, *SIZE)
    assert (alpha - twin).abs().max() <= 1e-4
    assert relative(grad, twin_grad) <= 1e-3
    weight = loss_weight(points, *SIZE)
    for i, topology in enumerate(topologies):
        alone, saved = forward(points[i : i + 1], [topology], *SIZE)
        assert torch.equal(alone[0], alpha[i])
        assert torch.equal(backward(saved, weight[i : i + 1])[0], grad[i])
    assert alpha.flatten(1).any(1).tolist() == [True, True, True, False, True, True]


def test_order_of_faces_does_not_change_a_bit():
    """Nor, on a GPU, does the order in which lanes come."""
    for name in ("closed", "open"):
        v, f = variants()[name]
        points = seen(v, 1)
        alpha, grad = triton_both(points, [Topology(f)], *SIZE)
        again, again_grad = triton_both(points, [Topology(np.random.default_rng(0).permutation(f))], *SIZE)
        assert torch.equal(alpha, again)
        assert torch.equal(grad, again_grad)


def test_points_that_can_not_be_drawn():
    v, f = bumpy_sphere(1)
    topology = Topology(f)
    points = seen(v, 4)
    for i, odd in enumerate([float("nan"), float("inf"), 1e30], start=1):
        points[i, 3 * i, i % 3] = odd
    alpha, grad = triton_both(points, [topology], *SIZE)
    assert torch.isfinite(grad).all()
    twin, twin_grad = numba_both(points, [topology], *SIZE)
    assert (alpha - twin).abs().max() <= 1e-4
    assert relative(grad, twin_grad) <= 1e-3


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")  # by NumPy, as interpreter
def test_fuzz():
    points = torch.as_tensor(nasty_points(150)).to(gpu_cases.DEVICE)
    topology = Topology(np.arange(points.shape[1]).reshape(-1, 3))
    alpha, grad = triton_both(points, [topology], 32, 32)
    assert torch.isfinite(grad).all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert (alpha - numba_both(points, [topology], 32, 32)[0]).abs().mean() <= 1e-4


def test_nothing_to_draw():
    empty = Topology(np.zeros((0, 3), int))
    points = torch.rand(2, 4, 3).to(gpu_cases.DEVICE)
    alpha, grad = triton_both(points, [empty], *SIZE)
    assert alpha.shape == (2, *SIZE)
    assert grad.shape == (2, 4, 2)
    assert not alpha.any()
    assert not grad.any()
    assert forward(points, [Topology(np.array([[0, 1, 2]]))], 0, 5)[0].shape == (2, 0, 5)
    assert forward(points[:0], [Topology(np.array([[0, 1, 2]]))], 4, 5)[0].shape == (0, 4, 5)


@pytest.mark.parametrize("name", ["closed", "open"])
def test_off_screen_leaves_no_trace(name):
    v, f = bumpy_sphere(1)
    points = seen(v, 4)
    points[..., :2] += points.new_tensor([[90, 3], [-90, 3], [5, 90], [5, -90]])[:, None]
    alpha, grad = triton_both(points, [Topology(f if name == "closed" else f[20:])], *SIZE)
    assert not alpha.any()
    assert not grad.any()


@pytest.mark.parametrize("faces", [[[0, 1, 2], [0, 2, 3]], [[0, 1, 2], [2, 0, 3]]], ids=["alike", "against each other"])
def test_half_pixel_of_a_square(faces):
    points = torch.tensor([[[3.5, 2.25, 1], [8, 2.25, 1], [8, 6, 1], [3.5, 6, 1]]]).to(gpu_cases.DEVICE)
    image = forward(points, [Topology(np.array(faces))], 10, 12)[0][0]
    assert image.sum().item() == pytest.approx(4.5 * 3.75, abs=0.02)
    assert (image[3:6, 3] == 0.5).all()
    assert (image[3:6, 4:8] == 1).all()
    assert not image[:2].any()
    assert not image[6:].any()
    assert not image[:, 8:].any()


def test_half_pixel_of_a_box():
    """A box seen straight on, its far side within its near one: areas are exact, as is the gradient of their sum."""
    corners = (np.arange(8)[:, None] >> np.arange(3)) & 1
    near = np.array([3.5, 2.25]) + corners[:, :2] * [4.5, 3.75]
    xy = np.where(corners[:, 2:] == 0, near, 5 + 0.1 * near)
    points = torch.as_tensor(np.concatenate([xy, 1 + corners[:, 2:]], 1)[None], dtype=torch.float32).to(
        gpu_cases.DEVICE
    )
    topology = Topology(BOX)
    assert topology.closed
    alpha, saved = forward(points, [topology], 10, 12)
    expected = torch.zeros(10, 12)
    expected[2:6, 3:8] = torch.tensor([0.75, 1, 1, 1])[:, None] * torch.tensor([0.5, 1, 1, 1, 1])
    assert torch.equal(alpha[0].cpu(), expected)
    partly = backward(saved, torch.ones_like(alpha))[0].cpu()  # the right and lower sides lie on the pixels' own
    assert torch.allclose(partly[:4, 0], torch.tensor([-1.875, 0, -1.875, 0]), atol=0.13)
    assert partly[[0, 1], 1].sum().item() == pytest.approx(-4.5)
    assert not partly[4:].any()


@pytest.mark.parametrize("name", ["closed", "doubled"])
def test_area_of_a_convex_body_and_its_gradient(name):
    """The silhouette is the hull of the points: its area, and how that changes in a random direction, are known."""
    sphere = trimesh.creation.icosphere(1)
    v, f = np.asarray(sphere.vertices) * [1, 0.7, 0.9], np.asarray(sphere.faces)
    closed = name == "closed"
    points = seen(v, 2, (64, 64))
    alpha, saved = forward(points, [Topology(f if closed else np.concatenate([f, f[:9]]))], 64, 64)
    grad = backward(saved, torch.ones_like(alpha)).cpu().numpy()
    direction = np.random.default_rng(0).normal(size=v.shape)[:, :2]
    for i, image in enumerate(alpha.cpu().double()):
        xy = points[i, :, :2].cpu().double().numpy()
        hulls = [ConvexHull(xy + step * direction).volume for step in (-1e-4, 0, 1e-4)]
        assert image.sum().item() == pytest.approx(hulls[1], rel=1e-4 if closed else 2e-3)
        assert (grad[i] * direction).sum() == pytest.approx((hulls[2] - hulls[0]) / 2e-4, rel=2e-2, abs=1)


def test_gradient_is_the_change_of_the_loss():
    """Of a closed mesh the areas are exact, so that differences of any smooth loss tell its gradient."""
    v, f = bumpy_sphere(1)
    points, topology = seen(v, 1), Topology(f)
    weight = loss_weight(points, *SIZE).double()
    _, grad = triton_both(points, [topology], *SIZE)
    direction = torch.randn(*points.shape[:2], 2, generator=torch.Generator().manual_seed(0)).to(points)
    step = 1e-2 * torch.nn.functional.pad(direction, (0, 1))
    ahead, behind = (forward(points + sign * step, [topology], *SIZE)[0].double() for sign in (1, -1))
    change = ((ahead - behind) * weight).sum().item() / 2e-2
    assert (grad * direction).sum().item() == pytest.approx(change, rel=2e-2)


def test_gradients_of_any_size():
    v, f = variants()["open"]
    points = seen(v, 2)
    alpha, saved = forward(points, [Topology(f)], *SIZE)
    weight = loss_weight(points, *SIZE)
    grad = backward(saved, weight)
    for factor in (2.0**-100, 2.0**90):
        assert torch.allclose(backward(saved, weight * factor) / factor, grad, rtol=1e-5)
    assert not backward(saved, torch.zeros_like(alpha)).any()
    whole = backward(saved, torch.ones(1, 1, 1).to(alpha).expand_as(alpha))
    assert torch.equal(whole, backward(saved, torch.ones_like(alpha)))


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # by NumPy, as interpreter
@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["closed", "open"])
def test_a_gradient_that_is_not_finite_stays_so(name, odd):
    v, f = bumpy_sphere(1)
    points = seen(v, 2)
    _, saved = forward(points, [Topology(f if name == "closed" else f[20:])], *SIZE)
    weight = loss_weight(points, *SIZE)
    weight[1, 12, 16] = odd
    grad = backward(saved, weight)
    assert torch.isfinite(grad[0]).all()
    assert not torch.isfinite(grad[1]).any()


def test_refuses_what_does_not_fit():
    triangle = Topology(np.array([[0, 1, 2]]))
    points = torch.tensor([[[0.0, 0, 1], [9, 0, 1], [0, 9, 1]]] * 3).to(gpu_cases.DEVICE)
    with pytest.raises(ValueError, match="2 meshes for 3 images"):
        forward(points, [triangle] * 2, 4, 4)
    with pytest.raises(ValueError, match="outside"):
        forward(points[:, :2], [triangle], 4, 4)
    with pytest.raises(ValueError, match="too large"):
        forward(points[:1], [triangle], 1, 40_000)


POINTER = {
    "points": "*fp32", "alpha": "*fp32", "grad_alpha": "*fp32", "units": "*fp64", "grad_points": "*i64", "area": "*i64",
    "faces": "*i32", "edges": "*i32", "first": "*i32", "incidence": "*i32", "side": "*i8", "closed": "*i8",
    "layers": "*i32", "counts": "*i64", "ends": "*i64", "key": "*i64", "owner": "*i64", "opens": "*i32",
    "edge": "*i64", "line": "*i64", "begins": "*i1",
}  # fmt: skip
CONSTANT = {"BLOCK": 256, "ROWS": 4, "COLUMNS": 128}


@pytest.mark.parametrize("module", ["coverage", "spans", "union"])
def test_compiles_for_cuda(module):
    """Every kernel that takes a block's size, without spilling registers."""
    path = f"monoform.projection.gpu.{module}"
    kernels = []
    for name, function in vars(importlib.import_module(path)).items():
        names = getattr(function, "arg_names", [])
        constants = {each: CONSTANT[each] for each in names if each in CONSTANT}
        if constants:
            signature = {each: POINTER.get(each, "i32") for each in names if each not in CONSTANT}
            kernels.append(gpu_cases.Kernel(name, signature, constants, enable_fp_fusion=False))
    assert len(kernels) == {"coverage": 3, "spans": 2, "union": 3}[module]
    for compiled in gpu_cases.compile_for_cuda(path, kernels):
        assert compiled.local_bytes == 0
        assert compiled.registers <= 128
