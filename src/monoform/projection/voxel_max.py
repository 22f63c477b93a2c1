"""Silhouettes of voxel grids by turning the grid and looking through it along the optical axis (Zhu 2017, Eq. 3 and 6).

Every function takes ``(occupancy, R, t)``: the grid [z, y, x] fills the unit cube about its own origin, and
``x_camera = R @ x_grid + t`` in grid sides. Image rows run along y, columns along x; a batch of one meets many. Differentiable
in all tensors. backend: None picks by device. The PyTorch below is the specification of `kernels.voxel_max`.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from monoform.projection import kernels
from monoform.projection.kernels import voxel_max as compiled
from monoform.projection.warping import warp

PTN_FOCAL = math.sqrt(3) / 2
"""Focal length of Perspective Transformer Nets (Yan 2016) in grid sides, for an image one side wide."""


def voxel_max(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    backend: str | None = None,
) -> Float[Tensor, "b q q"]:
    """The largest occupancy behind each pixel, orthographic. Its gradient goes to that one cell's neighbourhood.

    Of equal samples the nearest has the gradient, on the CPU.
    """
    check_occupancy(occupancy)
    chosen = kernels.choose(backend, occupancy.device.type)
    if chosen != "torch":
        run = VoxelMax if chosen == "numba" else VoxelMaxOnGpu
        return run.apply(occupancy, parallel_rays(R, t, occupancy.shape[-1], len(occupancy)))
    return _turned(occupancy, R, t).max(dim=1).values


def voxel_any(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    backend: str | None = None,
) -> Float[Tensor, "b q q"]:
    """``1 - prod(1 - v)`` behind each pixel, orthographic: every cell of the line has a gradient.

    In PyTorch alone: any other backend is a ValueError.
    """
    _check_plain(backend)
    return 1 - (1 - _turned(occupancy, R, t)).prod(dim=1)


def voxel_softmax(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    sharpness: float = 20.0,
    backend: str | None = None,
) -> Float[Tensor, "b q q"]:
    """The mean occupancy behind each pixel with weights ``softmax(sharpness * v)``, orthographic; never above the max.

    In PyTorch alone: any other backend is a ValueError.
    """
    _check_plain(backend)
    turned = _turned(occupancy, R, t)
    return (torch.softmax(sharpness * turned, dim=1) * turned).sum(dim=1)


def voxel_max_perspective(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"] | None = None,
    *,
    focal: float = PTN_FOCAL,
    backend: str | None = None,
) -> Float[Tensor, "b q q"]:
    """The largest occupancy along each pixel's ray, at q depths from `focal` to ``focal + 1`` (Yan 2016).

    t None: the grid's centre stands at depth ``focal + 0.5``, as there.
    """
    if t is None:
        t = R.new_tensor([[0.0, 0.0, focal + 0.5]])
    side = occupancy.shape[-1]
    check_occupancy(occupancy)
    chosen = kernels.choose(backend, occupancy.device.type)
    if chosen != "torch":
        per_pixel, centre = 1 / (side * focal), -0.5 / focal
        directions = R.new_tensor([[[per_pixel, 0, centre], [0, per_pixel, centre], [0, 0, 1]]], dtype=torch.float64)
        rays = pixel_rays(directions, R, t, (focal, focal + 1), side, side, len(occupancy))
        run = VoxelMax if chosen == "numba" else VoxelMaxOnGpu
        return run.apply(occupancy, rays)
    cells = (torch.arange(side, dtype=occupancy.dtype, device=occupancy.device) + 0.5) / side
    depth, y, x = torch.meshgrid(cells + focal, cells - 0.5, cells - 0.5, indexing="ij")
    points = torch.stack([x * depth / focal, y * depth / focal, depth], dim=-1)
    return sample(occupancy, R, t, points).max(dim=1).values


class VoxelMax(torch.autograd.Function):
    """The compiled kernel, for tensors on the CPU: as many samples and pixels either way as the grid has cells."""

    @staticmethod
    def forward(ctx, occupancy, rays):
        side = occupancy.shape[-1]
        ctx.save_for_backward(occupancy, rays)
        image, ctx.taken = compiled.forward(occupancy.detach().float().numpy(), rays.detach().numpy(), side, side, side)
        return torch.from_numpy(image).to(occupancy.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        occupancy, rays = ctx.saved_tensors[0].detach().float().numpy(), ctx.saved_tensors[1].detach().numpy()
        grads = compiled.backward(occupancy, rays, ctx.taken, grad_outputs[0].detach().float().numpy())
        return tuple(
            torch.from_numpy(grad).sum_to_size(x.shape).to(x.dtype) for grad, x in zip(grads, ctx.saved_tensors)
        )


class VoxelMaxOnGpu(torch.autograd.Function):
    """The Triton kernel, for the same."""

    @staticmethod
    def forward(ctx, occupancy, rays):
        from monoform.projection.gpu import voxel_max as gpu

        side = occupancy.shape[-1]
        image, ctx.saved = gpu.forward(occupancy.detach(), rays.detach(), side, side, side)
        ctx.dtypes = (occupancy.dtype, rays.dtype)
        return image.to(occupancy.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs):  # pyright: ignore[reportIncompatibleMethodOverride]
        from monoform.projection.gpu import voxel_max as gpu

        to_grid, to_rays = ctx.needs_input_grad
        grads = gpu.backward(ctx.saved, grad_outputs[0], to_grid=to_grid, to_rays=to_rays)
        return tuple(None if grad is None else grad.to(dtype) for grad, dtype in zip(grads, ctx.dtypes, strict=True))


def parallel_rays(R: Tensor, t: Tensor | None, side: int, batch: int) -> Float[Tensor, "b 2 3 3"]:
    """The orthographic view's rays as `kernels.trilinear` takes them: through [u, v, 1] in pixels, one sample a cell."""
    turn = R.double().mT
    middle = (side - 1) / 2
    centre = torch.full((1, 3, 1), side / 2, dtype=torch.float64, device=R.device)
    centre[:, 2] = middle  # pixels are counted from the first one's corner, samples from the first one's middle
    if t is not None:
        centre = centre + side * t.double()[:, :, None]
    origin = middle - turn @ centre
    batch = max(batch, len(origin))
    turn, origin = turn.expand(batch, -1, -1), origin.expand(batch, -1, -1)
    starts = torch.cat([turn[:, :, :2], origin], dim=2)
    steps = functional.pad(turn[:, :, 2:], (2, 0))
    return torch.stack([starts, steps], dim=1)


