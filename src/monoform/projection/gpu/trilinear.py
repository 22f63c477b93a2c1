"""What the voxel kernels share: rays through a grid, its interpolation, and the gradients of both.

A ray belongs to a pixel: its sample k is at ``start + k * step``, both linear in the pixel's centre, ``rays[0] @ [u, v, 1]``
and ``rays[1] @ [u, v, 1]``; positions (x, y, z) in cells, (0, 0, 0) the centre of the first. An image's camera thus reaches
the kernels as 18 numbers and its gradient leaves them as 18 sums a tile of pixels.
"""

# Triton's own types describe neither compile-time parameters nor launches.
# pyright: reportArgumentType=false, reportGeneralTypeIssues=false

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

LARGEST_SIDE = 1290
"""Cells are counted in 32 bits within a grid, in 64 bits from grid to grid."""


class Scene(NamedTuple):
    """Grids and rays as the kernels read them, in float32; one grid meets many rays by a stride of 0, without copies."""

    grids: Float[Tensor, "#b q q q"]
    rays: Float[Tensor, "b 2 3 3"]
    samples: int
    size_hw: tuple[int, int]
    grid_stride: int

    @classmethod
    def prepare(
        cls, occupancy: Float[Tensor, "#b q q q"], rays: Float[Tensor, "b 2 3 3"], samples: int, h: int, w: int
    ) -> "Scene":
        """An expanded batch stays one grid. Raises ValueError for a wrong number of grids and for grids too large to index."""
        if len(occupancy) not in (1, len(rays)):
            raise ValueError(f"{len(occupancy)} grids for {len(rays)} images; give one, or one an image")
        if occupancy.shape[-1] > LARGEST_SIDE:
            raise ValueError(f"a grid has at most {LARGEST_SIDE} cells along a side here, not {occupancy.shape[-1]}")
        grids = occupancy.detach().float()
        if not grids[:1].is_contiguous():
            grids = grids.contiguous()
        # The kernels count pixels from the image's centre: smaller numbers, which round less.
        from_centre = rays.detach().to(torch.float64, copy=True)
        from_centre[..., 2] += from_centre[..., 0] * (w / 2) + from_centre[..., 1] * (h / 2)
        stride = grids.stride(0) if len(grids) > 1 else 0
        return cls(grids, from_centre.float().contiguous(), samples, (h, w), stride)

    def tiles(self, rows: int, columns: int) -> int:
        """How many tiles cover an image."""
        return triton.cdiv(self.size_hw[0], rows) * triton.cdiv(self.size_hw[1], columns)

    def rays_gradient(self, sums: Float[Tensor, "b tiles 18"]) -> Float[Tensor, "b 2 3 3"]:
        """The tiles' sums added up, as the gradient of the rays that `prepare` was given, in float64."""
        grad = sums.double().sum(1).view(-1, 2, 3, 3)
        h, w = self.size_hw
        grad[..., 0] += grad[..., 2] * (w / 2)
        grad[..., 1] += grad[..., 2] * (h / 2)
        return grad


