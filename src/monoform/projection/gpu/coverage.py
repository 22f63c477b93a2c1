"""Coverage on the GPU: the twin of `kernels.coverage`, all images of a batch at once, each with its own mesh if need be.

`spans.py` draws images of closed meshes and `union.py` all others, both into one sum of areas. Sums are taken in integers
(areas in `AREA_UNIT`, gradients relative to the largest incoming one): added in any order they give the same bits, and the
differences within a row add up to nothing exactly, so that no trace is left outside.

Bytes moved an image of h x w pixels with f faces, v vertices and e edges (if closed: v = f / 2, e = 1.5 f), each array once:
faces 12 f, vertices 12 v, orientations 2 f, edges 64 e with their running sums, pixels 20 h w (zeroed 8, read 8, written 4):
116 f + 20 h w. Backward: pixels 4 h w, vertices 72 v: 36 f + 4 h w. n spans, 1 to 2 a pixel of the contour's length, cost 64 n
each way; what they load by bisection stays in the caches. At 5,120 faces and 128 px that is 0.9 and 0.25 MB, or 0.3 and
0.1 us at 3.35 TB/s. The compiled kernels spend some 1,000 instructions on a span or an edge, of them 150 and 100 in float64:
8 million, or 0.3 us at the 30 T/s that an H100 issues. The union road adds 350 bytes for each of its crossings (264 of them
the sort in 8 passes); an edge of 1 px has about 2.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from monoform.projection.gpu.edges import AREA_UNIT, BLOCK, LAUNCH, VARYING, Contour, clamp, load_ends
from monoform.projection.gpu.spans import add_span_gradients, add_spans, count_spans
from monoform.projection.gpu.union import Outline, add_outline, add_outline_gradient, count_crossings, find_outline
from monoform.projection.kernels.coverage import Topology

GRADIENT_UNITS = 2.0**36
"""Units to the largest incoming gradient of an image. No span or crossing adds more, and 2^27 of them have room at a vertex."""

TILE: dict[str, Any] = {"ROWS": 4, "COLUMNS": 128, "num_warps": 4}
"""Of `_sum_rows`."""

_PER_AREA_UNIT = tl.constexpr(1 / AREA_UNIT)


@dataclass(frozen=True, eq=False)
class Packed:
    """The topologies of a batch on the device, filled up to equal numbers of faces and edges. m: 1 (shared) or the batch."""

    faces: Tensor
    """(m, f, 3) int32 vertex numbers; -1: no face."""
    edges: Tensor
    """(m, e, 2) int32 vertex numbers."""
    first: Tensor
    """(m * e + 1,) int32: where the faces at each edge begin in `incidence`."""
    incidence: Tensor
    """(n,) int32, of all meshes: face + 1, negative where the face runs through the edge backwards."""
    closed: Tensor
    """(m,) int8: whether the mesh is closed and consistently wound."""


@dataclass(frozen=True, eq=False)
class Saved:
    """What `backward` needs from `forward`."""

    contour: Contour
    outline: Outline | None
    alpha: Tensor


@lru_cache(maxsize=8)
def _pack(topologies: tuple[Topology, ...], closed: tuple[bool, ...], device: torch.device) -> Packed:
    """The last few batches' topologies stay on the device, as a fit draws the same meshes over and over."""
    meshes = len(topologies)
    faces = np.full((meshes, max(len(mesh.faces) for mesh in topologies), 3), -1, np.int32)
    edges = np.zeros((meshes, max(len(mesh.edges) for mesh in topologies), 2), np.int32)
    start = np.cumsum([0, *(len(mesh.incidence) for mesh in topologies)])
    first = np.repeat(start[1:, None], edges.shape[1], axis=1)
    for i, mesh in enumerate(topologies):
        faces[i, : len(mesh.faces)] = mesh.faces
        edges[i, : len(mesh.edges)] = mesh.edges
        first[i, : len(mesh.edges)] = mesh.first[:-1] + start[i]
    first = np.append(first, start[-1]).astype(np.int32)
    incidence = np.concatenate([mesh.incidence for mesh in topologies])
    arrays = (faces, edges, first, incidence, np.array(closed, np.int8))
    return Packed(*(torch.from_numpy(array).to(device) for array in arrays))


# ------------------------------------------------------------------------------------------------ contour edges


