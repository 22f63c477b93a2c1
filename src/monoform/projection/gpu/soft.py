"""SoftRas silhouettes on a CUDA device: alpha = 1 - prod over faces of (1 - sigmoid(d / sigma)), as `kernels.soft` has it.

Forward, a program takes a tile of 8 x 8 pixels and multiplies the faces of its list into them, the product in registers.
Backward, a program takes faces: it goes through the pixels each reaches, and the corners' gradients are then added up by
vertex in the order of the faces. No atomics: the same numbers in every run.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from monoform.projection.gpu.binning import (
    BLOCK,
    TILE,
    Bins,
    bin_faces,
    part_of_list,
    parts,
    tile_pixels,
)
from monoform.projection.kernels.soft import LOG2_E, MAX_EXPONENT, MIN_AREA

LARGEST_POWER = tl.constexpr(MAX_EXPONENT * LOG2_E)
"""Deep inside a face the power of 2 is capped: alpha is 1 to the last bit, and moving the face changes nothing."""
FACES = 8
PIXELS = 4
"""Backward, a warp takes 8 faces times 4 of their pixels: a thread has one face, whose edges it works out once, and faces of
ten pixels leave few threads idle."""
MULTIPLY: dict[str, Any] = {"TILE": TILE, "num_warps": 1, "enable_fp_fusion": True}
GATHER: dict[str, Any] = {"FACES": FACES, "PIXELS": PIXELS, "num_warps": 1, "enable_fp_fusion": True}
SUM: dict[str, Any] = {"BLOCK": BLOCK, "num_warps": 4, "enable_fp_fusion": True}


@triton.jit
def _corners(record):
    xa, ya, xb, yb = tl.load(record), tl.load(record + 1), tl.load(record + 2), tl.load(record + 3)
    return xa, ya, xb, yb, tl.load(record + 4), tl.load(record + 5)


@triton.jit
def _to_edge(x, y, xa, ya, ex, ey, per_length2):
    """From the nearest point of an edge to a pixel: where along the edge, the offset, its squared length."""
    dx, dy = x - xa, y - ya
    t = tl.minimum(tl.maximum((dx * ex + dy * ey) * per_length2, 0.0), 1.0)
    qx, qy = dx - t * ex, dy - t * ey
    return t, qx, qy, qx * qx + qy * qy, ex * dy - ey * dx


@triton.jit
def _face(x, y, xa, ya, xb, yb, xc, yc):
    """Every edge's `_to_edge`, and whether the pixels are inside the face."""
    ex0, ey0, ex1, ey1, ex2, ey2 = xb - xa, yb - ya, xc - xb, yc - yb, xa - xc, ya - yc
    per0 = 1.0 / tl.maximum(ex0 * ex0 + ey0 * ey0, 1e-12)
    per1 = 1.0 / tl.maximum(ex1 * ex1 + ey1 * ey1, 1e-12)
    per2 = 1.0 / tl.maximum(ex2 * ex2 + ey2 * ey2, 1e-12)
    turn = tl.where(ex0 * ey1 - ey0 * ex1 > 0, 1.0, -1.0)
    t0, qx0, qy0, d0, n0 = _to_edge(x, y, xa, ya, ex0, ey0, per0)
    t1, qx1, qy1, d1, n1 = _to_edge(x, y, xb, yb, ex1, ey1, per1)
    t2, qx2, qy2, d2, n2 = _to_edge(x, y, xc, yc, ex2, ey2, per2)
    inside = tl.minimum(n0 * turn, tl.minimum(n1 * turn, n2 * turn)) > 0
    return t0, qx0, qy0, d0, t1, qx1, qy1, d1, t2, qx2, qy2, d2, inside


@triton.jit
def _power(distance2, inside, per_sigma):
    """The exponent of 2 in exp(d / sigma); per_sigma is in powers of 2."""
    return tl.minimum(tl.where(inside, distance2, -distance2) * per_sigma, LARGEST_POWER)


