"""SoftRas silhouettes: alpha = 1 - prod over faces of (1 - sigmoid(d / sigma)), d the signed squared distance to the face.

The product does not depend on the order of the faces, so nothing is sorted and none is dropped: every face within the blur
radius counts. Each face's pixels are gone through row by row in groups of eight neighbours, which the compiler turns into
vector instructions; the working images have seven columns more than the image, so that a group may begin at any pixel. Per
pixel the product of (1 + exp(d / sigma)) is kept; the gradient needs nothing else.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from llvmlite import ir
from numba import carray, njit, types  # pyright: ignore[reportPrivateImportUsage] (carray is documented)
from numba.core import cgutils
from numba.extending import intrinsic

from monoform.projection.kernels import threads
from monoform.projection.kernels.hard import FAST, _drawable, checked

f4 = np.float32
MIN_AREA = 1e-8
"""Faces of less than half this area, where the image's shorter side is 2 long, are left out (as PyTorch3D does)."""
LOG2_E = 1.4426950408889634
LANES = 8
"""Neighbours in a row that are computed together."""
MAX_EXPONENT = 16.0
"""Deep inside a face exp(d / sigma) is capped: alpha is 1 to the last bit, and the product stays finite."""
CAPPED = 0.9999 * math.exp(MAX_EXPONENT)
"""From here on it is capped, and moving the face changes nothing."""


@intrinsic
def _as_float(typing_context, bits):
    """The float32 whose bits are those of an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _floor(typing_context, x):
    """The largest whole float32 that is no larger."""

    def generate(context, builder, signature, arguments):
        return builder.call(builder.module.declare_intrinsic("llvm.floor", [ir.FloatType()]), arguments)

    return types.float32(types.float32), generate


@intrinsic
def _sums_on_stack(typing_context):
    """Address of 6 * LANES float32 on the stack: unlike an array's they are known to overlap no other, so loops vectorise."""

    def generate(context, builder, signature, arguments):
        return cgutils.alloca_once(builder, ir.FloatType(), size=6 * LANES)

    return types.CPointer(types.float32)(), generate


@njit(inline="always", fastmath=True)
def _exp2(x):
    """2**x for -126 < x < 127 without a branch, to 2e-6: the whole power into the exponent, a polynomial for the rest.

    Never the difference of two np.int32: Numba makes it an int64, whose vectors are half as long and slow to convert.
    """
    whole = _floor(x)  # pyright: ignore[reportCallIssue] (an intrinsic)
    rest = x - whole
    p = f4(1.8775767e-3)
    p = p * rest + f4(8.9893397e-3)
    p = p * rest + f4(5.5826318e-2)
    p = p * rest + f4(2.4015361e-1)
    p = p * rest + f4(6.9315308e-1)
    p = p * rest + f4(9.9999994e-1)
    return p * _as_float(np.int32(whole + f4(127.0)) << np.int32(23))  # pyright: ignore[reportCallIssue] (an intrinsic)


@njit(inline="always", fastmath=True)
def _low(a, b):
    return a if a < b else b


@njit(inline="always", fastmath=True)
def _high(a, b):
    return a if a > b else b


@njit(inline="always", error_model="numpy")
def _stride(width):
    """Floats a row of the working images: whole vectors may begin at any pixel of the image."""
    return width + LANES - 1


@njit(inline="always", fastmath=True)
def _exponential(distance2, inside, per_sigma, limit):
    """exp(d / sigma), 0 beyond the blur radius; per_sigma and limit are in powers of 2."""
    d = distance2 if inside else -distance2
    x = _low(d * per_sigma, f4(MAX_EXPONENT * LOG2_E))
    return _exp2(x) if x > limit else f4(0)


@njit(inline="always", fastmath=True)
def _frame(xa, ya, xb, yb):
    """Unit vector along an edge, and its length."""
    ex, ey = xb - xa, yb - ya
    length = f4(math.sqrt(ex * ex + ey * ey))
    per_length = f4(1) / length
    return ex * per_length, ey * per_length, length


