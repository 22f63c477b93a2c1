"""Cells of the contact sheets that show how a training goes."""

import numpy as np

from monoform.overlays import draw
from monoform.voxels import surface

CELL = 112
"""Pixels a side."""


def grey(image: np.ndarray) -> np.ndarray:
    """(h, w) in [0, 1] to (h, w, 3) uint8."""
    return np.repeat((255 * image.astype(np.float32)).astype(np.uint8)[..., None], 3, axis=2)


def solid(grid: np.ndarray, R: np.ndarray) -> np.ndarray:
    """(CELL, CELL, 3) uint8: the surface of a grid [z, y, x] at 0.5, turned by R and seen from afar; black for an empty one."""
    mesh = surface(np.nan_to_num(grid)).mesh
    if mesh is None:
        return np.zeros((CELL, CELL, 3), np.uint8)
    K = np.array([[3.6 * CELL, 0, CELL / 2], [0, 3.6 * CELL, CELL / 2], [0, 0, 1]])
    view = draw(mesh, R, np.array([0, 0, 4.0]), K, (CELL, CELL))
    return (255 * view.colour * view.alpha[..., None]).astype(np.uint8)
