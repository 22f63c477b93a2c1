"""Edge products: the contract of silhouettes, hand-computed values, and the weaknesses the formula is known for."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from monoform.projection.edge_product import edge_product, edge_product_torch
from monoform.projection.hard_raster import hard_raster
from monoform.projection.kernels import edge_product as kernel
from projection_cases import (
    SIZE,
    SilhouetteContract,
    backend,  # noqa: F401 (a fixture)
    bumpy_sphere,
    camera,
    inside_triangle,
    nasty_points,
    placed,
    relative,
    same_in_forked_child,
    triangle,
    value_and_gradient,
)

PIXELS = torch.eye(3, dtype=torch.float64)[None]
"""A camera that sees (x, y, 1) at pixel (x, y)."""
ONE_PEAK = 1 - math.exp(-2 * math.tanh(1))
"""The silhouette where one triangle is at its largest and no other is."""


def alpha_of(shares) -> torch.Tensor:
    """The silhouette where one triangle's products are these shares of its largest."""
    return 1 - torch.exp(-2 * torch.tanh(torch.as_tensor(shares, dtype=torch.float64)))


class TestContract(SilhouetteContract):
    draw = staticmethod(edge_product)

    def test_full(self, backend):  # noqa: F811
        """The others are 1 all over. Here a triangle over the whole image is stretched: 0 at its least, tanh 1 at its peak."""
        vertices, faces = triangle((-9, -9, 1), (19, -9, 1), (-9, 19, 1))
        image = self.render(vertices, faces, camera(), SIZE, backend=backend)
        assert image.min().item() == pytest.approx(0, abs=1e-6)
        assert image.max().item() == pytest.approx(ONE_PEAK, abs=1e-6)

    @pytest.mark.parametrize("wind", [[0, 1, 2], [2, 1, 0]])
    def test_single_triangle(self, backend, wind):  # noqa: F811
        """The others are 1 inside. Here the edges are dark: above 0 at just the centres inside, at one of them the peak."""
        vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
        image = self.render(vertices, faces[:, wind], camera(), SIZE, backend=backend)[0].numpy()
        centre_inside = inside_triangle(vertices[0], camera(), *SIZE, 1)[:, 0, :, 0]
        assert np.array_equal(image > 0, centre_inside)
        assert image.max() == pytest.approx(ONE_PEAK, abs=1e-6)

    def test_floor_that_runs_behind_the_camera(self, backend):  # noqa: F811
        """The others fill the floor. Here it darkens towards the edges: nothing beside it, and no seam along the cut."""
        corners = torch.tensor([[[-4.0, 1.0, -5.0], [4.0, 1.0, -5.0], [4.0, 1.0, 10.0], [-4.0, 1.0, 10.0]]]).double()
        faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
        image, grad = value_and_gradient(self.render, corners, faces, camera(), torch.rand(1, *SIZE), backend=backend)
        seen = hard_raster(corners, faces, camera(), SIZE, backend=backend).face_id >= 0
        assert ((image > 0) != seen).float().mean() < 0.01
        assert image.max() > ONE_PEAK - 1e-6
        assert torch.isfinite(grad).all()
        assert grad.any()

    def test_finite_differences(self, compiled):
        """The others' step of 2e-3 crosses too many centres here: each bends the slope. So larger faces and a shorter step."""
        v, f = bumpy_sphere(0)
        vertices, faces, K = placed(v, 2), torch.tensor(f), camera(focal=60.0)
        weight = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        run = partial(self.render, backend=compiled)
        _, grad = value_and_gradient(run, vertices, faces, K, weight)
        for direction in (
            vertices - vertices.mean(1, keepdim=True),
            torch.tensor([0.0, 0, 1]),
            torch.tensor([1.0, -1, 0]),
        ):
            direction = direction.expand_as(vertices).double()
            found = (grad * direction).sum((1, 2))
            ahead, back = (run(vertices + sign * 2e-4 * direction, faces, K, SIZE) for sign in (1, -1))
            change = ((ahead - back) * weight).sum((1, 2)) / 4e-4
            assert torch.allclose(found, change, rtol=0.03, atol=0.02 * float(grad.abs().sum()) * 1e-2)


