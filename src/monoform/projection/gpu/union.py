"""The union road of `coverage` on the GPU: the outline of all faces of open or inconsistently wound meshes.

The idea is that of `kernels.union`; the order of work is another, as no lane shall wait for a longer one. Every crossing of a
contour edge with a sample line is one item of one list: counted an edge, numbered by a running sum, written by a lane each,
then sorted by image, line and place. One running sum of the layers that they open gives the depth behind every crossing, as
every line begins and ends outside all faces. The few that border the union are kept: they make the area, and its gradient
later needs nothing else.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from monoform.projection.gpu.edges import (
    BLOCK,
    LAUNCH,
    VARYING,
    Contour,
    clamp,
    find_entry,
    load_ends,
    load_free_gradient,
    to_units,
)
from monoform.projection.kernels.union import SUB

SORT_UNIT = 2**20
"""Units to a sub-pixel where crossings are sorted (and there alone): finer than float32 places points."""

PLACE_BITS = 36
"""Of the 63 bits of a sort key, those of the place along the line; the others are the line's."""

_SORT_UNIT = tl.constexpr(float(SORT_UNIT))
_PLACE_BITS = tl.constexpr(PLACE_BITS)
_SUB = tl.constexpr(SUB)


@dataclass(frozen=True, eq=False)
class Outline:
    """Where the sample lines of all images enter and leave the union."""

    edge: Tensor
    """(n,) int64: image * edges an image + edge."""
    line: Tensor
    """(n,) int64: image * SUB * (h + w) + sub-row, or + SUB * h + sub-column."""
    begins: Tensor
    """(n,) bool: whether the union begins here (else it ends)."""


# ------------------------------------------------------------------------------------------------ crossings


@triton.jit
def _lines_between(a, b, lines):
    """The first of the sample lines between two coordinates, and how many there are."""
    first = clamp(tl.ceil(tl.minimum(a, b) * _SUB - 0.5), 0.0, lines)
    end = clamp(tl.ceil(tl.maximum(a, b) * _SUB - 0.5), 0.0, lines)
    return first.to(tl.int64), (end - first).to(tl.int64)


@triton.jit
def count_crossings(xa, ya, xb, yb, h, w):
    _, rows = _lines_between(ya, yb, h * _SUB)
    _, columns = _lines_between(xa, xb, w * _SUB)
    return rows + columns


@triton.jit
def _meet_line(by_row, line, xa, ya, xb, yb):
    """Where a sub-row (or sub-column) meets an edge: in pixels along the line, and along the edge (0 to 1, from a).

    Reckoned from the end that is first across the lines (returns whether that is b), so that edges that lie on each other
    are met at one place.
    """
    ua, va = tl.where(by_row, xa, ya), tl.where(by_row, ya, xa)
    ub, vb = tl.where(by_row, xb, yb), tl.where(by_row, yb, xb)
    swap = va > vb
    ua, va, ub, vb = tl.where(swap, ub, ua), tl.where(swap, vb, va), tl.where(swap, ua, ub), tl.where(swap, va, vb)
    share = ((line + 0.5) / _SUB - va) / tl.where(va < vb, vb - va, 1.0)
    return ua + share * (ub - ua), tl.where(swap, 1.0 - share, share), swap


