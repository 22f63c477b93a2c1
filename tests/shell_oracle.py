"""The specification of `voxels.voxelise_shell` in plain NumPy: faces cut small, each tried with the cells about it."""

from itertools import product

import numpy as np

from monoform.meshes import Mesh
from monoform.voxels import _SHIFT


def shell(mesh: Mesh, side: int) -> np.ndarray:
    """(q, q, q) bool [z, y, x]: the cells that the surface passes through."""
    triangles = (mesh.vertices[mesh.faces] + 0.5) * side + _SHIFT
    triangles = _split_long_edges(triangles)
    low = np.floor(triangles.min(axis=1)).astype(np.int64)
    spans = np.floor(triangles.max(axis=1)).astype(np.int64) - low + 1
    widest: list[int] = spans.max(axis=0, initial=0).tolist()
    grid = np.zeros((side, side, side), bool)
    for offset in product(*map(range, widest)):
        near = np.flatnonzero((spans > offset).all(axis=1))
        cells = low[near] + offset
        hit = _triangle_meets_cell(triangles[near] - cells[:, None] - 0.5)
        inside = hit & (cells >= 0).all(axis=1) & (cells < side).all(axis=1)
        x, y, z = cells[inside].T
        grid[z, y, x] = True
    return grid


def _split_long_edges(triangles: np.ndarray) -> np.ndarray:
    """The same surface in triangles whose edges are at most one cell long, by halving the longest edge."""
    done: list[np.ndarray] = []
    while len(triangles):
        lengths = ((np.roll(triangles, -1, axis=1) - triangles) ** 2).sum(axis=2)
        is_long = lengths.max(axis=1) > 1.0
        done.append(triangles[~is_long])
        triangles, longest = triangles[is_long], lengths[is_long].argmax(axis=1)
        order = (longest[:, None] + np.arange(3)) % 3
        a, b, c = np.moveaxis(np.take_along_axis(triangles, order[..., None], axis=1), 1, 0)
        middle = (a + b) / 2
        triangles = np.concatenate([np.stack([a, middle, c], axis=1), np.stack([middle, b, c], axis=1)])
    return np.concatenate(done) if done else triangles


def _triangle_meets_cell(triangles: np.ndarray) -> np.ndarray:
    """(n,) whether triangle i (n, 3, 3) meets the cube of side 1 about the origin. Akenine-Moeller 2001.

    Two convex bodies are apart exactly when one of 13 axes separates them: the cube's three (whose test the caller's
    box has done but for the upper side), the normal, and nine products of edges.
    """
    edges = np.roll(triangles, -1, axis=1) - triangles
    normal = np.cross(edges[:, 0], edges[:, 1])
    axes = [np.broadcast_to(row, normal.shape) for row in np.eye(3)] + [normal]
    axes += [np.cross(row, edges[:, k]) for row in np.eye(3) for k in range(3)]
    meets = np.ones(len(triangles), bool)
    for axis in axes:
        along = np.einsum("nci,ni->nc", triangles, axis)
        reach = 0.5 * np.abs(axis).sum(axis=1)
        meets &= (along.min(axis=1) <= reach) & (along.max(axis=1) >= -reach)
    return meets
