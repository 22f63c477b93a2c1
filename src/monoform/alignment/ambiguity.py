"""From scored poses to a ranked set that admits what the photo leaves open."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.symmetry import SymmetryGroup, rotation_error

COEFFICIENTS = np.array([2.69, 2.21, 3.07, 1.09])
"""Log-odds per unit of `Evidence.features`, fitted by `benchmarks/fit_ranking.py` on meshes that no benchmark uses."""
AMBIGUOUS = 0.2
"""A rival with this share of the first pose's weight or more makes the answer ambiguous."""
SAME = np.radians(10.0)
RELATED = np.radians(25.0)
"""How near two poses must be to a half-turn or a mirror image of each other to be called so."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What was measured of n poses; each (n,)."""

    cost: np.ndarray
    iou: np.ndarray
    shading: np.ndarray
    edges: np.ndarray

    def features(self) -> np.ndarray:
        """(n, 4). Misfits enter by their logarithm: how much a misfit of 0.01 more says depends on how well the best
        pose fits, and the log likelihood of a fit of unknown noise is a multiple of the log of its residual."""
        misfits = np.stack([self.cost + 0.02, 1.01 - self.iou, 1.05 - self.shading], axis=1)
        return np.hstack([-np.log(misfits), self.edges[:, None]])

    def log_odds(self) -> np.ndarray:
        """(n,) linear score; differences are log-odds that one pose is right rather than the other."""
        return self.features() @ COEFFICIENTS


def weights(score: np.ndarray) -> np.ndarray:
    """(n,) softmax: relative weights that sum to 1."""
    shifted = np.exp(score - score.max())
    return shifted / shifted.sum()


def relation(R: np.ndarray, first: np.ndarray, group: SymmetryGroup) -> str:
    """How a rotation relates to the first: 'symmetry', 'half-turn', 'mirror' or '' (unrelated)."""
    if rotation_error(R, first, group) < SAME:
        return "symmetry"
    between = Rotation.from_matrix(first.T @ R)  # a turn of the object in its own frame
    if abs(between.magnitude() - np.pi) < RELATED:
        return "half-turn"
    for normal in group.mirror_normals:
        # seen under weak perspective, an object with a mirror plane looks the same when the view is mirrored: the
        # depth-reversed twin is F R M, F the flip of depth and M the reflection of the object
        reflected = np.diag([1.0, 1.0, -1.0]) @ first @ (np.eye(3) - 2 * np.outer(normal, normal))
        if rotation_error(R, reflected, group) < RELATED:
            return "mirror"
    return ""


def kind_of(relations: list[str], share: np.ndarray, group: SymmetryGroup) -> tuple[bool, str]:
    """(ambiguous, kind) from the relations and weights of the ranked poses; the strongest rival names the kind."""
    for i in range(1, len(relations)):
        if relations[i] != "symmetry" and share[i] >= AMBIGUOUS * share[0]:
            return True, relations[i] or "other"
    if group.continuous:
        return True, "symmetry axis"
    return len(group.rotations) > 1, "symmetry" if len(group.rotations) > 1 else ""