@triton.jit(do_not_specialize=VARYING)
def _write_crossings(
    points, edges, layers, ends, key, owner, opens,
    spans, items, entries, steps, edges_an_image, mesh_edges, vertices, h, w, BLOCK: tl.constexpr
):  # fmt: skip
    """Of each crossing its edge, the layers that open there, and a key to sort by: image and line, then place along it."""
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = item < items
    entry, k = find_entry(ends, spans + item, 2 * tl.cast(entries, tl.int64), steps, valid)
    entry -= entries
    _, _, xa, ya, xb, yb = load_ends(points, edges, entry, edges_an_image, mesh_edges, vertices, valid)
    top, rows = _lines_between(ya, yb, h * _SUB)
    left, _ = _lines_between(xa, xb, w * _SUB)
    by_row = k < rows
    line = tl.where(by_row, top + k, left + k - rows)
    place, _, swap = _meet_line(by_row, line, xa, ya, xb, yb)
    opened = tl.load(layers + entry, mask=valid, other=0)
    opened = tl.where(by_row != swap, -opened, opened)
    place = clamp(place, -1.0, tl.where(by_row, w, h).to(tl.float64)) + 1.0
    order = tl.floor(place * _SUB * _SORT_UNIT + 0.5).to(tl.int64)
    number = entry // edges_an_image * (_SUB * (h + w)) + tl.where(by_row, line, line + _SUB * h)
    tl.store(key + item, (number << _PLACE_BITS) + order, mask=valid)
    tl.store(owner + item, entry, mask=valid)
    tl.store(opens + item, opened, mask=valid)


def find_outline(contour: Contour, h: int, w: int) -> Outline:
    """The outline of the union in all images. Waits for the device, to learn how long it is."""
    images = len(contour.points)
    if (max(h, w) + 2) * SUB * SORT_UNIT >= 2**PLACE_BITS or images * SUB * (h + w) >= 2 ** (63 - PLACE_BITS):
        raise ValueError(f"{images} images of {h} x {w} px are too large to sort their crossings")
    key, owner = contour.points.new_empty(2, contour.crossings, dtype=torch.int64)
    opens = contour.points.new_empty(contour.crossings, dtype=torch.int32)
    entries = contour.layers.numel()
    _write_crossings[(triton.cdiv(contour.crossings, BLOCK),)](
        contour.points, contour.edges, contour.layers, contour.ends, key, owner, opens, contour.spans, contour.crossings,
        entries, (2 * entries).bit_length(), *contour.sizes, h, w, **LAUNCH
    )  # fmt: skip
    key, order = torch.sort(key, stable=True)
    opens = opens[order]
    depth = opens.cumsum(0, dtype=torch.int32)
    begins, closes = depth == opens, depth == 0
    border = (begins != closes).nonzero()[:, 0]
    return Outline(owner[order[border]], key[border] >> PLACE_BITS, begins[border])


# ------------------------------------------------------------------------------------------------ area and gradient


@triton.jit
def _load_crossing(points, edges, edge, line, edges_an_image, mesh_edges, vertices, h, w, item, valid):
    """Of a crossing: image, its edge's vertices and direction, whether its line is a sub-row, and the line's number.

    Then whether lines of this axis place the edge exactly, where along the line they meet, in pixels, and where on the edge.
    """
    entry = tl.load(edge + item, mask=valid, other=0)
    number = tl.load(line + item, mask=valid, other=0) % (_SUB * (h + w))
    a, b, xa, ya, xb, yb = load_ends(points, edges, entry, edges_an_image, mesh_edges, vertices, valid)
    by_row = number < _SUB * h
    number = tl.where(by_row, number, number - _SUB * h)
    exact = (tl.abs(yb - ya) >= tl.abs(xb - xa)) == by_row
    place, share, _ = _meet_line(by_row, number, xa, ya, xb, yb)
    return entry // edges_an_image, a, b, xb - xa, yb - ya, by_row, number, exact, place, share


