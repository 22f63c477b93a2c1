"""Silhouettes from products of edge functions (Palazzi 2018, Eq. 5), as the paper has them, weaknesses included.

At pixel p the triangle v0 v1 v2 is worth g = prod_k max(t_k, 0), above 0 inside only, stretched over the image to
tanh((g - min g) / (max g - min g)); the silhouette is the sum over the triangles.
Paper: t = |v_j - v_k; v_j - p| |v_1 - v_0; v_2 - v_1| for (v_j, v_k) in (v1, v0), (v2, v1), (v0, v2), the bars being 2x2
determinants of stacked rows, not absolute values. Here: the opposite sign, because as printed t is below 0 inside whichever
way the triangle is wound: nothing would be drawn.
Paper: t in pixels to the fourth power. Here: t over the square of the second determinant, twice the area, because g would
else be pixels to the twelfth and leave float32 from 2000 pixels on. The t are then the barycentric coordinates of p and g at
most 1/27; the division by max g - min g takes the factor out again.
Paper: max g - min g as the divisor, to which its code adds 1e-8 pixels^12. Here: nothing added, because that only dims
triangles below a quarter of a square pixel; a triangle whose max g is its min g adds 0.
Paper: the sum is the image. Here: 1 - exp(-2 sum), because one layer peaks at tanh 1 = 0.76 and a closed mesh, front and
back, exceeds 1. Cut off at 1, the sum would lose the gradient of all that lies above; without the 2, one layer would hardly
reach 1/2.

What follows from the formula: dark seams, as g is 0 on every edge; no gradient from a pixel outside a triangle; a triangle on
no pixel's centre adds nothing, on exactly one the constant tanh 1, without a gradient; one on all centres is 0 at its least.
So triangles must be many pixels large for a gradient that leads anywhere: `soft_raster` and `coverage` do not ask for that.
The PyTorch is the specification of `kernels.edge_product`.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from monoform.projection import kernels
from monoform.projection.clipping import Faces, cross, draw_clipped, drawable, find_corners
from monoform.projection.kernels.edge_product import MIN_AREA, MIN_PRODUCT, OPACITY, backward, forward

FACES_AT_ONCE = 256


def edge_product(
    vertices_camera: Float[Tensor, "#b v 3"],
    faces: Faces,
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    *,
    max_triangles: int | None = None,
    backend: str | None = None,
) -> Float[Tensor, "b h w"]:
    """Sum of normalised edge products, [0, 1], differentiable with respect to vertices and K (Palazzi 2018, Eq. 5).

    vertices_camera: OpenCV camera frame (+x right, +y down, +z forward), any unit; a batch of 1 meets many K and vice versa.
    max_triangles: draw only so many of each image, those of the largest area on the screen, as the paper's code does; the
    small ones' gradients are noise, but their places stay empty. None: all. Faces, either winding, are clipped at the near
    plane `clipping.NEAR`. backend: None picks by device. Raises ValueError for max_triangles below 1.
    """
    if max_triangles is not None and max_triangles < 1:
        raise ValueError(f"max_triangles must be at least 1, or None for all, not {max_triangles}")
    h, w = size_hw
    chosen = kernels.choose(backend, vertices_camera.device.type, ("torch", "numba"))
    run = EdgeProduct.apply if chosen == "numba" else edge_product_torch

    def draw(points: Tensor, kept: Tensor) -> Tensor:
        return run(points, kept if max_triangles is None else find_widest(points, kept, max_triangles), h, w)

    return draw_clipped(draw, vertices_camera, faces, K)


def find_widest(points: Float[Tensor, "b v 3"], faces: Faces, count: int) -> Int[Tensor, "n 3"] | Int[Tensor, "#b n 3"]:
    """The `count` faces of the largest area on the screen, of equal ones the first; of each image its own, in their order."""
    if faces.shape[-2] <= count:
        return faces
    a, b, c = find_corners(points.detach(), faces)[..., :2].unbind(-2)
    chosen = cross(b - a, c - a).abs().argsort(dim=-1, descending=True, stable=True)[:, :count].sort().values
    return faces.expand(len(points), -1, -1).gather(1, chosen[..., None].expand(-1, -1, 3))


class EdgeProduct(torch.autograd.Function):
    """The compiled kernel, for tensors on the CPU."""

    @staticmethod
    def forward(ctx, points, faces, h, w):
        alpha, ctx.saved = forward(points.detach().float().numpy(), faces.numpy(), h, w)
        return torch.from_numpy(alpha).to(points.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad_alpha,) = grad_outputs
        grad_xy = torch.from_numpy(backward(ctx.saved, grad_alpha.detach().float().numpy())).to(grad_alpha.dtype)
        return torch.nn.functional.pad(grad_xy, (0, 1)), None, None, None


def edge_product_torch(points: Float[Tensor, "b v 3"], faces: Faces, h: int, w: int) -> Float[Tensor, "b h w"]:
    """The silhouette from points [x_px, y_px, depth]. Faces not ahead of the camera or not finite are left out."""
    total = points.new_zeros(len(points), h, w) + points[:, :0].sum()  # depends on the points, if only formally
    for part in faces.split(FACES_AT_ONCE, dim=-2):
        total = total + checkpoint(sum_of_faces, points, part, h, w, use_reentrant=False)
    return -torch.expm1(-OPACITY * total)


def sum_of_faces(points: Float[Tensor, "b v 3"], faces: Faces, h: int, w: int) -> Float[Tensor, "b h w"]:
    """Sum over the faces of tanh of the product of the edges, stretched to [0, 1] over the image."""
    corners = find_corners(points, faces)
    inside = drawable(corners)
    corners = torch.where(inside[..., None, None], corners, torch.zeros_like(corners))[..., :2]
    edges = corners.roll(-1, -2) - corners
    double_area = cross(edges[..., 0, :], edges[..., 1, :])
    inside = inside & (double_area.detach().abs() > MIN_AREA)
    double_area = torch.where(inside, double_area, torch.ones_like(double_area))

    x = (torch.arange(w, device=points.device) + 0.5).to(points.dtype)
    y = (torch.arange(h, device=points.device) + 0.5).to(points.dtype)
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    product = inside[..., None, None].to(points.dtype)
    for k in range(3):
        offset = pixels - corners[:, :, None, None, k]
        product = product * torch.relu(cross(edges[:, :, None, None, k], offset) / double_area[..., None, None])
    # Of several pixels at the extreme each gets an equal share of its gradient.
    highest, lowest = product.amax((-1, -2), keepdim=True), product.amin((-1, -2), keepdim=True)
    span = highest - lowest
    drawn = span > MIN_PRODUCT
    stretched = (product - lowest) / torch.where(drawn, span, torch.ones_like(span))
    return torch.where(drawn, stretched, torch.zeros_like(stretched)).tanh().sum(1)