@njit(inline="always", fastmath=True)
def _distance2(along, across, length):
    """Squared distance to an edge from a point that lies so far along and across it."""
    beyond = along - _low(_high(along, f4(0)), length)
    return across * across + beyond * beyond


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _multiply_face(product, stride, columns, rows, corners, per_sigma, limit):
    """Multiply one face's 1 + exp(d / sigma) into the pixels it reaches."""
    x0, y0, x1, y1, x2, y2 = corners
    ux0, uy0, length0 = _frame(x0, y0, x1, y1)
    ux1, uy1, length1 = _frame(x1, y1, x2, y2)
    ux2, uy2, length2 = _frame(x2, y2, x0, y0)
    s = f4(1) if ux0 * uy1 - uy0 * ux1 > 0 else f4(-1)
    nx0, nx1, nx2, ny0, ny1, ny2 = -s * uy0, -s * uy1, -s * uy2, s * ux0, s * ux1, s * ux2
    left = f4(columns[0]) + f4(0.5)
    dx0, dx1, dx2 = left - x0, left - x1, left - x2
    for row in range(rows[0], rows[1]):
        y = f4(row) + f4(0.5)
        dy0, dy1, dy2 = y - y0, y - y1, y - y2
        along0, along1, along2 = dx0 * ux0 + dy0 * uy0, dx1 * ux1 + dy1 * uy1, dx2 * ux2 + dy2 * uy2
        across0, across1, across2 = dx0 * nx0 + dy0 * ny0, dx1 * nx1 + dy1 * ny1, dx2 * nx2 + dy2 * ny2
        for first in range(0, columns[1] - columns[0], LANES):
            start = np.uint64(row * stride + columns[0] + first)
            for i in range(LANES):
                x = f4(np.int32(first)) + f4(np.int32(i))
                n0, n1, n2 = across0 + x * nx0, across1 + x * nx1, across2 + x * nx2
                d0 = _distance2(along0 + x * ux0, n0, length0)
                d1 = _distance2(along1 + x * ux1, n1, length1)
                d2 = _distance2(along2 + x * ux2, n2, length2)
                a = _exponential(_low(d0, _low(d1, d2)), _low(n0, _low(n1, n2)) > f4(0), per_sigma, limit)
                product[start + np.uint64(i)] = _low(product[start + np.uint64(i)] * (f4(1) + a), f4(1e30))


@njit(inline="always", fastmath=True)
def _to_edge(dx, dy, along, ex, ey):
    """From the nearest point of an edge to a pixel: where along the edge, the offset, its squared length."""
    t = _low(_high(along, f4(0)), f4(1))
    qx, qy = dx - t * ex, dy - t * ey
    return t, qx, qy, qx * qx + qy * qy


@njit(inline="always", fastmath=True)
def _sum(g, k):
    """Sum of the k-th LANES numbers."""
    total = f4(0)
    for i in range(LANES):
        total += g[k * LANES + i]
    return total


@njit(inline="always", fastmath=True)
def _edge(xa, ya, xb, yb):
    """An edge, and the same over its squared length."""
    ex, ey = xb - xa, yb - ya
    per_length2 = f4(1) / (ex * ex + ey * ey)
    return ex, ey, ex * per_length2, ey * per_length2


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _gather_face(weight, stride, columns, rows, corners, per_sigma, limit):
    """Gradient of one face's corners: d alpha / dd = weight * sigmoid(d / sigma), summed over its pixels."""
    x0, y0, x1, y1, x2, y2 = corners
    ex0, ey0, ax0, ay0 = _edge(x0, y0, x1, y1)
    ex1, ey1, ax1, ay1 = _edge(x1, y1, x2, y2)
    ex2, ey2, ax2, ay2 = _edge(x2, y2, x0, y0)
    s = f4(1) if ex0 * ey1 - ey0 * ex1 > 0 else f4(-1)
    nx0, nx1, nx2, ny0, ny1, ny2 = -s * ey0, -s * ey1, -s * ey2, s * ex0, s * ex1, s * ex2
    left = f4(columns[0]) + f4(0.5)
    lx0, lx1, lx2 = left - x0, left - x1, left - x2
    g = carray(_sums_on_stack(), (6 * LANES,))  # pyright: ignore[reportCallIssue] (an intrinsic)
    for i in range(6 * LANES):
        g[i] = f4(0)
    for row in range(rows[0], rows[1]):
        y = f4(row) + f4(0.5)
        dy0, dy1, dy2 = y - y0, y - y1, y - y2
        along0, along1, along2 = lx0 * ax0 + dy0 * ay0, lx1 * ax1 + dy1 * ay1, lx2 * ax2 + dy2 * ay2
        across0, across1, across2 = lx0 * nx0 + dy0 * ny0, lx1 * nx1 + dy1 * ny1, lx2 * nx2 + dy2 * ny2
        for first in range(0, columns[1] - columns[0], LANES):
            start = np.uint64(row * stride + columns[0] + first)
            for i in range(LANES):
                x = f4(np.int32(first)) + f4(np.int32(i))
                t0, qx0, qy0, d0 = _to_edge(lx0 + x, dy0, along0 + x * ax0, ex0, ey0)
                t1, qx1, qy1, d1 = _to_edge(lx1 + x, dy1, along1 + x * ax1, ex1, ey1)
                t2, qx2, qy2, d2 = _to_edge(lx2 + x, dy2, along2 + x * ax2, ex2, ey2)
                inside = _low(across0 + x * nx0, _low(across1 + x * nx1, across2 + x * nx2)) > f4(0)
                a = _exponential(_low(d0, _low(d1, d2)), inside, per_sigma, limit)
                w = f4(2) * weight[start + np.uint64(i)] * (a / (f4(1) + a))
                w = w if a < f4(CAPPED) else f4(0)
                w = -w if inside else w
                w0 = w if d0 <= _low(d1, d2) else f4(0)  # only the nearest edge moves the distance
                w1 = w - w0 if d1 <= d2 else f4(0)
                w2 = w - w0 - w1
                u0, u1, u2 = w0 * t0, w1 * t1, w2 * t2
                v0, v1, v2 = w0 - u0, w1 - u1, w2 - u2
                g[i] += v0 * qx0 + u2 * qx2
                g[1 * LANES + i] += v0 * qy0 + u2 * qy2
                g[2 * LANES + i] += v1 * qx1 + u0 * qx0
                g[3 * LANES + i] += v1 * qy1 + u0 * qy0
                g[4 * LANES + i] += v2 * qx2 + u1 * qx1
                g[5 * LANES + i] += v2 * qy2 + u1 * qy1
    return _sum(g, 0), _sum(g, 1), _sum(g, 2), _sum(g, 3), _sum(g, 4), _sum(g, 5)


