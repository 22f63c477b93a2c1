"""Walking along straight rays through voxel grids: what the kernels of all voxel silhouettes share.

A ray belongs to a pixel: its sample k is at ``start + k * step``, both linear in the pixel's centre, so that one pair of
3x3 matrices an image, ``rays[0] @ [u, v, 1]`` and ``rays[1] @ [u, v, 1]``, describes parallel and perspective views alike.
Positions are (x, y, z) in cells, (0, 0, 0) the centre of the first cell. A grid is copied into a border of one cell of
zeros before it is read: within that border interpolation needs no case for the grid's edge, beyond it all is zero.
"""

import numpy as np
from numba import njit

from monoform.projection.kernels.hard import FAST

f4 = np.float32
u8 = np.uint64


def checked(grids: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grids (1 or b, q, q, q) as contiguous float32, rays (b, 2, 3, 3) as contiguous float64; read unchecked when compiled."""
    grids = np.ascontiguousarray(grids, dtype=np.float32)
    rays = np.ascontiguousarray(rays, dtype=np.float64)
    if grids.ndim != 4 or len(set(grids.shape[1:])) != 1 or rays.shape[1:] != (2, 3, 3):
        raise ValueError(f"grids (b, q, q, q) and rays (b, 2, 3, 3) are needed, not {grids.shape} and {rays.shape}")
    if len(grids) not in (1, len(rays)):
        raise ValueError(f"{len(grids)} grids for {len(rays)} images; give one, or one an image")
    return grids, rays


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def pad(grid, padded):
    """Copy a grid (q, q, q) into the middle of `padded` (q + 2, q + 2, q + 2), whose border stays as it is."""
    side = grid.shape[0]
    for z in range(side):
        for y in range(side):
            for x in range(side):
                padded[z + 1, y + 1, x + 1] = grid[z, y, x]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def unpad(padded, grid):
    side = grid.shape[0]
    for z in range(side):
        for y in range(side):
            for x in range(side):
                grid[z, y, x] = padded[z + 1, y + 1, x + 1]


@njit(error_model="numpy", fastmath=FAST)
def position(start, step, k):
    """Where sample k after the first of `enter` is."""
    return start[0] + f4(k) * step[0], start[1] + f4(k) * step[1], start[2] + f4(k) * step[2]


@njit(error_model="numpy", fastmath=FAST)
def interpolate(padded, side, point):
    """Value at a position of the padded grid, flat, `side` long each way; its slopes along x, y, z; cell and place in it."""
    x, y, z = point
    i, j, k = int(x), int(y), int(z)
    x, y, z = x - f4(i), y - f4(j), z - f4(k)
    cell, row, layer = u8((k * side + j) * side + i), u8(side), u8(side * side)
    a, b = padded[cell], padded[cell + u8(1)]
    c, d = padded[cell + row], padded[cell + row + u8(1)]
    e, f = padded[cell + layer], padded[cell + layer + u8(1)]
    g, h = padded[cell + layer + row], padded[cell + layer + row + u8(1)]
    ab, cd, ef, gh = b - a, d - c, f - e, h - g
    near_top, near_low, far_top, far_low = a + x * ab, c + x * cd, e + x * ef, g + x * gh
    near_y, far_y = near_low - near_top, far_low - far_top
    near, far = near_top + y * near_y, far_top + y * far_y
    near_x, far_x = ab + y * (cd - ab), ef + y * (gh - ef)
    slopes = (near_x + z * (far_x - near_x), near_y + z * (far_y - near_y), far - near)
    return near + z * (far - near), slopes, cell, (x, y, z)


@njit(inline="always", error_model="numpy")
def scatter(padded, side, cell, place, weight):
    """Add `weight` to the eight neighbours of a position, in the shares that interpolation gives them."""
    x, y, z = place
    row, layer = u8(side), u8(side * side)
    far, near = weight * z, weight - weight * z
    near_low, far_low = near * y, far * y
    near_top, far_top = near - near_low, far - far_low
    padded[cell] += near_top - near_top * x
    padded[cell + u8(1)] += near_top * x
    padded[cell + row] += near_low - near_low * x
    padded[cell + row + u8(1)] += near_low * x
    padded[cell + layer] += far_top - far_top * x
    padded[cell + layer + u8(1)] += far_top * x
    padded[cell + layer + row] += far_low - far_low * x
    padded[cell + layer + row + u8(1)] += far_low * x


@njit(inline="always", error_model="numpy")
def _clip(start, step, limit, low, high):
    """The part of [low, high] in which start + k * step is in [0, limit]; empty (low > high) if it never is."""
    if step == 0.0:
        return (low, high) if 0.0 <= start < limit else (1.0, 0.0)
    at_zero, at_limit = -start / step, (limit - start) / step
    return max(low, min(at_zero, at_limit)), min(high, max(at_zero, at_limit))


@njit(inline="always", error_model="numpy")
def _at(matrix, u, v):
    return (
        matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2],
        matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2],
        matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2],
    )


@njit(inline="always", error_model="numpy")
def _within(point, limit):
    x, y, z = point
    return f4(0) <= x < limit and f4(0) <= y < limit and f4(0) <= z < limit


@njit(error_model="numpy", fastmath=FAST)
def enter(rays, column, row, samples, side):
    """Which samples of a pixel's ray lie within the border of a padded grid `side` long: (first, count, start, step).

    The start is that of sample `first`, in cells of the padded grid. A position that is not a number lies outside.
    """
    limit = (side - 1) * (1 - 1e-6)  # short of the border by more than rounding, which must not lead beyond the memory
    x, y, z = _at(rays[0], column + 0.5, row + 0.5)
    dx, dy, dz = _at(rays[1], column + 0.5, row + 0.5)
    x, y, z = x + 1.0, y + 1.0, z + 1.0
    start, step = (f4(x), f4(y), f4(z)), (f4(dx), f4(dy), f4(dz))
    low, high = _clip(x, dx, limit, 0.0, samples - 1.0)
    low, high = _clip(y, dy, limit, low, high)
    low, high = _clip(z, dz, limit, low, high)
    if not low <= high:
        return 0, 0, start, step
    # One sample more at either end than the division says, then back to those whose rounded position is within.
    first, last = max(int(low) - 1, 0), min(int(high) + 1, samples - 1)
    while first <= last:
        start = (f4(x + first * dx), f4(y + first * dy), f4(z + first * dz))
        if _within(start, f4(limit)):
            break
        first += 1
    while first <= last and not _within(position(start, step, last - first), f4(limit)):
        last -= 1
    return first, last - first + 1, start, step


@njit(inline="always", error_model="numpy")
def add_ray_gradient(grad_rays, column, row, grad_start, grad_step):
    """Carry the gradient of one ray's start and step to the matrices that made them."""
    u, v = column + 0.5, row + 0.5
    for axis in range(3):
        at, along = float(grad_start[axis]), float(grad_step[axis])
        grad_rays[0, axis, 0] += at * u
        grad_rays[0, axis, 1] += at * v
        grad_rays[0, axis, 2] += at
        grad_rays[1, axis, 0] += along * u
        grad_rays[1, axis, 1] += along * v
        grad_rays[1, axis, 2] += along
