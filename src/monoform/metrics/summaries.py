"""One number of many errors, and how sure it is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from monoform.errors import InputError
from monoform.metrics.checks import check_same_shape, some


def median_error(errors: Float[np.ndarray, " n"]) -> float:
    """MedErr: the median of errors."""
    return float(np.median(some(errors, "the errors")))


def accuracy(errors: Float[np.ndarray, " n"], limit: float) -> float:
    """Share of errors below the limit; an error equal to it is outside. Acc_pi/6 is ``accuracy(degrees, 30)``."""
    return float(np.mean(some(errors, "the errors") < limit))


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
    low, high = np.quantile(some(samples, "the samples"), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _grouped(values: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    values = some(values, "the values").astype(np.float64)
    check_same_shape(values, np.asarray(groups))
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    return values, index.reshape(-1), len(names)


def _draws(count: int, resamples: int, seed: int | Sequence[int]) -> np.ndarray:
    """(resamples, count): how often each group is drawn."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1.0 / count), size=resamples)
