"""Z-buffer: which face is seen at each pixel's centre, how deep, and where on the face.

Faces are filled row by row. A row's span between two edges is half open, and an edge is always evaluated from its upper to
its lower end, so that faces that share an edge neither leave a crack nor both claim a pixel. Equal depths: the lower face id.
"""

from functools import partial

import numpy as np
from numba import njit

from monoform.projection.kernels import threads

# Reordering sums is allowed, assuming away NaN and infinity is not: they are how faces that cannot be drawn are found.
FAST = {"contract", "nsz", "arcp"}


@njit(inline="always", error_model="numpy")
def _drawable(xa, ya, za, xb, yb, zb, xc, yc, zc):
    """Whether a face is in front of the camera and all its coordinates are finite (a NaN fails every comparison)."""
    ahead = za > 0.0 and zb > 0.0 and zc > 0.0
    size = abs(xa) + abs(ya) + abs(xb) + abs(yb) + abs(xc) + abs(yc) + za + zb + zc
    return ahead and size < 1e18


@njit(inline="always", error_model="numpy")
def _sort_by_y(xa, ya, xb, yb, xc, yc):
    if yb < ya:
        xa, ya, xb, yb = xb, yb, xa, ya
    if yc < yb:
        xb, yb, xc, yc = xc, yc, xb, yb
        if yb < ya:
            xa, ya, xb, yb = xb, yb, xa, ya
    return xa, ya, xb, yb, xc, yc


@njit(inline="always", error_model="numpy")
def _first_centre(coordinate, low, high):
    """Index of the first pixel centre at or after a coordinate, kept within [low, high]."""
    return int(min(max(np.ceil(coordinate - 0.5), float(low)), float(high)))


@njit(inline="always", error_model="numpy")
def _slope(x_top, y_top, x_low, y_low):
    return (x_low - x_top) / (y_low - y_top) if y_low > y_top else 0.0


@njit(inline="always", error_model="numpy")
def _no_centre_in(low, high):
    """Whether no pixel centre lies in [low, high]. The margin is for the rounding of crossings computed from slopes."""
    return np.ceil(low - (0.5 + 1e-9)) >= np.ceil(high - (0.5 - 1e-9))


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST, forceinline=True)
def _fill_face(xa, ya, za, xb, yb, zb, xc, yc, zc, face, row_start, row_stop, nearness, face_id):
    """Draw one face into the rows [row_start, row_stop). Nearness is 1/depth, which is linear on the screen."""
    width = nearness.shape[1]
    xt, yt, xm, ym, xl, yl = _sort_by_y(xa, ya, xb, yb, xc, yc)
    top = _first_centre(yt, row_start, row_stop)
    bottom = _first_centre(yl, row_start, row_stop)
    if top >= bottom or min(xt, xm, xl) > width or max(xt, xm, xl) < 0.0:
        return
    double_area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
    if abs(double_area) < 1e-12:
        return
    na, nb, nc = 1.0 / za, 1.0 / zb, 1.0 / zc
    nearest, farthest = max(na, nb, nc), min(na, nb, nc)
    per_x = ((nb - na) * (yc - ya) - (nc - na) * (yb - ya)) / double_area
    per_y = ((nc - na) * (xb - xa) - (nb - na) * (xc - xa)) / double_area
    long_slope = _slope(xt, yt, xl, yl)
    upper_slope = _slope(xt, yt, xm, ym)
    lower_slope = _slope(xm, ym, xl, yl)
    for row in range(top, bottom):
        y = row + 0.5
        x_long = xt + (y - yt) * long_slope
        x_short = xt + (y - yt) * upper_slope if y < ym else xm + (y - ym) * lower_slope
        left = _first_centre(min(x_long, x_short), 0, width)
        right = _first_centre(max(x_long, x_short), 0, width)
        at_zero = na + (0.5 - xa) * per_x + (y - ya) * per_y
        for column in range(left, right):
            near = np.float32(min(max(at_zero + column * per_x, farthest), nearest))
            if near > nearness[row, column]:
                nearness[row, column] = near
                face_id[row, column] = face


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _locate(points, faces, row_start, row_stop, face_id, depth, barycentric):
    """Perspective-correct barycentrics and depth at every centre of the rows from the face seen there."""
    for row in range(row_start, row_stop):
        y = row + 0.5
        for column in range(face_id.shape[1]):
            face = face_id[row, column]
            if face < 0:
                depth[row, column] = np.inf
                barycentric[row, column, 0] = 0.0
                barycentric[row, column, 1] = 0.0
                barycentric[row, column, 2] = 0.0
                continue
            x = column + 0.5
            a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
            xa, ya = float(points[a, 0]) - x, float(points[a, 1]) - y
            xb, yb = float(points[b, 0]) - x, float(points[b, 1]) - y
            xc, yc = float(points[c, 0]) - x, float(points[c, 1]) - y
            wa, wb, wc = xb * yc - yb * xc, xc * ya - yc * xa, xa * yb - ya * xb
            if wa + wb + wc < 0.0:
                wa, wb, wc = -wa, -wb, -wc
            wa = max(wa, 0.0) / points[a, 2]
            wb = max(wb, 0.0) / points[b, 2]
            wc = max(wc, 0.0) / points[c, 2]
            scale = 1.0 / max(wa + wb + wc, 1e-300)
            wa, wb, wc = wa * scale, wb * scale, wc * scale
            barycentric[row, column, 0] = wa
            barycentric[row, column, 1] = wb
            barycentric[row, column, 2] = wc
            depth[row, column] = wa * points[a, 2] + wb * points[b, 2] + wc * points[c, 2]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _fill_rows(points, faces, row_start, row_stop, nearness, face_id):
    """Faces and their 1/depth in the rows [row_start, row_stop)."""
    nearness[row_start:row_stop] = 0.0
    face_id[row_start:row_stop] = -1
    for face in range(faces.shape[0]):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        if a < 0:
            continue
        xa, ya, za = float(points[a, 0]), float(points[a, 1]), float(points[a, 2])
        xb, yb, zb = float(points[b, 0]), float(points[b, 1]), float(points[b, 2])
        xc, yc, zc = float(points[c, 0]), float(points[c, 1]), float(points[c, 2])
        # Most faces of a fine mesh in a small image lie between the centres.
        if _no_centre_in(min(ya, yb, yc), max(ya, yb, yc)) or _no_centre_in(min(xa, xb, xc), max(xa, xb, xc)):
            continue
        if _drawable(xa, ya, za, xb, yb, zb, xc, yc, zc):
            _fill_face(xa, ya, za, xb, yb, zb, xc, yc, zc, face, row_start, row_stop, nearness, face_id)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _rasterise_rows(points, faces, row_start, row_stop, face_id, depth, barycentric):
    """Rows [row_start, row_stop) of one image. `depth` holds 1/depth until `_locate` overwrites it."""
    _fill_rows(points, faces, row_start, row_stop, depth, face_id)
    _locate(points, faces, row_start, row_stop, face_id, depth, barycentric)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _rasterise_images(points, faces, start, stop, face_id, depth, barycentric):
    for image in range(start, stop):
        mesh = faces[image % faces.shape[0]]
        _rasterise_rows(points[image], mesh, 0, depth.shape[1], face_id[image], depth[image], barycentric[image])


