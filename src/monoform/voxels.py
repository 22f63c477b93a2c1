"""Voxel grids: make them from a mesh, and make a closed mesh of them. Without torch.

A grid of q cells a side fills the unit cube about the origin and is indexed ``[z, y, x]``; cell i has its centre at
``(i + 0.5) / q - 0.5``. Meshes stand in the same cube: `meshes.normalise` puts them there.
To turn a grid, batched and differentiable: `projection.warping`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from monoform.errors import InputError, NumericError
from monoform.meshes import Mesh, is_watertight

KINDS = ("solid", "shell")
_LARGEST_SIDE = 512
_SHIFT = 1e-5 / np.sqrt([1.0, 2.0, 3.0])
"""Of a mesh, in cells, before it is voxelised: a face on the border of two cells must not be in both, nor in none. The parts
have no common measure, so that a slanted face through the edges or corners of cells is moved off them too."""


@dataclass(frozen=True, eq=False)
class VoxelSurface:
    """The surface of a grid, or why there is none."""

    mesh: Mesh | None
    """Closed, outward, in the unit cube; None when `status` is 'empty'."""
    status: str
    """'ok', 'empty' (no cell reaches the level) or 'full' (every cell does: the mesh is the grid's own box)."""

    @property
    def warning(self) -> str:
        """One line for the user; '' when all is well."""
        return {
            "empty": "no voxel reaches the level, so there is no shape; lower the level",
            "full": "every voxel reaches the level, so the shape is the grid's box; raise the level",
        }.get(self.status, "")


# --- mesh to grid ------------------------------------------------------------------------------------------------


def voxelise(mesh: Mesh, side: int, kind: str) -> Bool[np.ndarray, "q q q"]:
    """The voxels of one of KINDS: `voxelise_solid` or `voxelise_shell`. Raises InputError for another."""
    if kind not in KINDS:
        raise InputError(f"voxels of the kind {kind!r}; give {' or '.join(KINDS)}")
    return voxelise_solid(mesh, side) if kind == "solid" else voxelise_shell(mesh, side)


def voxelise_shell(mesh: Mesh, side: int) -> Bool[np.ndarray, "q q q"]:
    """The cells that the surface passes through; for any mesh. A face between two cells counts for the higher one."""
    from monoform.voxel_kernels import fill_shell

    _check_side(side)
    grid = np.zeros((side, side, side), bool)
    fill_shell((mesh.vertices[mesh.faces] + 0.5) * side + _SHIFT, grid)
    return grid


def voxelise_solid(mesh: Mesh, side: int) -> Bool[np.ndarray, "q q q"]:
    """The cells that the surface passes through and those it shuts in: what a flood from outside cannot reach.

    For any mesh, open, overlapping or mixed in winding; a surface with a hole wider than a cell stays a shell, and so
    does one that leaves the unit cube.
    """
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(voxelise_shell(mesh, side)))


def voxelise_closed(mesh: Mesh, side: int) -> Bool[np.ndarray, "q q q"]:
    """The cells whose centres lie inside a closed mesh, by its winding number along z: no thicker than the mesh is.

    Raises InputError for a mesh that is not watertight: use `voxelise_solid`.
    """
    _check_side(side)
    if not is_watertight(mesh):
        raise InputError("the mesh is not closed, so it has no inside; voxelise it with voxelise_solid")
    triangles = (mesh.vertices[mesh.faces] + 0.5) * side - 0.5
    # Columns of cell centres would run along edges and through vertices of a mesh made from voxels: step aside.
    triangles[..., :2] += [1.3e-4, 0.7e-4]
    face, x, y = _columns(triangles, side)
    a, b, c = (triangles[face, corner] for corner in range(3))
    point = np.stack([x, y], axis=1)
    area = _cross(b - a, c - a)
    u, v, w = (_cross(q - p, point - p[:, :2]) for p, q in ((b, c), (c, a), (a, b)))
    hit = (np.sign(u) == np.sign(area)) & (np.sign(v) == np.sign(area)) & (np.sign(w) == np.sign(area)) & (area != 0)
    height = (u * a[:, 2] + v * b[:, 2] + w * c[:, 2])[hit] / area[hit]
    first_above = np.clip(np.ceil(height), 0, side).astype(np.int64)
    crossings = np.zeros((side + 1, side, side))
    np.add.at(crossings, (first_above, y[hit], x[hit]), np.sign(area[hit]))
    return np.round(np.cumsum(crossings, axis=0)[:side]) != 0


def _check_side(side: int) -> None:
    if not 1 <= side <= _LARGEST_SIDE:
        raise InputError(f"a voxel grid of side {side}; give a side from 1 to {_LARGEST_SIDE}")


def _columns(triangles: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a triangle and a column (x, y) within its box: face ids, x and y, each (n,)."""
    low = np.clip(np.ceil(triangles[..., :2].min(axis=1)), 0, side).astype(np.int64)
    high = np.clip(np.floor(triangles[..., :2].max(axis=1)), -1, side - 1).astype(np.int64)
    width, height = np.maximum(high - low + 1, 0).T
    face = np.repeat(np.arange(len(triangles)), width * height)
    within = np.arange(len(face)) - np.repeat(np.cumsum(width * height) - width * height, width * height)
    return face, low[face, 0] + within % width[face], low[face, 1] + within // width[face]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


# --- grid to mesh ------------------------------------------------------------------------------------------------


def surface(grid: Float[np.ndarray, "q q q"] | Bool[np.ndarray, "q q q"], level: float = 0.5) -> VoxelSurface:
    """The closed surface between cells below `level` and cells at or above it, by marching cubes.

    Always watertight, consistently wound and outward: the grid is padded, so that a shape that touches its border is
    closed there; values near the level are moved off it, because a surface through a grid point pinches; the classic
    tables (Lorensen 1987) keep cells that touch only along a diagonal apart or joined, never pinched.
    Raises NumericError for NaN or infinity.
    """
    from skimage.measure import marching_cubes

    values = np.asarray(grid, np.float64) - level
    if not np.isfinite(values).all():
        raise NumericError("the voxel grid holds NaN or infinity; the stage that predicted it has diverged")
    filled = values >= 0
    if not filled.any():
        return VoxelSurface(None, "empty")
    largest = max(float(np.abs(values).max()), 1e-12)
    # Values within a thousandth of the range would put vertices of several edges at one place.
    values = np.where(filled, np.maximum(values, 1e-3 * largest), np.minimum(values, -1e-3 * largest)) / largest
    vertices, faces, _, _ = marching_cubes(np.pad(values, 1, constant_values=-1.0), 0.0, method="lorensen")
    # From padded [z, y, x] indices to the unit cube; the swap of axes also turns the faces outwards.
    sides = np.array(values.shape)[::-1]
    mesh = Mesh((vertices[:, ::-1].astype(np.float64) - 0.5) / sides - 0.5, faces)
    return VoxelSurface(mesh, "full" if filled.all() else "ok")
