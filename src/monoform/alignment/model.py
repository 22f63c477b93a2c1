"""A mesh made ready for the search: centred, of unit size, and at two levels of detail."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.errors import InputError
from monoform.meshes import Mesh, area_vectors, bounds, decimate, diagonal
from monoform.symmetry import SymmetryGroup, detect_symmetry

SEARCH_FACES, SEARCH_CELLS = 1500, (20, 28, 40, 56, 80)
"""Faces that the search mesh may have; above, vertices are clustered on the coarsest of these grids that leaves at least
half as many: fewer would be quicker still, but the struts of chairs and beds would be gone."""
REFINE_CELLS = 160
"""The same for the refinement mesh, used only above `REFINE_FACES`: a cell is about a pixel at 256."""
REFINE_FACES = 12_000


@dataclass(frozen=True, eq=False)
class Model:
    """A mesh in the search frame: ``x_search = (U x_file - centre) / size``, y up, where U turns the up axis to y."""

    mesh: Mesh
    """As loaded, in its file's frame."""
    up: np.ndarray
    """(3, 3) U."""
    centre: np.ndarray
    """(3,) centre of the box of U x_file."""
    size: float
    """Diagonal of that box."""
    fine: Mesh
    """Search frame, at most about `REFINE_FACES` faces where the file has many more."""
    coarse: Mesh
    """Search frame, for thousands of hypotheses."""
    symmetry: SymmetryGroup
    """In the file's frame."""

    def to_file(self, R: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pose of the search frame (..., 3, 3), (..., 3) to pose of the file's frame, in the file's unit."""
        R_file = R @ self.up
        return R_file, self.size * np.asarray(t) - R @ self.centre

    def from_file(self, R: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Inverse of `to_file`."""
        R_search = R @ self.up.T
        return R_search, (np.asarray(t) + R_search @ self.centre) / self.size


def up_rotation(axis: str) -> np.ndarray:
    """(3, 3) rotation that turns the named up axis ('x', '-x', 'y', '-y', 'z', '-z') to +y by the shortest way."""
    turns = {"y": "", "-y": "x180", "z": "x-90", "-z": "x90", "x": "z90", "-x": "z-90"}
    if axis not in turns:
        raise InputError(f"up axis: {axis!r} is none of {', '.join(sorted(turns))}; give one of them")
    turn = turns[axis]
    return Rotation.from_euler(turn[0], float(turn[1:]), degrees=True).as_matrix().round() if turn else np.eye(3)


def prepare(mesh: Mesh, up_axis: str = "y") -> Model:
    """Everything about a mesh that does not depend on the photo. InputError when there is nothing to see."""
    if len(mesh.faces) == 0:
        raise InputError("the mesh has no faces; give a mesh with a surface")
    up = up_rotation(up_axis)
    turned = mesh.vertices @ up.T
    low, high = bounds(turned)
    size = diagonal(turned)
    if not size > 0:
        raise InputError("all vertices of the mesh stand in one place; give a mesh with an extent")
    if not np.linalg.norm(area_vectors(turned, mesh.faces), axis=1).max() > 1e-12 * size**2:
        raise InputError("no face of the mesh has an area; give a mesh with a surface")
    centre = (low + high) / 2
    whole = Mesh((turned - centre) / size, mesh.faces, mesh.colours)
    fine = decimate(whole, REFINE_CELLS) if len(whole.faces) > REFINE_FACES else whole
    return Model(mesh, up, centre, size, fine, _simplified(fine), detect_symmetry(mesh))


def _simplified(mesh: Mesh) -> Mesh:
    """The mesh for thousands of hypotheses."""
    smaller = mesh
    for cells in SEARCH_CELLS if len(mesh.faces) > SEARCH_FACES else ():
        smaller = decimate(mesh, cells)
        if len(smaller.faces) >= SEARCH_FACES / 2:
            break
    return smaller
