"""What both roads of `coverage` on the GPU share: contour edges, how a lane loads one, and the units that sums are taken in."""

from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl
from torch import Tensor

BLOCK = 256
LAUNCH: dict[str, Any] = {"BLOCK": BLOCK, "num_warps": 4, "enable_fp_fusion": False}
"""Fused multiply-adds are chosen kernel by kernel: without them what one kernel counts another finds, to the last bit."""

VARYING = ["entries", "steps", "spans", "items", "mesh_faces", "faces_an_image", "vertices", "h", "w"]
VARYING += ["mesh_edges", "edges_an_image"]
"""Numbers that Triton shall not compile kernels anew for where they happen to be 1 or a multiple of 16."""

AREA_UNIT = 2.0**30
"""Units to a pixel's area in integer sums: finer than float32, and 2^33 layers have room."""

_AREA_UNIT = tl.constexpr(AREA_UNIT)
_EMPTY = tl.constexpr(1e-6)
_FULL = tl.constexpr(1 - 1e-6)


@dataclass(frozen=True, eq=False)
class Contour:
    """The edges of all images, and what both roads will make of those whose faces do not cancel."""

    points: Tensor
    """(b, v, 3) float32."""
    edges: Tensor
    """(m, e, 2) int32 vertex numbers; m: 1 (shared) or b."""
    layers: Tensor
    """(b, e) int32: how many faces more an edge has on its right-hand side (y down) than on its left."""
    ends: Tensor
    """(2, b * e) int64: running sum of the edges' numbers of spans, and on through their numbers of crossings."""
    spans: int
    crossings: int

    @property
    def sizes(self) -> tuple[int, int, int]:
        """edges_an_image, mesh_edges, vertices: by them a kernel finds an edge's mesh and points."""
        return self.edges.shape[1], self.edges.numel() // 2, self.points.shape[1]


@triton.jit
def clamp(t, low, high):
    return tl.minimum(tl.maximum(t, low), high)


@triton.jit
def to_units(area):
    return tl.floor(area * _AREA_UNIT + 0.5).to(tl.int64)


@triton.jit
def find_entry(ends, item, entries, steps, valid):
    """The entry that an item of a list belongs to, by bisection, and which of its items it is.

    ends: running sum of the entries' numbers of items. steps: the bits of `entries`.
    """
    entry = tl.zeros_like(item)
    start = tl.zeros_like(item)
    for i in range(steps):
        ahead = entry + (tl.full((), 1, tl.int64) << (steps - 1 - i))
        within = valid & (ahead <= entries)
        end = tl.load(ends + ahead - 1, mask=within, other=0)
        passed = within & (end <= item)
        entry = tl.where(passed, ahead, entry)
        start = tl.where(passed, end, start)
    return entry, item - start


@triton.jit
def load_ends(points, edges, entry, edges_an_image, mesh_edges, vertices, valid):
    """An edge's two vertices, numbered through all images, and their coordinates on the screen.

    In float64, as on the CPU: an edge may reach far out of the image.
    """
    image = entry // edges_an_image
    pair = edges + entry % mesh_edges * 2
    a = image * vertices + tl.load(pair, mask=valid, other=0)
    b = image * vertices + tl.load(pair + 1, mask=valid, other=0)
    xa = tl.load(points + a * 3, mask=valid, other=0.0).to(tl.float64)
    ya = tl.load(points + a * 3 + 1, mask=valid, other=0.0).to(tl.float64)
    xb = tl.load(points + b * 3, mask=valid, other=0.0).to(tl.float64)
    yb = tl.load(points + b * 3 + 1, mask=valid, other=0.0).to(tl.float64)
    return a, b, xa, ya, xb, yb


@triton.jit
def load_free_gradient(alpha, grad_alpha, image, row, column, h, w, valid):
    """The loss's gradient at pixels that are neither full nor empty, and which these are; others stay as they are."""
    pixel = (image * h + row) * w + column
    valid = valid & (row >= 0) & (row < h) & (column >= 0) & (column < w)
    share = tl.load(alpha + pixel, mask=valid, other=0.0)
    free = valid & (share > _EMPTY) & (share < _FULL)
    return tl.load(grad_alpha + pixel, mask=free, other=0.0).to(tl.float64), free