# A pixel and face cost some 75 instructions forward, 130 backward. Both kernels keep within 64 registers a thread, so that as
# many programs of one warp as a multiprocessor takes (32) hide each other's loads: a face's corners are 24 bytes that all
# threads of a tile read at once. An image's compulsory traffic is 28 bytes a face and 8 a pixel forward, 88 a face, 24 a
# vertex and 12 a pixel backward.
@triton.jit
def multiply_faces(
    corners, lists, starts, products, total_pixels, face_count, chunks, h, w, tile_rows, tile_columns, parts,
    per_sigma, radius2, TILE: tl.constexpr,
):  # fmt: skip
    """The product of 1 + exp(d / sigma) over one part of a tile's faces."""
    image, tile, part, column, row = tile_pixels(tile_rows, tile_columns, parts, TILE)
    begin, end = part_of_list(starts, tile, part, parts, chunks)
    x, y = column + 0.5, row + 0.5
    records = corners + image * face_count * 9
    product = tl.full([TILE * TILE], 1.0, tl.float32)
    for place in range(begin, end):
        xa, ya, xb, yb, xc, yc = _corners(records + tl.load(lists + place) * 9)
        _, _, _, d0, _, _, _, d1, _, _, _, d2, inside = _face(x, y, xa, ya, xb, yb, xc, yc)
        distance2 = tl.minimum(d0, tl.minimum(d1, d2))
        a = tl.where(inside | (distance2 < radius2), tl.exp2(_power(distance2, inside, per_sigma)), 0.0)
        product = tl.minimum(product * (1.0 + a), 1e30)
    pixel = part * total_pixels + (image * h + row) * w + column
    tl.store(products + pixel, product, mask=(row < h) & (column < w))


