"""What a method says of a set, batch by batch, and the truth in the same form."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from monoform import metrics
from monoform.errors import InputError, NumericError
from monoform.interfaces import ImageSet, Method, Prediction
from monoform.methods.image_tensors import area_mean
from monoform.projection.warping import warp


def predictions(
    method: Method, images: ImageSet, batch_size: int, needed: Sequence[str]
) -> Iterator[tuple[np.ndarray, Prediction]]:
    """Rows and what the method says of them: what is needed finite, the rest finite or, where it has none, nan throughout."""
    device = next((p.device for p in method.parameters()), torch.device("cpu"))  # pyright: ignore[reportAttributeAccessIssue]
    for rows in batches(images, batch_size):
        pixels = torch.from_numpy(np.ascontiguousarray(images.images[rows])).to(device)
        with torch.no_grad():
            prediction = method.predict(pixels.permute(0, 3, 1, 2).float() / 255.0)
        has_shape = knows(prediction, "voxels") or knows(prediction, "posed")
        for name in ("voxels", "R", "t", "posed", "mask"):
            finite = np.isfinite(getattr(prediction, name))
            if name in needed and has_shape and np.isnan(getattr(prediction, name)).all():
                raise InputError(f"the method gives no {name}, which this protocol needs; use the protocol zhu2017")
            if not finite.all() and (name in needed or finite.any()):
                raise NumericError(f"the method predicts NaN or infinity in '{name}'; its training has diverged")
        yield rows, prediction


def batches(images: ImageSet, size: int) -> list[np.ndarray]:
    """The rows of all images, `size` at a time. Raises InputError for an empty set."""
    if len(images) == 0:
        raise InputError("the set to evaluate has no images; make or choose another")
    return np.split(np.arange(len(images)), range(size, len(images), size))


def knows(prediction: Prediction, name: str) -> bool:
    """Whether the method predicts this: one without a pose, for instance, gives nan."""
    return bool(np.isfinite(getattr(prediction, name)).all())


def pose_numbers(prediction: Prediction, test: ImageSet, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Errors of the rotation, one number an image."""
    R, truth = prediction.R, test.R[rows]
    return {
        "rotation_error_deg": metrics.rotation_angle_deg(R, truth),
        "half_turn_error_deg": metrics.half_turn_error_deg(R, truth),
        "flipped": metrics.is_flipped(R, truth).astype(np.float64),
        "azimuth_error_deg": metrics.azimuth_error_deg(R, truth),
        "elevation_error_deg": metrics.elevation_error_deg(R, truth),
    }


def true_voxels(images: ImageSet, rows: np.ndarray, side: int) -> np.ndarray:
    """(b, side, side, side) bool. Raises InputError for a set without voxels or with others."""
    if not images.voxel_kind:
        raise InputError("the set knows masks alone, no shapes and poses; give a rendered set")
    truth = np.asarray(images.voxels[images.objects[rows]], bool)
    if truth.shape[-1] != side:
        raise InputError(
            f"true grids have {truth.shape[-1]} cells a side, the method's {side}; render the set with {side}"
        )
    return truth


def resized(masks: np.ndarray, side: int) -> np.ndarray:
    """Coverage (b, side, side) float32 in [0, 1] of masks (b, s, s), uint8 or float, by averaging areas."""
    # Counts of 255 are exact in single precision, shares of them are not: a half must stay one.
    return area_mean(masks, side) / np.float32(255 if masks.dtype == np.uint8 else 1)


def categories(images: ImageSet) -> np.ndarray:
    """(n,) the category of each image."""
    return np.array(images.categories)[images.objects]


def tensor(array: np.ndarray) -> Tensor:
    """The same numbers in single precision."""
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def posed_grid(voxels: np.ndarray, R: np.ndarray, side: int, t: np.ndarray | None = None) -> np.ndarray:
    """(b, side, side, side) float32: grids (b, q, q, q) turned about their centres by R (b, 3, 3), cells of the same size.

    t: (b, 3) shifts after the turn, in sides of the given grids. side - q must be even, or the centre would not stay where it
    was (ValueError); nothing of a grid is lost when side is at least q sqrt(3), and nothing of a shape within the sphere of
    diameter q ever.
    """
    border, odd = divmod(side - voxels.shape[-1], 2)
    if odd or border < 0:
        raise ValueError(f"a grid of {voxels.shape[-1]} cells a side cannot stand at the middle of one of {side}")
    with torch.no_grad():
        shift = None if t is None else tensor(t) * (voxels.shape[-1] / side)
        return warp(torch.nn.functional.pad(tensor(voxels), (border,) * 6), tensor(R), shift).numpy()
