"""The symmetry group of a mesh, and rotation errors that do not count it."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class SymmetryGroup:
    """The rotations ``x -> S (x - centre) + centre`` that map a mesh onto itself, in the mesh's own frame."""

    name: str
    """'none', 'C2', 'C3', ..., 'D2', ..., 'T', 'O', 'I' (those of the solids), 'axis', 'axis+flip' or 'sphere'."""
    rotations: np.ndarray = field(default_factory=lambda: np.eye(3)[None])
    """(n, 3, 3) the finite group, identity first; for 'axis+flip' the identity and one flip; else the identity."""
    axis: np.ndarray | None = None
    """(3,) unit axis of a continuous group, or the main axis of C and D; None without one."""
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))
    """(3,) the point that every symmetry keeps."""
    mirror_normals: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    """(m, 3) unit normals of mirror planes through the centre; for a continuous group only some of them."""

    @property
    def continuous(self) -> bool:
        """Whether the group holds every angle about an axis."""
        return self.name in ("axis", "axis+flip", "sphere")


def rotation_error(R_a: np.ndarray, R_b: np.ndarray, group: SymmetryGroup) -> np.ndarray:
    """(...) radians: the least angle between ``R_a S`` and R_b over the group's S; exact for continuous axes.

    `R_a`, `R_b`: (..., 3, 3) rotations of the mesh's frame into any other; leading axes broadcast.
    """
    R_a, R_b = np.asarray(R_a, np.float64), np.asarray(R_b, np.float64)
    if group.name == "sphere":
        return np.zeros(np.broadcast_shapes(R_a.shape[:-2], R_b.shape[:-2]))
    return geodesic_angle(closest_equivalent(R_a, R_b, group), R_b)


def closest_equivalent(R: np.ndarray, R_ref: np.ndarray, group: SymmetryGroup) -> np.ndarray:
    """(..., 3, 3): of all ``R S`` that look like `R`, the one nearest to `R_ref`."""
    R, R_ref = np.broadcast_arrays(np.asarray(R, np.float64), np.asarray(R_ref, np.float64))
    if group.name == "sphere":
        return R_ref.copy()
    turned = R[..., None, :, :] @ group.rotations
    if group.continuous:
        turned = turned @ _bestturn(np.swapaxes(R_ref, -1, -2)[..., None, :, :] @ turned, group.axis)
    best = np.argmin(geodesic_angle(turned, R_ref[..., None, :, :]), axis=-1)
    return np.take_along_axis(turned, best[..., None, None, None], axis=-3)[..., 0, :, :]


def equivalent_translation(R: np.ndarray, t: np.ndarray, R_new: np.ndarray, group: SymmetryGroup) -> np.ndarray:
    """(..., 3): the translation with which `R_new`, an equivalent of `R`, puts the mesh where (R, t) puts it."""
    return np.asarray(t) + (np.asarray(R) - np.asarray(R_new)) @ group.centre


def geodesic_angle(R_a: np.ndarray, R_b: np.ndarray) -> np.ndarray:
    """(...) radians between rotations, from the chord, which keeps its digits at small angles."""
    chord = np.sqrt(((R_a - R_b) ** 2).sum(axis=(-2, -1))) / np.sqrt(8.0)
    return 2.0 * np.arcsin(np.minimum(chord, 1.0))


def _bestturn(remaining: np.ndarray, axis: np.ndarray | None) -> np.ndarray:
    """(..., 3, 3) the turn S about `axis` for which the trace of ``remaining S`` is largest."""
    assert axis is not None
    cross = np.cross(np.eye(3), -axis)
    along = np.outer(axis, axis)
    cosine = np.trace(remaining, axis1=-2, axis2=-1) - np.einsum("...ij,ij->...", remaining, along)
    sine = np.einsum("...ij,ji->...", remaining, cross)
    angle = np.arctan2(sine, cosine)[..., None, None]
    return along + np.cos(angle) * (np.eye(3) - along) + np.sin(angle) * cross