@triton.jit
def gather_faces(
    corners, boxes, weight, grad_corners, images, face_count, h, w, parts, per_sigma, radius2,
    FACES: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """Gradient of the corners of FACES faces from one part of their pixels: d alpha / dd = weight * sigmoid(d / sigma)."""
    part = tl.program_id(1)
    blocks = (face_count + FACES - 1) // FACES
    image = (tl.program_id(0) // blocks).to(tl.int64)
    number = (tl.program_id(0) % blocks) * FACES + tl.arange(0, FACES)
    real = number < face_count
    face = tl.where(real, number, 0)[:, None]
    box = boxes + image * face_count * 4 + face
    left, right = tl.load(box), tl.load(box + face_count)
    top, bottom = tl.load(box + 2 * face_count), tl.load(box + 3 * face_count)
    width, size = tl.maximum(right - left, 1), (right - left) * (bottom - top)
    origin = weight + image * h * w + (top * w + left)
    xa, ya, xb, yb, xc, yc = _corners(corners + image * face_count * 9 + face * 9)
    g0 = tl.zeros([FACES, PIXELS], tl.float32)
    g1, g2, g3, g4, g5 = g0, g0, g0, g0, g0
    for first in range(part * PIXELS, tl.max(size), parts * PIXELS):  # pyright: ignore[reportArgumentType]
        pixel = first + tl.arange(0, PIXELS)[None, :]
        row = pixel // width
        column = pixel - row * width
        u = tl.load(origin + row * w + column, mask=pixel < size, other=0.0)
        x, y = left + column + 0.5, top + row + 0.5
        t0, qx0, qy0, d0, t1, qx1, qy1, d1, t2, qx2, qy2, d2, inside = _face(x, y, xa, ya, xb, yb, xc, yc)
        distance2 = tl.minimum(d0, tl.minimum(d1, d2))
        power = _power(distance2, inside, per_sigma)
        a = tl.exp2(power)
        u = tl.where((inside | (distance2 < radius2)) & (power < LARGEST_POWER), u * 2.0 * a / (1.0 + a), 0.0)
        u = tl.where(inside, -u, u)
        u0 = tl.where(d0 <= tl.minimum(d1, d2), u, 0.0)  # only the nearest edge moves the distance
        u1 = tl.where(d1 <= d2, u - u0, 0.0)
        u2 = u - u0 - u1
        g0 += u0 * (1.0 - t0) * qx0 + u2 * t2 * qx2
        g1 += u0 * (1.0 - t0) * qy0 + u2 * t2 * qy2
        g2 += u1 * (1.0 - t1) * qx1 + u0 * t0 * qx0
        g3 += u1 * (1.0 - t1) * qy1 + u0 * t0 * qy0
        g4 += u2 * (1.0 - t2) * qx2 + u1 * t1 * qx1
        g5 += u2 * (1.0 - t2) * qy2 + u1 * t1 * qy1
    place = grad_corners + (part * images + image) * face_count * 6 + number * 6
    tl.store(place, tl.sum(g0, 1), mask=real)
    tl.store(place + 1, tl.sum(g1, 1), mask=real)
    tl.store(place + 2, tl.sum(g2, 1), mask=real)
    tl.store(place + 3, tl.sum(g3, 1), mask=real)
    tl.store(place + 4, tl.sum(g4, 1), mask=real)
    tl.store(place + 5, tl.sum(g5, 1), mask=real)


@triton.jit
def gather_vertices(
    grad_corners, order, starts, grad_xy, vertex_count, corner_count, order_stride, starts_stride, BLOCK: tl.constexpr
):  # fmt: skip
    """Sum the corners' gradients by vertex, always in the order of the faces: one thread a vertex, however many it has."""
    blocks = (vertex_count + BLOCK - 1) // BLOCK
    image = (tl.program_id(0) // blocks).to(tl.int64)
    vertex = (tl.program_id(0) % blocks) * BLOCK + tl.arange(0, BLOCK)
    real = vertex < vertex_count
    first = starts + image * starts_stride + vertex
    begin = tl.load(first, mask=real, other=0)
    count = tl.load(first + 1, mask=real, other=0) - begin
    listed = order + image * order_stride + begin
    x = tl.zeros([BLOCK], tl.float32)
    y = tl.zeros([BLOCK], tl.float32)
    for i in range(0, tl.max(count, 0)):  # pyright: ignore[reportArgumentType]
        corner = tl.load(listed + i, mask=i < count, other=0)
        place = grad_corners + image * corner_count * 2 + corner * 2
        x += tl.load(place, mask=i < count, other=0.0)
        y += tl.load(place + 1, mask=i < count, other=0.0)
    place = grad_xy + image * vertex_count * 2 + vertex * 2
    tl.store(place, x, mask=real)
    tl.store(place + 1, y, mask=real)


@dataclass(frozen=True, eq=False)
class Saved:
    """What `backward` needs from `forward`."""

    bins: Bins
    faces: Tensor
    vertex_count: int
    per_sigma: float
    radius2: float
    transmittance: Tensor


def forward(points: Tensor, faces: Tensor, h: int, w: int, sigma: float, blur_radius: float) -> tuple[Tensor, Saved]:
    """SoftRas alpha of every pixel.

    points: (b, v, 3) [x_px, y_px, depth]; faces: (f, 3), or (1, f, 3) or (b, f, 3) where rows with a negative index are
    absent. Faces with a vertex at depth <= 0 or not finite are left out: clip before. sigma and blur_radius: squared
    distances where the image's shorter side is 2 long. Returns alpha (b, h, w) float32 and what `backward` needs.
    """
    pixels2 = (min(h, w) / 2) ** 2
    per_sigma, radius2 = 1 / (sigma * pixels2), blur_radius * pixels2
    bins = bin_faces(points, faces, h, w, math.sqrt(radius2), MIN_AREA * pixels2)
    batch, face_count = bins.corners.shape[:2]
    products = points.new_empty(bins.parts, batch, h, w, dtype=torch.float32)
    with torch.cuda.device_of(points):
        multiply_faces[(bins.count * bins.parts,)](
            bins.corners, bins.lists, bins.starts, products, batch * h * w, face_count, bins.chunks, h, w, *bins.tiles,
            bins.parts, per_sigma * LOG2_E, radius2, **MULTIPLY,
        )  # fmt: skip
    transmittance = 1 / products.prod(0)
    return 1 - transmittance, Saved(bins, faces, points.shape[1], per_sigma, radius2, transmittance)


def backward(saved: Saved, grad_alpha: Tensor) -> Tensor:
    """Gradient (b, v, 2) float32 with respect to the points' x_px and y_px of a loss whose gradient by alpha is given."""
    bins, vertex_count = saved.bins, saved.vertex_count
    batch, face_count = bins.corners.shape[:2]
    h, w = saved.transmittance.shape[1:]
    weight = grad_alpha.float() * saved.transmittance * saved.per_sigma
    programs = batch * triton.cdiv(face_count, FACES)
    share = parts(programs, max(1, h * w // (16 * PIXELS)))
    grad_corners = weight.new_empty(share, batch, face_count, 6)
    grad_xy = weight.new_empty(batch, vertex_count, 2)
    order, starts = corners_by_vertex(saved.faces, vertex_count)
    meshes = len(order) > 1
    with torch.cuda.device_of(weight):
        gather_faces[(programs, share)](
            bins.corners, bins.boxes, weight.contiguous(), grad_corners, batch, face_count, h, w, share,
            saved.per_sigma * LOG2_E, saved.radius2, **GATHER,
        )  # fmt: skip
        gather_vertices[(batch * triton.cdiv(vertex_count, BLOCK),)](
            grad_corners.sum(0), order, starts, grad_xy, vertex_count, face_count * 3,
            face_count * 3 * meshes, (vertex_count + 1) * meshes, **SUM,
        )  # fmt: skip
    return grad_xy


def corners_by_vertex(faces: Tensor, vertex_count: int) -> tuple[Tensor, Tensor]:
    """Which corners of the faces (#b, f, 3) are each vertex: order (#b, 3 f), and where in it each begins (#b, v + 1)."""
    faces = faces[None] if faces.ndim == 2 else faces
    named, order = torch.sort(faces.int().flatten(1), dim=1, stable=True)
    vertices = torch.arange(vertex_count + 1, dtype=torch.int32, device=faces.device).expand(len(named), -1)
    return order, torch.searchsorted(named, vertices.contiguous())
