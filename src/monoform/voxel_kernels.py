"""The compiled loop of `voxels.voxelise_shell`, apart from it because importing the compiler takes long."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def fill_shell(triangles, grid):
    """Mark the cells of grid (q, q, q) that triangles (n, 3, 3), in cells, meet. Akenine-Moeller 2001.

    A triangle and a cube are apart exactly when one of 13 axes separates them: the cube's three, which bound the cells that
    are tried, the triangle's normal, and the nine products of their edges.
    """
    side = grid.shape[0]
    axes, lowest, highest = np.empty((10, 3)), np.empty(10), np.empty(10)
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for corners in triangles:
        for k in range(3):
            low[k] = int(min(max(np.floor(corners[:, k].min()), 0.0), side))
            high[k] = int(min(max(np.floor(corners[:, k].max()), -1.0), side - 1))
        _find_axes(corners, axes, lowest, highest)
        for z in range(low[2], high[2] + 1):
            for y in range(low[1], high[1] + 1):
                for x in range(low[0], high[0] + 1):
                    meets = True
                    for k in range(10):
                        at = axes[k, 0] * (x + 0.5) + axes[k, 1] * (y + 0.5) + axes[k, 2] * (z + 0.5)
                        if at < lowest[k] or at > highest[k]:
                            meets = False
                            break
                    if meets:
                        grid[z, y, x] = True


@njit(cache=True, nogil=True, error_model="numpy")
def _find_axes(corners, axes, lowest, highest):
    """The normal and the nine products, and between which places along each a meeting cell's centre lies."""
    edges = np.empty((3, 3))
    for i in range(3):
        edges[i] = corners[(i + 1) % 3] - corners[i]
    axes[0] = np.cross(edges[0], edges[1])
    for i in range(3):
        x, y, z = edges[i]
        axes[1 + 3 * i] = np.array([0.0, -z, y])
        axes[2 + 3 * i] = np.array([z, 0.0, -x])
        axes[3 + 3 * i] = np.array([-y, x, 0.0])
    for k in range(10):
        reach = 0.5 * np.abs(axes[k]).sum()
        along = corners[:, 0] * axes[k, 0] + corners[:, 1] * axes[k, 1] + corners[:, 2] * axes[k, 2]
        lowest[k], highest[k] = along.min() - reach, along.max() + reach
