"""What every metric asks of its arguments."""

import numpy as np

from monoform.errors import InputError, NumericError

_LARGEST_DEFECT = 1e-2
"""Of |R^T R - 1|; single precision and a network's own normalisation stay far below."""


def binary(array: np.ndarray) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype != bool and not np.isin(array, (0, 1)).all():
        raise InputError(
            f"a {array.dtype} array with other values than 0 and 1 where filled or empty is needed; cut it at a threshold"
        )
    return array.astype(bool)


def finite(array: np.ndarray, what: str) -> np.ndarray:
    array = np.asarray(array)
    if not np.isfinite(array).all():
        raise NumericError(f"{what} hold NaN or infinity; the stage that gave them has diverged")
    return array


def some(array: np.ndarray, what: str) -> np.ndarray:
    array = finite(array, what)
    if array.ndim != 1 or len(array) == 0:
        raise NumericError(f"{what} have shape {array.shape}; give one number a sample, at least one")
    return array


def as_rotation(R: np.ndarray) -> np.ndarray:
    R = finite(R, "the rotations").astype(np.float64)
    if R.shape[-2:] != (3, 3):
        raise InputError(f"rotations of shape {R.shape}; give (..., 3, 3)")
    defect = np.abs(np.swapaxes(R, -1, -2) @ R - np.eye(3)).max(initial=0.0)
    if defect > _LARGEST_DEFECT or (np.linalg.det(R) < 0).any():
        raise InputError(
            f"a matrix is no rotation (|R^T R - 1| up to {defect:.3g}, or a mirror image); give orthonormal matrices"
        )
    return R


def as_points(points: np.ndarray) -> np.ndarray:
    points = finite(points, "the points").astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise NumericError(f"points of shape {points.shape}; give (n, 3) with at least one point")
    return points


def check_same_shape(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape != b.shape:
        raise InputError(f"shapes {a.shape} and {b.shape} to compare; give two of the same shape")
