"""The Triton rasterisers: equal to their twins whatever the faces, and machine code for CUDA devices."""

import math

import numpy as np
import pytest
import torch

from gpu_cases import CAPABILITIES, DEVICE, Kernel, compile_for_cuda
from projection_cases import SIZE, bumpy_sphere, camera, nasty_points, placed, relative, variants

pytest.importorskip("triton", reason="the kernels are written in Triton")

from monoform.projection.clipping import project
from monoform.projection.gpu import binning, hard, soft
from monoform.projection.hard_raster import find_faces_torch
from monoform.projection.kernels.hard import rasterise as rasterise_numba
from monoform.projection.soft_raster import soft_raster_torch

SIGMA = 1e-4
RADIUS = math.log(1 / 1e-4 - 1) * SIGMA


@pytest.fixture(autouse=True)
def one_part(monkeypatch):
    """On a CPU go through each tile's list in one part: the interpreter fills no device, but pays for every program."""
    if DEVICE == "cpu":
        monkeypatch.setattr(binning, "PROGRAMS", 1)


def seen(v, f, batch: int = 1, size_hw=SIZE) -> tuple[torch.Tensor, torch.Tensor]:
    """A mesh turned `batch` ways: points [x_px, y_px, depth] and faces."""
    points = project(placed(v, batch), camera(*size_hw).expand(batch, -1, -1))
    return points.float().to(DEVICE), torch.as_tensor(np.ascontiguousarray(f)).int().to(DEVICE)


