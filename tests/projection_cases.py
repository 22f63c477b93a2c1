"""Meshes, cameras and the checks that every silhouette operator passes, whatever its formula and whoever computes it."""

import multiprocessing
import warnings
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from monoform.projection.kernels import threads

SIZE = (24, 32)


def camera(h: int = SIZE[0], w: int = SIZE[1], focal: float = 30.0, dtype=torch.float64) -> torch.Tensor:
    return torch.tensor([[[focal, 0, w / 2], [0, focal, h / 2], [0, 0, 1]]], dtype=dtype)


def bumpy_sphere(level: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A closed, self-occluding mesh of about unit radius."""
    sphere = trimesh.creation.icosphere(level)
    v = np.asarray(sphere.vertices)
    bumps = 1 + 0.25 * np.sin(6 * v[:, :1] + 1) * np.cos(4 * v[:, 1:2]) + 0.15 * np.sin(7 * v[:, 2:])
    return v * bumps, np.asarray(sphere.faces)


def variants() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same surface closed, with a hole, inconsistently wound, as a soup, and with faces that are there twice."""
    v, f = bumpy_sphere()
    rng = np.random.default_rng(0)
    flipped = np.where(rng.random(len(f))[:, None] < 0.5, f, f[:, ::-1])
    soup = (v[flipped].reshape(-1, 3), np.arange(3 * len(f)).reshape(-1, 3))
    return {
        "closed": (v, f),
        "open": (v, f[90:]),
        "flipped": (v, flipped),
        "soup": soup,
        "doubled": (v, np.concatenate([f[50:], f[100:200, ::-1]])),
    }


def placed(v: np.ndarray, batch: int = 3, distance: float = 3.5) -> torch.Tensor:
    """The mesh turned `batch` ways in front of the camera, (batch, v, 3)."""
    turns = Rotation.random(batch, random_state=1).as_matrix()
    return torch.as_tensor(np.einsum("bij,vj->bvi", turns, v) + [0.1, -0.05, distance])


def triangle(*corners: tuple[float, float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([corners], dtype=torch.float64), torch.tensor([[0, 1, 2]])


def inside_triangle(corners: torch.Tensor, K: torch.Tensor, h: int, w: int, times: int) -> np.ndarray:
    """Which of times x times points a pixel lie in a triangle; (h, times, w, times) bool."""
    image = corners @ K[0].T
    a, b, c = (image[:, :2] / image[:, 2:]).numpy()
    y, x = np.meshgrid((np.arange(h * times) + 0.5) / times, (np.arange(w * times) + 0.5) / times, indexing="ij")
    sides = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
    inside = np.all([s > 0 for s in sides], 0) | np.all([s < 0 for s in sides], 0)
    return inside.reshape(h, times, w, times)


def nasty_points(faces: int, seed: int = 0) -> np.ndarray:
    """Corners (1, 3 * faces, 3) in pixels and depth: coincident, collinear, huge, tiny, NaN, infinite, at depth 0, behind."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-5, 40, (faces, 3, 3)).astype(np.float32)
    kind = rng.integers(0, 10, faces)
    points[kind == 0, 1] = points[kind == 0, 0]
    points[kind == 1, 2] = 2 * points[kind == 1, 1] - points[kind == 1, 0]
    points[kind == 2] *= np.float32(1e15)
    points[kind == 3] *= np.float32(1e-30)
    special = np.float32([np.nan, np.inf, -np.inf, 0, -1, 1e38, 1e-45, 16.5])
    odd = kind == 4
    points[odd, rng.integers(0, 3, odd.sum()), rng.integers(0, 3, odd.sum())] = rng.choice(special, odd.sum())
    points[kind == 5] = np.round(points[kind == 5])
    points[kind == 6, :, 1] = 7.5
    return points.reshape(1, -1, 3)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-12))


def value_and_gradient(draw, vertices, faces, K, weight, **options):
    leaf = vertices.clone().requires_grad_()
    image = draw(leaf, faces, K, weight.shape[-2:], **options)
    (image * weight).sum().backward()
    return image.detach(), leaf.grad


def filled_up(meshes: list[torch.Tensor]) -> torch.Tensor:
    """The faces (f, 3) of several meshes as one (b, f, 3), with rows of -1."""
    longest = max(map(len, meshes))
    return torch.stack([torch.nn.functional.pad(faces, (0, 0, 0, longest - len(faces)), value=-1) for faces in meshes])


BACKENDS = ("torch", "numba")
"""Triton's kernels have tests of their own: its interpreter is too slow for all of these."""


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def same_in_forked_child(run) -> bool:
    """Whether `run`, which gives an array from NumPy and the kernels alone, gives the same in a child forked after use."""
    threads.set_threads(2)
    expected = run()
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # newer Pythons warn of forking with threads: that is the test
        child = context.Process(target=lambda: answer.put(bool(np.array_equal(run(), expected))), daemon=True)
        child.start()
    child.join(20)
    threads.set_threads(0)
    if child.is_alive():
        child.kill()
        return False
    return child.exitcode == 0 and answer.get()


class SilhouetteContract:
    """What every silhouette does. A subclass sets `draw`, the operator; `blur_px`, how far it reaches over an outline; and
    `smooth`, options with which differences over a small step are its gradient."""

    blur_px = 0.0
    smooth: ClassVar[dict] = {}

    @pytest.fixture
    def compiled(self):
        return "numba"

    def render(self, vertices, faces, K, size_hw, *, backend, **options):
        """`draw` where the backend runs, back on the CPU."""
        device = "cuda" if backend == "triton" and torch.cuda.is_available() else "cpu"
        moved = (x.to(device) for x in (vertices, faces, K))
        return type(self).draw(*moved, size_hw, backend=backend, **options).cpu()

    def test_no_faces_is_empty(self, backend):
        vertices = torch.rand(2, 4, 3, dtype=torch.float64)
        image = self.render(vertices, torch.zeros(0, 3, dtype=torch.long), camera(), SIZE, backend=backend)
        assert image.shape == (2, *SIZE)
        assert not image.any()

    def test_full(self, backend):
        vertices, faces = triangle((-9, -9, 1), (19, -9, 1), (-9, 19, 1))
        assert torch.allclose(self.render(vertices, faces, camera(), SIZE, backend=backend), torch.ones(1).double())

    @pytest.mark.parametrize("wind", [[0, 1, 2], [2, 1, 0]])
    def test_single_triangle(self, backend, wind):
        vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
        image = self.render(vertices, faces[:, wind], camera(), SIZE, backend=backend)[0].numpy()
        share = inside_triangle(vertices[0], camera(), *SIZE, 16).mean((1, 3))
        assert np.abs(image - share).mean() < 0.002 + 0.06 * self.blur_px
        assert (image[share == 1] > 0.49).all()
        assert image[share == 0].max() < 0.01 + 0.5 * (self.blur_px > 0)

    def test_behind_the_camera(self, backend):
        vertices, faces = triangle((-0.3, -0.2, -1.0), (0.3, -0.1, -1.3), (0.0, 0.3, -0.9))
        image, grad = value_and_gradient(self.render, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend)
        assert not image.any()
        assert not grad.any()

    def test_off_screen(self, backend):
        for shift in ((9, 0), (-9, 0), (0, 9), (0, -9)):
            vertices, faces = triangle((-0.3, -0.2, 1.0), (0.3, -0.1, 1.3), (0.0, 0.3, 0.9))
            vertices = vertices + torch.tensor([*shift, 0.0])
            image, grad = value_and_gradient(
                self.render, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend
            )
            assert not image.any()
            assert not grad.any()

    def test_floor_that_runs_behind_the_camera(self, backend):
        corners = torch.tensor([[[-4.0, 1.0, -5.0], [4.0, 1.0, -5.0], [4.0, 1.0, 10.0], [-4.0, 1.0, 10.0]]]).double()
        faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
        image, grad = value_and_gradient(self.render, corners, faces, camera(), torch.rand(1, *SIZE), backend=backend)
        rays_y = (torch.arange(SIZE[0]) + 0.5 - SIZE[0] / 2) / 30
        rays_x = (torch.arange(SIZE[1]) + 0.5 - SIZE[1] / 2) / 30
        depth = torch.where(rays_y > 0, 1 / rays_y, torch.inf)
        hit = (depth < 10)[:, None] & ((rays_x * depth[:, None]).abs() < 4)
        assert ((image[0] > 0.5) != hit).float().mean() < 0.01
        assert torch.isfinite(grad).all()
        assert grad.any()

    @pytest.mark.parametrize("z", [0.0, 1e-30, -1e-30, 1e-6])
    def test_touching_the_camera_plane(self, backend, z):
        vertices, faces = triangle((-0.3, -0.2, z), (0.3, -0.1, 1.0), (0.0, 0.3, 0.9))
        image, grad = value_and_gradient(self.render, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend)
        assert torch.isfinite(image).all()
        assert torch.isfinite(grad).all()

    @pytest.mark.parametrize(
        "corners",
        [
            ((0.0, -0.2, 1.0), (0.0, 0.2, 1.0), (0.0, 0.0, 2.0)),
            ((0.1, 0.1, 1.0), (0.1, 0.1, 1.0), (0.0, 0.3, 0.9)),
            ((0.1, 0.1, 1.0), (0.1, 0.1, 1.0), (0.1, 0.1, 1.0)),
            ((0.1, 0.1, 1.0), (0.2, 0.2, 2.0), (0.0, 0.3, 0.9)),
            ((0.0, 0.0, 1.0), (float("nan"), 0.0, 1.0), (0.0, 0.3, 0.9)),
        ],
        ids=["edge-on", "two in one place", "all in one place", "two on one pixel", "nan"],
    )
    def test_degenerate(self, backend, corners):
        vertices, faces = triangle(*corners)
        image, grad = value_and_gradient(self.render, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend)
        assert torch.isfinite(image).all()
        assert torch.isfinite(grad).all()
        assert image.max() <= 1

    def test_principal_point_shifts_the_image(self, backend):
        v, f = bumpy_sphere()
        K = camera()
        moved = K.clone()
        moved[:, 0, 2] += 1
        vertices, faces = placed(v, 1), torch.as_tensor(f)
        image = self.render(vertices, faces, K, SIZE, backend=backend)
        shifted = self.render(vertices, faces, moved, SIZE, backend=backend)
        assert torch.allclose(image[..., 1:-2], shifted[..., 2:-1], atol=2e-5)

    @pytest.mark.parametrize("width", [31, 32])
    def test_pixel_centres_lie_at_the_half(self, backend, width):
        """What is its own mirror image about the optical axis stays so, in even and odd images."""
        v, f = bumpy_sphere(1)
        v = np.concatenate([v, v * [-1, 1, 1]]) + [0, 0.1, 3.5]
        f = np.concatenate([f, f[:, ::-1] + len(v) // 2])
        image = self.render(torch.tensor(v)[None], torch.tensor(f), camera(24, width), (24, width), backend=backend)
        assert image.max() > 0.9
        assert torch.allclose(image, image.flip(-1), atol=2e-5)

    def test_half_pixel_shift(self, backend):
        """The camera's half pixel and the mesh's are one."""
        vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
        K = camera()
        moved = K.clone()
        moved[:, 0, 2] += 0.5
        shift = torch.zeros_like(vertices)
        shift[..., 0] = 0.5 / K[0, 0, 0] * vertices[..., 2]
        by_camera = self.render(vertices, faces, moved, SIZE, backend=backend)
        by_mesh = self.render(vertices + shift, faces, K, SIZE, backend=backend)
        assert torch.allclose(by_camera, by_mesh, atol=2e-5)
        assert (by_camera - self.render(vertices, faces, K, SIZE, backend=backend)).abs().max() > 0.1

    def test_meshes_of_a_batch_may_differ(self, backend):
        v, f = bumpy_sphere(1)
        vertices = placed(v, 4)
        meshes = [torch.tensor(part.copy()) for part in (f, f[20:, ::-1], f[:0], f[::3])]
        K = torch.cat([camera(focal=focal) for focal in (20.0, 30.0, 40.0, 50.0)])
        vertices[3, :, 2] -= 3.2  # reaches behind the camera
        weight = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        image, grad = value_and_gradient(self.render, vertices, filled_up(meshes), K, weight, backend=backend)
        for i, faces in enumerate(meshes):
            one = slice(i, i + 1)
            job = (vertices[one], faces, K[one], weight[one])
            alone, alone_grad = value_and_gradient(self.render, *job, backend=backend)
            assert torch.allclose(image[one], alone, atol=1e-5)
            assert relative(grad[one], alone_grad) <= 1e-4 or not alone_grad.any()
        one_place = self.render(vertices[:1], filled_up(meshes[:2]), K[:1], SIZE, backend=backend)
        assert torch.allclose(
            one_place[:1], self.render(vertices[:1], meshes[0], K[:1], SIZE, backend=backend), atol=1e-5
        )
        assert not torch.equal(one_place[0], one_place[1])

    def test_rows_of_no_face_may_stand_anywhere(self, backend):
        v, f = bumpy_sphere(1)
        vertices, faces = placed(v, 2), torch.tensor(f)
        vertices[1, :, 2] -= 3.2  # reaches behind the camera
        holes = torch.full((2, len(f) + 2, 3), -1)
        holes[0, 2:], holes[1, 1:-1] = faces, faces
        expected = self.render(vertices, faces, camera(), SIZE, backend=backend)
        assert torch.allclose(self.render(vertices, holes, camera(), SIZE, backend=backend), expected, atol=1e-5)
        single = self.render(vertices, holes[:1], camera(), SIZE, backend=backend)
        assert torch.allclose(single, expected, atol=1e-5)

    def test_no_images(self, backend):
        v, f = bumpy_sphere(0)
        for faces in (torch.tensor(f), torch.tensor(f)[None][:0]):
            assert self.render(placed(v)[:0], faces, camera(), SIZE, backend=backend).shape == (0, *SIZE)

    def test_a_change_of_the_image_leaves_the_gradient_alone(self, backend):
        v, f = bumpy_sphere(1)
        faces, weight = torch.tensor(f), torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(0))
        grads = []
        for change in (lambda image: image - 1, lambda image: image.sub_(1)):
            leaf = placed(v, 1).float().requires_grad_()
            (change(self.render(leaf, faces, camera().float(), SIZE, backend=backend)) * weight).sum().backward()
            grads.append(leaf.grad)
        assert torch.equal(*grads)

    def test_in_inference_mode(self, backend):
        v, f = bumpy_sphere(0)
        expected = self.render(placed(v), torch.tensor(f), camera(), SIZE, backend=backend)
        with torch.inference_mode():
            image = self.render(placed(v), torch.tensor(f), camera(), SIZE, backend=backend)
        assert torch.equal(image, expected)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision(self, backend, dtype):
        v, f = bumpy_sphere(0)
        weight = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0)).to(dtype)
        job = (placed(v).to(dtype), torch.tensor(f), camera().to(dtype), weight)
        image, grad = value_and_gradient(self.render, *job, backend=backend)
        assert image.dtype == grad.dtype == dtype
        assert (image.sum((1, 2)) > 50).all()
        assert torch.isfinite(grad).all()

    def test_second_derivatives_are_refused(self, compiled):
        v, f = bumpy_sphere(0)
        leaf = placed(v, 1).requires_grad_()
        image = self.render(leaf, torch.tensor(f), camera(), SIZE, backend=compiled)
        (grad,) = torch.autograd.grad((image**2).sum(), leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            (grad**2).sum().backward()

    def test_gradcheck(self):
        v, f = (np.asarray(x) for x in (trimesh.creation.icosphere(0).vertices, trimesh.creation.icosphere(0).faces))
        vertices = placed(v, 1).requires_grad_()
        K = camera(7, 8, 9.0).requires_grad_()

        def run(vertices, K):
            return self.render(vertices, torch.tensor(f[:9]), K, (7, 8), backend="torch", **self.smooth)

        assert torch.autograd.gradcheck(run, (vertices, K), eps=1e-7, atol=1e-5)

    def test_finite_differences(self, compiled):
        """Along a few ways of moving all vertices at once, kernels in single precision included."""
        v, f = bumpy_sphere(1)
        vertices, faces = placed(v, 2), torch.tensor(f)
        rng = torch.Generator().manual_seed(0)
        weight = torch.rand(2, *SIZE, generator=rng, dtype=torch.float64)
        run = partial(self.render, backend=compiled, **self.smooth)
        _, grad = value_and_gradient(run, vertices, faces, camera(), weight)
        for direction in (
            vertices - vertices.mean(1, keepdim=True),
            torch.tensor([0.0, 0, 1]),
            torch.tensor([1.0, -1, 0]),
        ):
            direction = direction.expand_as(vertices).double()
            found = (grad * direction).sum((1, 2))
            step = 2e-3 * direction
            ahead, back = (run(vertices + sign * step, faces, camera(), SIZE) for sign in (1, -1))
            change = ((ahead - back) * weight).sum((1, 2)) / 4e-3
            assert torch.allclose(found, change, rtol=0.03, atol=0.02 * float(grad.abs().sum()) * 1e-2)

    def test_batches_broadcast(self, backend):
        v, f = bumpy_sphere(1)
        vertices, faces = placed(v), torch.as_tensor(f)
        K = torch.cat([camera(focal=focal) for focal in (20.0, 30.0, 50.0)])
        many = self.render(vertices, faces, K, SIZE, backend=backend)
        single = [self.render(vertices[i : i + 1], faces, K[i : i + 1], SIZE, backend=backend) for i in range(3)]
        assert torch.allclose(many, torch.cat(single), atol=1e-5)
        one_mesh = self.render(vertices[:1], faces, K, SIZE, backend=backend)
        one_camera = self.render(vertices, faces, K[:1], SIZE, backend=backend)
        assert torch.allclose(one_mesh[:1], one_camera[:1], atol=1e-5)
        assert len(one_mesh) == len(one_camera) == 3

    def test_one_clipped_image_leaves_the_others_alone(self, backend):
        v, f = bumpy_sphere(1)
        vertices, faces = placed(v), torch.as_tensor(f)
        expected = self.render(vertices, faces, camera(), SIZE, backend=backend)
        vertices[1, :, 2] -= 3.5
        image = self.render(vertices, faces, camera(), SIZE, backend=backend)
        assert torch.allclose(image[[0, 2]], expected[[0, 2]], atol=1e-5)
        assert torch.isfinite(image).all()

    @pytest.mark.parametrize("name", variants())
    def test_kernel_equals_twin(self, compiled, name):
        v, f = variants()[name]
        vertices, faces = placed(v), torch.as_tensor(f)
        weight = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        image, grad = value_and_gradient(self.render, vertices, faces, camera(), weight, backend=compiled)
        twin, twin_grad = value_and_gradient(self.render, vertices, faces, camera(), weight, backend="torch")
        assert (image - twin).abs().max() <= 1e-4
        # Of edges that lie on each other either may be the outermost: vertices at one place count together.
        _, place = np.unique(np.round(v, 9), axis=0, return_inverse=True)
        total, twin_total = (
            torch.zeros_like(vertices).index_add(1, torch.as_tensor(place.reshape(-1)), g) for g in (grad, twin_grad)
        )
        assert relative(total, twin_total) <= 1e-3

    def test_threads_do_not_change_a_bit(self):
        v, f = variants()["open"]
        vertices, faces = placed(v, 5), torch.as_tensor(f)
        weight = torch.rand(5, *SIZE, dtype=torch.float64)
        for batch in (5, 1):
            results = []
            for count in (1, 2, 3):
                threads.set_threads(count)
                results.append(
                    value_and_gradient(self.render, vertices[:batch], faces, camera(), weight[:batch], backend="numba")
                )
            threads.set_threads(0)
            assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))
