"""Rays that stop or escape in a voxel grid: the product of (1 - occupancy) along every pixel's ray, and its gradient.

No sample is stored: the gradient walks along the ray again. There each factor's share of the product is the whole product,
kept from before, divided by that factor, which is never below ``1 - LARGEST``.
"""

from functools import partial

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

LARGEST = 1 - 1e-6
"""Occupancy is kept below this: behind a full cell nothing would have a gradient."""
OPAQUE = 1e-18
"""A ray that passes with less has escaped with 0; no cell's share of its gradient would be above 1e-12."""
PIECES = 4
"""One gradient of a grid is summed in this many pieces if the batch alone does not give the threads enough to do."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _forward_rows(grids, rays, samples, start, stop, escape):
    """Rows [start, stop), numbered through all images."""
    height, width, side = escape.shape[1], escape.shape[2], grids.shape[1] + 2
    padded = np.zeros((side, side, side), np.float32)
    flat, held = padded.reshape(-1), -1
    for number in range(start, stop):
        image, row = number // height, number % height
        if held != image % len(grids):
            held = image % len(grids)
            pad(grids[held], padded)
        for column in range(width):
            _, count, begin, step = enter(rays[image], column, row, samples, side)
            passed = f4(1)
            for k in range(count):
                value, _, _, _ = interpolate(flat, side, position(begin, step, k))
                passed *= f4(1) - (f4(LARGEST) if value > f4(LARGEST) else value)
                if passed < f4(OPAQUE):
                    passed = f4(0)
                    break
            escape[image, row, column] = passed


def forward(grids: np.ndarray, rays: np.ndarray, samples: int, h: int, w: int) -> np.ndarray:
    """Probability (b, h, w) float32 that each pixel's ray escapes.

    grids: (b, q, q, q) or, one for all images, (1, q, q, q) occupancy [z, y, x]. rays: (b, 2, 3, 3), see `trilinear`.
    """
    grids, rays = checked(grids, rays)
    escape = np.empty((len(rays), h, w), np.float32)
    rows = threads.spans(len(rays) * h)
    threads.run([partial(_forward_rows, grids, rays, samples, start, stop, escape) for start, stop in rows])
    return escape


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _walk_back(flat, side, count, begin, step, weight, grad):
    """Gradient of one ray: added to the grid's, returned for the position of its first sample and for its step."""
    sx, sy, sz = f4(0), f4(0), f4(0)
    kx, ky, kz = f4(0), f4(0), f4(0)
    for k in range(count):
        value, slopes, cell, place = interpolate(flat, side, position(begin, step, k))
        if value > f4(LARGEST):
            continue
        share = weight / (f4(1) - value)
        scatter(grad, side, cell, place, share)
        sx += share * slopes[0]
        sy += share * slopes[1]
        sz += share * slopes[2]
        kx += share * slopes[0] * f4(k)
        ky += share * slopes[1] * f4(k)
        kz += share * slopes[2] * f4(k)
    return (sx, sy, sz), (kx, ky, kz)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def _backward_pieces(grids, rays, samples, escape, grad_escape, start, stop, pieces, grad_grids, grad_rays):
    """Pieces [start, stop), numbered through all images; a piece is some of an image's rows."""
    height, width, side = escape.shape[1], escape.shape[2], grids.shape[1] + 2
    padded = np.zeros((side, side, side), np.float32)
    grad = np.empty((side, side, side), np.float32)
    flat, flat_grad, held = padded.reshape(-1), grad.reshape(-1), -1
    for number in range(start, stop):
        image, piece = number // pieces, number % pieces
        if held != image % len(grids):
            held = image % len(grids)
            pad(grids[held], padded)
        grad[:] = f4(0)
        grad_rays[number] = 0.0
        for row in range(height * piece // pieces, height * (piece + 1) // pieces):
            for column in range(width):
                weight = -grad_escape[image, row, column] * escape[image, row, column]
                if weight == f4(0):
                    continue
                first, count, begin, step = enter(rays[image], column, row, samples, side)
                at, along = _walk_back(flat, side, count, begin, step, weight, flat_grad)
                k = f4(first)
                along = (along[0] + k * at[0], along[1] + k * at[1], along[2] + k * at[2])
                add_ray_gradient(grad_rays[number], column, row, at, along)
        unpad(grad, grad_grids[number])


def backward(
    grids: np.ndarray, rays: np.ndarray, samples: int, escape: np.ndarray, grad_escape: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients by each image's grid (b, q, q, q) float32 and rays (b, 2, 3, 3) float64 of a loss whose own is given.

    escape: what `forward` returned; grad_escape: (b, h, w), the loss's gradient by it.
    """
    grids, rays = checked(grids, rays)
    grad_escape = np.ascontiguousarray(grad_escape, dtype=np.float32)
    batch, side = len(rays), grids.shape[1]
    pieces = max(1, PIECES // max(1, batch))
    grad_grids = np.empty((batch * pieces, side, side, side), np.float32)
    grad_rays = np.empty((batch * pieces, 2, 3, 3))
    fixed = (grids, rays, samples, escape, grad_escape)
    parts = threads.spans(batch * pieces)
    threads.run([partial(_backward_pieces, *fixed, *part, pieces, grad_grids, grad_rays) for part in parts])
    if pieces == 1:
        return grad_grids, grad_rays
    return (
        grad_grids.reshape(batch, pieces, side, side, side).sum(1),
        grad_rays.reshape(batch, pieces, 2, 3, 3).sum(1),
    )
