"""Meshes, cameras and the checks that every silhouette operator passes, whatever its formula and whoever computes it."""

import multiprocessing
import warnings

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from monoform.projection import kernels
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


@pytest.fixture(params=kernels.available())
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
    """What every silhouette does. A subclass sets `draw`, the operator, and `blur_px`, how far it reaches over an outline."""

    blur_px = 0.0

    def test_no_faces_is_empty(self, backend):
        vertices = torch.rand(2, 4, 3, dtype=torch.float64)
        image = self.draw(vertices, torch.zeros(0, 3, dtype=torch.long), camera(), SIZE, backend=backend)
        assert image.shape == (2, *SIZE)
        assert not image.any()

    def test_full(self, backend):
        vertices, faces = triangle((-9, -9, 1), (19, -9, 1), (-9, 19, 1))
        assert torch.allclose(self.draw(vertices, faces, camera(), SIZE, backend=backend), torch.ones(1).double())

    @pytest.mark.parametrize("wind", [[0, 1, 2], [2, 1, 0]])
    def test_single_triangle(self, backend, wind):
        vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
        image = self.draw(vertices, faces[:, wind], camera(), SIZE, backend=backend)[0].numpy()
        share = inside_triangle(vertices[0], camera(), *SIZE, 16).mean((1, 3))
        assert np.abs(image - share).mean() < 0.002 + 0.06 * self.blur_px
        assert (image[share == 1] > 0.49).all()
        assert image[share == 0].max() < 0.01 + 0.5 * (self.blur_px > 0)

    def test_behind_the_camera(self, backend):
        vertices, faces = triangle((-0.3, -0.2, -1.0), (0.3, -0.1, -1.3), (0.0, 0.3, -0.9))
        image, grad = value_and_gradient(self.draw, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend)
        assert not image.any()
        assert not grad.any()

    def test_off_screen(self, backend):
        for shift in ((9, 0), (-9, 0), (0, 9), (0, -9)):
            vertices, faces = triangle((-0.3, -0.2, 1.0), (0.3, -0.1, 1.3), (0.0, 0.3, 0.9))
            vertices = vertices + torch.tensor([*shift, 0.0])
            image, grad = value_and_gradient(
                self.draw, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend
            )
            assert not image.any()
            assert not grad.any()

    def test_floor_that_runs_behind_the_camera(self, backend):
        corners = torch.tensor([[[-4.0, 1.0, -5.0], [4.0, 1.0, -5.0], [4.0, 1.0, 10.0], [-4.0, 1.0, 10.0]]]).double()
        faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
        image, grad = value_and_gradient(self.draw, corners, faces, camera(), torch.rand(1, *SIZE), backend=backend)
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
        image, grad = value_and_gradient(self.draw, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend)
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
        image, grad = value_and_gradient(self.draw, vertices, faces, camera(), torch.rand(1, *SIZE), backend=backend)
        assert torch.isfinite(image).all()
        assert torch.isfinite(grad).all()
        assert image.max() <= 1

    def test_principal_point_shifts_the_image(self, backend):
        v, f = bumpy_sphere()
        K = camera()
        moved = K.clone()
        moved[:, 0, 2] += 1
        vertices, faces = placed(v, 1), torch.as_tensor(f)
        image = self.draw(vertices, faces, K, SIZE, backend=backend)
        shifted = self.draw(vertices, faces, moved, SIZE, backend=backend)
        assert torch.allclose(image[..., 1:-2], shifted[..., 2:-1], atol=2e-5)

    def test_batches_broadcast(self, backend):
        v, f = bumpy_sphere(1)
        vertices, faces = placed(v), torch.as_tensor(f)
        K = torch.cat([camera(focal=focal) for focal in (20.0, 30.0, 50.0)])
        many = self.draw(vertices, faces, K, SIZE, backend=backend)
        single = [self.draw(vertices[i : i + 1], faces, K[i : i + 1], SIZE, backend=backend) for i in range(3)]
        assert torch.allclose(many, torch.cat(single), atol=1e-5)
        one_mesh = self.draw(vertices[:1], faces, K, SIZE, backend=backend)
        one_camera = self.draw(vertices, faces, K[:1], SIZE, backend=backend)
        assert torch.allclose(one_mesh[:1], one_camera[:1], atol=1e-5)
        assert len(one_mesh) == len(one_camera) == 3

    def test_one_clipped_image_leaves_the_others_alone(self, backend):
        v, f = bumpy_sphere(1)
        vertices, faces = placed(v), torch.as_tensor(f)
        expected = self.draw(vertices, faces, camera(), SIZE, backend=backend)
        vertices[1, :, 2] -= 3.5
        image = self.draw(vertices, faces, camera(), SIZE, backend=backend)
        assert torch.allclose(image[[0, 2]], expected[[0, 2]], atol=1e-5)
        assert torch.isfinite(image).all()

    @pytest.mark.parametrize("name", variants())
    def test_kernel_equals_twin(self, name):
        v, f = variants()[name]
        vertices, faces = placed(v), torch.as_tensor(f)
        weight = torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        image, grad = value_and_gradient(self.draw, vertices, faces, camera(), weight, backend="numba")
        twin, twin_grad = value_and_gradient(self.draw, vertices, faces, camera(), weight, backend="torch")
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
                    value_and_gradient(self.draw, vertices[:batch], faces, camera(), weight[:batch], backend="numba")
                )
            threads.set_threads(0)
            assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))
