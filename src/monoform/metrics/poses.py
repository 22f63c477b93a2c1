"""How far a pose is off, by where it puts the object's points: ADD, ADD-S, MSSD and MSPD of the BOP challenge.

``x_camera = R x + t``; `points` are an object's vertices, or points on its surface. Batch axes of poses broadcast; all poses of
a call are of one object. Errors in space have the unit of the points.
"""

import numpy as np
from jaxtyping import Float

from monoform.errors import InputError
from monoform.metrics.checks import as_points, as_rotation, finite

NO_SYMMETRY = np.eye(4)[None]
"""The symmetry transforms of an object without symmetry, (1, 4, 4)."""
_LEAST_DEPTH = 1e-9
"""Of a projected point, so that none is divided by 0."""


def translation_error(t: Float[np.ndarray, "*batch 3"], truth: Float[np.ndarray, "*batch 3"]) -> np.ndarray:
    """Distance of two translations in their unit, (*batch,)."""
    return np.linalg.norm(_translation(t) - _translation(truth), axis=-1)


def add(
    R: Float[np.ndarray, "*batch 3 3"],
    t: Float[np.ndarray, "*batch 3"],
    true_R: Float[np.ndarray, "*batch 3 3"],
    true_t: Float[np.ndarray, "*batch 3"],
    points: Float[np.ndarray, "n 3"],
) -> np.ndarray:
    """Average distance of each point from where it should be, (*batch,) (ADD: Hinterstoisser 2012, Eq. 4)."""
    return _distances(_placed(R, t, points), _placed(true_R, true_t, points)).mean(axis=-1)


def add_s(
    R: Float[np.ndarray, "*batch 3 3"],
    t: Float[np.ndarray, "*batch 3"],
    true_R: Float[np.ndarray, "*batch 3 3"],
    true_t: Float[np.ndarray, "*batch 3"],
    points: Float[np.ndarray, "n 3"],
) -> np.ndarray:
    """Average distance of where each point should be from the nearest point, (*batch,) (ADD-S: Hinterstoisser 2012, Eq. 5).

    The toolkit's 'adi'. It forgives any symmetry, and much that is none: use `mssd` where the symmetries are known.
    """
    from scipy.spatial import KDTree

    # Seen from the object in its true pose, one tree serves every pose: rigid motions keep distances.
    turned, moved = _relative(R, t, true_R, true_t)
    points = as_points(points)
    asked = (points - moved[..., None, :]) @ turned
    return KDTree(points).query(asked.reshape(-1, 3))[0].reshape(asked.shape[:-1]).mean(axis=-1)


def mssd(
    R: Float[np.ndarray, "*batch 3 3"],
    t: Float[np.ndarray, "*batch 3"],
    true_R: Float[np.ndarray, "*batch 3 3"],
    true_t: Float[np.ndarray, "*batch 3"],
    points: Float[np.ndarray, "n 3"],
    symmetries: Float[np.ndarray, "s 4 4"] = NO_SYMMETRY,
) -> np.ndarray:
    """Maximum symmetry-aware surface distance, (*batch,): of all points the largest distance, of all symmetries the least.

    symmetries: rigid transforms that map the object onto itself, the identity among them, in its own frame (Drost 2017; Hodaň
    2020, section 2.2).
    """
    found = _placed(R, t, points)
    errors = [_distances(found, true).max(axis=-1) for true in _equivalents(true_R, true_t, points, symmetries)]
    return np.min(errors, axis=0)


def mspd(
    R: Float[np.ndarray, "*batch 3 3"],
    t: Float[np.ndarray, "*batch 3"],
    true_R: Float[np.ndarray, "*batch 3 3"],
    true_t: Float[np.ndarray, "*batch 3"],
    K: Float[np.ndarray, "*batch 3 3"],
    points: Float[np.ndarray, "n 3"],
    symmetries: Float[np.ndarray, "s 4 4"] = NO_SYMMETRY,
) -> np.ndarray:
    """Maximum symmetry-aware projection distance in pixels, (*batch,): as `mssd`, of the projected points (Hodaň 2020).

    A point behind the camera projects through its centre, as the formula has it.
    """
    found = _projected(_placed(R, t, points), K)
    placed = _equivalents(true_R, true_t, points, symmetries)
    return np.min([_distances(found, _projected(true, K)).max(axis=-1) for true in placed], axis=0)


def _placed(R: np.ndarray, t: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(*batch, n, 3) points of the object in the camera frame."""
    return as_points(points) @ np.swapaxes(as_rotation(R), -1, -2) + _translation(t)[..., None, :]


def _equivalents(R: np.ndarray, t: np.ndarray, points: np.ndarray, symmetries: np.ndarray) -> list[np.ndarray]:
    """The points in a pose after each of the symmetries."""
    transforms = finite(symmetries, "the symmetry transforms").astype(np.float64)
    if transforms.ndim != 3 or transforms.shape[1:] != (4, 4) or len(transforms) == 0:
        raise InputError(f"symmetry transforms of shape {transforms.shape}; give (s, 4, 4), the identity among them")
    return [_placed(R, t, _placed(each[:3, :3], each[:3, 3], points)) for each in transforms]


def _relative(R: np.ndarray, t: np.ndarray, true_R: np.ndarray, true_t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the pose puts the object, seen from the object in its true pose."""
    back = np.swapaxes(as_rotation(true_R), -1, -2)
    return back @ as_rotation(R), (back @ (_translation(t) - _translation(true_t))[..., None])[..., 0]


def _projected(points: np.ndarray, K: np.ndarray) -> np.ndarray:
    """(*batch, n, 2) pixels."""
    image = points @ np.swapaxes(finite(K, "the intrinsics").astype(np.float64), -1, -2)
    depth = image[..., 2:]
    return image[..., :2] / np.where(np.abs(depth) < _LEAST_DEPTH, _LEAST_DEPTH, depth)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.linalg.norm(a - b, axis=-1)


def _translation(t: np.ndarray) -> np.ndarray:
    t = finite(t, "the translations").astype(np.float64)
    if t.shape[-1:] != (3,):
        raise InputError(f"translations of shape {t.shape}; give (..., 3)")
    return t
