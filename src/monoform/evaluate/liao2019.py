"""How Liao 2019 is measured: voxel IoU, pose errors and mask IoU, pose-aware IoU, projection IoU (its tables 1 to 4)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import torch

from monoform import metrics
from monoform.errors import InputError
from monoform.evaluate.batches import (
    categories,
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
from monoform.projection.rays import ray_silhouette

ROWS = (
    ("predicted", "predicted"),
    ("predicted", "true"),
    ("true", "predicted"),
    ("true", "true"),
    ("predicted", "resolved"),
    ("true", "resolved"),
)
"""(shape, pose) of the rows of tables 3 and 4, predicted or true, and the same with a pose resolved by an oracle."""
DEFINITIONS = {
    "flipped": "the half-turned truth is nearer to the pose than the truth by over 90 degrees: about the up axis, over 135 off",
    "resolved": "of the predicted pose and its half-turn about the up axis the one nearer to the truth",
}
"""What the names of quantities mean, for the record."""


@dataclass(frozen=True)
class Liao2019Protocol:
    """How Liao 2019 is measured. What the paper leaves open is marked so."""

    threshold: float = 0.5
    """Open in the paper. At or above it a cell is filled, a pixel covered; reported beside a threshold tuned on validation."""
    true_threshold: float = 0.5
    """Open. Of a true shape once it is turned or projected, whatever the predicted one is cut at."""
    posed_ratio: float = 1.5
    """Side of pose-aware grids over the shape's own, with cells of the same size: 48 / 32, so that nothing is cut off."""
    projection_px: int = 48
    """Side of masks and projections of table 4."""
    near_far: tuple[float, float] = (1.0, 3.0)
    """Open. Depths between which rays are sampled, grid sides; MVC's, whose camera stands at 2."""
    ray_samples: int = 64
    batch_size: int = 32
    resamples: int = 1000
    """Of objects, for the intervals."""
    level: float = 0.95
    seed: int = 0


def evaluate_liao2019(
    method: Method,
    test: ImageSet,
    val: ImageSet | None = None,
    protocol: Liao2019Protocol = Liao2019Protocol(),
    groups: Groups | None = None,
) -> Evaluation:
    """Voxel IoU, pose errors and mask IoU, pose-aware IoU, projection IoU (tables 1 to 4 of Liao 2019).

    test, val: sets with poses and voxels; on val, if it is given, thresholds are tuned, one a category for each of voxels,
    pose-aware voxels and projections, and a second value is reported at them. groups: of near-duplicates among the test
    objects, which the intervals then draw. Raises InputError for sets without truth, for a method without depth or without
    a mask, and NumericError if it predicts NaN.
    """
    tuned = {} if val is None else _tuned(method, val, protocol)
    missing = sorted(set(test.categories) - set(tuned)) if val is not None else []
    if missing:
        raise InputError(
            f"no validation images of {', '.join(missing)} to tune thresholds on; add some, or give no set"
        )
    found = [
        _liao_numbers(prediction, test, rows, tuned, protocol)
        for rows, prediction in predictions(method, test, protocol.batch_size, ("voxels", "mask"))
    ]
    choices = {"name": "liao2019", **asdict(protocol), **DEFINITIONS, "tuned_thresholds": tuned}
    return whole(choices, found, test, protocol, groups)


def posed_side(side: int, protocol: Liao2019Protocol) -> int:
    """Cells a side of the pose-aware grid of a shape of `side`; even or odd as that is, so that both have one centre."""
    return side + 2 * int((protocol.posed_ratio - 1.0) * side / 2.0)


def _tuned(method: Method, val: ImageSet, protocol: Liao2019Protocol) -> dict[str, dict[str, float]]:
    """Category, then 'voxels', 'posed' and 'projection', to the threshold of the highest mean IoU."""
    swept: dict[str, list[np.ndarray]] = {}
    for rows, prediction in predictions(method, val, protocol.batch_size, ("voxels", "mask")):
        pairs = {"voxels": (true_voxels(val, rows, prediction.voxels.shape[-1]), prediction.voxels)}
        if knows(prediction, "R"):
            views = Views(prediction, val, rows, protocol)
            pairs["posed"] = views.true_posed, views.posed("predicted", "predicted")
            pairs["projection"] = views.true_mask, views.projected("predicted", "predicted")
        for name, (truth, probability) in pairs.items():
            swept.setdefault(name, []).append(metrics.iou_by_threshold(truth, probability))
    joined, category = {name: np.concatenate(parts, axis=1) for name, parts in swept.items()}, categories(val)
    return {
        name: {what: metrics.best_threshold(ious[:, category == name]) for what, ious in joined.items()}
        for name in np.unique(category).tolist()
    }


