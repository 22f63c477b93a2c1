"""SoftRas silhouettes: alpha = 1 - prod over faces of (1 - sigmoid(d / sigma)), d the signed squared distance to the face.

The product does not depend on the order of the faces, so nothing is sorted and none is dropped: every face within the blur
radius counts. The image is kept in blocks of 4 x 4 pixels, sixteen neighbours in memory, which the compiler turns into vector
instructions. Per pixel the product of (1 + exp(d / sigma)) is kept; the gradient needs nothing else.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from monoform.projection.kernels import threads
from monoform.projection.kernels.hard import FAST, _drawable, checked

f4 = np.float32
MIN_AREA = 1e-8
"""Faces of less than half this area, where the image's shorter side is 2 long, are left out (as PyTorch3D does)."""
MAX_EXPONENT = 16.0
"""Deep inside a face exp(d / sigma) is capped: alpha is 1 to the last bit, and the product stays finite."""


@intrinsic
def _as_float(typing_context, bits):
    """The float32 whose bits are those of an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(inline="always", fastmath=True)
def _exp(x):
    """exp for -87 < x < 87 without a branch, to 2e-6: the whole power of 2 into the exponent, a polynomial for the rest."""
    y = x * f4(1.4426950408889634)
    whole = np.int32(y + f4(127.0)) - np.int32(127)
    rest = y - f4(whole)
    p = f4(1.8775767e-3)
    p = p * rest + f4(8.9893397e-3)
    p = p * rest + f4(5.5826318e-2)
    p = p * rest + f4(2.4015361e-1)
    p = p * rest + f4(6.9315308e-1)
    p = p * rest + f4(9.9999994e-1)
    return p * _as_float((whole + np.int32(127)) << np.int32(23))  # pyright: ignore[reportCallIssue] (an intrinsic)


@njit(inline="always", fastmath=True)
def _low(a, b):
    return a if a < b else b


@njit(inline="always", fastmath=True)
def _high(a, b):
    return a if a > b else b


@njit(inline="always", fastmath=True)
def _to_edge(dx, dy, ex, ey, inverse_length2):
    """From the nearest point of an edge to a pixel: where along the edge, the offset, its squared length."""
    t = _low(_high((dx * ex + dy * ey) * inverse_length2, f4(0)), f4(1))
    qx, qy = dx - t * ex, dy - t * ey
    return t, qx, qy, qx * qx + qy * qy


@njit(inline="always", fastmath=True)
def _exponential(distance2, inside, per_sigma, limit):
    """exp(d / sigma), 0 beyond the blur radius."""
    e = distance2 * per_sigma
    e = _low(e, f4(MAX_EXPONENT)) if inside else -e
    a = _exp(_high(e, f4(-30.0)))
    return a if e > limit else f4(0)


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _multiply_blocks(product, x_range, y_range, blocks_x, corners, per_sigma, limit):
    """Multiply one face's 1 + exp(d / sigma) into the blocks it reaches."""
    x0, y0, x1, y1, x2, y2 = corners
    ex0, ey0, ex1, ey1, ex2, ey2 = x1 - x0, y1 - y0, x2 - x1, y2 - y1, x0 - x2, y0 - y2
    il0 = f4(1) / _high(ex0 * ex0 + ey0 * ey0, f4(1e-12))
    il1 = f4(1) / _high(ex1 * ex1 + ey1 * ey1, f4(1e-12))
    il2 = f4(1) / _high(ex2 * ex2 + ey2 * ey2, f4(1e-12))
    s = f4(1) if ex0 * ey1 - ey0 * ex1 > 0 else f4(-1)
    for by in range(y_range[0], y_range[1]):
        for bx in range(x_range[0], x_range[1]):
            start = np.uint64((by * blocks_x + bx) * 16)
            for i in range(16):
                px = f4(4 * bx) + f4(0.5) + f4(np.int32(i & 3))
                py = f4(4 * by) + f4(0.5) + f4(np.int32(i >> 2))
                dx0, dy0, dx1, dy1, dx2, dy2 = px - x0, py - y0, px - x1, py - y1, px - x2, py - y2
                _, _, _, d0 = _to_edge(dx0, dy0, ex0, ey0, il0)
                _, _, _, d1 = _to_edge(dx1, dy1, ex1, ey1, il1)
                _, _, _, d2 = _to_edge(dx2, dy2, ex2, ey2, il2)
                c = _low(s * (ex0 * dy0 - ey0 * dx0), _low(s * (ex1 * dy1 - ey1 * dx1), s * (ex2 * dy2 - ey2 * dx2)))
                a = _exponential(_low(d0, _low(d1, d2)), c > f4(0), per_sigma, limit)
                product[start + np.uint64(i)] = _low(product[start + np.uint64(i)] * (f4(1) + a), f4(1e30))


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _gather_blocks(weight, active, x_range, y_range, blocks_x, corners, per_sigma, limit):
    """Gradient of one face's corners (6 numbers): d alpha / dd = weight * sigmoid(d / sigma), summed over its pixels."""
    x0, y0, x1, y1, x2, y2 = corners
    ex0, ey0, ex1, ey1, ex2, ey2 = x1 - x0, y1 - y0, x2 - x1, y2 - y1, x0 - x2, y0 - y2
    il0 = f4(1) / _high(ex0 * ex0 + ey0 * ey0, f4(1e-12))
    il1 = f4(1) / _high(ex1 * ex1 + ey1 * ey1, f4(1e-12))
    il2 = f4(1) / _high(ex2 * ex2 + ey2 * ey2, f4(1e-12))
    s = f4(1) if ex0 * ey1 - ey0 * ex1 > 0 else f4(-1)
    g0x, g0y, g1x, g1y, g2x, g2y = f4(0), f4(0), f4(0), f4(0), f4(0), f4(0)
    for by in range(y_range[0], y_range[1]):
        for bx in range(x_range[0], x_range[1]):
            if active[np.uint64(by * blocks_x + bx)] == 0:
                continue
            start = np.uint64((by * blocks_x + bx) * 16)
            for i in range(16):
                px = f4(4 * bx) + f4(0.5) + f4(np.int32(i & 3))
                py = f4(4 * by) + f4(0.5) + f4(np.int32(i >> 2))
                dx0, dy0, dx1, dy1, dx2, dy2 = px - x0, py - y0, px - x1, py - y1, px - x2, py - y2
                t0, qx0, qy0, d0 = _to_edge(dx0, dy0, ex0, ey0, il0)
                t1, qx1, qy1, d1 = _to_edge(dx1, dy1, ex1, ey1, il1)
                t2, qx2, qy2, d2 = _to_edge(dx2, dy2, ex2, ey2, il2)
                c = _low(s * (ex0 * dy0 - ey0 * dx0), _low(s * (ex1 * dy1 - ey1 * dx1), s * (ex2 * dy2 - ey2 * dx2)))
                inside = c > f4(0)
                a = _exponential(_low(d0, _low(d1, d2)), inside, per_sigma, limit)
                g = f4(2) * weight[start + np.uint64(i)] * (a / (f4(1) + a))
                g = -g if inside else g
                w0 = g if d0 <= _low(d1, d2) else f4(0)  # only the nearest edge moves the distance
                w1 = g - w0 if d1 <= d2 else f4(0)
                w2 = g - w0 - w1
                u0, u1, u2 = w0 * t0, w1 * t1, w2 * t2
                v0, v1, v2 = w0 - u0, w1 - u1, w2 - u2
                g0x += v0 * qx0 + u2 * qx2
                g0y += v0 * qy0 + u2 * qy2
                g1x += v1 * qx1 + u0 * qx0
                g1y += v1 * qy1 + u0 * qy0
                g2x += v2 * qx2 + u1 * qx1
                g2y += v2 * qy2 + u1 * qy1
    return g0x, g0y, g1x, g1y, g2x, g2y


