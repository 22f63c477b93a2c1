"""The closed road of `coverage` on the GPU: signed areas right of contour edges, and their gradient.

No lane walks along an edge, as the longest would hold up its neighbours. An edge is cut into *spans* instead: at the rows it
crosses if it is steep, else at the columns. A span crosses at most one line of the other axis, so that it is two pieces in
two pixels. Spans are counted an edge and numbered by a running sum, and each lane has one of them. Where a flat edge runs
left of the image it still covers what lies right of it: that part is cut at the rows.
"""

import triton
import triton.language as tl
from torch import Tensor

from monoform.projection.gpu.edges import (
    AREA_UNIT,
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

_PER_AREA_UNIT = tl.constexpr(1 / AREA_UNIT)


# ------------------------------------------------------------------------------------------------ where spans are


@triton.jit
def _cells_between(a, b, cells):
    """The first of the unit cells that two coordinates span, and how many there are."""
    low, high = clamp(tl.minimum(a, b), 0.0, cells), clamp(tl.maximum(a, b), 0.0, cells)
    count = tl.where(low < high, tl.ceil(high) - tl.floor(low), 0.0)
    return tl.floor(low).to(tl.int64), count.to(tl.int64)


@triton.jit
def _cut_into_spans(xa, ya, xb, yb, h, w):
    """Of an edge's part left of the image, then of the rest: begin, end (0 to 1 along it), first row or column, number.

    A steep edge has no left part of its own.
    """
    dx, dy = xb - xa, yb - ya
    level = dy == 0.0
    per_y = 1.0 / tl.where(level, 1.0, dy)
    at_top, at_bottom = -ya * per_y, (h - ya) * per_y
    in_rows = (ya >= 0.0) & (ya < h)
    begin = tl.where(level, 0.0, clamp(tl.minimum(at_top, at_bottom), 0.0, 1.0))
    end = tl.where(level, tl.where(in_rows, 1.0, 0.0), clamp(tl.maximum(at_top, at_bottom), 0.0, 1.0))

    steep = tl.abs(dy) >= tl.abs(dx)
    per_x = 1.0 / tl.where(steep, 1.0, dx)
    at_left, at_right = clamp(-xa * per_x, begin, end), clamp((w - xa) * per_x, begin, end)
    left_begin, left_end = tl.where(dx > 0.0, begin, at_left), tl.where(dx > 0.0, at_left, end)
    middle_begin = tl.where(steep, begin, tl.minimum(at_left, at_right))
    middle_end = tl.where(steep, end, tl.maximum(at_left, at_right))

    left_first, left = _cells_between(ya + left_begin * dy, ya + left_end * dy, h)
    row, rows = _cells_between(ya + middle_begin * dy, ya + middle_end * dy, h)
    column, columns = _cells_between(xa + middle_begin * dx, xa + middle_end * dx, w)
    left = tl.where(steep, 0, left)
    rows = tl.where(tl.minimum(xa, xb) < w, rows, 0)
    first, middle = tl.where(steep, row, column), tl.where(steep, rows, columns)
    return left_begin, left_end, left_first, left, middle_begin, middle_end, first, middle


@triton.jit
def count_spans(xa, ya, xb, yb, h, w):
    _, _, _, left, _, _, _, middle = _cut_into_spans(xa, ya, xb, yb, h, w)
    return left + middle


@triton.jit
def _span(k, xa, ya, xb, yb, h, w):
    """Span k of an edge: where along the edge it begins, where it changes pixels, and where it ends."""
    left_begin, left_end, left_first, left, begin, end, first, _ = _cut_into_spans(xa, ya, xb, yb, h, w)
    dx, dy = xb - xa, yb - ya
    is_left = k < left
    by_row = is_left | (tl.abs(dy) >= tl.abs(dx))
    begin, end = tl.where(is_left, left_begin, begin), tl.where(is_left, left_end, end)
    cell = tl.where(is_left, left_first + k, first + k - left).to(tl.float64)
    ua, du = tl.where(by_row, ya, xa), tl.where(by_row, dy, dx)
    va, dv = tl.where(by_row, xa, ya), tl.where(by_row, dx, dy)
    per_u = 1.0 / tl.where(du == 0.0, 1.0, du)
    enter, leave = (cell - ua) * per_u, (cell + 1.0 - ua) * per_u
    t0, t1 = clamp(tl.minimum(enter, leave), begin, end), clamp(tl.maximum(enter, leave), begin, end)
    v0, v1 = va + t0 * dv, va + t1 * dv
    line = tl.floor(tl.minimum(v0, v1)) + 1.0
    crosses = line < tl.maximum(v0, v1)  # more than one line of columns left of the image, where they do not matter
    cut = tl.where(crosses, clamp((line - va) / tl.where(dv == 0.0, 1.0, dv), t0, t1), t1)
    return t0, cut, t1


@triton.jit
def _load_span(points, edges, layers, ends, item, entries, steps, edges_an_image, mesh_edges, vertices, h, w, valid):
    """Image, vertices, start and direction of a span's edge, with its faces to the right (y down); begin, cut and end."""
    entry, k = find_entry(ends, item, entries, steps, valid)
    a, b, xa, ya, xb, yb = load_ends(points, edges, entry, edges_an_image, mesh_edges, vertices, valid)
    swap = tl.load(layers + entry, mask=valid, other=0) < 0
    a, b = tl.where(swap, b, a), tl.where(swap, a, b)
    xa, ya, xb, yb = tl.where(swap, xb, xa), tl.where(swap, yb, ya), tl.where(swap, xa, xb), tl.where(swap, ya, yb)
    t0, cut, t1 = _span(k, xa, ya, xb, yb, h, w)
    return entry // edges_an_image, a, b, xa, ya, xb - xa, yb - ya, t0, cut, t1


@triton.jit
def _find_pixel(t0, t1, xa, ya, dx, dy, h, w):
    """The pixel of a piece of an edge (column -1: left of the image; w: right), and the x of its middle."""
    x, y = xa + 0.5 * (t0 + t1) * dx, ya + 0.5 * (t0 + t1) * dy
    row = tl.floor(clamp(y, 0.0, h - 1)).to(tl.int64)
    return row, tl.floor(clamp(x, -1.0, w)).to(tl.int64), x


# ------------------------------------------------------------------------------------------------ area


@triton.jit
def _add_piece(area, image, t0, t1, xa, ya, dx, dy, h, w, valid):
    """Add the signed area right of a piece. Its ends are rounded, not its height: so heights that meet add up exactly."""
    row, column, x = _find_pixel(t0, t1, xa, ya, dx, dy, h, w)
    height = to_units(ya + t0 * dy) - to_units(ya + t1 * dy)
    inside = tl.where(column < 0, 0.0, x - column)
    after = to_units(height.to(tl.float64) * inside * _PER_AREA_UNIT)
    cell = (image * h + row) * (w + 2) + tl.maximum(column, 0)
    valid = valid & (column < w) & (height != 0)
    tl.atomic_add(area + cell, height - after, mask=valid, sem="relaxed")
    tl.atomic_add(area + cell + 1, after, mask=valid, sem="relaxed")


@triton.jit(do_not_specialize=VARYING)
def _add_spans(
    points, edges, layers, ends, area, spans, entries, steps, edges_an_image, mesh_edges, vertices, h, w, BLOCK: tl.constexpr
):  # fmt: skip
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = item < spans
    image, _, _, xa, ya, dx, dy, t0, cut, t1 = _load_span(
        points, edges, layers, ends, item, entries, steps, edges_an_image, mesh_edges, vertices, h, w, valid
    )
    _add_piece(area, image, t0, cut, xa, ya, dx, dy, h, w, valid)
    _add_piece(area, image, cut, t1, xa, ya, dx, dy, h, w, valid & (cut < t1))


def add_spans(contour: Contour, area: Tensor) -> None:
    """Add the signed area right of all spans to `area` (b, h, w + 2) int64, in `AREA_UNIT`s, as differences along rows."""
    entries, h, w = contour.layers.numel(), area.shape[1], area.shape[2] - 2
    _add_spans[(triton.cdiv(contour.spans, BLOCK),)](
        contour.points, contour.edges, contour.layers, contour.ends, area,
        contour.spans, entries, entries.bit_length(), *contour.sizes, h, w, **LAUNCH
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------ gradient


@triton.jit(do_not_specialize=VARYING)
def _add_span_gradients(
    points, edges, layers, ends, alpha, grad_alpha, units, grad_points,
    spans, entries, steps, edges_an_image, mesh_edges, vertices, h, w, BLOCK: tl.constexpr
):  # fmt: skip
    """A piece that moves by (ux, uy) uncovers (ux dy - uy dx) of its pixel: integrate that along every contour edge."""
    item = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = item < spans
    image, a, b, xa, ya, dx, dy, t0, cut, t1 = _load_span(
        points, edges, layers, ends, item, entries, steps, edges_an_image, mesh_edges, vertices, h, w, valid
    )
    row, column, _ = _find_pixel(t0, cut, xa, ya, dx, dy, h, w)
    g0, free0 = load_free_gradient(alpha, grad_alpha, image, row, column, h, w, valid)
    row, column, _ = _find_pixel(cut, t1, xa, ya, dx, dy, h, w)
    g1, free1 = load_free_gradient(alpha, grad_alpha, image, row, column, h, w, valid & (cut < t1))
    free = free0 | free1
    unit = tl.load(units + image, mask=free, other=0.0)
    g0, g1 = g0 * unit * (cut - t0), g1 * unit * (t1 - cut)
    late = 0.5 * (g0 * (t0 + cut) + g1 * (cut + t1))
    early = g0 + g1 - late
    tl.atomic_add(grad_points + a * 2, (early * dy).to(tl.int64), mask=free, sem="relaxed")
    tl.atomic_add(grad_points + a * 2 + 1, (-early * dx).to(tl.int64), mask=free, sem="relaxed")
    tl.atomic_add(grad_points + b * 2, (late * dy).to(tl.int64), mask=free, sem="relaxed")
    tl.atomic_add(grad_points + b * 2 + 1, (-late * dx).to(tl.int64), mask=free, sem="relaxed")


def add_span_gradients(contour: Contour, alpha: Tensor, grad_alpha: Tensor, units: Tensor, grad_points: Tensor) -> None:
    """Add the gradient of `add_spans` to `grad_points` (b, v, 2) int64, in `units` (b,) to 1."""
    entries, (_, h, w) = contour.layers.numel(), alpha.shape
    _add_span_gradients[(triton.cdiv(contour.spans, BLOCK),)](
        contour.points, contour.edges, contour.layers, contour.ends, alpha, grad_alpha, units, grad_points,
        contour.spans, entries, entries.bit_length(), *contour.sizes, h, w, **LAUNCH
    )  # fmt: skip