def _liao_numbers(
    prediction: Prediction, test: ImageSet, rows: np.ndarray, tuned: Mapping[str, Mapping[str, float]],
    protocol: Liao2019Protocol,
) -> dict[str, np.ndarray]:  # fmt: skip
    """One number an image of a batch for every quantity."""
    cuts: dict[str, dict[str, np.ndarray]] = {}
    cuts["fixed"] = dict.fromkeys(("voxels", "posed", "projection"), np.full(len(rows), protocol.threshold))
    if tuned:
        chosen = [tuned[name] for name in categories(test)[rows]]
        cuts["tuned"] = {what: np.array([c[what] for c in chosen]) for what in chosen[0]}
    small = resized(test.masks[rows], prediction.mask.shape[-1]) >= protocol.true_threshold
    numbers = {"mask_iou": metrics.mask_iou(small, metrics.filled(prediction.mask, protocol.threshold))}
    truth = true_voxels(test, rows, prediction.voxels.shape[-1])
    for name, cut in cuts.items():
        predicted = metrics.filled(prediction.voxels, cut["voxels"][:, None, None, None])
        numbers[f"voxel_iou.{name}"] = metrics.voxel_iou(truth, predicted)
    if not knows(prediction, "R"):
        return numbers
    numbers |= pose_numbers(prediction, test, rows)
    views = Views(prediction, test, rows, protocol)
    for shape, pose in ROWS:
        posed, projected = views.posed(shape, pose), views.projected(shape, pose)
        for name, cut in cuts.items():
            at = cut if shape == "predicted" else dict.fromkeys(cut, np.full(len(rows), protocol.true_threshold))
            grid = metrics.filled(posed, at["posed"][:, None, None, None])
            mask = metrics.filled(projected, at["projection"][:, None, None])
            numbers[f"posed_iou.{shape}_shape.{pose}_pose.{name}"] = metrics.voxel_iou(views.true_posed, grid)
            numbers[f"projection_iou.{shape}_shape.{pose}_pose.{name}"] = metrics.mask_iou(views.true_mask, mask)
    return numbers


class Views:
    """Predicted and true shapes of a batch in predicted and true poses, as the protocol turns and projects them."""

    def __init__(self, prediction: Prediction, images: ImageSet, rows: np.ndarray, protocol: Liao2019Protocol) -> None:
        if (prediction.t[:, 2] <= 0).any():
            raise InputError(
                "the method predicts no depth (weak perspective), without which nothing is projected as Liao 2019 does; "
                "use the protocol zhu2017"
            )
        self.protocol = protocol
        truth = true_voxels(images, rows, prediction.voxels.shape[-1])
        turned = prediction.R @ metrics.HALF_TURN.astype(np.float32)
        off, turned_off = (metrics.rotation_angle_deg(R, images.R[rows]) for R in (prediction.R, turned))
        self._R = {
            "predicted": prediction.R,
            "true": images.R[rows],
            "resolved": np.where((turned_off < off)[:, None, None], turned, prediction.R),
        }
        self._t = {"predicted": prediction.t, "true": images.t[rows], "resolved": prediction.t}
        self._shapes = {"predicted": prediction.voxels, "true": truth.astype(np.float32)}
        scale = np.array([protocol.projection_px / images.images.shape[1]] * 2 + [1.0], np.float32)
        self._K = images.K[rows] * scale[:, None]
        self.true_posed = metrics.filled(self.posed("true", "true"), protocol.true_threshold)
        self.true_mask = resized(images.masks[rows], protocol.projection_px) >= protocol.true_threshold

    def posed(self, shape: str, pose: str) -> np.ndarray:
        """(b, p, p, p) occupancy as the camera sees it, about its own centre (Liao 2019, Eq. 7)."""
        grids = self._shapes[shape]
        return posed_grid(grids, self._R[pose], posed_side(grids.shape[-1], self.protocol))

    def projected(self, shape: str, pose: str) -> np.ndarray:
        """(b, h, w) probability that a pixel's ray stops (Liao 2019, section 2.3)."""
        size, chosen = self.protocol.projection_px, self.protocol
        grid, R, t, K = map(tensor, (self._shapes[shape], self._R[pose], self._t[pose], self._K))
        views = {"K": K, "size_hw": (size, size), "near_far": chosen.near_far, "samples": chosen.ray_samples}
        with torch.no_grad():
            return ray_silhouette(grid, R, t, **views).numpy()
