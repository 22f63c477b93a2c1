"""Sums of normalised edge products: alpha = 1 - exp(-OPACITY * sum over faces of tanh((g - min g) / (max g - min g))).

g is the product of a pixel's three barycentric coordinates, 0 outside the face; its extremes are those over the image's pixel
centres. Only the pixels of a face's bounding box are gone through: the rest of the image counts only for min g, which is 0
unless the face covers every centre. Forward, the extremes are found face by face, then each row adds all faces in their order.
Backward, a face's own thread goes through its box twice: once for what each pixel's g does, once for the extremes' pixels.
"""

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
from numba import njit

from monoform.projection.kernels import threads
from monoform.projection.kernels.hard import FAST, checked
from monoform.projection.kernels.soft import _corners, _gather_vertices, _high, _low, _reach, _visible

f4 = np.float32
OPACITY = 2.0
"""What one unit of the sum takes off the background's logarithm."""
MIN_AREA = 1e-12
"""Faces of less than half this area, in square pixels, are left out: their barycentric coordinates are noise."""
MIN_PRODUCT = 1e-30
"""The least max g - min g of a face that is drawn: its reciprocal is still a float32."""


@njit(inline="always", fastmath=True)
def _tanh(x):
    """tanh for 0 <= x <= 1 to the last bit but one, without a branch: Lambert's continued fraction."""
    x2 = x * x
    above = x * (f4(135135) + x2 * (f4(17325) + x2 * (f4(378) + x2)))
    return above / (f4(135135) + x2 * (f4(62370) + x2 * (f4(3150) + x2 * f4(28))))


@njit(inline="always", fastmath=True)
def _slopes(corners):
    """Of each barycentric coordinate the change by x and by y; they belong to the corners 2, 0, 1, opposite the edges."""
    x0, y0, x1, y1, x2, y2 = corners
    per_area = f4(1) / ((x1 - x0) * (y2 - y1) - (y1 - y0) * (x2 - x1))
    from_0 = (y0 - y1) * per_area, (x1 - x0) * per_area
    from_1 = (y1 - y2) * per_area, (x2 - x1) * per_area
    from_2 = (y2 - y0) * per_area, (x0 - x2) * per_area
    return (*from_0, *from_1, *from_2)


@njit(inline="always", fastmath=True)
def _row_start(corners, slopes, column, row):
    """The barycentric coordinates of corners 2, 0, 1 at a pixel's centre, each measured from a corner of its edge."""
    x0, y0, x1, y1, x2, y2 = corners
    x, y = f4(column) + f4(0.5), f4(row) + f4(0.5)
    return (
        slopes[0] * (x - x0) + slopes[1] * (y - y0),
        slopes[2] * (x - x1) + slopes[3] * (y - y1),
        slopes[4] * (x - x2) + slopes[5] * (y - y2),
    )


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _find_extremes(corners, columns, rows, everywhere):
    """Least and largest g of a face over the image. everywhere: its box is the whole image."""
    slopes = _slopes(corners)
    lowest, highest = f4(1), f4(0)
    for row in range(rows[0], rows[1]):
        s0, s1, s2 = _row_start(corners, slopes, columns[0], row)
        for i in range(columns[1] - columns[0]):
            x = f4(np.int32(i))
            b0, b1, b2 = s0 + x * slopes[0], s1 + x * slopes[2], s2 + x * slopes[4]
            g = _high(b0, f4(0)) * _high(b1, f4(0)) * _high(b2, f4(0))
            lowest, highest = _low(lowest, g), _high(highest, g)
    return lowest if everywhere else f4(0), highest


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _add_face(total, width, corners, columns, rows, lowest, highest):
    """Add one face to the pixels of its box."""
    slopes = _slopes(corners)
    per_span = f4(1) / (highest - lowest)
    for row in range(rows[0], rows[1]):
        s0, s1, s2 = _row_start(corners, slopes, columns[0], row)
        start = np.uint64(row * width + columns[0])
        for i in range(columns[1] - columns[0]):
            x = f4(np.int32(i))
            b0, b1, b2 = s0 + x * slopes[0], s1 + x * slopes[2], s2 + x * slopes[4]
            g = _high(b0, f4(0)) * _high(b1, f4(0)) * _high(b2, f4(0))
            total[start + np.uint64(i)] += _tanh(_high(g - lowest, f4(0)) * per_span)