def checked(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points (b, v, 3) as contiguous float32 and faces as contiguous int32; compiled code reads them unchecked.

    faces: (f, 3) for all images, returned as (1, f, 3), or (b, f, 3), one mesh an image, filled up with rows of -1.
    """
    points = np.ascontiguousarray(points, dtype=np.float32)
    shared = faces.ndim == 2
    faces = np.ascontiguousarray(faces[None] if shared else faces, dtype=np.int32)
    if points.ndim != 3 or points.shape[2] != 3 or faces.ndim != 3 or faces.shape[2] != 3:
        raise ValueError(f"points (b, v, 3) and faces (f, 3) are needed, not {points.shape} and {faces.shape}")
    if len(faces) not in (1, len(points)):
        raise ValueError(f"{len(faces)} meshes for {len(points)} images; give one, or one an image")
    if faces.size and (faces.max() >= points.shape[1] or faces.min() < (0 if shared else -1)):
        raise ValueError(f"a face names a vertex outside 0..{points.shape[1] - 1}")
    if not shared and ((faces < 0).any(-1) != (faces < 0).all(-1)).any():
        raise ValueError("a face holds a -1 beside vertices; a face that is not there is -1 -1 -1")
    return points, faces


def rasterise(points: np.ndarray, faces: np.ndarray, h: int, w: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw `faces` with a z-buffer.

    points: (b, v, 3) [x_px, y_px, depth], camera depth, centre of pixel (i, j) at (j + 0.5, i + 0.5).
    faces: (f, 3) indices, either winding, or (b, f, 3), one mesh an image, filled up with rows of -1.
    A face with a vertex at depth <= 0 or not finite is left out: clip before.
    Returns face_id (b, h, w) int32, -1 where empty; depth (b, h, w) float32, inf where empty; and perspective-correct
    barycentrics (b, h, w, 3) float32, 0 where empty.
    """
    points, faces = checked(points, faces)
    batch = len(points)
    face_id = np.empty((batch, h, w), np.int32)
    depth = np.empty((batch, h, w), np.float32)
    barycentric = np.empty((batch, h, w, 3), np.float32)
    if batch == 1:
        rows = [
            (points[0], faces[0], start, stop, face_id[0], depth[0], barycentric[0]) for start, stop in threads.spans(h)
        ]
        threads.run([partial(_rasterise_rows, *row) for row in rows])
    else:
        images = [(points, faces, start, stop, face_id, depth, barycentric) for start, stop in threads.spans(batch)]
        threads.run([partial(_rasterise_images, *image) for image in images])
    return face_id, depth, barycentric
