"""One camera for all objects of a photo: as it is known, or the focal length that suits all outlines best together."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.alignment import FINE_FINAL, FINE_SCALES, FOCAL_FACTORS
from monoform.interfaces import Alignment
from monoform.refinement import refine_outlines
from monoform.scene.fitting import Fit

Poses = tuple[np.ndarray, np.ndarray]
"""R (n, 3, 3) and t (n, 3) of a model's search frame, which stands about its origin."""


def search_focal(
    fits: Sequence[Fit], found: Sequence[Alignment], cameras: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[Poses]]:
    """K (3, 3), and every object's poses R (n, 3, 3), t (n, 3) of its mesh's frame under it, from those of another camera.

    As `alignment` searches for one object: the fields of view of `cameras`, then factors about the best of them. Here the
    cost of a focal length is the sum over the objects of the best pose's outline cost, so that what one object leaves
    open another may settle.
    """

    def tried(K: np.ndarray, old: np.ndarray, starts: Sequence[Poses]) -> tuple[float, np.ndarray, list[Poses]]:
        results = [_refined(fit, poses, old, K) for fit, poses in zip(fits, starts, strict=True)]
        return sum(cost for cost, _ in results), K, [poses for _, poses in results]

    starts = [fit.model.from_file(*_stacked(one)) for fit, one in zip(fits, found, strict=True)]
    best = min((tried(K, found[0].K, starts) for K in cameras), key=lambda entry: entry[0])
    for factors in FOCAL_FACTORS:
        rounds = [tried(best[1] * _zoom(factor), best[1], best[2]) for factor in factors]
        best = min((best, *rounds), key=lambda entry: entry[0])
    return best[1], [fit.model.to_file(*poses) for fit, poses in zip(fits, best[2], strict=True)]


def _stacked(found: Alignment) -> Poses:
    return np.stack([pose.R for pose in found.poses]), np.stack([pose.t for pose in found.poses])


def _refined(fit: Fit, poses: Poses, old: np.ndarray, new: np.ndarray) -> tuple[float, Poses]:
    """The least outline cost under the new camera, and all poses, refined."""
    moved = [seen_alike(R, t, old, new) for R, t in zip(*poses, strict=True)]
    R, t = (np.stack(part) for part in zip(*moved, strict=True))
    R, t, cost = refine_outlines(fit.model.fine, R, t, fit.aimed.crop, new, fit.aimed.fine, FINE_SCALES, FINE_FINAL)
    return float(cost.min()), (R, t)


def _zoom(factor: float) -> np.ndarray:
    return np.array([[factor, factor, 1.0], [factor, factor, 1.0], [1.0, 1.0, 1.0]])


def seen_alike(R: np.ndarray, t: np.ndarray, old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A pose for another focal length: the object keeps its place and size in the picture, and the side that it shows.

    R (3, 3), t (3,) of an object about its own origin; the cameras' principal points are the same.
    """
    moved = t * [1.0, 1.0, new[0, 0] / old[0, 0]]
    return turn_between(t, moved) @ R, moved


def turn_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3, 3) the smallest rotation that takes the direction of a (3,) to that of b; the two are not opposite."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    axis = np.cross(a, b)
    sine = np.linalg.norm(axis)
    angle = np.arctan2(sine, a @ b)
    return Rotation.from_rotvec(axis * (angle / sine if sine > 0 else 1.0)).as_matrix()
