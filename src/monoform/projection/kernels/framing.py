"""Cameras of training images: rotation, framing and projection, one image at a time, serially; float64 but for the pixels."""

import numpy as np
from numba import njit

from monoform.projection.kernels.hard import FAST


@njit(cache=True, nogil=True, error_model="numpy")
def upright(azimuth, elevation, tilt):
    """(3, 3) ``R_z(pi - tilt) @ R_x(-elevation) @ R_y(-azimuth)`` of angles in degrees, as `rotation_grids.upright_grid`."""
    a, e, z = np.radians(-azimuth), np.radians(-elevation), np.pi - np.radians(tilt)
    ca, sa, ce, se, cz, sz = np.cos(a), np.sin(a), np.cos(e), np.sin(e), np.cos(z), np.sin(z)
    R = np.empty((3, 3))
    R[0, 0], R[0, 1], R[0, 2] = cz * ca - sz * se * sa, -sz * ce, cz * sa + sz * se * ca
    R[1, 0], R[1, 1], R[1, 2] = sz * ca + cz * se * sa, cz * ce, sz * sa - cz * se * ca
    R[2, 0], R[2, 1], R[2, 2] = -ce * sa, se, ce * ca
    return R


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def project(vertices, R, t, K, points, box):
    """Pinhole projection of vertices (v, 3) into points (v, 3) float32 [x_px, y_px, depth]; returns the least depth.

    box (2, 2) receives the lowest and the highest x, y. The last row of K is taken for 0, 0, 1.
    """
    least = np.inf
    box[0, 0] = box[0, 1] = np.inf
    box[1, 0] = box[1, 1] = -np.inf
    for i in range(vertices.shape[0]):
        a, b, c = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        x = R[0, 0] * a + R[0, 1] * b + R[0, 2] * c + t[0]
        y = R[1, 0] * a + R[1, 1] * b + R[1, 2] * c + t[1]
        z = R[2, 0] * a + R[2, 1] * b + R[2, 2] * c + t[2]
        per_z = 1.0 / z
        u, v = (K[0, 0] * x + K[0, 1] * y) * per_z + K[0, 2], (K[1, 0] * x + K[1, 1] * y) * per_z + K[1, 2]
        points[i, 0], points[i, 1], points[i, 2] = u, v, z
        least = min(least, z)
        box[0, 0], box[0, 1] = min(box[0, 0], u), min(box[0, 1], v)
        box[1, 0], box[1, 1] = max(box[1, 0], u), max(box[1, 1], v)
    return least


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _box(turned, ray_x, ray_y, distance, focal, out):
    """Lowest x, y and highest x, y of points seen at a distance along a ray, in pixels from the principal point."""
    out[0] = out[1] = np.inf
    out[2] = out[3] = -np.inf
    for i in range(turned.shape[0]):
        scale = focal / (turned[i, 2] + distance)
        x, y = (turned[i, 0] + ray_x * distance) * scale, (turned[i, 1] + ray_y * distance) * scale
        out[0], out[1], out[2], out[3] = min(out[0], x), min(out[1], y), max(out[2], x), max(out[3], y)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def frame(R, focal, extremes, fill, ray_x, ray_y, width, height, nearest, box):
    """Distance along the ray (ray_x, ray_y, 1) at which the projection's box fills its share of the image.

    extremes (e, 3) bound the object. box (4,) receives lowest x, y and highest x, y in pixels from the principal point. The
    side shrinks about as 1 / distance, for a deep object near the camera faster: such take a few rounds more.
    """
    turned = np.empty_like(extremes)
    for i in range(extremes.shape[0]):
        for j in range(3):
            turned[i, j] = R[j, 0] * extremes[i, 0] + R[j, 1] * extremes[i, 1] + R[j, 2] * extremes[i, 2]
    distance = max(focal / (fill * min(width, height)), nearest)
    for _ in range(12):
        _box(turned, ray_x, ray_y, distance, focal, box)
        excess = max((box[2] - box[0]) / width, (box[3] - box[1]) / height) / fill
        if abs(excess - 1.0) < 0.005 or (excess < 1.0 and distance == nearest):
            break
        distance = max(distance * excess, nearest)
    _box(turned, ray_x, ray_y, distance, focal, box)
    return distance
