"""Which faces reach which tile of the image, so that a tile's program visits its own faces only.

Three passes without atomics: count the faces of every (tile, chunk of faces), add the counts up, and write every chunk's
faces to its place. A tile's list is therefore ascending, and the same in every run. Faces are binned however few they are:
for a hundred the passes cost about as much as starting their kernels, and every mesh takes the same path.

Memory an image: 52 bytes a face, 12 bytes a pixel at most (a tile has as many pixels as there may be chunks), and 4 bytes
for each pair of a tile and a face that reaches it.
"""

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 8
"""Pixels along a tile. Faces of fine meshes are a few pixels wide; in 16 x 16 most of a tile's pixels would be idle work."""
MAX_CHUNKS = 64
FACES = 128
"""Faces that a program of 128 threads compares with its tiles at once."""
COLUMNS = 16
"""Tiles beside each other that a program compares faces with: 16 comparisons a thread, in some 60 registers."""
BLOCK = 128
"""Threads of a program of the kernels that give every face, vertex or pixel a thread of its own."""
# Triton's options by name: how many warps a program has, and whether a product and a sum are one instruction that rounds
# once. Not so here: whether a face is too small to draw must not depend on who asks.
DESCRIBE: dict[str, Any] = {"BLOCK": BLOCK, "num_warps": 4, "enable_fp_fusion": False}
STRIP: dict[str, Any] = {"TILE": TILE, "FACES": FACES, "COLUMNS": COLUMNS, "num_warps": 4, "enable_fp_fusion": False}
PROGRAMS = 2048
"""As many programs as keep a large GPU busy: some 130 multiprocessors with 16 warps each."""


@dataclass(frozen=True, eq=False)
class Bins:
    """The faces of a batch, and of every tile the list of those that reach it."""

    corners: Tensor
    """(b, f, 9) float32: x, y of the three corners, then their depths. Side by side, so that a face is two cache sectors."""
    boxes: Tensor
    """(b, 4, f) int32: pixels [left, right), [top, bottom) that the face reaches, all 0 where there is nothing to draw."""
    lists: Tensor
    """(n,) int32: faces, tile after tile, image after image, ascending within a tile."""
    starts: Tensor
    """(b * tiles * chunks + 1,) int64: where in `lists` each chunk of each tile begins."""
    tiles: tuple[int, int]
    """Rows and columns of tiles."""
    chunks: int

    @property
    def count(self) -> int:
        """Tiles of the whole batch."""
        return self.corners.shape[0] * self.tiles[0] * self.tiles[1]

    @property
    def parts(self) -> int:
        """In how many parts to go through a tile's list side by side, when there are too few tiles to fill the device."""
        return parts(self.count, 16)