@njit(inline="always", error_model="numpy", fastmath=FAST)
def _corners(points, a, b, c):
    return points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]


@njit(inline="always", error_model="numpy", fastmath=FAST)
def _block_range(p0, p1, p2, radius, size, low, high):
    """Blocks (begin, end) within [low, high) that hold a pixel centre within `radius` of the span of three coordinates."""
    begin = min(p0, p1, p2) - radius - f4(0.5)
    end = max(p0, p1, p2) + radius - f4(0.5)
    if not (end >= f4(0) and begin <= f4(size - 1)):
        return 0, 0
    first = np.int32(max(begin + f4(1), f4(0))) >> 2
    last = np.int32(min(end, f4(size - 1))) >> 2
    return max(first, low), min(last + 1, high)


@njit(inline="always", error_model="numpy", fastmath=FAST)
def _visible(points, a, b, c, min_area):
    x0, y0, x1, y1, x2, y2 = _corners(points, a, b, c)
    if not _drawable(x0, y0, points[a, 2], x1, y1, points[b, 2], x2, y2, points[c, 2]):
        return False
    return abs((x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)) > min_area


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_blocks(points, faces, row_start, row_stop, per_sigma, radius2, transmittance, alpha):
    """Rows of blocks [row_start, row_stop) of one image."""
    height, width = alpha.shape
    blocks_x = (width + 3) // 4
    radius, limit = f4(math.sqrt(radius2)), f4(-radius2 * per_sigma)
    min_area = f4(MIN_AREA * (0.5 * min(height, width)) ** 2)
    transmittance[row_start * blocks_x * 16 : row_stop * blocks_x * 16] = f4(1)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        y_range = _block_range(points[a, 1], points[b, 1], points[c, 1], radius, height, row_start, row_stop)
        if y_range[0] >= y_range[1]:
            continue
        x_range = _block_range(points[a, 0], points[b, 0], points[c, 0], radius, width, 0, blocks_x)
        if x_range[0] >= x_range[1] or not _visible(points, a, b, c, min_area):
            continue
        _multiply_blocks(
            transmittance, x_range, y_range, blocks_x, _corners(points, a, b, c), f4(per_sigma), limit
        )  # fmt: skip
    for by in range(row_start, row_stop):
        for bx in range(blocks_x):
            start = (by * blocks_x + bx) * 16
            for i in range(16):
                transmittance[start + i] = f4(1) / transmittance[start + i]
                row, column = by * 4 + (i >> 2), bx * 4 + (i & 3)
                if row < height and column < width:
                    alpha[row, column] = f4(1) - transmittance[start + i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_images(points, faces, start, stop, per_sigma, radius2, transmittance, alpha):
    for image in range(start, stop):
        _forward_blocks(
            points[image], faces, 0, (alpha.shape[1] + 3) // 4, per_sigma, radius2, transmittance[image], alpha[image]
        )


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _weigh(transmittance, grad_alpha, per_sigma, weight, active):
    """weight = dL/dalpha * (1 - alpha) / sigma in block order; active: blocks where it is not 0 everywhere."""
    height, width = grad_alpha.shape
    blocks_x = (width + 3) // 4
    for block in range(len(active)):
        active[block] = 0
        for i in range(16):
            row, column = (block // blocks_x) * 4 + (i >> 2), (block % blocks_x) * 4 + (i & 3)
            w = f4(0)
            if row < height and column < width:
                w = grad_alpha[row, column] * transmittance[block * 16 + i] * f4(per_sigma)
            weight[block * 16 + i] = w
            if abs(w) > f4(1e-20):
                active[block] = 1


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_faces(points, faces, start, stop, size, per_sigma, radius2, weight, active, grad_corners):
    """Gradient of every face's corners for faces [start, stop) of one image."""
    height, width = size
    blocks_x, blocks_y = (width + 3) // 4, (height + 3) // 4
    radius, limit = f4(math.sqrt(radius2)), f4(-radius2 * per_sigma)
    min_area = f4(MIN_AREA * (0.5 * min(height, width)) ** 2)
    for face in range(start, stop):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        grad_corners[face] = f4(0)
        y_range = _block_range(points[a, 1], points[b, 1], points[c, 1], radius, height, 0, blocks_y)
        x_range = _block_range(points[a, 0], points[b, 0], points[c, 0], radius, width, 0, blocks_x)
        if y_range[0] >= y_range[1] or x_range[0] >= x_range[1] or not _visible(points, a, b, c, min_area):
            continue
        g = _gather_blocks(
            weight, active, x_range, y_range, blocks_x, _corners(points, a, b, c), f4(per_sigma), limit
        )  # fmt: skip
        for i in range(6):
            grad_corners[face, i] = g[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _gather_vertices(faces, grad_corners, grad_points):
    """Sum the corners' gradients by vertex, always in the order of the faces."""
    grad_points[:] = f4(0)
    for face in range(faces.shape[0]):
        for corner in range(3):
            vertex = faces[face, corner]
            grad_points[vertex, 0] += grad_corners[face, 2 * corner]
            grad_points[vertex, 1] += grad_corners[face, 2 * corner + 1]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_images(points, faces, start, stop, per_sigma, radius2, transmittance, grad_alpha, grad_points):
    size = (grad_alpha.shape[1], grad_alpha.shape[2])
    weight = np.empty(transmittance.shape[1], np.float32)
    active = np.empty(transmittance.shape[1] // 16, np.uint8)
    corners = np.empty((faces.shape[0], 6), np.float32)
    for image in range(start, stop):
        _weigh(transmittance[image], grad_alpha[image], per_sigma, weight, active)
        _backward_faces(
            points[image], faces, 0, faces.shape[0], size, per_sigma, radius2, weight, active, corners
        )  # fmt: skip
        _gather_vertices(faces, corners, grad_points[image])


@dataclass(frozen=True, eq=False)
class Saved:
    """What `backward` needs from `forward`."""

    points: np.ndarray
    faces: np.ndarray
    size_hw: tuple[int, int]
    per_sigma: float
    radius2: float
    transmittance: np.ndarray


def forward(
    points: np.ndarray, faces: np.ndarray, h: int, w: int, *, sigma: float = 1e-4, blur_radius: float | None = None
) -> tuple[np.ndarray, Saved]:
    """SoftRas alpha of every pixel.

    points: (b, v, 3) [x_px, y_px, depth]; faces: (f, 3). Faces with a vertex at depth <= 0 or not finite are left out: clip
    before. sigma and blur_radius: squared distances where the image's shorter side is 2 long; blur_radius None: where the
    sigmoid falls to 1e-4. Returns alpha (b, h, w) float32 in [0, 1] and what `backward` needs.
    """
    points, faces = checked(points, faces)
    radius = math.log(1 / 1e-4 - 1) * sigma if blur_radius is None else blur_radius
    pixels2 = (min(h, w) / 2) ** 2
    per_sigma, radius2 = 1 / (sigma * pixels2), radius * pixels2
    batch, blocks_y, blocks_x = len(points), (h + 3) // 4, (w + 3) // 4
    alpha = np.empty((batch, h, w), np.float32)
    transmittance = np.empty((batch, blocks_y * blocks_x * 16), np.float32)
    if batch == 1:
        image = (per_sigma, radius2, transmittance[0], alpha[0])
        threads.run([partial(_forward_blocks, points[0], faces, *rows, *image) for rows in threads.spans(blocks_y)])
    else:
        images = (per_sigma, radius2, transmittance, alpha)
        threads.run([partial(_forward_images, points, faces, *part, *images) for part in threads.spans(batch)])
    return alpha, Saved(points, faces, (h, w), per_sigma, radius2, transmittance)


def backward(saved: Saved, grad_alpha: np.ndarray) -> np.ndarray:
    """Gradient (b, v, 2) float32 with respect to the points' x_px and y_px of a loss whose gradient by alpha is given."""
    grad_alpha = np.ascontiguousarray(grad_alpha, dtype=np.float32)
    points, faces = saved.points, saved.faces
    batch, vertices = points.shape[:2]
    grad_points = np.empty((batch, vertices, 2), np.float32)
    constants = (saved.per_sigma, saved.radius2)
    if batch == 1:
        weight = np.empty_like(saved.transmittance[0])
        active = np.empty(len(weight) // 16, np.uint8)
        corners = np.empty((len(faces), 6), np.float32)
        _weigh(saved.transmittance[0], grad_alpha[0], saved.per_sigma, weight, active)
        rest = (saved.size_hw, *constants, weight, active, corners)
        threads.run([partial(_backward_faces, points[0], faces, *part, *rest) for part in threads.spans(len(faces))])
        _gather_vertices(faces, corners, grad_points[0])
    else:
        rest = (*constants, saved.transmittance, grad_alpha, grad_points)
        threads.run([partial(_backward_images, points, faces, *part, *rest) for part in threads.spans(batch)])
    return grad_points
