"""The numbers that are reported: overlap, average precision, angles, distances of surfaces, and how sure they are.

NumPy and SciPy alone. Nothing here returns NaN: what holds NaN or infinity, or nothing at all to average, is a NumericError.
Where a definition has a gap it is closed here: two empty shapes agree (IoU 1); an average precision with nothing to find is
1 if every score is 0, else 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from monoform.errors import InputError, NumericError
from monoform.meshes import Mesh, sample_surface

THRESHOLDS = np.arange(1, 100) / 100.0
"""0.01 ... 0.99, among which a threshold is tuned."""
HALF_TURN = np.diag([-1.0, 1.0, -1.0])
"""About the up axis of the canonical frame, y."""
_LARGEST_DEFECT = 1e-2
"""Of |R^T R - 1|; single precision and a network's own normalisation stay far below."""


# --- overlap -----------------------------------------------------------------------------------------------------


def voxel_iou(a: Bool[np.ndarray, "*batch q q q"], b: Bool[np.ndarray, "*batch q q q"]) -> np.ndarray:
    """Intersection over union of filled cells, (*batch,) float64; 1 where both grids are empty."""
    return _iou(a, b, (-3, -2, -1))


def mask_iou(a: Bool[np.ndarray, "*batch h w"], b: Bool[np.ndarray, "*batch h w"]) -> np.ndarray:
    """Intersection over union of covered pixels, (*batch,) float64; 1 where both masks are empty."""
    return _iou(a, b, (-2, -1))


def _iou(a: np.ndarray, b: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    a, b = _binary(a), _binary(b)
    _check_same_shape(a, b)
    if a.ndim < len(axes):
        raise InputError(f"shapes of {a.ndim} axes; give at least {len(axes)}")
    common, union = (a & b).sum(axes), (a | b).sum(axes)
    return np.where(union == 0, 1.0, common / np.maximum(union, 1))


def filled(probability: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Where a probability reaches the threshold, or each its own (equal counts as filled), bool."""
    probability = _finite(probability, "the probabilities")
    return probability >= np.asarray(threshold, probability.dtype if probability.dtype.kind == "f" else np.float64)


def iou_by_threshold(
    truth: Bool[np.ndarray, "n *axes"], probability: Float[np.ndarray, "n *axes"], thresholds: np.ndarray = THRESHOLDS
) -> Float[np.ndarray, "k n"]:
    """IoU of each sample with its truth at each of the rising thresholds; 1 where both are empty."""
    truth, probability = _binary(truth), _finite(probability, "the probabilities")
    _check_same_shape(truth, probability)
    count, found = len(thresholds), np.empty((len(thresholds), len(truth)))
    # In the probabilities' own precision, as `filled` compares: 0.7 of single precision reaches 0.7.
    limits = thresholds.astype(probability.dtype if probability.dtype.kind == "f" else np.float64)
    for i in range(len(truth)):
        # A cell is filled at the first `level` thresholds; counting levels serves all thresholds at once.
        level = np.searchsorted(limits, probability[i].ravel(), side="right")
        both = np.bincount(level[truth[i].ravel()], minlength=count + 1)
        every = np.bincount(level, minlength=count + 1)
        common, predicted = (np.cumsum(tally[::-1])[::-1][1:] for tally in (both, every))
        union = predicted + truth[i].sum() - common
        found[:, i] = np.where(union == 0, 1.0, common / np.maximum(union, 1))
    return found


def best_threshold(ious: Float[np.ndarray, "k n"], thresholds: np.ndarray = THRESHOLDS) -> float:
    """The threshold with the highest mean IoU over the samples of `iou_by_threshold`; of equals, the one nearest to 0.5.

    To be tuned on a validation set, never on what is reported.
    """
    ious = _finite(ious, "the IoUs")
    if ious.shape[1:] == (0,) or len(ious) != len(thresholds):
        raise NumericError(f"IoUs of shape {ious.shape} for {len(thresholds)} thresholds; give (thresholds, samples)")
    means = ious.mean(axis=1)
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])


# --- average precision -------------------------------------------------------------------------------------------


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve by steps, sum of (R_k - R_(k-1)) P_k over the distinct scores, falling.

    truth: bool of any shape; score: floats of the same. This is scikit-learn's `average_precision_score` since 0.19
    (Zhu 2017 follows the practice of earlier works, whose versions joined the steps by straight lines). Equal scores are one
    step, so that their order does not count.
    """
    truth, score = _binary(truth).ravel(), _finite(score, "the scores").ravel()
    _check_same_shape(truth, score)
    if not truth.any():
        return float(not score.any())
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(truth[order])[ends]
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (ends + 1))) / hits[-1])