def parts(programs: int, limit: int) -> int:
    """Into how many parts to split each program's work so that PROGRAMS run, a power of two of at most `limit`."""
    wanted = min(limit, PROGRAMS // max(programs, 1))
    return 1 << (max(wanted, 1).bit_length() - 1)


@triton.jit
def describe_faces(
    points, faces, corners, boxes, face_count, mesh_stride, vertex_count, h, w, radius, min_area, BLOCK: tl.constexpr
):  # fmt: skip
    """Gather every face's corners and find the box of pixels it reaches. 100 bytes a face, some 80 operations."""
    blocks = (face_count + BLOCK - 1) // BLOCK
    image = (tl.program_id(0) // blocks).to(tl.int64)
    number = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    real = number < face_count
    row = faces + image * mesh_stride + number * 3
    a = tl.load(row, mask=real, other=-1)
    b = tl.load(row + 1, mask=real, other=-1)
    c = tl.load(row + 2, mask=real, other=-1)
    present = (tl.minimum(tl.minimum(a, b), c) >= 0) & (tl.maximum(tl.maximum(a, b), c) < vertex_count)
    vertices = points + image * vertex_count * 3
    xa = tl.load(vertices + a * 3, mask=present, other=0.0)
    ya = tl.load(vertices + a * 3 + 1, mask=present, other=0.0)
    za = tl.load(vertices + a * 3 + 2, mask=present, other=0.0)
    xb = tl.load(vertices + b * 3, mask=present, other=0.0)
    yb = tl.load(vertices + b * 3 + 1, mask=present, other=0.0)
    zb = tl.load(vertices + b * 3 + 2, mask=present, other=0.0)
    xc = tl.load(vertices + c * 3, mask=present, other=0.0)
    yc = tl.load(vertices + c * 3 + 1, mask=present, other=0.0)
    zc = tl.load(vertices + c * 3 + 2, mask=present, other=0.0)

    # In sixteenths the sum of nine finite numbers is finite; a NaN fails every comparison.
    size = tl.abs(xa) / 16 + tl.abs(ya) / 16 + tl.abs(xb) / 16 + tl.abs(yb) / 16 + tl.abs(xc) / 16 + tl.abs(yc) / 16
    size += tl.abs(za) / 16 + tl.abs(zb) / 16 + tl.abs(zc) / 16
    seen = present & (za > 0) & (zb > 0) & (zc > 0) & (size < 1e18 / 16)
    xa, ya, za = tl.where(seen, xa, 0.0), tl.where(seen, ya, 0.0), tl.where(seen, za, 0.0)
    xb, yb, zb = tl.where(seen, xb, 0.0), tl.where(seen, yb, 0.0), tl.where(seen, zb, 0.0)
    xc, yc, zc = tl.where(seen, xc, 0.0), tl.where(seen, yc, 0.0), tl.where(seen, zc, 0.0)
    seen &= tl.abs((xb - xa) * (yc - yb) - (yb - ya) * (xc - xb)) > min_area

    left = tl.ceil(tl.minimum(tl.minimum(xa, xb), xc) - radius - 0.5)
    right = tl.floor(tl.maximum(tl.maximum(xa, xb), xc) + radius - 0.5) + 1
    top = tl.ceil(tl.minimum(tl.minimum(ya, yb), yc) - radius - 0.5)
    bottom = tl.floor(tl.maximum(tl.maximum(ya, yb), yc) + radius - 0.5) + 1
    left, right = tl.maximum(left, 0.0), tl.minimum(right, w * 1.0)
    top, bottom = tl.maximum(top, 0.0), tl.minimum(bottom, h * 1.0)
    seen &= (left < right) & (top < bottom)
    box = boxes + image * face_count * 4 + number
    tl.store(box, tl.where(seen, left, 0.0).to(tl.int32), mask=real)
    tl.store(box + face_count, tl.where(seen, right, 0.0).to(tl.int32), mask=real)
    tl.store(box + 2 * face_count, tl.where(seen, top, 0.0).to(tl.int32), mask=real)
    tl.store(box + 3 * face_count, tl.where(seen, bottom, 0.0).to(tl.int32), mask=real)
    record = corners + image * face_count * 9 + number * 9
    tl.store(record, xa, mask=real)
    tl.store(record + 1, ya, mask=real)
    tl.store(record + 2, xb, mask=real)
    tl.store(record + 3, yb, mask=real)
    tl.store(record + 4, xc, mask=real)
    tl.store(record + 5, yc, mask=real)
    tl.store(record + 6, za, mask=real)
    tl.store(record + 7, zb, mask=real)
    tl.store(record + 8, zc, mask=real)


@triton.jit
def _strip(tile_rows, strips_across, chunks, COLUMNS: tl.constexpr):
    """The image, row of tiles, first tile in it and chunk of faces of this program."""
    strip = tl.program_id(0) // chunks
    line = strip // strips_across
    image = line // tile_rows
    chunk = tl.program_id(0) - strip * chunks
    return image.to(tl.int64), line - image * tile_rows, (strip - line * strips_across) * COLUMNS, chunk


@triton.jit
def _in_row(box, face, face_count, row, TILE: tl.constexpr):
    """Which of some faces reach a row of tiles."""
    top = tl.load(box + 2 * face_count + face, mask=face < face_count, other=0)
    bottom = tl.load(box + 3 * face_count + face, mask=face < face_count, other=0)
    return (bottom > row * TILE) & (top < (row + 1) * TILE)


@triton.jit
def _touched(box, face, face_count, in_row, tile, TILE: tl.constexpr):
    """Which of the faces of a row of tiles reach which tile in it, (faces, tiles) of 0 and 1."""
    left = tl.load(box + face, mask=in_row, other=0)[:, None]
    right = tl.load(box + face_count + face, mask=in_row, other=0)[:, None]
    edge = (tile * TILE)[None, :]
    return ((right > edge) & (left < edge + TILE)).to(tl.int32)


@triton.jit
def count_faces(
    boxes, counts, face_count, chunk_size, chunks, tile_rows, tile_columns, strips_across,
    TILE: tl.constexpr, FACES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """How many faces of a chunk reach each tile of a strip."""
    image, row, column, chunk = _strip(tile_rows, strips_across, chunks, COLUMNS)
    tile = column + tl.arange(0, COLUMNS)
    box = boxes + image * face_count * 4
    count = tl.zeros([COLUMNS], tl.int32)
    for first in range(chunk * chunk_size, tl.minimum((chunk + 1) * chunk_size, face_count), FACES):
        face = first + tl.arange(0, FACES)
        in_row = _in_row(box, face, face_count, row, TILE)
        # Mostly none is: faces that follow each other lie close together.
        if tl.max(in_row.to(tl.int32), 0) > 0:  # pyright: ignore[reportOperatorIssue]
            count += tl.sum(_touched(box, face, face_count, in_row, tile, TILE), 0)
    place = counts + ((image * tile_rows + row) * tile_columns + tile) * chunks + chunk
    tl.store(place, count, mask=tile < tile_columns)


@triton.jit
def list_faces(
    boxes, starts, lists, face_count, chunk_size, chunks, tile_rows, tile_columns, strips_across,
    TILE: tl.constexpr, FACES: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write the faces of a chunk that reach each tile of a strip, ascending, from `starts` on."""
    image, row, column, chunk = _strip(tile_rows, strips_across, chunks, COLUMNS)
    tile = column + tl.arange(0, COLUMNS)
    box = boxes + image * face_count * 4
    place = starts + ((image * tile_rows + row) * tile_columns + tile) * chunks + chunk
    next_free = tl.load(place, mask=tile < tile_columns, other=0)
    for first in range(chunk * chunk_size, tl.minimum((chunk + 1) * chunk_size, face_count), FACES):
        face = first + tl.arange(0, FACES)
        in_row = _in_row(box, face, face_count, row, TILE)
        if tl.max(in_row.to(tl.int32), 0) > 0:  # pyright: ignore[reportOperatorIssue]
            hit = _touched(box, face, face_count, in_row, tile, TILE)
            at = lists + (next_free[None, :] + tl.cumsum(hit, 0) - 1)
            numbers = tl.broadcast_to(face[:, None], [FACES, COLUMNS])
            tl.store(at, numbers, mask=(hit > 0) & (tile < tile_columns)[None, :])
            next_free += tl.sum(hit, 0)


@triton.jit
def tile_pixels(tile_rows, tile_columns, parts, TILE: tl.constexpr):
    """The image, tile (counted through the batch), part of its list, and pixels (TILE * TILE) of this program."""
    tile = tl.program_id(0) // parts
    image = tile // (tile_rows * tile_columns)
    within = tile - image * (tile_rows * tile_columns)
    pixel = tl.arange(0, TILE * TILE)
    x = (within % tile_columns) * TILE + pixel % TILE
    y = (within // tile_columns) * TILE + pixel // TILE
    return image.to(tl.int64), tile.to(tl.int64), (tl.program_id(0) - tile * parts).to(tl.int64), x, y


@triton.jit
def part_of_list(starts, tile, part, parts, chunks):
    """[begin, end) in `lists` of one of the consecutive parts of a tile's list."""
    begin = tl.load(starts + tile * chunks)
    length = tl.load(starts + (tile + 1) * chunks) - begin
    return begin + length * part // parts, begin + length * (part + 1) // parts


def bin_faces(points: Tensor, faces: Tensor, h: int, w: int, radius: float, min_area: float) -> Bins:
    """List the faces that reach each tile of h x w pixels.

    points: (b, v, 3) float32 [x_px, y_px, depth]; faces: (f, 3), (1, f, 3) or (b, f, 3), rows with a negative index absent.
    radius: pixels that a face reaches beyond its border; min_area: twice the area in square pixels that it must pass.
    Waits for the device once, to learn how long the lists are.
    """
    points, faces = _checked(points, faces)
    batch, vertex_count = points.shape[:2]
    face_count = faces.shape[1]
    corners = points.new_empty(batch, face_count, 9)
    boxes = faces.new_empty(batch, 4, face_count)
    tiles = (triton.cdiv(h, TILE), triton.cdiv(w, TILE))
    chunk_size = FACES * max(1, triton.cdiv(face_count, FACES * MAX_CHUNKS))
    chunks = max(1, triton.cdiv(face_count, chunk_size))
    strips_across = triton.cdiv(tiles[1], COLUMNS)
    counts = faces.new_empty(batch * tiles[0] * tiles[1] * chunks)
    starts = torch.zeros(len(counts) + 1, dtype=torch.int64, device=points.device)
    grid = (batch * tiles[0] * strips_across * chunks,)
    sizes = (face_count, chunk_size, chunks, *tiles, strips_across)
    with torch.cuda.device_of(points):
        describe_faces[(batch * triton.cdiv(face_count, BLOCK),)](
            points, faces, corners, boxes, face_count, face_count * 3 * (len(faces) > 1), vertex_count, h, w,
            radius, min_area, **DESCRIBE,
        )  # fmt: skip
        count_faces[grid](boxes, counts, *sizes, **STRIP)
        torch.cumsum(counts, 0, out=starts[1:])
        largest = faces.amax() if faces.numel() else starts.new_tensor(-1)
        length, largest = torch.stack([starts[-1], largest.long()]).tolist()
        if largest >= vertex_count:
            raise ValueError(f"a face names a vertex outside 0..{vertex_count - 1}")
        lists = faces.new_empty(length)
        list_faces[grid](boxes, starts, lists, *sizes, **STRIP)
    return Bins(corners, boxes, lists, starts, tiles, chunks)


def _checked(points: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
    faces = faces[None] if faces.ndim == 2 else faces
    if points.ndim != 3 or points.shape[2] != 3 or faces.ndim != 3 or faces.shape[2] != 3:
        raise ValueError(
            f"points (b, v, 3) and faces (#b, f, 3) are needed, not {(*points.shape,)} and {(*faces.shape,)}"
        )
    if len(faces) not in (1, len(points)):
        raise ValueError(f"{len(faces)} sets of faces for {len(points)} images")
    return points.detach().float().contiguous(), faces.int().contiguous()
