"""How well scores tell what is filled from what is empty, whatever the threshold, and one class from the others."""

import numpy as np
from jaxtyping import Bool, Float, Int

from monoform.errors import InputError
from monoform.metrics.checks import binary, check_same_shape, finite


def average_precision(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the precision-recall curve by steps, sum of (R_k - R_(k-1)) P_k over the distinct scores, falling.

    truth: bool of any shape; score: floats of the same. This is scikit-learn's `average_precision_score` since 0.19
    (Zhu 2017 follows the practice of earlier works, whose versions joined the steps by straight lines). Equal scores are one
    step, so that their order does not count.
    """
    truth, score = binary(truth).ravel(), finite(score, "the scores").ravel()
    check_same_shape(truth, score)
    if not truth.any():
        return float(not score.any())
    order = np.argsort(-score, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
    hits = np.cumsum(truth[order])[ends]
    return float(np.sum(np.diff(hits, prepend=0) * (hits / (ends + 1))) / hits[-1])


def average_precisions(truth: np.ndarray, score: np.ndarray) -> Float[np.ndarray, " n"]:
    """`average_precision` of each sample along the first axis: of voxels (3D AP) or of silhouettes (2D AP)."""
    check_same_shape(np.asarray(truth), np.asarray(score))
    return np.array([average_precision(t, s) for t, s in zip(truth, score)], np.float64)


def top_1(scores: Float[np.ndarray, "n k"], truth: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether the true class alone has the highest score; the mean is the accuracy of class."""
    scores, truth = finite(scores, "the scores"), np.asarray(truth)
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or not np.isin(truth, np.arange(scores.shape[1])).all():
        raise InputError(f"scores of shape {scores.shape} for {truth.shape} classes; give (n, k) and n classes below k")
    is_highest = scores == scores.max(axis=1, keepdims=True)
    return is_highest[np.arange(len(truth)), truth] & (is_highest.sum(axis=1) == 1)
