"""What a shape's score must be read against: a shape that knows nothing of the image, and the best retrieval could give."""

from dataclasses import asdict

import numpy as np
from jaxtyping import Bool, Float

from monoform import metrics
from monoform.errors import InputError
from monoform.evaluate.batches import categories
from monoform.evaluate.evaluation import Bootstrap, Evaluation, Groups, whole
from monoform.evaluate.zhu2017 import Zhu2017Protocol, true_posed
from monoform.interfaces import ImageSet
from monoform.methods.image_tensors import spread

MEAN_IMAGES = 2000
"""Training images whose pose-aware shapes a mean is of."""
_AT_ONCE = 512
"""Training shapes compared at once, so that their cells as floats stay below 100 MB at 32 a side."""


def evaluate_training_shapes(
    train: ImageSet, test: ImageSet, val: ImageSet, protocol: Bootstrap, groups: Groups | None = None
) -> Evaluation:
    """Voxel IoU of what the training set itself says of each test object, category by category; no image is looked at.

    'voxel_iou.mean_shape': the mean of the category's training shapes, cut at the threshold with the highest mean IoU over
    the validation objects. 'voxel_iou.nearest_shape': an oracle's choice, the training shape with the highest IoU. A method
    below the first has learnt nothing; one below the second has not yet shown more than retrieval could. groups: as for
    `evaluate_liao2019`. Raises InputError for sets without voxels, of other sides, or without images of a test category.
    """
    _check(train, test, val)
    of_objects = {name: np.zeros(len(test.object_ids)) for name in ("mean_shape", "nearest_shape")}
    thresholds = {}
    for name in sorted(set(test.categories)):
        rows = _objects_of(test, name)
        truth, shapes, unseen = test.voxels[rows], *(s.voxels[_objects_of(s, name)] for s in (train, val))
        mean = shapes.mean(axis=0, dtype=np.float64)
        thresholds[name] = metrics.best_threshold(metrics.iou_by_threshold(unseen, np.broadcast_to(mean, unseen.shape)))
        cut = np.broadcast_to(metrics.filled(mean, thresholds[name]), truth.shape)
        of_objects["mean_shape"][rows] = metrics.voxel_iou(truth, cut)
        of_objects["nearest_shape"][rows] = nearest_iou(truth, shapes)
    found = {f"voxel_iou.{name}": values[test.objects] for name, values in of_objects.items()}
    drawn = {name: getattr(protocol, name) for name in ("resamples", "level", "seed")}
    choices = {"name": "training shapes", **drawn, "tuned_thresholds": thresholds}
    return whole(choices, [found], test, protocol, groups)


def evaluate_mean_shape(
    train: ImageSet, test: ImageSet, protocol: Zhu2017Protocol, groups: Groups | None = None
) -> Evaluation:
    """Average precision of one answer for all images of a category, a mean over the training set; no image is looked at.

    'ap_3d.aligned': of the mean of its shapes. 'ap_3d.posed': of the mean of what its cameras see of them, over at most
    `MEAN_IMAGES` images evenly spread, in a grid of the voxels' side. groups: as for `evaluate_zhu2017`. Raises InputError
    for sets without voxels, of other sides, or without images of a test category.
    """
    _check(train, test)
    side, found = test.voxels.shape[-1], {name: np.zeros(len(test)) for name in ("ap_3d.aligned", "ap_3d.posed")}
    missing = sorted({*categories(test)} - {*categories(train)})
    if missing:
        raise InputError(f"no image of {', '.join(missing)} in the training set; add some, or test on others")
    for name in sorted({*categories(test)}):
        shapes, aligned = (s.voxels[_objects_of(s, name)] for s in (train, test))
        shown, rows = (np.flatnonzero(categories(s) == name) for s in (train, test))
        shown = shown[spread(len(shown), MEAN_IMAGES)]
        seen = np.zeros((side,) * 3)
        for part in _parts(shown, protocol):
            seen += true_posed(train, part, side, protocol).sum(axis=0) / len(shown)
        of_objects = _precision(aligned, shapes.mean(axis=0))
        found["ap_3d.aligned"][rows] = of_objects[np.searchsorted(_objects_of(test, name), test.objects[rows])]
        for part in _parts(rows, protocol):
            found["ap_3d.posed"][part] = _precision(true_posed(test, part, side, protocol), seen)
    choices = {**asdict(protocol), "name": "mean training shape", "mean_images": MEAN_IMAGES}
    return whole(choices, [found], test, protocol, groups)


def _parts(rows: np.ndarray, protocol: Zhu2017Protocol) -> list[np.ndarray]:
    return np.split(rows, range(protocol.batch_size, len(rows), protocol.batch_size))


def _precision(truth: Bool[np.ndarray, "n q q q"], answer: Float[np.ndarray, "q q q"]) -> Float[np.ndarray, " n"]:
    return metrics.average_precisions(truth, np.broadcast_to(answer, truth.shape))


def nearest_iou(shapes: Bool[np.ndarray, "n q q q"], others: Bool[np.ndarray, "m q q q"]) -> Float[np.ndarray, " n"]:
    """The highest IoU of each shape with any of the others; 1 for two empty ones."""
    # Products of single-precision zeros and ones are exact counts up to 2^24 cells.
    cells, best = shapes.reshape(len(shapes), -1).astype(np.float32), np.zeros(len(shapes))
    for start in range(0, len(others), _AT_ONCE):
        part = others[start : start + _AT_ONCE].reshape(-1, cells.shape[1]).astype(np.float32)
        common = cells @ part.T
        union = cells.sum(1)[:, None] + part.sum(1) - common
        ious = np.where(union == 0, 1.0, common / np.maximum(union, 1.0))
        best = np.maximum(best, ious.max(axis=1))
    return best


def _objects_of(images: ImageSet, category: str) -> np.ndarray:
    return np.flatnonzero(np.array(images.categories) == category)


def _check(train: ImageSet, test: ImageSet, val: ImageSet | None = None) -> None:
    if len(test) == 0:
        raise InputError("the set to evaluate has no images; make or choose another")
    others = {"training": train} if val is None else {"training": train, "validation": val}
    for role, images in {"test": test, **others}.items():
        if not images.voxel_kind:
            raise InputError(f"the {role} set knows masks alone, no shapes; give a rendered set")
        if images.voxels.shape[1:] != test.voxels.shape[1:]:
            raise InputError(f"the {role} set's grids have other sides than the test set's; make them alike")
        missing = sorted(set(test.categories) - set(images.categories))
        if missing:
            raise InputError(f"no {', '.join(missing)} in the {role} set; add some, or test on others")