def grid(side: int, cells: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A crooked sheet of 2 * cells**2 faces over side x side pixels, some corners and edges exactly on pixel centres."""
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(np.arange(cells + 1.0), np.arange(cells + 1.0)), -1)
    corners[1:-1, 1:-1] += rng.uniform(-0.4, 0.4, (cells - 1, cells - 1, 2))
    corners *= side / cells
    corners[3, 1:-1] = np.round(corners[3, 1:-1]) + 0.5
    points = np.concatenate([corners, rng.uniform(1, 2, (cells + 1, cells + 1, 1))], -1).reshape(1, -1, 3)
    number = np.arange((cells + 1) ** 2).reshape(cells + 1, -1)
    a, b, c, d = (x.ravel() for x in (number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, d, c], 1)])
    return torch.as_tensor(points).float().to(DEVICE), torch.as_tensor(faces).int().to(DEVICE)


def one_mesh_an_image() -> tuple[torch.Tensor, torch.Tensor]:
    """Three images of different faces (80, 31 and no faces), rows of -1 between and after them."""
    v, f = bumpy_sphere(1)
    points, faces = seen(v, f, 3)
    faces = faces.expand(3, -1, -1).clone()
    faces[1, 7:20] = -1
    faces[1, 44:] = -1
    faces[2] = -1
    return points, faces


def each_mesh(points, faces):
    """One image's points and the faces that are there, at a time."""
    each = (faces if faces.ndim == 3 else faces[None]).expand(len(points), -1, -1)
    return [(points[i : i + 1], mesh[(mesh >= 0).all(-1)]) for i, mesh in enumerate(each)]


def assert_soft_equals_twin(points, faces, h, w, sigma=SIGMA, radius=RADIUS, place=None):
    loss = torch.rand(len(points), h, w, generator=torch.Generator().manual_seed(0)).to(points)
    alpha, saved = soft.forward(points, faces, h, w, sigma, radius)
    grad = soft.backward(saved, loss)
    leaf = points.clone().requires_grad_()
    twin = torch.cat([soft_raster_torch(*mesh, h, w, sigma, radius) for mesh in each_mesh(leaf, faces)])
    (twin * loss).sum().backward()
    twin_grad = leaf.grad[..., :2]
    assert alpha.shape == twin.shape
    assert (alpha - twin).abs().max() <= 1e-4
    if place is not None:
        # Of edges that lie on each other either may be the nearest: vertices at one place count together.
        grad, twin_grad = (torch.zeros_like(g).index_add(1, place.to(g.device), g) for g in (grad, twin_grad))
    assert grad.shape == twin_grad.shape
    assert relative(grad, twin_grad) <= 1e-3


def assert_hard_equals_twin(points, faces, h, w, share=0.999):
    face_id, depth, barycentric = hard.rasterise(points, faces, h, w)
    for i, (image, mesh) in enumerate(each_mesh(points, faces)):
        kept = torch.nonzero((faces if faces.ndim == 2 else faces[i]).amin(-1) >= 0)[:, 0]
        twin = find_faces_torch(image, mesh, h, w)[0].long()
        twin = torch.where(twin >= 0, kept[twin.clamp(min=0)], -1) if len(kept) else twin
        assert torch.equal(face_id[i] < 0, twin < 0)
        assert (face_id[i] == twin).float().mean() >= share
        _, numba_depth, numba_barycentric = rasterise_numba(image.cpu().numpy(), mesh.cpu().numpy(), h, w)
        assert torch.allclose(depth[i].cpu(), torch.as_tensor(numba_depth[0]), rtol=1e-4)
        same = (face_id[i] == twin).cpu() & (twin >= 0).cpu()
        off = (barycentric[i].cpu() - torch.as_tensor(numba_barycentric[0])).abs().amax(-1) > 1e-3
        assert (off & same).float().mean() <= 1 - share
    assert torch.isinf(depth[face_id < 0]).all()
    assert not barycentric[face_id < 0].any()


@pytest.mark.parametrize("name", variants())
def test_soft_equals_twin(name):
    v, f = variants()[name]
    place = np.unique(np.round(v, 9), axis=0, return_inverse=True)[1].reshape(-1)
    assert_soft_equals_twin(*seen(v, f), *SIZE, place=torch.as_tensor(place))


@pytest.mark.parametrize("name", variants())
def test_hard_equals_twin(name):
    v, f = variants()[name]
    assert_hard_equals_twin(*seen(v, f), *SIZE, share=0.9 if name == "doubled" else 0.999)


def test_one_mesh_an_image():
    points, faces = one_mesh_an_image()
    assert_soft_equals_twin(points, faces, *SIZE)
    assert_hard_equals_twin(points, faces, *SIZE)


@pytest.mark.parametrize("size_hw", [(13, 19), (5, 3), (1, 9)], ids=str)
def test_sizes_that_are_no_multiple_of_the_tile(size_hw):
    v, f = bumpy_sphere(0)
    points, faces = seen(v, f, 2)
    points[..., :2] *= torch.tensor([size_hw[1] / SIZE[1], size_hw[0] / SIZE[0]]).to(points)
    assert_soft_equals_twin(points, faces, *size_hw, sigma=1e-2, radius=9e-2)
    assert_hard_equals_twin(points, faces, *size_hw)


@pytest.mark.parametrize("wind", [[0, 1, 2], [2, 1, 0]], ids=str)
def test_a_face_over_the_whole_image(wind):
    points = torch.tensor([[[-60.0, -50, 1], [90, -40, 2], [10, 95, 3]]]).to(DEVICE)
    faces = torch.tensor([wind]).to(DEVICE)
    assert_soft_equals_twin(points, faces, *SIZE, sigma=1.0, radius=9.0)
    assert_hard_equals_twin(points, faces, *SIZE)
    face_id, _, _ = hard.rasterise(points, faces, *SIZE)
    assert (face_id == 0).all()


@pytest.mark.parametrize("nothing", ["no rows", "no rows an image", "absent", "behind", "off the image", "no images"])
def test_nothing_to_see(nothing):
    points = torch.tensor([[[1.0, 2, 1], [20, 3, 1], [9, 18, 1]]]).expand(2, -1, -1).clone().to(DEVICE)
    faces = torch.tensor([[0, 1, 2]]).to(DEVICE)
    if nothing == "behind":
        points[:, 1, 2] = -1
    elif nothing == "off the image":
        points[..., 0] += 99
    elif nothing == "no images":
        points = points[:0]
    elif nothing == "no rows":
        faces = faces[:0]
    elif nothing == "no rows an image":
        faces = faces[:0].expand(2, -1, -1)
    else:
        faces = faces - torch.tensor([0, 0, 3]).to(DEVICE)
    alpha, saved = soft.forward(points, faces, *SIZE, SIGMA, RADIUS)
    grad = soft.backward(saved, torch.ones_like(alpha))
    face_id, depth, barycentric = hard.rasterise(points, faces, *SIZE)
    assert alpha.shape == face_id.shape == depth.shape == barycentric.shape[:3] == (len(points), *SIZE)
    assert grad.shape == (len(points), 3, 2)
    assert not alpha.any()
    assert not grad.any()
    assert (face_id == -1).all()
    assert torch.isinf(depth).all()
    assert not barycentric.any()


def test_nasty_faces():
    """Faces of the size of the image equal the twin's; the rest, up to 1e16 pixels long, give numbers all the same."""
    points = torch.as_tensor(nasty_points(150)).to(DEVICE)
    faces = torch.arange(450, dtype=torch.int32, device=DEVICE).reshape(-1, 3)
    corners = points[0, faces.long()]
    ordinary = (corners.abs().amax((-1, -2)) < 100) & (corners.abs().amin((-1, -2)) > 1e-6)
    assert not torch.isfinite(corners).all()
    h, w = 16, 16
    alpha, saved = soft.forward(points, faces[~ordinary], h, w, SIGMA, RADIUS)
    grad = soft.backward(saved, torch.ones_like(alpha))
    face_id, depth, barycentric = hard.rasterise(points, faces[~ordinary], h, w)
    assert torch.isfinite(alpha).all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert torch.isfinite(grad).all()
    assert torch.isfinite(depth[face_id >= 0]).all()
    assert torch.isfinite(barycentric).all()
    assert torch.allclose(barycentric[face_id >= 0].sum(-1), torch.ones(1).to(DEVICE), atol=1e-5)
    kept = faces[ordinary][:50]
    assert_soft_equals_twin(points, kept, h, w)
    assert (hard.rasterise(points, kept, h, w)[0] == find_faces_torch(points, kept, h, w)).float().mean() > 0.99


def test_faces_that_share_edges_leave_no_crack():
    points, faces = grid(24, 6)
    face_id, _, _ = hard.rasterise(points, faces, 24, 24)
    assert (face_id >= 0).all()


def test_of_faces_at_the_same_depth_the_first_is_seen(monkeypatch):
    points = torch.tensor([[[0.0, 0, 1], [40, 0, 2], [0, 40, 3], [0, 0, 9]]]).to(DEVICE)
    faces = torch.tensor([[3, 1, 2], [0, 1, 2], [0, 1, 2], [0, 1, 2], [3, 1, 2]]).to(DEVICE)
    for programs in (1, 64):
        monkeypatch.setattr(binning, "PROGRAMS", programs)
        face_id, _, _ = hard.rasterise(points, faces, 8, 8)
        assert (face_id == 1).all()


def test_lists_are_the_faces_whose_boxes_touch_the_tile(monkeypatch):
    monkeypatch.setattr(binning, "MAX_CHUNKS", 2)  # chunks of more faces than a program takes at once
    h, w, radius = 20, 150, 1.5
    rng = np.random.default_rng(0)
    centres = rng.uniform([-10, -10], [w + 10, h + 10], (2, 300, 1, 2))
    centres[:, 100:240] = rng.uniform(8, 16, (2, 140, 1, 2))  # so many within one tile
    corners = np.concatenate([centres + rng.uniform(-3, 3, (2, 300, 3, 2)), np.ones((2, 300, 3, 1))], -1)
    points = torch.as_tensor(corners.reshape(2, 900, 3)).float().to(DEVICE)
    faces = torch.arange(900, device=DEVICE).reshape(300, 3)
    bins = binning.bin_faces(points, faces, h, w, radius, 0.0)
    assert (bins.tiles, bins.chunks) == ((3, 19), 2)
    low, high = corners[..., :2].min(2) - radius, corners[..., :2].max(2) + radius
    starts, lists = bins.starts[:: bins.chunks].cpu(), bins.lists.cpu().numpy()
    for i in range(bins.count):
        image, row, column = np.unravel_index(i, (2, *bins.tiles))
        first = np.array([column, row]) * binning.TILE + 0.5
        last = np.minimum(first + binning.TILE - 1, [w - 0.5, h - 0.5])
        # Some centre of the tile's pixels lies in the box.
        touched = (np.ceil(np.maximum(low[image], first) - 0.5) <= np.minimum(high[image], last) - 0.5).all(-1)
        assert np.array_equal(lists[starts[i] : starts[i + 1]], np.nonzero(touched)[0])
    assert max(np.diff(starts)) > binning.FACES


def test_parts_change_nothing_but_rounding(monkeypatch):
    points, faces = grid(16, 4)
    results = []
    for programs in (1, 1000):
        monkeypatch.setattr(binning, "PROGRAMS", programs)
        alpha, saved = soft.forward(points, faces, 14, 16, SIGMA, RADIUS)
        results.append((alpha, soft.backward(saved, torch.ones_like(alpha)), *hard.rasterise(points, faces, 14, 16)))
    one, many = results
    assert saved.bins.parts == 16
    assert torch.allclose(one[0], many[0], atol=1e-6)
    assert relative(many[1], one[1]) <= 1e-5
    assert all(torch.equal(a, b) for a, b in zip(one[2:], many[2:], strict=True))


def test_the_same_numbers_in_every_run():
    points, faces = grid(16, 4)
    runs = []
    for _ in range(2):
        alpha, saved = soft.forward(points, faces, 16, 16, SIGMA, RADIUS)
        runs.append((alpha, soft.backward(saved, torch.ones_like(alpha)), *hard.rasterise(points, faces, 16, 16)))
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


def test_faces_that_can_not_be_are_refused():
    points = torch.ones(2, 3, 3).to(DEVICE)
    faces = torch.tensor([[0, 1, 2]]).to(DEVICE)
    with pytest.raises(ValueError, match=r"outside 0\.\.2"):
        hard.rasterise(points, faces + 1, 8, 8)
    with pytest.raises(ValueError, match="3 sets of faces for 2 images"):
        soft.forward(points, faces.expand(3, 1, 3), 8, 8, SIGMA, RADIUS)
    with pytest.raises(ValueError, match="are needed"):
        hard.rasterise(points[..., :2], faces, 8, 8)


def arguments(**names_by_type: str) -> dict[str, str]:
    """Signature from `float32s="corners weight", ...`: which arguments are pointers to what, which are numbers."""
    types = {"float32s": "*fp32", "int32s": "*i32", "int64s": "*i64", "number": "i32", "real": "fp32"}
    return {name: types[kind] for kind, names in names_by_type.items() for name in names.split()}


def kernel(name: str, launch: dict, **names_by_type: str) -> Kernel:
    """A kernel as it is launched: `launch` holds its constants and Triton's options."""
    constants = {name: value for name, value in launch.items() if name.isupper()}
    return Kernel(
        name, arguments(**names_by_type), constants, launch["num_warps"], launch["enable_fp_fusion"]
    )  # fmt: skip


STRIPS = "face_count chunk_size chunks tile_rows tile_columns strips_across"
TILES = "total_pixels face_count chunks h w tile_rows tile_columns parts"
KERNELS = {
    binning: [
        kernel(
            "describe_faces",
            binning.DESCRIBE,
            float32s="points corners",
            int32s="faces boxes",
            number="face_count mesh_stride vertex_count h w",
            real="radius min_area",
        ),
        kernel("count_faces", binning.STRIP, int32s="boxes counts", number=STRIPS),
        kernel("list_faces", binning.STRIP, int32s="boxes lists", int64s="starts", number=STRIPS),
    ],
    soft: [
        kernel(
            "multiply_faces",
            soft.MULTIPLY,
            float32s="corners products",
            int32s="lists",
            int64s="starts",
            number=TILES,
            real="per_sigma radius2",
        ),
        kernel(
            "gather_faces",
            soft.GATHER,
            float32s="corners weight grad_corners",
            int32s="boxes",
            number="images face_count h w parts",
            real="per_sigma radius2",
        ),
        kernel(
            "gather_vertices",
            soft.SUM,
            float32s="grad_corners grad_xy",
            int64s="order starts",
            number="vertex_count corner_count order_stride starts_stride",
        ),
    ],
    hard: [
        kernel(
            "find_faces",
            hard.FIND,
            float32s="corners nearness",
            int32s="lists face_id",
            int64s="starts",
            number=TILES,
        ),
        kernel(
            "locate",
            hard.LOCATE,
            float32s="corners nearness depth barycentric",
            int32s="found face_id",
            number="total_pixels pixels face_count w parts",
        ),
    ],
}


def all_ones(kernel: Kernel) -> Kernel:
    """The kernel that is launched when every number is 1, which Triton then takes for a compile-time constant."""
    numbers = {name: 1 for name, kind in kernel.signature.items() if kind == "i32"}
    signature = {name: kind for name, kind in kernel.signature.items() if name not in numbers}
    return Kernel(
        kernel.name, signature, {**kernel.constants, **numbers}, kernel.num_warps, kernel.enable_fp_fusion
    )  # fmt: skip


@pytest.mark.parametrize("module", KERNELS, ids=lambda module: module.__name__.rsplit(".", 1)[-1])
def test_compiles_for_cuda(module):
    kernels = KERNELS[module]
    compiled = compile_for_cuda(module.__name__, [*kernels, *map(all_ones, kernels)])
    assert len(compiled) == 2 * len(kernels) * len(CAPABILITIES)
    for kernel in compiled:
        assert kernel.local_bytes == 0, kernel  # no registers spilled
        assert kernel.registers <= 64 or kernel.name == "list_faces", kernel  # else fewer programs run side by side
