"""How Zhu 2017 is measured: average precision of shapes and silhouettes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from monoform import metrics
from monoform.evaluate.batches import (
    batches,
    knows,
    pose_numbers,
    posed_grid,
    predictions,
    resized,
    tensor,
    true_voxels,
)
from monoform.evaluate.evaluation import Evaluation, Groups, whole
from monoform.interfaces import ImageSet, Method, Prediction


@dataclass(frozen=True)
class Zhu2017Protocol:
    """How Zhu 2017 is measured: average precision, which needs no threshold on what is predicted."""

    true_threshold: float = 0.5
    """Open in the paper. Of a true shape once it is turned and of a mask once it is small."""
    mask_px: int = 30
    """Side of the silhouettes whose 2D AP is taken: the grid's."""
    accuracy_deg: float = 30.0
    batch_size: int = 32
    resamples: int = 1000
    """Of objects, for the intervals."""
    level: float = 0.95
    seed: int = 0


def evaluate_zhu2017(
    method: Method,
    test: ImageSet,
    protocol: Zhu2017Protocol = Zhu2017Protocol(),
    groups: Groups | None = None,
) -> Evaluation:
    """3D average precision of aligned and pose-aware shapes, 2D average precision of silhouettes, pose errors.

    test: a set with poses and voxels, or one with masks alone, of which only the 2D AP can be told. The pose-aware truth is
    moved by (t_x, t_y) as the paper's pose is, and never in depth. 'ap_3d.predicted_shape.true_pose' and
    'ap_3d.true_shape.predicted_pose' are pose-aware too and tell what pose and shape each cost. What a method does not have (a
    pose, where it predicts the pose-aware shape at once) is nan throughout, and its numbers are left out. groups: of
    near-duplicates among the test objects, which the intervals then draw.
    """
    found = [
        _zhu_numbers(prediction, test, rows, protocol)
        for rows, prediction in predictions(method, test, protocol.batch_size, ())
    ]
    return whole({"name": "zhu2017", **asdict(protocol)}, found, test, protocol, groups)


def _zhu_numbers(
    prediction: Prediction, test: ImageSet, rows: np.ndarray, protocol: Zhu2017Protocol
) -> dict[str, np.ndarray]:
    numbers = {}
    if knows(prediction, "mask"):
        small = resized(test.masks[rows], protocol.mask_px) >= protocol.true_threshold
        numbers["ap_2d"] = metrics.average_precisions(small, resized(prediction.mask, protocol.mask_px))
    if not test.voxel_kind:
        return numbers
    if knows(prediction, "voxels"):
        truth = true_voxels(test, rows, prediction.voxels.shape[-1])
        numbers["ap_3d.aligned"] = metrics.average_precisions(truth, prediction.voxels)
    if knows(prediction, "posed"):
        truth = true_posed(test, rows, prediction.posed.shape[-1], protocol)
        numbers["ap_3d.posed"] = metrics.average_precisions(truth, prediction.posed)
        if knows(prediction, "voxels") and knows(prediction, "R"):
            numbers |= _crossed(prediction, test, rows, truth)
    if knows(prediction, "R"):
        numbers |= pose_numbers(prediction, test, rows)
        numbers["accuracy"] = (numbers["rotation_error_deg"] < protocol.accuracy_deg).astype(np.float64)
    return numbers


def _crossed(prediction: Prediction, test: ImageSet, rows: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """The predicted shape in the true pose, and the true shape in the predicted one. truth: both true."""
    shapes = true_voxels(test, rows, prediction.voxels.shape[-1]).astype(np.float32)
    pairs = {
        "predicted_shape.true_pose": (prediction.voxels, test.R[rows], test.t[rows]),
        "true_shape.predicted_pose": (shapes, prediction.R, prediction.t),
    }
    return {
        f"ap_3d.{name}": metrics.average_precisions(truth, posed_grid(grid, R, truth.shape[-1], _across(t)))
        for name, (grid, R, t) in pairs.items()
    }


@runtime_checkable
class Reconstructs(Protocol):
    """A system with an autoencoder of voxels."""

    config: Any

    def parameters(self) -> Iterator[Tensor]: ...

    def reconstruct(self, voxels: Tensor) -> Tensor:
        """Grids (b, q, q, q) of 0 and 1 to probabilities."""
        ...


def evaluate_reconstruction(
    method: Reconstructs,
    test: ImageSet,
    protocol: Zhu2017Protocol = Zhu2017Protocol(),
    groups: Groups | None = None,
) -> Evaluation:
    """'ap_v2v': average precision of shapes through an autoencoder, V2V of Zhu 2017's table 2.

    A system whose name begins with 'coupled' is given, and gives, shapes as the camera sees them; any other aligned ones.
    """
    found, side = [], test.voxels.shape[-1]
    device = next((p.device for p in method.parameters()), torch.device("cpu"))
    for rows in batches(test, protocol.batch_size):
        coupled = method.config.system.startswith("coupled")
        truth = true_posed(test, rows, side, protocol) if coupled else true_voxels(test, rows, side)
        score = method.reconstruct(tensor(truth).to(device)).cpu().numpy()
        found.append({"ap_v2v": metrics.average_precisions(truth, score)})
    return whole({"name": "zhu2017", **asdict(protocol)}, found, test, protocol, groups)


def true_posed(images: ImageSet, rows: np.ndarray, side: int, protocol: Zhu2017Protocol) -> np.ndarray:
    """(b, side, side, side) bool: true shapes as the camera sees them, Zhu 2017, Eq. 6. t nan counts as 0."""
    truth = true_voxels(images, rows, images.voxels.shape[-1]).astype(np.float32)
    return metrics.filled(posed_grid(truth, images.R[rows], side, _across(images.t[rows])), protocol.true_threshold)


def _across(t: np.ndarray) -> np.ndarray:
    """What of a translation shifts a pose-aware shape: depth only scales it, and the scale is a part of the shape."""
    return np.nan_to_num(t) * np.array([1, 1, 0], np.float32)