def test_gradcheck_where_triangles_cover_the_image():
    """Then the least product counts as well."""
    points = torch.tensor([[[-9.3, -7, 1], [19, -11, 1], [-5, 29, 1], [40, 35, 1]]]).double().requires_grad_()
    faces = torch.tensor([[0, 1, 2], [3, 0, 1]])
    run = lambda points: edge_product_torch(points, faces, 5, 6)  # noqa: E731
    assert torch.autograd.gradcheck(run, (points,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("zoom", [1.0, 9.0], ids=["inside the image", "beyond the image"])
def test_kernel_gradient_is_the_slope(zoom):
    """Against central differences of the float64 twin; no edge runs through a centre, where the slope breaks."""
    points = np.array([[[4.4, 3.1, 1], [25.2, 6.4, 1], [11.7, 21.3, 1], [29.4, 20.2, 1]]], np.float32)
    points[..., :2] = (points[..., :2] - [16, 12]) * zoom + [16, 12]
    faces, rng = np.array([[0, 1, 2], [2, 1, 3]]), np.random.default_rng(0)
    weight = rng.random((1, *SIZE))
    grad = kernel.backward(kernel.forward(points, faces, *SIZE)[1], weight)
    twin = lambda p: float((edge_product_torch(p, torch.as_tensor(faces), *SIZE).numpy() * weight).sum())  # noqa: E731
    for _ in range(5):
        step = np.concatenate([rng.normal(size=(1, 4, 2)), np.zeros((1, 4, 1))], -1)
        ahead, behind = (twin(torch.as_tensor(points + side * step)) for side in (1e-6, -1e-6))
        assert (grad * step[..., :2]).sum() == pytest.approx((ahead - behind) / 2e-6, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("wind", [[0, 1, 2], [1, 2, 0], [2, 1, 0]])
def test_by_hand(backend, wind):  # noqa: F811
    """Legs of 4 pixels from (1, 1): at the centres the barycentrics are (8 - x - y, x, y) / 8 with odd x and y."""
    points = torch.tensor([[[1.0, 1, 1], [5, 1, 1], [1, 5, 1]]]).double()
    image = edge_product(points, torch.tensor([wind]), PIXELS, (7, 6), backend=backend)[0]
    products = torch.zeros(7, 6, dtype=torch.float64)
    products[1:4, 1:4] = torch.tensor([[6.0, 12, 10], [12, 18, 0], [10, 0, 0]])
    assert torch.allclose(image, alpha_of(products / 18), atol=1e-6)
    assert (image[products == 0] == 0).all()  # centres on the long edge as well


def test_tied_pixels_share_the_gradient_of_the_peak(backend):  # noqa: F811
    """Mirror images of each other: (7, 3, 6) / 16 and (3, 7, 6) / 16 are the barycentrics of both highest centres.

    Moving corner j by d moves barycentric i by -b_j grad b_i d; the product's gradient is (3, -1.125) / 128 at the first.
    """
    points = torch.tensor([[[1.0, 1, 1], [5, 1, 1], [3, 5, 1]]]).double()
    weight = torch.zeros(1, 6, 6, dtype=torch.float64)
    weight[0, 2, 2] = 1
    image, grad = value_and_gradient(
        edge_product, points, torch.tensor([[0, 1, 2]]), PIXELS, weight, backend=backend
    )  # fmt: skip
    assert image[0, 2, 2].item() == pytest.approx(ONE_PEAK, abs=1e-6)
    assert image[0, 2, 3].item() == pytest.approx(ONE_PEAK, abs=1e-6)
    left, right = torch.tensor([7.0, 3, 6]) / 16, torch.tensor([3.0, 7, 6]) / 16
    moves = -(torch.outer(left, torch.tensor([3, -1.125])) - torch.outer(right, torch.tensor([-3, -1.125]))) / 128 / 2
    by_product = 2 * (1 - ONE_PEAK) * (1 - math.tanh(1) ** 2) / (7 * 3 * 6 / 16**3)
    assert torch.allclose(grad[0, :, :2], (by_product * moves).double(), rtol=1e-5, atol=1e-7)


def test_a_triangle_on_no_centre_adds_nothing_and_on_one_a_constant(backend):  # noqa: F811
    small = torch.tensor([[[2.6, 2.6, 1], [3.4, 2.6, 1], [3.0, 3.4, 1]]]).double()
    weight = torch.rand(1, 6, 6, dtype=torch.float64)
    faces = torch.tensor([[0, 1, 2]])
    image, grad = value_and_gradient(edge_product, small, faces, PIXELS, weight, backend=backend)
    assert not image.any()
    assert not grad.any()
    for shift in (0.45, 0.52):
        moved = small + torch.tensor([shift, shift, 0])
        image, grad = value_and_gradient(edge_product, moved, faces, PIXELS, weight, backend=backend)
        assert image.nonzero().tolist() == [[0, 3, 3]]
        assert image.max().item() == pytest.approx(ONE_PEAK, abs=1e-6)
        assert grad.abs().max() < 1e-12


def test_pixels_outside_have_no_gradient(backend):  # noqa: F811
    vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
    outside = ~torch.as_tensor(inside_triangle(vertices[0], camera(), *SIZE, 1)[:, 0, :, 0])
    _, grad = value_and_gradient(edge_product, vertices, faces, camera(), outside[None].double(), backend=backend)
    assert not grad.any()


@pytest.mark.parametrize("side", [1e-6, 1e-2, 1e3, 1e4, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiny_and_huge_triangles(backend, side, dtype):  # noqa: F811
    """As printed a triangle of 2000 pixels overflows float32. About the centre of a pixel, which all of these cover."""
    points = torch.tensor([[[-1.0, -0.6, 0], [0.9, -0.8, 0], [0.2, 1.1, 0]]], dtype=dtype) * side
    points = points + torch.tensor([16.5, 12.5, 1], dtype=dtype)
    distance = torch.tensor(
        [1, 1, 10 * max(side, 100)], dtype=dtype
    )  # beyond the near plane, which grows with the mesh
    K = torch.diag(distance[[2, 2, 0]])[None]
    points = points * distance
    weight = torch.rand(1, *SIZE, generator=torch.Generator().manual_seed(0), dtype=dtype)
    image, grad = value_and_gradient(
        edge_product, points, torch.tensor([[0, 1, 2]]), K, weight, backend=backend
    )  # fmt: skip
    assert torch.isfinite(image).all()
    assert torch.isfinite(grad).all()
    if 1e-6 < side < 1e8:  # there the corners fall on the centre, here float32 sees no slope
        assert image.max().item() == pytest.approx(ONE_PEAK, abs=1e-5)
    if 1 < side < 1e8:
        exact, slope = value_and_gradient(
            edge_product, points.double(), torch.tensor([[0, 1, 2]]), K.double(), weight.double(), backend="torch"
        )  # fmt: skip
        assert (image - exact).abs().max() < 1e-3
        assert relative(grad.double(), slope) < 1e-2


def test_seams_darken_small_triangles():
    """The sum over the triangles, not yet an image in [0, 1], is below a half in one pixel of six inside."""
    v, f = bumpy_sphere(3)
    vertices, faces, K = placed(v, 4), torch.as_tensor(f), camera(128, 128, 150.0)
    total = -torch.log1p(-edge_product(vertices, faces, K, (128, 128), backend="numba")) / 2
    inside = hard_raster(vertices, faces, K, (128, 128)).face_id >= 0
    assert 0.1 < (total[inside] < 0.5).double().mean() < 0.25
    assert total.max() > 1.3


def test_widest_triangles(backend):  # noqa: F811
    """Of each image its own, as if the mesh had no others; not by area in space: the second triangle is near."""
    corners = torch.tensor([[[-9.0, -9, 50], [9, -9, 50], [0, 9, 50], [-0.2, -0.2, 1], [0.2, -0.1, 1], [0, 0.2, 1]]])
    vertices, faces = corners.double().expand(2, -1, -1).clone(), torch.tensor([[0, 1, 2], [3, 4, 5], [0, 1, 2]])
    vertices[1, :3, 2] = 20
    weight = torch.rand(2, *SIZE, dtype=torch.float64)
    image, grad = value_and_gradient(
        edge_product, vertices, faces, camera(), weight, backend=backend, max_triangles=1
    )  # fmt: skip
    for i, mesh in enumerate((faces[1:2], faces[:1])):
        one = slice(i, i + 1)
        alone = value_and_gradient(edge_product, vertices[one], mesh, camera(), weight[one], backend=backend)
        assert alone[0].any()
        assert torch.allclose(image[one], alone[0], atol=1e-6)
        assert torch.allclose(grad[one], alone[1], atol=1e-6)
    everything = edge_product(vertices, faces, camera(), SIZE, backend=backend)
    assert torch.equal(edge_product(vertices, faces, camera(), SIZE, backend=backend, max_triangles=3), everything)
    with pytest.raises(ValueError, match="at least 1"):
        edge_product(vertices, faces, camera(), SIZE, max_triangles=0)


def test_float32_in_float32_out(backend):  # noqa: F811
    v, f = bumpy_sphere(1)
    vertices, faces = placed(v).float(), torch.as_tensor(f)
    weight = torch.rand(3, *SIZE)
    image, grad = value_and_gradient(edge_product, vertices, faces, camera().float(), weight, backend=backend)
    exact, slope = value_and_gradient(
        edge_product, vertices.double(), faces, camera(), weight.double(), backend="torch"
    )
    assert image.dtype == grad.dtype == torch.float32
    assert (image - exact).abs().max() < 1e-4
    assert relative(grad.double(), slope) < 1e-3


def test_a_change_of_the_image_leaves_the_gradient_alone():
    v, f = bumpy_sphere(1)
    weight = np.ones((1, *SIZE))
    points = placed(v, 1).numpy()
    points[..., :2] = points[..., :2] / points[..., 2:] * 30 + [16, 12]
    alpha, saved = kernel.forward(points, f, *SIZE)
    expected = kernel.backward(saved, weight)
    alpha[:] = 0.5
    assert np.array_equal(kernel.backward(saved, weight), expected)


def test_works_in_a_forked_child():
    points = nasty_points(300)
    faces = np.arange(points.shape[1]).reshape(-1, 3)
    assert same_in_forked_child(lambda: kernel.forward(points, faces, 32, 32)[0])


def test_fuzz():
    """Twenty triangles an image: of more the image is full and nothing else is seen."""
    points, faces = nasty_points(100_000).reshape(-1, 60, 3), np.arange(60).reshape(-1, 3)
    alpha, saved = kernel.forward(points, faces, 16, 16)
    assert np.isfinite(alpha).all()
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert alpha.mean() < 0.9
    grad = kernel.backward(saved, np.ones_like(alpha))
    assert np.isfinite(grad).all()
    assert grad.any()
    few = torch.as_tensor(points[:200]).requires_grad_()
    image = edge_product_torch(few, torch.as_tensor(faces), 16, 16)
    image.sum().backward()
    assert torch.isfinite(image).all()
    assert torch.isfinite(few.grad).all()
    assert (np.abs(image.detach().numpy() - alpha[:200]) > 1e-3).mean() < 1e-3


def test_another_backend_is_refused():
    vertices, faces = triangle((-0.31, -0.2, 1.0), (0.27, -0.11, 1.3), (0.02, 0.3, 0.9))
    with pytest.raises(ValueError, match="no backend 'triton'"):
        edge_product(vertices, faces, camera(), SIZE, backend="triton")
