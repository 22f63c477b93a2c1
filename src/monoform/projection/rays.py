"""Silhouettes of voxel grids by rays that stop or escape (Liao 2019, section 3.2).

Along each pixel's ray the occupancy is sampled at y_1 .. y_n, nearest first. The ray stops at sample i with probability
``q_i = y_i * prod_{j<i} (1 - y_j)`` and escapes with ``q_pen = prod_j (1 - y_j)``; they sum to 1.
Paper: Eq. 2 prints ``(1 - y_i)`` in the product and Eq. 3 the limit i and the factor y_i. Here: as above, because only
so do the probabilities sum to 1. For a binary mask m, Eq. 4 is then ``|1 - q_pen - m|``.

The grid [z, y, x] fills the unit cube about its own origin; ``x_camera = R @ x_grid + t`` in grid sides; K in pixels; a batch
of one meets many. The PyTorch below is the specification of `kernels.rays`.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from monoform.projection import kernels
from monoform.projection.kernels import rays as compiled
from monoform.projection.kernels.rays import LARGEST
from monoform.projection.voxel_max import check_occupancy, pixel_rays, sample


def ray_silhouette(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    near_far: tuple[float, float],
    samples: int = 64,
    backend: str | None = None,
) -> Float[Tensor, "b h w"]:
    """Probability ``1 - q_pen`` that each pixel's ray stops; differentiable in all tensors.

    near_far: depths between which the samples lie, at the middles of equal intervals; near must be above 0 (ValueError).
    t None: the grid's centre stands midway between them. backend: None picks by device.
    """
    check_occupancy(occupancy)
    _check_depths(near_far, samples)
    t = _placed(occupancy, t, near_far)
    chosen = kernels.choose(backend, occupancy.device.type)
    if chosen != "torch":
        directions = torch.linalg.inv(K.double())
        rays = pixel_rays(directions, R, t, near_far, samples, occupancy.shape[-1], len(occupancy))
        run = RaySilhouette if chosen == "numba" else RaySilhouetteOnGpu
        return run.apply(occupancy, rays, samples, *size_hw)
    values = _along_rays(occupancy, R, t, K, size_hw, near_far, samples)
    return -torch.expm1(torch.log1p(-values).sum(dim=1))


def ray_stops(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    K: Float[Tensor, "#b 3 3"],
    size_hw: tuple[int, int],
    near_far: tuple[float, float],
    samples: int = 64,
) -> tuple[Float[Tensor, "b n h w"], Float[Tensor, "b h w"]]:
    """Probabilities of stopping at each sample and of escaping; arguments as for `ray_silhouette`. In PyTorch alone."""
    check_occupancy(occupancy)
    _check_depths(near_far, samples)
    values = _along_rays(occupancy, R, _placed(occupancy, t, near_far), K, size_hw, near_far, samples)
    passed = torch.log1p(-values).cumsum(dim=1)
    reached = torch.cat([torch.zeros_like(passed[:, :1]), passed[:, :-1]], dim=1)
    return values * reached.exp(), passed[:, -1].exp()


class RaySilhouette(torch.autograd.Function):
    """The compiled kernel, for tensors on the CPU."""

    @staticmethod
    def forward(ctx, occupancy, rays, samples, h, w):
        ctx.save_for_backward(occupancy, rays)
        ctx.samples = samples
        ctx.escape = compiled.forward(occupancy.detach().float().numpy(), rays.detach().numpy(), samples, h, w)
        return torch.from_numpy(1 - ctx.escape).to(occupancy.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        occupancy, rays = ctx.saved_tensors[0].detach().float().numpy(), ctx.saved_tensors[1].detach().numpy()
        grad_escape = -grad_outputs[0].detach().float().numpy()
        grads = compiled.backward(occupancy, rays, ctx.samples, ctx.escape, grad_escape)
        found = (torch.from_numpy(grad).sum_to_size(x.shape).to(x.dtype) for grad, x in zip(grads, ctx.saved_tensors))
        return *found, None, None, None


class RaySilhouetteOnGpu(torch.autograd.Function):
    """The Triton kernel."""

    @staticmethod
    def forward(ctx, occupancy, rays, samples, h, w):
        from monoform.projection.gpu import rays as gpu

        image, ctx.saved = gpu.forward(occupancy.detach(), rays.detach(), samples, h, w)
        ctx.dtypes = (occupancy.dtype, rays.dtype)
        return image.to(occupancy.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        from monoform.projection.gpu import rays as gpu

        to_grid, to_rays = ctx.needs_input_grad[:2]
        grads = gpu.backward(ctx.saved, grad_outputs[0], to_grid=to_grid, to_rays=to_rays)
        found = (None if grad is None else grad.to(dtype) for grad, dtype in zip(grads, ctx.dtypes, strict=True))
        return *found, None, None, None


def _check_depths(near_far: tuple[float, float], samples: int) -> None:
    near, far = near_far
    if not 0 < near < far or samples < 1:
        raise ValueError(f"rays need 0 < near < far and at least one sample, not {near_far} and {samples}")


def _placed(occupancy: Tensor, t: Tensor | None, near_far: tuple[float, float]) -> Tensor:
    return occupancy.new_tensor([[0.0, 0.0, sum(near_far) / 2]]) if t is None else t


def _along_rays(
    occupancy: Tensor, R: Tensor, t: Tensor, K: Tensor, size_hw: tuple[int, int],
    near_far: tuple[float, float], samples: int,
) -> Float[Tensor, "b n h w"]:  # fmt: skip
    """Occupancy below 1 at the samples of every ray, nearest first."""
    near, far = near_far
    h, w = size_hw
    like = {"dtype": occupancy.dtype, "device": occupancy.device}
    v, u = torch.meshgrid(torch.arange(h, **like) + 0.5, torch.arange(w, **like) + 0.5, indexing="ij")
    pixels = torch.stack([u, v, torch.ones_like(u)], dim=-1)
    directions = torch.einsum("bij,yxj->byxi", torch.linalg.inv(K.double()).to(occupancy), pixels)
    depths = near + (far - near) * (torch.arange(samples, **like) + 0.5) / samples
    return sample(occupancy, R, t, directions[:, None] * depths[:, None, None, None]).clamp(max=LARGEST)
