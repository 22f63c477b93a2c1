"""Triton twin of `monoform.projection.rays.ray_silhouette`: one pass a ray, no sample is kept in memory.

The silhouette is ``1 - T``, ``T = prod_k (1 - y_k)``, and every sample's share in its gradient is ``T / (1 - y_k)``: the
backward pass walks the ray once more, in any order. Samples outside the grid are neither read nor visited.
"""

# An image of 48 x 48 rays with 64 samples through 32^3 cells, about half of the samples inside:
# forward 74k samples of 8 reads and some 50 flops: 2.4 MB out of the caches, 3.7 Mflop; from memory 131 kB of grid and 9 kB
# written. PyTorch's sample volume is 64 numbers a ray: 1.8 MB of points and 0.6 MB of samples, each written and read.
# Backward: the same, some 100 flops a sample, and 590k atomic additions (2.4 MB) to a gradient that the L2 cache holds.
# The pixels are 2,304, too few for a GPU: four neighbouring samples of a ray are therefore worked on at a time.

# Triton's own types describe neither compile-time parameters nor launches.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from monoform.projection.gpu.trilinear import Scene, interpolate, ray_of, scatter, store_ray_sums, tile_of_program
from monoform.projection.kernels.rays import LARGEST as LARGEST_OCCUPANCY

ROWS, COLUMNS, STEPS = 4, 8, 4
"""A program's tile of pixels and the samples of a ray that it takes at a time: one of each for 128 threads."""

LARGEST = tl.constexpr(LARGEST_OCCUPANCY)


class Saved(NamedTuple):
    """What the backward pass needs."""

    scene: Scene
    passed: Float[Tensor, "b h w"]


def forward(
    occupancy: Float[Tensor, "#b q q q"], rays: Float[Tensor, "b 2 3 3"], samples: int, h: int, w: int
) -> tuple[Float[Tensor, "b h w"], Saved]:
    """Probability that each pixel's ray stops, float32, and what `backward` needs. rays: see `trilinear`."""
    scene = Scene.prepare(occupancy, rays, samples, h, w)
    passed = scene.grids.new_empty(len(rays), h, w)
    if passed.numel():
        with torch.cuda.device_of(passed):
            _forward[(len(rays) * scene.tiles(ROWS, COLUMNS),)](
                scene.grids, scene.rays, passed, scene.grid_stride, h, w, scene.grids.shape[-1], samples,
                ROWS=ROWS, COLUMNS=COLUMNS, STEPS=STEPS, enable_fp_fusion=True,
            )  # fmt: skip
    return 1 - passed, Saved(scene, passed)


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
                scene.grids, scene.rays, saved.passed, grad.detach().float().contiguous(), grad_grids, sums,
                scene.grid_stride, side**3 * (len(grad_grids) > 1), h, w, side, scene.samples,
                GRID=to_grid, RAYS=to_rays, ROWS=ROWS, COLUMNS=COLUMNS, STEPS=STEPS, enable_fp_fusion=True,
            )  # fmt: skip
    return grad_grids if to_grid else None, scene.rays_gradient(sums) if to_rays else None


@triton.jit
def _product(a, b):
    return a * b


@triton.jit
def _between(start, step, side):
    """The numbers of the samples between which a ray is within one cell of the grid along one axis.

    A ray that stays where it is gets a tiny step: it then is inside always or never.
    """
    step = tl.where(tl.abs(step) < 1e-9, 1e-9, step)
    a, b = (-1 - start) / step, (side - start) / step
    return tl.minimum(a, b), tl.maximum(a, b)


@triton.jit
def _visited(x, y, z, dx, dy, dz, wanted, side, samples):
    """First sample and end of the samples that any of the tile's rays has inside the grid."""
    first_x, last_x = _between(x, dx, side)
    first_y, last_y = _between(y, dy, side)
    first_z, last_z = _between(z, dz, side)
    first = tl.maximum(tl.maximum(tl.maximum(first_x, first_y), first_z), 0)
    last = tl.minimum(tl.minimum(tl.minimum(last_x, last_y), last_z), samples - 1)
    wanted = wanted & (first <= last)
    first, last = tl.where(wanted, first, samples), tl.where(wanted, last, -1)
    return tl.min(first, 0).to(tl.int32), tl.max(last, 0).to(tl.int32) + 1


@triton.jit
def _below(occupied):
    """Occupancy at most LARGEST; what is not a number stays so."""
    return tl.where(occupied > LARGEST, LARGEST, occupied)


@triton.jit
def _forward(
    grids, rays, passed, grid_stride, h, w, side, samples,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    image, exists, index, u, v = tile_of_program(h, w, ROWS, COLUMNS)
    x0, y0, z0, dx, dy, dz = ray_of(rays + image * 18, u, v)
    begin, end = _visited(x0, y0, z0, dx, dy, dz, exists, side, samples)
    empty = tl.full([ROWS * COLUMNS, STEPS], 1.0, tl.float32)
    for sample in range(begin, end, STEPS):
        k = (sample + tl.arange(0, STEPS))[None, :]
        x, y, z = x0[:, None] + k * dx[:, None], y0[:, None] + k * dy[:, None], z0[:, None] + k * dz[:, None]
        wanted = exists[:, None] & (k < samples)
        occupied, _, _, _ = interpolate(grids + image * grid_stride, x, y, z, wanted, side)
        empty *= 1 - _below(occupied)
    tl.store(passed + index, tl.reduce(empty, 1, _product), mask=exists)


@triton.jit
def _backward(
    grids, rays, passed, grad, grad_grids, sums, grid_stride, grad_stride, h, w, side, samples,
    GRID: tl.constexpr, RAYS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    image, exists, index, u, v = tile_of_program(h, w, ROWS, COLUMNS)
    x0, y0, z0, dx, dy, dz = ray_of(rays + image * 18, u, v)
    begin, end = _visited(x0, y0, z0, dx, dy, dz, exists, side, samples)
    total = tl.load(grad + index, mask=exists, other=0.0) * tl.load(passed + index, mask=exists, other=0.0)
    gx0 = tl.zeros([ROWS * COLUMNS, STEPS], tl.float32)
    gy0, gz0, gdx, gdy, gdz = gx0, gx0, gx0, gx0, gx0
    for sample in range(begin, end, STEPS):
        k = (sample + tl.arange(0, STEPS))[None, :]
        x, y, z = x0[:, None] + k * dx[:, None], y0[:, None] + k * dy[:, None], z0[:, None] + k * dz[:, None]
        wanted = exists[:, None] & (k < samples)
        occupied, along_x, along_y, along_z = interpolate(grids + image * grid_stride, x, y, z, wanted, side)
        share = tl.where(occupied > LARGEST, 0.0, total[:, None] / (1 - _below(occupied)))
        if GRID:
            scatter(grad_grids + image * grad_stride, x, y, z, share, wanted, side)
        if RAYS:
            gx, gy, gz = share * along_x, share * along_y, share * along_z
            gx0, gy0, gz0 = gx0 + gx, gy0 + gy, gz0 + gz
            gdx, gdy, gdz = gdx + k * gx, gdy + k * gy, gdz + k * gz
    if RAYS:
        store_ray_sums(
            sums + tl.program_id(0).to(tl.int64) * 18, u, v, tl.sum(gx0, 1), tl.sum(gy0, 1), tl.sum(gz0, 1),
            tl.sum(gdx, 1), tl.sum(gdy, 1), tl.sum(gdz, 1),
        )  # fmt: skip