@triton.jit(do_not_specialize=VARYING)
def _add_outline(
    points, edges, edge, line, begins, area, items, edges_an_image, mesh_edges, vertices, h, w, BLOCK: tl.constexpr
):  # fmt: skip
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = item < items
    sign = tl.where(tl.load(begins + item, mask=valid, other=0) != 0, 1.0, -1.0).to(tl.float64)
    image, _, _, _, _, by_row, number, exact, place, _ = _load_crossing(
        points, edges, edge, line, edges_an_image, mesh_edges, vertices, h, w, item, valid
    )
    sample = tl.ceil(place * _SUB - 0.5) / _SUB

    x = clamp(tl.where(exact, place, sample), 0.0, w)
    column = tl.floor(x).to(tl.int64)
    here = to_units(sign * (1.0 - (x - column)) / _SUB)
    after = to_units(sign / _SUB) - here

    # The rows have counted an edge that the columns place exactly as if it were at `sample`.
    correct = exact & (place >= 0.0) & (place < h)
    change = to_units(sign * (sample - place) / _SUB)
    row = tl.floor(clamp(place, 0.0, h - 1)).to(tl.int64)

    row, column = tl.where(by_row, number // _SUB, row), tl.where(by_row, column, number // _SUB)
    cell = (image * h + row) * (w + 2) + column
    valid = valid & (by_row | correct)
    tl.atomic_add(area + cell, tl.where(by_row, here, change), mask=valid, sem="relaxed")
    tl.atomic_add(area + cell + 1, tl.where(by_row, after, -change), mask=valid, sem="relaxed")


def add_outline(contour: Contour, outline: Outline, area: Tensor) -> None:
    """Add the union's area to `area` (b, h, w + 2) int64, in `AREA_UNIT`s, as differences along rows."""
    items, h, w = len(outline.edge), area.shape[1], area.shape[2] - 2
    if items:
        _add_outline[(triton.cdiv(items, BLOCK),)](
            contour.points, contour.edges, outline.edge, outline.line, outline.begins, area,
            items, *contour.sizes, h, w, **LAUNCH
        )  # fmt: skip


@triton.jit(do_not_specialize=VARYING)
def _add_outline_gradient(
    points, edges, edge, line, begins, alpha, grad_alpha, units, grad_points,
    items, edges_an_image, mesh_edges, vertices, h, w, BLOCK: tl.constexpr
):  # fmt: skip
    """An outline crossing that moves by d along its line changes its pixel by d / SUB."""
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = item < items
    begins_here = tl.load(begins + item, mask=valid, other=0) != 0
    image, a, b, dx, dy, by_row, number, exact, place, share = _load_crossing(
        points, edges, edge, line, edges_an_image, mesh_edges, vertices, h, w, item, valid
    )
    along = tl.floor(clamp(place, -1.0, tl.maximum(h, w))).to(tl.int64)
    row, column = tl.where(by_row, number // _SUB, along), tl.where(by_row, along, number // _SUB)
    g, free = load_free_gradient(alpha, grad_alpha, image, row, column, h, w, valid & exact)
    g *= tl.load(units + image, mask=free, other=0.0) / _SUB
    g = tl.where(begins_here, -g, g)
    across = tl.where(by_row, dy, dx)
    slope = tl.where(by_row, dx, dy) / tl.where(across != 0.0, across, 1.0)
    axis = tl.where(by_row, 0, 1)
    at_a, at_b = g * (1.0 - share), g * share
    tl.atomic_add(grad_points + a * 2 + axis, at_a.to(tl.int64), mask=free, sem="relaxed")
    tl.atomic_add(grad_points + b * 2 + axis, at_b.to(tl.int64), mask=free, sem="relaxed")
    tl.atomic_add(grad_points + a * 2 + 1 - axis, (-at_a * slope).to(tl.int64), mask=free, sem="relaxed")
    tl.atomic_add(grad_points + b * 2 + 1 - axis, (-at_b * slope).to(tl.int64), mask=free, sem="relaxed")


def add_outline_gradient(
    contour: Contour, outline: Outline, alpha: Tensor, grad_alpha: Tensor, units: Tensor, grad_points: Tensor
) -> None:
    """Add the gradient of `add_outline` to `grad_points` (b, v, 2) int64, in `units` (b,) to 1."""
    items, (_, h, w) = len(outline.edge), alpha.shape
    if items:
        _add_outline_gradient[(triton.cdiv(items, BLOCK),)](
            contour.points, contour.edges, outline.edge, outline.line, outline.begins,
            alpha, grad_alpha, units, grad_points, items, *contour.sizes, h, w, **LAUNCH
        )  # fmt: skip
