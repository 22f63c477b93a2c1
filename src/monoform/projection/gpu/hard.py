"""Z-buffer on a CUDA device: which face is seen at each pixel's centre, how deep, and where on the face.

A program takes a tile of 8 x 8 pixels and goes through the faces of its list in ascending order, the nearest in registers.
An edge is the same product of differences for both faces beside it, but for the sign, and products and sums round one by
one: neighbours leave no crack. Faces at the same depth: the lower face id.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from monoform.projection.gpu.binning import BLOCK, TILE, bin_faces, part_of_list, tile_pixels

SMALLEST_TOTAL = tl.constexpr(1e-12)
"""Twice the area, in square pixels, from which a face is drawn."""
FIND: dict[str, Any] = {"TILE": TILE, "num_warps": 1, "enable_fp_fusion": False}
LOCATE: dict[str, Any] = {"BLOCK": BLOCK, "num_warps": 4, "enable_fp_fusion": False}


@triton.jit
def _weigh(record, x, y, real):
    """Barycentrics on the screen, positive inside, their sum before they were divided by it, and 1 / depth of the corners."""
    xa, ya = tl.load(record, mask=real, other=0.0) - x, tl.load(record + 1, mask=real, other=0.0) - y
    xb, yb = tl.load(record + 2, mask=real, other=0.0) - x, tl.load(record + 3, mask=real, other=0.0) - y
    xc, yc = tl.load(record + 4, mask=real, other=0.0) - x, tl.load(record + 5, mask=real, other=0.0) - y
    wa, wb, wc = xb * yc - yb * xc, xc * ya - yc * xa, xa * yb - ya * xb
    total = wa + wb + wc
    drawn = tl.abs(total) >= SMALLEST_TOTAL
    per_total = 1.0 / tl.where(drawn, total, 1.0)
    # A depth that is not a normal number would have no finite inverse.
    na = 1.0 / tl.maximum(tl.load(record + 6, mask=real, other=1.0), 1e-37)
    nb = 1.0 / tl.maximum(tl.load(record + 7, mask=real, other=1.0), 1e-37)
    nc = 1.0 / tl.maximum(tl.load(record + 8, mask=real, other=1.0), 1e-37)
    return wa * per_total, wb * per_total, wc * per_total, drawn, na, nb, nc


# A pixel and face cost some 70 instructions, in 51 registers a thread: as many programs of one warp as a multiprocessor takes
# (32) hide each other's loads. An image's compulsory traffic is 40 bytes a face and 20 bytes a pixel.
@triton.jit
def find_faces(
    corners, lists, starts, nearness, face_id, total_pixels, face_count, chunks, h, w, tile_rows, tile_columns, parts,
    TILE: tl.constexpr,
):  # fmt: skip
    """The nearest face at every pixel of a tile among one part of its faces. Nearness is 1/depth, linear on the screen."""
    image, tile, part, column, row = tile_pixels(tile_rows, tile_columns, parts, TILE)
    begin, end = part_of_list(starts, tile, part, parts, chunks)
    x, y = column + 0.5, row + 0.5
    records = corners + image * face_count * 9
    nearest = tl.zeros([TILE * TILE], tl.float32)
    seen = tl.full([TILE * TILE], -1, tl.int32)
    for place in range(begin, end):
        face = tl.load(lists + place)
        wa, wb, wc, drawn, na, nb, nc = _weigh(records + face * 9, x, y, face >= 0)
        hit = drawn & (tl.minimum(wa, tl.minimum(wb, wc)) >= 0)
        near = wa * na + wb * nb + wc * nc
        closer = hit & (near > nearest)
        nearest = tl.where(closer, near, nearest)
        seen = tl.where(closer, face, seen)
    pixel = part * total_pixels + (image * h + row) * w + column
    real = (row < h) & (column < w)
    tl.store(nearness + pixel, nearest, mask=real)
    tl.store(face_id + pixel, seen, mask=real)


@triton.jit
def locate(
    corners, nearness, found, face_id, depth, barycentric, total_pixels, pixels, face_count, w, parts, BLOCK: tl.constexpr
):  # fmt: skip
    """The nearest of the parts' faces, and perspective-correct barycentrics and depth on it."""
    pixel = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = pixel < total_pixels
    nearest = tl.zeros([BLOCK], tl.float32)
    face = tl.full([BLOCK], -1, tl.int32)
    at = pixel
    for _ in range(0, parts):
        near = tl.load(nearness + at, mask=real, other=0.0)
        closer = near > nearest
        face = tl.where(closer, tl.load(found + at, mask=real, other=-1), face)
        nearest = tl.where(closer, near, nearest)
        at += total_pixels
    image = pixel // pixels
    within = pixel - image * pixels
    x, y = (within % w).to(tl.float32) + 0.5, (within // w).to(tl.float32) + 0.5
    record = corners + (image * face_count + face) * 9
    full = real & (face >= 0)
    wa, wb, wc, _, na, nb, nc = _weigh(record, x, y, full)
    wa, wb, wc = tl.maximum(wa, 0.0) * na, tl.maximum(wb, 0.0) * nb, tl.maximum(wc, 0.0) * nc
    z = 1.0 / tl.where(full, wa + wb + wc, 1.0)
    tl.store(face_id + pixel, face, mask=real)
    tl.store(depth + pixel, tl.where(full, z, float("inf")), mask=real)
    tl.store(barycentric + pixel * 3, tl.where(full, wa * z, 0.0), mask=real)
    tl.store(barycentric + pixel * 3 + 1, tl.where(full, wb * z, 0.0), mask=real)
    tl.store(barycentric + pixel * 3 + 2, tl.where(full, wc * z, 0.0), mask=real)


def rasterise(points: Tensor, faces: Tensor, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw `faces` with a z-buffer.

    points: (b, v, 3) [x_px, y_px, depth], camera depth, centre of pixel (i, j) at (j + 0.5, i + 0.5). faces: (f, 3), or
    (1, f, 3) or (b, f, 3) where rows with a negative index are absent; either winding. A face with a vertex at depth <= 0 or
    not finite is left out: clip before. Returns face_id (b, h, w) int32, -1 where empty; depth (b, h, w) float32, inf where
    empty; and perspective-correct barycentrics (b, h, w, 3) float32, 0 where empty.
    """
    bins = bin_faces(points, faces, h, w, 0.0, 0.0)
    batch, face_count = bins.corners.shape[:2]
    nearness = bins.corners.new_empty(bins.parts, batch, h, w)
    found = bins.lists.new_empty(bins.parts, batch, h, w)
    face_id, depth = torch.empty_like(found[0]), torch.empty_like(nearness[0])
    barycentric = nearness.new_empty(batch, h, w, 3)
    pixels = batch * h * w
    with torch.cuda.device_of(points):
        find_faces[(bins.count * bins.parts,)](
            bins.corners, bins.lists, bins.starts, nearness, found, pixels, face_count, bins.chunks, h, w, *bins.tiles,
            bins.parts, **FIND,
        )  # fmt: skip
        locate[(triton.cdiv(pixels, BLOCK),)](
            bins.corners, nearness, found, face_id, depth, barycentric, pixels, h * w, face_count, w, bins.parts,
            **LOCATE,
        )  # fmt: skip
    return face_id, depth, barycentric