@njit(inline="always", fastmath=True)
def _move(weight, b0, b1, b2, slopes):
    """Gradient of weight * g to the corners: moving corner j moves the coordinates as moving the pixel by -b_j would."""
    h0, h1, h2 = weight * b1 * b2, weight * b2 * b0, weight * b0 * b1
    gx = h0 * slopes[0] + h1 * slopes[2] + h2 * slopes[4]
    gy = h0 * slopes[1] + h1 * slopes[3] + h2 * slopes[5]
    return -b1 * gx, -b1 * gy, -b2 * gx, -b2 * gy, -b0 * gx, -b0 * gy


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _gather_pixels(weight, width, corners, columns, rows, lowest, highest):
    """Gradient of one face's corners with the extremes held, those of the highest and the lowest g, the centres inside."""
    slopes = _slopes(corners)
    per_span = f4(1) / (highest - lowest)
    g0, g1, g2, g3, g4, g5, by_low, by_high = f4(0), f4(0), f4(0), f4(0), f4(0), f4(0), f4(0), f4(0)
    inside = f4(0)
    for row in range(rows[0], rows[1]):
        s0, s1, s2 = _row_start(corners, slopes, columns[0], row)
        start = np.uint64(row * width + columns[0])
        for i in range(columns[1] - columns[0]):
            x = f4(np.int32(i))
            b0, b1, b2 = s0 + x * slopes[0], s1 + x * slopes[2], s2 + x * slopes[4]
            b0, b1, b2 = _high(b0, f4(0)), _high(b1, f4(0)), _high(b2, f4(0))
            g = b0 * b1 * b2
            share = _high(g - lowest, f4(0)) * per_span
            t = _tanh(share)
            c = weight[start + np.uint64(i)] * (f4(1) - t * t) * per_span
            c = c if g > f4(0) else f4(0)
            inside += f4(1) if g > f4(0) else f4(0)
            by_low += c * (share - f4(1))
            by_high -= c * share
            m0, m1, m2, m3, m4, m5 = _move(c, b0, b1, b2, slopes)
            g0 += m0
            g1 += m1
            g2 += m2
            g3 += m3
            g4 += m4
            g5 += m5
    return (g0, g1, g2, g3, g4, g5), by_low, by_high, inside


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _move_extreme(corners, columns, rows, sign):
    """Gradient to the corners of the highest (sign 1) or lowest (-1) g: the mean over the pixels that share it."""
    slopes = _slopes(corners)
    best, ties = f4(-1), f4(0)
    g0, g1, g2, g3, g4, g5 = f4(0), f4(0), f4(0), f4(0), f4(0), f4(0)
    for row in range(rows[0], rows[1]):
        s0, s1, s2 = _row_start(corners, slopes, columns[0], row)
        for i in range(columns[1] - columns[0]):
            x = f4(np.int32(i))
            b0, b1, b2 = s0 + x * slopes[0], s1 + x * slopes[2], s2 + x * slopes[4]
            g = sign * (_high(b0, f4(0)) * _high(b1, f4(0)) * _high(b2, f4(0)))
            if g > best or ties == 0:
                best, ties = g, f4(0)
                g0, g1, g2, g3, g4, g5 = f4(0), f4(0), f4(0), f4(0), f4(0), f4(0)
            if g == best:
                m0, m1, m2, m3, m4, m5 = _move(f4(1), b0, b1, b2, slopes)
                g0, g1, g2, g3, g4, g5 = g0 + m0, g1 + m1, g2 + m2, g3 + m3, g4 + m4, g5 + m5
                ties += f4(1)
    return g0 / ties, g1 / ties, g2 / ties, g3 / ties, g4 / ties, g5 / ties


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _extremes_of_faces(points, faces, start, stop, size, extremes):
    """Least and largest g of the faces [start, stop) of one image; both 0 where nothing is drawn."""
    height, width = size
    for face in range(start, stop):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        extremes[face] = f4(0)
        if a < 0:
            continue
        rows = _reach(points[a, 1], points[b, 1], points[c, 1], f4(0), 0, height)
        columns = _reach(points[a, 0], points[b, 0], points[c, 0], f4(0), 0, width)
        if rows[0] < rows[1] and columns[0] < columns[1] and _visible(points, a, b, c, f4(MIN_AREA)):
            everywhere = (rows[1] - rows[0]) * (columns[1] - columns[0]) == height * width
            lowest, highest = _find_extremes(_corners(points, a, b, c), columns, rows, everywhere)
            if highest - lowest > f4(MIN_PRODUCT):
                extremes[face, 0] = lowest
                extremes[face, 1] = highest


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_rows(points, faces, row_start, row_stop, extremes, transmittance, alpha):
    """Rows [row_start, row_stop) of one image. `transmittance` holds the sum until all faces are added."""
    width = alpha.shape[1]
    transmittance[row_start * width : row_stop * width] = f4(0)
    for face in range(faces.shape[0]):
        if extremes[face, 1] > f4(0):
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            rows = _reach(points[a, 1], points[b, 1], points[c, 1], f4(0), row_start, row_stop)
            columns = _reach(points[a, 0], points[b, 0], points[c, 0], f4(0), 0, width)
            corners = _corners(points, a, b, c)
            _add_face(transmittance, width, corners, columns, rows, extremes[face, 0], extremes[face, 1])
    for row in range(row_start, row_stop):
        for column in range(width):
            t = f4(math.exp(-f4(OPACITY) * transmittance[row * width + column]))
            transmittance[row * width + column] = t
            alpha[row, column] = f4(1) - t


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_images(points, faces, start, stop, extremes, transmittance, alpha):
    size = (alpha.shape[1], alpha.shape[2])
    for image in range(start, stop):
        mesh = faces[image % faces.shape[0]]
        _extremes_of_faces(points[image], mesh, 0, mesh.shape[0], size, extremes[image])
        _forward_rows(points[image], mesh, 0, size[0], extremes[image], transmittance[image], alpha[image])


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _weigh(transmittance, grad_alpha, weight):
    """Gradient of the sum from that of alpha."""
    height, width = grad_alpha.shape
    for row in range(height):
        for column in range(width):
            pixel = row * width + column
            weight[pixel] = f4(OPACITY) * transmittance[pixel] * grad_alpha[row, column]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_faces(points, faces, start, stop, size, extremes, weight, grad_corners):
    """Gradient of every face's corners for faces [start, stop) of one image."""
    height, width = size
    for face in range(start, stop):
        lowest, highest = extremes[face, 0], extremes[face, 1]
        grad_corners[face] = f4(0)
        if not highest > f4(0):
            continue
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        rows = _reach(points[a, 1], points[b, 1], points[c, 1], f4(0), 0, height)
        columns = _reach(points[a, 0], points[b, 0], points[c, 0], f4(0), 0, width)
        corners = _corners(points, a, b, c)
        by_pixels, by_low, by_high, inside = _gather_pixels(weight, width, corners, columns, rows, lowest, highest)
        if inside == 1:  # it is its own maximum: the two gradients would cancel but for rounding
            continue
        by_highest = _move_extreme(corners, columns, rows, f4(1))
        for i in range(6):
            grad_corners[face, i] = by_pixels[i] + by_high * by_highest[i]
        if lowest > f4(0):
            by_lowest = _move_extreme(corners, columns, rows, f4(-1))
            for i in range(6):
                grad_corners[face, i] += by_low * by_lowest[i]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_images(points, faces, start, stop, extremes, transmittance, grad_alpha, grad_points):
    size = (grad_alpha.shape[1], grad_alpha.shape[2])
    weight = np.empty(size[0] * size[1], np.float32)
    corners = np.empty((faces.shape[1], 6), np.float32)
    for image in range(start, stop):
        mesh = faces[image % faces.shape[0]]
        _weigh(transmittance[image], grad_alpha[image], weight)
        _backward_faces(points[image], mesh, 0, mesh.shape[0], size, extremes[image], weight, corners)
        _gather_vertices(mesh, corners, grad_points[image])


