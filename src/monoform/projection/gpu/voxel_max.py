"""Triton twin of `voxel_max` and `voxel_max_perspective`: the ray behind each pixel is sampled, the samples are not stored.

The forward pass keeps which sample was the largest; of equal ones the nearest, as PyTorch's `max` does. The backward pass
touches that sample's eight cells alone.
"""

# An image of a 32^3 grid: forward 32.8k samples of 8 reads and some 50 flops, 1 MB out of the caches and 1.6 Mflop; from
# memory 131 kB of grid and 8 kB written, where PyTorch writes and reads 393 kB of points and 131 kB of samples.
# Backward: 1,024 pixels of 8 reads and 8 atomic additions, and the 131 kB gradient once.

# Triton's own types describe neither compile-time parameters nor launches.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

from monoform.projection.gpu.trilinear import Scene, interpolate, ray_of, scatter, store_ray_sums, tile_of_program

ROWS, COLUMNS, STEPS = 4, 8, 4
"""A program's tile of pixels; forward, also the samples of a ray that it takes at a time: one of each for 128 threads."""


class Saved(NamedTuple):
    """What the backward pass needs."""

    scene: Scene
    largest_at: Int[Tensor, "b h w"]


def forward(
    occupancy: Float[Tensor, "#b q q q"], rays: Float[Tensor, "b 2 3 3"], samples: int, h: int, w: int
) -> tuple[Float[Tensor, "b h w"], Saved]:
    """The largest occupancy along each pixel's ray, float32, and what `backward` needs. rays: see `trilinear`."""
    scene = Scene.prepare(occupancy, rays, samples, h, w)
    largest = scene.grids.new_empty(len(rays), h, w)
    largest_at = torch.empty_like(largest, dtype=torch.int32)
    if largest.numel():
        with torch.cuda.device_of(largest):
            _forward[(len(rays) * scene.tiles(ROWS, COLUMNS),)](
                scene.grids, scene.rays, largest, largest_at, scene.grid_stride, h, w, scene.grids.shape[-1], samples,
                ROWS=ROWS, COLUMNS=COLUMNS, STEPS=STEPS, enable_fp_fusion=True,
            )  # fmt: skip
    return largest, Saved(scene, largest_at)


def backward(
    saved: Saved, grad: Float[Tensor, "b h w"], *, to_grid: bool = True, to_rays: bool = True
) -> tuple[Float[Tensor, "#b q q q"] | None, Float[Tensor, "b 2 3 3"] | None]:
    """Gradients by the occupancy, float32, and by the rays, float64; what is not asked for is None and costs nothing.

    The occupancy's is added up in no fixed order: its last bits differ from run to run.
    """
    scene, (h, w) = saved.scene, saved.scene.size_hw
    tiles, side = scene.tiles(ROWS, COLUMNS), scene.grids.shape[-1]
    grad_grids = scene.grids.new_zeros(scene.grids.shape if to_grid else 0)
    sums = scene.grids.new_empty((len(grad), tiles, 18) if to_rays else 0)
    if grad.numel():
        with torch.cuda.device_of(grad):
            _backward[(len(grad) * tiles,)](
                scene.grids, scene.rays, saved.largest_at, grad.detach().float().contiguous(), grad_grids, sums,
                scene.grid_stride, side**3 * (len(grad_grids) > 1), h, w, side,
                GRID=to_grid, RAYS=to_rays, ROWS=ROWS, COLUMNS=COLUMNS, num_warps=1, enable_fp_fusion=True,
            )  # fmt: skip
    return grad_grids if to_grid else None, scene.rays_gradient(sums) if to_rays else None


@triton.jit
def _forward(
    grids, rays, largest, largest_at, grid_stride, h, w, side, samples,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    image, exists, index, u, v = tile_of_program(h, w, ROWS, COLUMNS)
    x0, y0, z0, dx, dy, dz = ray_of(rays + image * 18, u, v)
    best = tl.full([ROWS * COLUMNS, STEPS], float("-inf"), tl.float32)
    best_at = tl.zeros([ROWS * COLUMNS, STEPS], tl.int32)
    for sample in range(0, samples, STEPS):
        k = (sample + tl.arange(0, STEPS))[None, :]
        x, y, z = x0[:, None] + k * dx[:, None], y0[:, None] + k * dy[:, None], z0[:, None] + k * dz[:, None]
        occupied, _, _, _ = interpolate(grids + image * grid_stride, x, y, z, exists[:, None] & (k < samples), side)
        larger = (occupied > best) | ((occupied != occupied) & (best == best))  # the first NaN is the largest of all
        better = (k < samples) & larger
        best, best_at = tl.where(better, occupied, best), tl.where(better, k, best_at)
    failed = best != best
    rank = tl.where(failed, float("inf"), best)
    top = tl.max(rank, 1)
    first = tl.min(tl.where(rank == top[:, None], best_at, samples), 1)
    tl.store(largest + index, top + tl.sum(tl.where(failed, best, 0.0), 1), mask=exists)
    tl.store(largest_at + index, first, mask=exists)


@triton.jit
def _backward(
    grids, rays, largest_at, grad, grad_grids, sums, grid_stride, grad_stride, h, w, side,
    GRID: tl.constexpr, RAYS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    image, exists, index, u, v = tile_of_program(h, w, ROWS, COLUMNS)
    x0, y0, z0, dx, dy, dz = ray_of(rays + image * 18, u, v)
    k = tl.load(largest_at + index, mask=exists, other=0)
    x, y, z = x0 + k * dx, y0 + k * dy, z0 + k * dz
    share = tl.load(grad + index, mask=exists, other=0.0)
    if GRID:
        scatter(grad_grids + image * grad_stride, x, y, z, share, exists, side)
    if RAYS:
        _, along_x, along_y, along_z = interpolate(grids + image * grid_stride, x, y, z, exists, side)
        gx, gy, gz = share * along_x, share * along_y, share * along_z
        program = tl.program_id(0).to(tl.int64)
        store_ray_sums(sums + program * 18, u, v, gx, gy, gz, k * gx, k * gy, k * gz)