@triton.jit(do_not_specialize=VARYING)
def _orient(points, faces, side, closed, entries, faces_an_image, mesh_faces, vertices, BLOCK: tl.constexpr):
    """side (b, f) = -1 or +1, each face's orientation on the screen; 0 if it can not be drawn, and its image is not closed."""
    entry = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = entry < entries
    image = entry // faces_an_image
    corner = faces + entry % mesh_faces * 3
    a = tl.load(corner, mask=valid, other=-1)
    valid = valid & (a >= 0)
    place_a = points + (image * vertices + a) * 3
    place_b = points + (image * vertices + tl.load(corner + 1, mask=valid, other=0)) * 3
    place_c = points + (image * vertices + tl.load(corner + 2, mask=valid, other=0)) * 3
    xa, xb, xc = tl.load(place_a, valid, 0.0), tl.load(place_b, valid, 0.0), tl.load(place_c, valid, 0.0)
    ya, yb, yc = tl.load(place_a + 1, valid, 0.0), tl.load(place_b + 1, valid, 0.0), tl.load(place_c + 1, valid, 0.0)
    za, zb, zc = tl.load(place_a + 2, valid, 0.0), tl.load(place_b + 2, valid, 0.0), tl.load(place_c + 2, valid, 0.0)
    ahead = (za > 0.0) & (zb > 0.0) & (zc > 0.0)
    size = tl.abs(xa) + tl.abs(ya) + tl.abs(xb) + tl.abs(yb) + tl.abs(xc) + tl.abs(yc) + za + zb + zc
    drawable = ahead & (size < 1e18)  # a NaN fails every comparison
    double_area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
    turn = tl.where(drawable, tl.where(double_area < 0.0, -1, 1), 0).to(tl.int8)
    tl.store(side + entry, turn, mask=valid)
    tl.store(closed + image, tl.zeros_like(turn), mask=valid & (turn == 0))


@triton.jit(do_not_specialize=VARYING)
def _count_pieces(
    points, edges, first, incidence, side, closed, layers, counts,
    entries, faces_an_image, edges_an_image, mesh_edges, vertices, h, w, BLOCK: tl.constexpr
):  # fmt: skip
    """Each edge's layers, and counts (2, b * e): its spans if its image is closed, else its crossings."""
    entry = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    valid = entry < entries
    image = entry // edges_an_image
    start = tl.load(first + entry % mesh_edges, mask=valid, other=0)
    stop = tl.load(first + entry % mesh_edges + 1, mask=valid, other=0)
    total = tl.zeros((BLOCK,), tl.int32)
    for i in range(tl.max(stop - start, 0)):  # pyright: ignore[reportArgumentType]
        here = valid & (start + i < stop)
        face = tl.load(incidence + start + i, mask=here, other=1)
        turn = tl.load(side + image * faces_an_image + tl.abs(face) - 1, mask=here, other=0).to(tl.int32)
        total += tl.where(face > 0, turn, -turn)
    listed = valid & (total != 0)
    is_closed = tl.load(closed + image, mask=listed, other=0) != 0
    _, _, xa, ya, xb, yb = load_ends(points, edges, entry, edges_an_image, mesh_edges, vertices, listed)
    spans = tl.where(listed & is_closed, count_spans(xa, ya, xb, yb, h, w), 0)
    crossings = tl.where(listed & (is_closed == 0), count_crossings(xa, ya, xb, yb, h, w), 0)
    tl.store(layers + entry, total, mask=valid)
    tl.store(counts + entry, spans, mask=valid)
    tl.store(counts + entries + entry, crossings, mask=valid)


