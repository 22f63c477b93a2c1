"""The largest occupancy along every pixel's ray through a voxel grid, and its gradient, which one sample a pixel takes.

Of equal samples the nearest is taken, as PyTorch's `max` does on the CPU.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from monoform.projection.kernels import threads
from monoform.projection.kernels.hard import FAST
from monoform.projection.kernels.trilinear import (
    add_ray_gradient,
    checked,
    enter,
    f4,
    interpolate,
    pad,
    position,
    scatter,
    unpad,
)

OUTSIDE = -1
"""Number of the sample taken if that lies outside the grid, where all is zero."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _largest(flat, side, samples, first, count, begin, step):
    """Largest value of a ray's samples and, counted from `first`, which of them it is."""
    best, taken = f4(0), OUTSIDE
    if first == 0 and count > 0:
        best = f4(-np.inf)
    for k in range(count):
        value, _, _, _ = interpolate(flat, side, position(begin, step, k))
        if not value <= best and best == best:  # a NaN is the largest of all, the nearest one if there are more
            best, taken = value, k
    if first + count < samples and best < f4(0):
        best, taken = f4(0), OUTSIDE
    return best, taken


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_rows(grids, rays, samples, start, stop, largest, taken, place):
    """Rows [start, stop), numbered through all images."""
    height, width, side = largest.shape[1], largest.shape[2], grids.shape[1] + 2
    padded = np.zeros((side, side, side), np.float32)
    flat, held = padded.reshape(-1), -1
    for number in range(start, stop):
        image, row = number // height, number % height
        if held != image % len(grids):
            held = image % len(grids)
            pad(grids[held], padded)
        for column in range(width):
            first, count, begin, step = enter(rays[image], column, row, samples, side)
            best, k = _largest(flat, side, samples, first, count, begin, step)
            largest[image, row, column] = best
            taken[image, row, column] = OUTSIDE if k == OUTSIDE else first + k
            x, y, z = position(begin, step, k)
            place[image, row, column, 0] = x
            place[image, row, column, 1] = y
            place[image, row, column, 2] = z


class Taken(NamedTuple):
    """What `backward` needs from `forward`."""

    number: np.ndarray
    """(b, h, w) int32 which sample is the largest, OUTSIDE where none in the grid is."""
    place: np.ndarray
    """(b, h, w, 3) float32 where it is, in cells of the padded grid; anything where it is OUTSIDE."""


def forward(grids: np.ndarray, rays: np.ndarray, samples: int, h: int, w: int) -> tuple[np.ndarray, Taken]:
    """Largest value (b, h, w) float32 of each pixel's samples, and which it is.

    grids: (b, q, q, q) or, one for all images, (1, q, q, q) occupancy [z, y, x]. rays: (b, 2, 3, 3), see `trilinear`.
    """
    grids, rays = checked(grids, rays)
    largest = np.empty((len(rays), h, w), np.float32)
    taken = Taken(np.empty((len(rays), h, w), np.int32), np.empty((len(rays), h, w, 3), np.float32))
    rows = threads.spans(len(rays) * h)
    threads.run([partial(_forward_rows, grids, rays, samples, *part, largest, *taken) for part in rows])
    return largest, taken


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_images(grids, taken, place, grad_largest, start, stop, grad_grids, grad_rays):
    height, width, side = taken.shape[1], taken.shape[2], grids.shape[1] + 2
    padded = np.zeros((side, side, side), np.float32)
    grad = np.empty((side, side, side), np.float32)
    flat, flat_grad, held = padded.reshape(-1), grad.reshape(-1), -1
    for image in range(start, stop):
        if held != image % len(grids):
            held = image % len(grids)
            pad(grids[held], padded)
        grad[:] = f4(0)
        grad_rays[image] = 0.0
        for row in range(height):
            for column in range(width):
                k, weight = taken[image, row, column], grad_largest[image, row, column]
                if k == OUTSIDE or weight == f4(0):
                    continue
                point = place[image, row, column]
                _, slopes, cell, within = interpolate(flat, side, (point[0], point[1], point[2]))
                scatter(flat_grad, side, cell, within, weight)
                at = (weight * slopes[0], weight * slopes[1], weight * slopes[2])
                number = f4(k)
                add_ray_gradient(
                    grad_rays[image], column, row, at, (number * at[0], number * at[1], number * at[2])
                )  # fmt: skip
        unpad(grad, grad_grids[image])


def backward(
    grids: np.ndarray, rays: np.ndarray, taken: Taken, grad_largest: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients by each image's grid (b, q, q, q) float32 and rays (b, 2, 3, 3) float64 of a loss whose own is given.

    taken: what `forward` returned; grad_largest: (b, h, w), the loss's gradient by the largest values.
    """
    grids, rays = checked(grids, rays)
    grad_largest = np.ascontiguousarray(grad_largest, dtype=np.float32)
    grad_grids = np.empty((len(rays), *grids.shape[1:]), np.float32)
    grad_rays = np.empty((len(rays), 2, 3, 3))
    images = (grids, *taken, grad_largest)
    parts = threads.spans(len(rays))
    threads.run([partial(_backward_images, *images, *part, grad_grids, grad_rays) for part in parts])
    return grad_grids, grad_rays