def pixel_rays(
    directions: Tensor, R: Tensor, t: Tensor, near_far: tuple[float, float], samples: int, side: int, batch: int
) -> Float[Tensor, "b 2 3 3"]:
    """A pinhole's rays as `kernels.trilinear` takes them, from ``directions = inv(K)`` and the depths between near and far."""
    near, far = near_far
    turn = R.double().mT
    depth_step = (far - near) / samples
    per_depth = side * turn @ directions.double()
    origin = (side - 1) / 2 - side * turn @ t.double()[:, :, None]
    batch = max(batch, len(per_depth), len(origin))
    starts = per_depth * (near + depth_step / 2) + functional.pad(origin, (2, 0))
    return torch.stack([starts, (per_depth * depth_step).expand_as(starts)], dim=1).expand(batch, -1, -1, -1)


def sample(
    occupancy: Float[Tensor, "#b q q q"],
    R: Float[Tensor, "#b 3 3"],
    t: Float[Tensor, "#b 3"],
    points_camera: Float[Tensor, "*views n h w 3"],
) -> Float[Tensor, "b n h w"]:
    """The occupancy at points of the camera frame, trilinear between cell centres, zero outside."""
    R, t = R.to(occupancy), t.to(occupancy)
    sources = torch.einsum("bji,bnyxj->bnyxi", R, points_camera - t[:, None, None, None])
    batch = max(len(occupancy), len(sources))
    grid, sources = occupancy.expand(batch, -1, -1, -1), sources.expand(batch, -1, -1, -1, -1)
    # grid_sample measures in half sides from the centre and, unaligned, keeps cell centres where they are.
    return functional.grid_sample(grid[:, None], 2 * sources, padding_mode="zeros", align_corners=False)[:, 0]


def _check_plain(backend: str | None) -> None:
    if backend not in (None, "torch"):
        raise ValueError(f"this silhouette is in PyTorch alone, not in {backend!r}")


def check_occupancy(occupancy: Tensor) -> None:
    """Raise ValueError for cells that are not floating-point numbers: a silhouette of them would be cut to whole ones."""
    if not occupancy.is_floating_point():
        raise ValueError(f"occupancy is {occupancy.dtype}; give floating-point numbers, such as grid.float()")


def _turned(occupancy: Tensor, R: Tensor, t: Tensor | None) -> Tensor:
    check_occupancy(occupancy)
    R, t = R.to(occupancy), None if t is None else t.to(occupancy)
    batch = max(len(occupancy), len(R), 1 if t is None else len(t))
    moved = None if t is None else t.expand(batch, -1)
    return warp(occupancy.expand(batch, -1, -1, -1), R.expand(batch, -1, -1), moved)