def _find_contour(points: Tensor, packed: Packed, h: int, w: int) -> Contour:
    batch, vertices, faces_an_image = len(points), points.shape[1], packed.faces.shape[1]
    layers = points.new_empty(batch, packed.edges.shape[1], dtype=torch.int32)
    entries = layers.numel()
    if not entries:
        return Contour(points, packed.edges, layers, layers.new_zeros(2, 0, dtype=torch.int64), 0, 0)
    side = points.new_empty(batch, faces_an_image, dtype=torch.int8)
    closed = packed.closed.expand(batch).clone()
    counts = layers.new_empty(2 * entries, dtype=torch.int64)
    _orient[(triton.cdiv(side.numel(), BLOCK),)](
        points, packed.faces, side, closed, side.numel(), faces_an_image, packed.faces.numel() // 3,
        vertices, **LAUNCH
    )  # fmt: skip
    _count_pieces[(triton.cdiv(entries, BLOCK),)](
        points, packed.edges, packed.first, packed.incidence, side, closed, layers, counts, entries,
        faces_an_image, packed.edges.shape[1], packed.edges.numel() // 2, vertices, h, w, **LAUNCH
    )  # fmt: skip
    ends = counts.cumsum(0).reshape(2, entries)  # summed as one row: PyTorch gives each of a few rows a single block
    spans, pieces = ends[:, -1].tolist()
    return Contour(points, packed.edges, layers, ends, spans, pieces - spans)


# ------------------------------------------------------------------------------------------------ forward and backward


@triton.jit(do_not_specialize=VARYING)
def _sum_rows(area, alpha, items, w, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Sums along the rows, clamped to [0, 1]."""
    row = (tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS))[:, None]
    before = tl.zeros((ROWS, 1), tl.int64)
    for start in range(0, w, COLUMNS):
        column = (start + tl.arange(0, COLUMNS))[None, :]
        valid = (row < items) & (column < w)
        change = tl.load(area + row * (w + 2) + column, mask=valid, other=0)
        share = (before + tl.cumsum(change, 1)).to(tl.float32) * _PER_AREA_UNIT
        tl.store(alpha + row * w + column, clamp(share, 0.0, 1.0), mask=valid)
        before += tl.sum(change, 1, keep_dims=True)


def forward(points: Tensor, topologies: Sequence[Topology], h: int, w: int) -> tuple[Tensor, Saved]:
    """Covered share of every pixel.

    points: (b, v, 3) [x_px, y_px, depth], centre of pixel (i, j) at (j + 0.5, i + 0.5). topologies: one, or one an image.
    Faces with a vertex at depth <= 0 or not finite are left out: clip before. Returns alpha (b, h, w) float32 in [0, 1], the
    same bits for the same input, and what `backward` needs. Waits for the device, to learn how many pieces there are.
    """
    if len(topologies) not in (1, len(points)):
        raise ValueError(f"{len(topologies)} meshes for {len(points)} images; give one, or one an image")
    if max(mesh.vertices_needed for mesh in topologies) > points.shape[1]:
        raise ValueError(f"a face names a vertex outside 0..{points.shape[1] - 1}")
    points = points.detach().to(torch.float32).contiguous()
    with torch.cuda.device_of(points):
        packed = _pack(tuple(topologies), tuple(mesh.closed for mesh in topologies), points.device)
        contour = _find_contour(points, packed, h, w)
        area = points.new_zeros(len(points), h, w + 2, dtype=torch.int64)
        if contour.spans:
            add_spans(contour, area)
        outline = None
        if contour.crossings:
            outline = find_outline(contour, h, w)
            add_outline(contour, outline, area)
        alpha = points.new_empty(len(points), h, w)
        rows = len(points) * h
        if rows:
            _sum_rows[(triton.cdiv(rows, TILE["ROWS"]),)](area, alpha, rows, w, **TILE)
    return alpha, Saved(contour, outline, alpha)


def backward(saved: Saved, grad_alpha: Tensor) -> Tensor:
    """Gradient (b, v, 2) float32 with respect to the points' x_px and y_px of a loss whose gradient by alpha is given.

    The same bits for the same input. Not finite in an image whose incoming gradient is not.
    """
    contour, points = saved.contour, saved.contour.points
    grad_points = points.new_zeros(*points.shape[:2], 2, dtype=torch.int64)
    if not contour.spans and saved.outline is None:
        return grad_points.float()
    grad_alpha = grad_alpha.detach().to(torch.float32).contiguous()
    largest = torch.linalg.vector_norm(grad_alpha, torch.inf, (1, 2)).double()
    units = torch.where(largest == 0, 1.0, GRADIENT_UNITS / largest)
    with torch.cuda.device_of(points):
        if contour.spans:
            add_span_gradients(contour, saved.alpha, grad_alpha, units, grad_points)
        if saved.outline is not None:
            add_outline_gradient(contour, saved.outline, saved.alpha, grad_alpha, units, grad_points)
    return (grad_points / units[:, None, None]).float()