@triton.jit
def tile_of_program(h, w, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """This program's image and, for each pixel of its tile: whether it exists, its index in the batch, u and v."""
    across = tl.cdiv(w, COLUMNS)
    tiles = tl.cdiv(h, ROWS) * across
    image = tl.program_id(0) // tiles
    tile = tl.program_id(0) % tiles
    pixel = tl.arange(0, ROWS * COLUMNS)
    i = tile // across * ROWS + pixel // COLUMNS
    j = tile % across * COLUMNS + pixel % COLUMNS
    index = image.to(tl.int64) * h * w + i * w + j
    return image.to(tl.int64), (i < h) & (j < w), index, j + 0.5 - 0.5 * w, i + 0.5 - 0.5 * h


@triton.jit
def _row(matrix, r: tl.constexpr, u, v):
    return tl.load(matrix + 3 * r) * u + tl.load(matrix + 3 * r + 1) * v + tl.load(matrix + 3 * r + 2)


@triton.jit
def ray_of(rays, u, v):
    """Where the rays of pixels start (x, y, z) and how far they step (x, y, z)."""
    return (
        _row(rays, 0, u, v), _row(rays, 1, u, v), _row(rays, 2, u, v),
        _row(rays, 3, u, v), _row(rays, 4, u, v), _row(rays, 5, u, v),
    )  # fmt: skip


@triton.jit
def _cell(x, y, z, wanted, side):
    """The lower corner of each point's cell, the point's place in it, and whether it lies where the grid reaches.

    A point elsewhere, or not finite, becomes 0: it must not overflow an integer.
    """
    reached = wanted & (x > -1) & (x < side) & (y > -1) & (y < side) & (z > -1) & (z < side)
    x, y, z = tl.where(reached, x, 0.0), tl.where(reached, y, 0.0), tl.where(reached, z, 0.0)
    i, j, k = tl.floor(x), tl.floor(y), tl.floor(z)
    return i.to(tl.int32), j.to(tl.int32), k.to(tl.int32), x - i, y - j, z - k, reached


@triton.jit
def interpolate(grid, x, y, z, wanted, side):
    """Occupancy at points and its slopes along x, y and z; zero outside."""
    i, j, k, fx, fy, fz, reached = _cell(x, y, z, wanted, side)
    at = grid + (k * side + j) * side + i
    x0, x1 = i >= 0, i + 1 < side
    near00, near01 = reached & (k >= 0) & (j >= 0), reached & (k >= 0) & (j + 1 < side)
    near10, near11 = reached & (k + 1 < side) & (j >= 0), reached & (k + 1 < side) & (j + 1 < side)
    plane = side * side
    a000 = tl.load(at, mask=near00 & x0, other=0.0)
    a001 = tl.load(at + 1, mask=near00 & x1, other=0.0)
    a010 = tl.load(at + side, mask=near01 & x0, other=0.0)
    a011 = tl.load(at + side + 1, mask=near01 & x1, other=0.0)
    a100 = tl.load(at + plane, mask=near10 & x0, other=0.0)
    a101 = tl.load(at + plane + 1, mask=near10 & x1, other=0.0)
    a110 = tl.load(at + plane + side, mask=near11 & x0, other=0.0)
    a111 = tl.load(at + plane + side + 1, mask=near11 & x1, other=0.0)
    d00, d01, d10, d11 = a001 - a000, a011 - a010, a101 - a100, a111 - a110
    b00, b01, b10, b11 = a000 + fx * d00, a010 + fx * d01, a100 + fx * d10, a110 + fx * d11
    d0, d1 = b01 - b00, b11 - b10
    c0, c1 = b00 + fy * d0, b10 + fy * d1
    e0, e1 = d00 + fy * (d01 - d00), d10 + fy * (d11 - d10)
    return c0 + fz * (c1 - c0), e0 + fz * (e1 - e0), d0 + fz * (d1 - d0), c1 - c0


@triton.jit
def _add_to_corner(
    at, i, j, k, fx, fy, fz, amount, reached, side, DX: tl.constexpr, DY: tl.constexpr, DZ: tl.constexpr
):  # fmt: skip
    inside = (i + DX >= 0) & (i + DX < side) & (j + DY >= 0) & (j + DY < side) & (k + DZ >= 0) & (k + DZ < side)
    weight = (fx if DX else 1 - fx) * (fy if DY else 1 - fy) * (fz if DZ else 1 - fz)
    tl.atomic_add(at + (DZ * side + DY) * side + DX, amount * weight, mask=reached & inside, sem="relaxed")


@triton.jit
def scatter(grid, x, y, z, amount, wanted, side):
    """Add each point's amount to its eight cells, by trilinear weights. The order of the additions is left to chance."""
    i, j, k, fx, fy, fz, reached = _cell(x, y, z, wanted & (amount != 0), side)
    at = grid + (k * side + j) * side + i
    for corner in tl.static_range(8):
        _add_to_corner(at, i, j, k, fx, fy, fz, amount, reached, side, corner % 2, corner // 2 % 2, corner // 4)


@triton.jit
def _add_row(sums, r: tl.constexpr, gradient, u, v):
    tl.store(sums + 3 * r, tl.sum(gradient * u))
    tl.store(sums + 3 * r + 1, tl.sum(gradient * v))
    tl.store(sums + 3 * r + 2, tl.sum(gradient))


@triton.jit
def store_ray_sums(sums, u, v, x0, y0, z0, dx, dy, dz):
    """A tile's part in the gradient of `rays`, from the pixels' gradients of starts and steps."""
    _add_row(sums, 0, x0, u, v)
    _add_row(sums, 1, y0, u, v)
    _add_row(sums, 2, z0, u, v)
    _add_row(sums, 3, dx, u, v)
    _add_row(sums, 4, dy, u, v)
    _add_row(sums, 5, dz, u, v)
