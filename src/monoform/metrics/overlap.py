"""How much two shapes or two masks have in common: IoU, and IoU over thresholds."""

import numpy as np
from jaxtyping import Bool, Float

from monoform.errors import InputError, NumericError
from monoform.metrics.checks import binary, check_same_shape, finite

THRESHOLDS = np.arange(1, 100) / 100.0
"""0.01 ... 0.99, among which a threshold is tuned."""


def voxel_iou(a: Bool[np.ndarray, "*batch q q q"], b: Bool[np.ndarray, "*batch q q q"]) -> np.ndarray:
    """Intersection over union of filled cells, (*batch,) float64; 1 where both grids are empty."""
    return _iou(a, b, (-3, -2, -1))


def mask_iou(a: Bool[np.ndarray, "*batch h w"], b: Bool[np.ndarray, "*batch h w"]) -> np.ndarray:
    """Intersection over union of covered pixels, (*batch,) float64; 1 where both masks are empty."""
    return _iou(a, b, (-2, -1))


def _iou(a: np.ndarray, b: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    a, b = binary(a), binary(b)
    check_same_shape(a, b)
    if a.ndim < len(axes):
        raise InputError(f"shapes of {a.ndim} axes; give at least {len(axes)}")
    common, union = (a & b).sum(axes), (a | b).sum(axes)
    return np.where(union == 0, 1.0, common / np.maximum(union, 1))


def filled(probability: np.ndarray, threshold: float | np.ndarray) -> np.ndarray:
    """Where a probability reaches the threshold, or each its own (equal counts as filled), bool."""
    probability = finite(probability, "the probabilities")
    return probability >= np.asarray(threshold, probability.dtype if probability.dtype.kind == "f" else np.float64)


def iou_by_threshold(
    truth: Bool[np.ndarray, "n *axes"], probability: Float[np.ndarray, "n *axes"], thresholds: np.ndarray = THRESHOLDS
) -> Float[np.ndarray, "k n"]:
    """IoU of each sample with its truth at each of the rising thresholds; 1 where both are empty."""
    truth, probability = binary(truth), finite(probability, "the probabilities")
    check_same_shape(truth, probability)
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
    ious = finite(ious, "the IoUs")
    if ious.shape[1:] == (0,) or len(ious) != len(thresholds):
        raise NumericError(f"IoUs of shape {ious.shape} for {len(thresholds)} thresholds; give (thresholds, samples)")
    means = ious.mean(axis=1)
    best = np.flatnonzero(means >= means.max() - 1e-12)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])
