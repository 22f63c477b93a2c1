"""SoftRas silhouette (Liu 2019; the renderer of Wu 2022): every face blurs over its neighbourhood.

alpha = 1 - prod over faces of (1 - sigmoid(d / sigma)), d the squared distance of the pixel's centre to the face's border,
positive inside. Distances are measured where the image's shorter side is 2 long. The PyTorch is the specification of
`kernels.soft`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from monoform.projection import kernels
from monoform.projection.clipping import Faces, cross, draw_clipped, drawable, find_corners
from monoform.projection.kernels.soft import MAX_EXPONENT, MIN_AREA, backward, forward

FACES_AT_ONCE = 256


def soft_raster(
    vertices_camera: Float[Tensor, "#b v 3"],
    faces: Faces,
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    *,
    sigma: float = 1e-4,
    blur_radius: float | None = None,
    backend: str | None = None,
) -> Float[Tensor, "b h w"]:
    """SoftRas alpha, [0, 1], differentiable with respect to vertices and K.

    vertices_camera: OpenCV camera frame (+x right, +y down, +z forward), any unit; a batch of 1 meets many K and vice versa.
    sigma, blur_radius: squared distances, the image's shorter side being 2; a face reaches sqrt(blur_radius) beyond its
    border, None: to where the sigmoid is 1e-4. Faces are clipped at the near plane. backend: None picks by device. Raises
    ValueError for a sigma of 0 or below or a negative blur_radius.
    """
    if sigma <= 0 or (blur_radius is not None and blur_radius < 0):
        raise ValueError(f"sigma must be above 0 and blur_radius not below, not {sigma} and {blur_radius}")
    h, w = size_hw
    radius = math.log(1 / 1e-4 - 1) * sigma if blur_radius is None else blur_radius
    chosen = kernels.choose(backend, vertices_camera.device.type)
    run = {"torch": soft_raster_torch, "numba": SoftRaster.apply, "triton": SoftRasterOnGpu.apply}[chosen]
    return draw_clipped(lambda points, kept: run(points, kept, h, w, sigma, radius), vertices_camera, faces, K)


class SoftRaster(torch.autograd.Function):
    """The compiled kernel, for tensors on the CPU."""

    @staticmethod
    def forward(ctx, points, faces, h, w, sigma, blur_radius):
        alpha, ctx.saved = forward(
            points.detach().float().numpy(), faces.numpy(), h, w, sigma=sigma, blur_radius=blur_radius
        )  # fmt: skip
        return torch.from_numpy(alpha).to(points.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        (grad_alpha,) = grad_outputs
        grad_xy = torch.from_numpy(backward(ctx.saved, grad_alpha.detach().float().numpy())).to(grad_alpha.dtype)
        return torch.nn.functional.pad(grad_xy, (0, 1)), None, None, None, None, None


class SoftRasterOnGpu(torch.autograd.Function):
    """The Triton kernel."""

    @staticmethod
    def forward(ctx, points, faces, h, w, sigma, blur_radius):
        from monoform.projection.gpu import soft

        alpha, ctx.saved = soft.forward(points, faces.to(points.device), h, w, sigma, blur_radius)
        return alpha.to(points.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        from monoform.projection.gpu import soft

        grad_xy = soft.backward(ctx.saved, grad_outputs[0].float()).to(grad_outputs[0].dtype)
        return torch.nn.functional.pad(grad_xy, (0, 1)), None, None, None, None, None


def soft_raster_torch(
    points: Float[Tensor, "b v 3"], faces: Faces, h: int, w: int, sigma: float, blur_radius: float
) -> Float[Tensor, "b h w"]:
    """SoftRas alpha from points [x_px, y_px, depth]. Faces not ahead of the camera or not finite are left out."""
    log_empty = points.new_zeros(len(points), h, w) + points[:, :0].sum()  # depends on the points, if only formally
    for part in faces.split(FACES_AT_ONCE, dim=-2):
        log_empty = log_empty + checkpoint(
            log_transmittance, points, part, h, w, sigma, blur_radius, use_reentrant=False
        )  # fmt: skip
    return 1 - log_empty.exp()


def log_transmittance(
    points: Float[Tensor, "b v 3"], faces: Faces, h: int, w: int, sigma: float, blur_radius: float
) -> Float[Tensor, "b h w"]:
    """Sum over the faces of log(1 - sigmoid(d / sigma))."""
    scale = 2 / min(h, w)
    corners = find_corners(points, faces)
    drawn = drawable(corners)
    corners = torch.where(drawn[..., None, None], corners, torch.zeros_like(corners))[..., :2] * scale
    edges = corners.roll(-1, -2) - corners
    double_area = cross(edges[..., 0, :], edges[..., 1, :])
    drawn = drawn & (double_area.detach().abs() > MIN_AREA)

    x = (torch.arange(w, device=points.device) + 0.5).to(points.dtype) * scale
    y = (torch.arange(h, device=points.device) + 0.5).to(points.dtype) * scale
    pixels = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[:, :, None]
    corners, edges = corners[:, :, None, None], edges[:, :, None, None]
    offset = pixels - corners
    along = ((offset * edges).sum(-1) / (edges * edges).sum(-1).clamp(min=1e-12 * scale**2)).clamp(0, 1)
    distance = ((offset - along[..., None] * edges) ** 2).sum(-1).amin(-1)
    inside = (cross(edges, offset) * double_area.sign()[:, :, None, None, None] > 0).all(-1)

    exponent = torch.where(inside, (distance / sigma).clamp(max=MAX_EXPONENT), -distance / sigma)
    reached = drawn[:, :, None, None] & (inside | (distance < blur_radius))
    return torch.where(reached, -torch.nn.functional.softplus(exponent), torch.zeros_like(exponent)).sum(1)