def average_precisions(truth: np.ndarray, score: np.ndarray) -> Float[np.ndarray, " n"]:
    """`average_precision` of each sample along the first axis: of voxels (3D AP) or of silhouettes (2D AP)."""
    _check_same_shape(np.asarray(truth), np.asarray(score))
    return np.array([average_precision(t, s) for t, s in zip(truth, score)], np.float64)


# --- angles ------------------------------------------------------------------------------------------------------


def rotation_angle_deg(R: Float[np.ndarray, "*batch 3 3"], S: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Angle of the rotation between two, degrees in [0, 180]; batch axes broadcast. Lin 2018, Eq. 4.

    ``atan2(sine, cosine)``, exact near 0 and 180 where the usual arccos of the trace loses half its digits.
    Raises InputError for a matrix that is not a rotation.
    """
    relative = np.swapaxes(_rotation(R), -1, -2) @ _rotation(S)
    skew = relative - np.swapaxes(relative, -1, -2)
    sine = 0.5 * np.sqrt(skew[..., 2, 1] ** 2 + skew[..., 0, 2] ** 2 + skew[..., 1, 0] ** 2)
    cosine = 0.5 * (np.trace(relative, axis1=-2, axis2=-1) - 1.0)
    return np.degrees(np.arctan2(sine, cosine))


def half_turn_error_deg(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """The rotation error where an object turned half round its up axis counts as the same, degrees.

    R, truth: canonical object to camera. A car seen from its side has nearly the same silhouette both ways (Liao 2019,
    section 3.2).
    """
    return np.minimum(rotation_angle_deg(R, truth), rotation_angle_deg(R, _rotation(truth) @ HALF_TURN))


def is_flipped(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Whether a pose is nearer to the half-turned truth than to the truth, by more than 90 degrees; (*batch,) bool."""
    return rotation_angle_deg(R, truth) - rotation_angle_deg(R, _rotation(truth) @ HALF_TURN) > 90.0


def viewpoint_deg(R: Float[np.ndarray, "*batch 3 3"]) -> tuple[np.ndarray, np.ndarray]:
    """(azimuth, elevation) from which the camera of R_camera_object looks at the object, degrees.

    As `rotations.matrix_to_viewpoint` has them: azimuth in [-180, 180], elevation in [-90, 90].
    """
    x, y, z = np.moveaxis(_rotation(R)[..., 2, :], -1, 0)
    return np.degrees(np.arctan2(x, z)), np.degrees(np.arctan2(-y, np.hypot(x, z)))


def azimuth_error_deg(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Difference of the azimuths the short way round, degrees in [0, 180]."""
    apart = np.abs(viewpoint_deg(R)[0] - viewpoint_deg(truth)[0])
    return np.minimum(apart, 360.0 - apart)


def elevation_error_deg(R: Float[np.ndarray, "*batch 3 3"], truth: Float[np.ndarray, "*batch 3 3"]) -> np.ndarray:
    """Difference of the elevations, degrees in [0, 180]."""
    return np.abs(viewpoint_deg(R)[1] - viewpoint_deg(truth)[1])


def median_error(errors: Float[np.ndarray, " n"]) -> float:
    """MedErr: the median of errors."""
    return float(np.median(_some(errors, "the errors")))


def accuracy(errors: Float[np.ndarray, " n"], limit: float) -> float:
    """Share of errors below the limit; an error equal to it is outside. Acc_pi/6 is ``accuracy(degrees, 30)``."""
    return float(np.mean(_some(errors, "the errors") < limit))


# --- surfaces ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chamfer:
    """Distance of two point sets, the mean one way plus the mean the other way: no halving, no factor."""

    l1: float
    """Of distances, in the points' unit. Mean accuracy and completeness, as some papers define it, are half of this."""
    squared: float
    """Of squared distances, in the unit's square."""


def chamfer(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]) -> Chamfer:
    """Chamfer distance of two sets of points in one frame (Fan 2017). Raises NumericError if one is empty."""
    from scipy.spatial import KDTree

    a, b = _points(a), _points(b)
    to_b, to_a = KDTree(b).query(a)[0], KDTree(a).query(b)[0]
    return Chamfer(float(to_b.mean() + to_a.mean()), float((to_b**2).mean() + (to_a**2).mean()))


def mesh_chamfer(a: Mesh, b: Mesh, count: int, rng: np.random.Generator) -> Chamfer:
    """Chamfer distance of `count` points on each surface, spread by area.

    Points of one surface drawn twice are apart: about 0.9 / sqrt(count / area) in `l1`, which is the least to be expected.
    """
    return chamfer(sample_surface(a, count, rng), sample_surface(b, count, rng))


# --- how sure a mean is ------------------------------------------------------------------------------------------


def bootstrap(
    values: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    *,
    resamples: int = 1000,
    seed: int | Sequence[int] = 0,
) -> Float[np.ndarray, " r"]:
    """Means of the values when whole groups are drawn with replacement, as many groups as there are (Efron 1979).

    groups: the object of each value: images of one object are not independent, so that drawing images would promise too
    much. The same seed gives the same draws.
    """
    values, index, count = _grouped(values, groups)
    draws = _draws(count, resamples, seed)
    sums, sizes = np.bincount(index, values, minlength=count), np.bincount(index, minlength=count)
    return (draws @ sums) / (draws @ sizes)


def bootstrap_median(
    values: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"],
    *,
    resamples: int = 1000,
    seed: int | Sequence[int] = 0,
) -> Float[np.ndarray, " r"]:
    """As `bootstrap`, of medians."""
    values, index, count = _grouped(values, groups)
    order = np.argsort(values, kind="stable")
    values, index = values[order], index[order]
    found = np.empty(resamples)
    for i, draw in enumerate(_draws(count, resamples, seed)):
        ends = np.cumsum(draw[index])
        below, above = (ends[-1] - 1) // 2, ends[-1] // 2
        found[i] = values[np.searchsorted(ends, [below, above], side="right")].mean()
    return found


def interval(samples: Float[np.ndarray, " r"], level: float = 0.95) -> tuple[float, float]:
    """The percentiles that hold `level` of the samples between them."""
    if not 0.0 < level < 1.0:
        raise InputError(f"an interval of level {level:g}; give a number between 0 and 1, such as 0.95")
    low, high = np.quantile(_some(samples, "the samples"), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _grouped(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    values = _some(values, "the values").astype(np.float64)
    _check_same_shape(values, np.asarray(groups))
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    return values, index.reshape(-1), len(names)


def _draws(count: int, resamples: int, seed: int | Sequence[int]) -> np.ndarray:
    """(resamples, count): how often each group is drawn."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1.0 / count), size=resamples)


# --- checks ------------------------------------------------------------------------------------------------------


def _binary(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise InputError(
            f"a {array.dtype} array with other values than 0 and 1 where filled or empty is needed; cut it at a threshold"
        )
    return array.astype(bool)


def _finite(array: np.ndarray, what: str) -> np.ndarray:
    array = np.asarray(array)
    if not np.isfinite(array).all():
        raise NumericError(f"{what} hold NaN or infinity; the stage that gave them has diverged")
    return array


def _some(array: np.ndarray, what: str) -> np.ndarray:
    array = _finite(array, what)
    if array.ndim != 1 or len(array) == 0:
        raise NumericError(f"{what} have shape {array.shape}; give one number a sample, at least one")
    return array


def _rotation(R: np.ndarray) -> np.ndarray:
    R = _finite(R, "the rotations").astype(np.float64)
    if R.shape[-2:] != (3, 3):
        raise InputError(f"rotations of shape {R.shape}; give (..., 3, 3)")
    defect = np.abs(np.swapaxes(R, -1, -2) @ R - np.eye(3)).max(initial=0.0)
    if defect > _LARGEST_DEFECT or (np.linalg.det(R) < 0).any():
        raise InputError(
            f"a matrix is no rotation (|R^T R - 1| up to {defect:.3g}, or a mirror image); give orthonormal matrices"
        )
    return R


def _points(points: np.ndarray) -> np.ndarray:
    points = _finite(points, "the points").astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise NumericError(f"points of shape {points.shape}; give (n, 3) with at least one point")
    return points


def _check_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise InputError(f"shapes {a.shape} and {b.shape} to compare; give two of the same shape")