@dataclass(frozen=True, eq=False)
class Saved:
    """What `backward` needs from `forward`."""

    points: np.ndarray
    faces: np.ndarray
    extremes: np.ndarray
    transmittance: np.ndarray


def forward(points: np.ndarray, faces: np.ndarray, h: int, w: int) -> tuple[np.ndarray, Saved]:
    """The silhouette of every pixel.

    points: (b, v, 3) [x_px, y_px, depth]; faces: (f, 3), or (b, f, 3), one mesh an image, filled up with rows of -1. Faces
    with a vertex at depth <= 0 or not finite are left out: clip before. Returns alpha (b, h, w) float32 in [0, 1] and what
    `backward` needs.
    """
    points, faces = checked(points, faces)
    batch, count = len(points), faces.shape[1]
    alpha = np.empty((batch, h, w), np.float32)
    transmittance = np.empty((batch, h * w), np.float32)
    extremes = np.empty((batch, count, 2), np.float32)
    if batch == 1:
        image = (points[0], faces[0])
        threads.run(
            [partial(_extremes_of_faces, *image, *part, (h, w), extremes[0]) for part in threads.spans(count)]
        )  # fmt: skip
        rest = (extremes[0], transmittance[0], alpha[0])
        threads.run([partial(_forward_rows, *image, *rows, *rest) for rows in threads.spans(h)])
    else:
        rest = (extremes, transmittance, alpha)
        threads.run([partial(_forward_images, points, faces, *part, *rest) for part in threads.spans(batch)])
    return alpha, Saved(points, faces, extremes, transmittance)


def backward(saved: Saved, grad_alpha: np.ndarray) -> np.ndarray:
    """Gradient (b, v, 2) float32 with respect to the points' x_px and y_px of a loss whose gradient by alpha is given."""
    grad_alpha = np.ascontiguousarray(grad_alpha, dtype=np.float32)
    points, faces = saved.points, saved.faces
    batch, vertices = points.shape[:2]
    grad_points = np.empty((batch, vertices, 2), np.float32)
    if batch == 1:
        mesh = faces[0]
        weight = np.empty_like(saved.transmittance[0])
        corners = np.empty((len(mesh), 6), np.float32)
        _weigh(saved.transmittance[0], grad_alpha[0], weight)
        rest = (grad_alpha.shape[1:], saved.extremes[0], weight, corners)
        threads.run([partial(_backward_faces, points[0], mesh, *part, *rest) for part in threads.spans(len(mesh))])
        _gather_vertices(mesh, corners, grad_points[0])
    else:
        rest = (saved.extremes, saved.transmittance, grad_alpha, grad_points)
        threads.run([partial(_backward_images, points, faces, *part, *rest) for part in threads.spans(batch)])
    return grad_points