@njit(inline="always", error_model="numpy", fastmath=FAST)
def _corners(points, a, b, c):
    return points[a, 0], points[a, 1], points[b, 0], points[b, 1], points[c, 0], points[c, 1]


@njit(inline="always", error_model="numpy", fastmath=FAST)
def _reach(p0, p1, p2, radius, low, high):
    """Pixels (begin, end) within [low, high) whose centres lie within `radius` of the span of three coordinates."""
    begin = min(p0, p1, p2) - radius - f4(0.5)
    end = max(p0, p1, p2) + radius - f4(0.5)
    if not (end >= f4(low) and begin <= f4(high - 1)):
        return np.int32(0), np.int32(0)
    return np.int32(max(begin + f4(1), f4(low))), np.int32(min(end, f4(high - 1))) + np.int32(1)


@njit(inline="always", error_model="numpy", fastmath=FAST)
def _limit(per_sigma, radius2):
    """The power of 2 at the blur radius; 2**-100, where `_exp2` still holds, is nothing beside 1."""
    return f4(max(-radius2 * per_sigma * LOG2_E, -100.0))


@njit(inline="always", error_model="numpy", fastmath=FAST)
def _visible(points, a, b, c, min_area):
    x0, y0, x1, y1, x2, y2 = _corners(points, a, b, c)
    if not _drawable(x0, y0, points[a, 2], x1, y1, points[b, 2], x2, y2, points[c, 2]):
        return False
    return abs((x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1)) > min_area


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_rows(points, faces, row_start, row_stop, per_sigma, radius2, transmittance, alpha):
    """Rows [row_start, row_stop) of one image."""
    height, width = alpha.shape
    stride = _stride(width)
    radius, limit = f4(math.sqrt(radius2)), _limit(per_sigma, radius2)
    min_area = f4(MIN_AREA * (0.5 * min(height, width)) ** 2)
    transmittance[row_start * stride : row_stop * stride] = f4(1)
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if a < 0:
            continue
        rows = _reach(points[a, 1], points[b, 1], points[c, 1], radius, row_start, row_stop)
        if rows[0] >= rows[1]:
            continue
        columns = _reach(points[a, 0], points[b, 0], points[c, 0], radius, 0, width)
        if columns[0] < columns[1] and _visible(points, a, b, c, min_area):
            corners = _corners(points, a, b, c)
            _multiply_face(transmittance, stride, columns, rows, corners, f4(per_sigma * LOG2_E), limit)
    for row in range(row_start, row_stop):
        for column in range(width):
            t = f4(1) / transmittance[row * stride + column]
            transmittance[row * stride + column] = t
            alpha[row, column] = f4(1) - t


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_images(points, faces, start, stop, per_sigma, radius2, transmittance, alpha):
    for image in range(start, stop):
        mesh = faces[image % faces.shape[0]]
        _forward_rows(points[image], mesh, 0, alpha.shape[1], per_sigma, radius2, transmittance[image], alpha[image])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _weigh(transmittance, grad_alpha, per_sigma, weight):
    """weight = dL/dalpha * (1 - alpha) / sigma, 0 in the padding."""
    height, width = grad_alpha.shape
    stride = _stride(width)
    for row in range(height):
        for column in range(width):
            weight[row * stride + column] = (
                grad_alpha[row, column] * transmittance[row * stride + column] * f4(per_sigma)
            )  # fmt: skip
        weight[row * stride + width : (row + 1) * stride] = f4(0)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_faces(points, faces, start, stop, size, per_sigma, radius2, weight, grad_corners):
    """Gradient of every face's corners for faces [start, stop) of one image."""
    height, width = size
    radius, limit = f4(math.sqrt(radius2)), _limit(per_sigma, radius2)
    min_area = f4(MIN_AREA * (0.5 * min(height, width)) ** 2)
    for face in range(start, stop):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        grad_corners[face] = f4(0)
        if a < 0:
            continue
        rows = _reach(points[a, 1], points[b, 1], points[c, 1], radius, 0, height)
        columns = _reach(points[a, 0], points[b, 0], points[c, 0], radius, 0, width)
        if rows[0] < rows[1] and columns[0] < columns[1] and _visible(points, a, b, c, min_area):
            corners = _corners(points, a, b, c)
            g = _gather_face(weight, _stride(width), columns, rows, corners, f4(per_sigma * LOG2_E), limit)
            for i in range(6):
                grad_corners[face, i] = g[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _gather_vertices(faces, grad_corners, grad_points):
    """Sum the corners' gradients by vertex, always in the order of the faces."""
    grad_points[:] = f4(0)
    for face in range(faces.shape[0]):
        if faces[face, 0] < 0:
            continue
        for corner in range(3):
            vertex = faces[face, corner]
            grad_points[vertex, 0] += grad_corners[face, 2 * corner]
            grad_points[vertex, 1] += grad_corners[face, 2 * corner + 1]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_images(points, faces, start, stop, per_sigma, radius2, transmittance, grad_alpha, grad_points):
    size = (grad_alpha.shape[1], grad_alpha.shape[2])
    weight = np.empty(transmittance.shape[1], np.float32)
    corners = np.empty((faces.shape[1], 6), np.float32)
    for image in range(start, stop):
        mesh = faces[image % faces.shape[0]]
        _weigh(transmittance[image], grad_alpha[image], per_sigma, weight)
        _backward_faces(points[image], mesh, 0, mesh.shape[0], size, per_sigma, radius2, weight, corners)
        _gather_vertices(mesh, corners, grad_points[image])


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

    points: (b, v, 3) [x_px, y_px, depth]; faces: (f, 3), or (b, f, 3), one mesh an image, filled up with rows of -1. Faces
    with a vertex at depth <= 0 or not finite are left out: clip before. sigma and blur_radius: squared distances where the
    image's shorter side is 2 long; blur_radius None: where the sigmoid falls to 1e-4. Returns alpha (b, h, w) float32 in
    [0, 1] and what `backward` needs.
    """
    points, faces = checked(points, faces)
    radius = math.log(1 / 1e-4 - 1) * sigma if blur_radius is None else blur_radius
    pixels2 = (min(h, w) / 2) ** 2
    per_sigma, radius2 = 1 / (sigma * pixels2), radius * pixels2
    batch = len(points)
    alpha = np.empty((batch, h, w), np.float32)
    transmittance = np.empty((batch, h * (w + LANES - 1)), np.float32)
    if batch == 1:
        image = (per_sigma, radius2, transmittance[0], alpha[0])
        threads.run([partial(_forward_rows, points[0], faces[0], *rows, *image) for rows in threads.spans(h)])
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
        mesh = faces[0]
        corners = np.empty((len(mesh), 6), np.float32)
        _weigh(saved.transmittance[0], grad_alpha[0], saved.per_sigma, weight)
        rest = (saved.size_hw, *constants, weight, corners)
        threads.run([partial(_backward_faces, points[0], mesh, *part, *rest) for part in threads.spans(len(mesh))])
        _gather_vertices(mesh, corners, grad_points[0])
    else:
        rest = (*constants, saved.transmittance, grad_alpha, grad_points)
        threads.run([partial(_backward_images, points, faces, *part, *rest) for part in threads.spans(batch)])
    return grad_points
