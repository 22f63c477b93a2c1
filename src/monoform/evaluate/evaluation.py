"""From one number an image to means with intervals: of a category, of the categories, of all images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from monoform import metrics
from monoform.errors import InputError
from monoform.evaluate.batches import categories
from monoform.interfaces import ImageSet

MACRO, POOLED = "macro", "pooled"
Groups = Mapping[str, str]
"""An object's id to its group of near-duplicates, which are no more independent than two images of one object."""
MEDIANS = ("rotation_error_deg", "half_turn_error_deg")
"""What has its median in the table too, as ``<name>.median``."""


@runtime_checkable
class Bootstrap(Protocol):
    """How the intervals are drawn; every protocol says so."""

    @property
    def resamples(self) -> int: ...

    @property
    def level(self) -> float: ...

    @property
    def seed(self) -> int: ...


@dataclass(frozen=True)
class Cell:
    """A mean, or a median, with its interval."""

    value: float
    low: float
    high: float
    images: int
    objects: int


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found."""

    protocol: dict[str, Any]
    """Name, every choice, and the thresholds that were tuned."""
    per_image: dict[str, np.ndarray]
    """(n,) float64 a quantity."""
    objects: np.ndarray
    """(n,) the images' objects."""
    groups: np.ndarray
    """(n,) what the bootstrap draws: the images' objects, or their groups of near-duplicates."""
    categories: tuple[str, ...]
    """(n,) the images' categories."""
    table: dict[str, dict[str, Cell]]
    """Quantity, then category, 'macro' or 'pooled'."""

    def record(self) -> dict[str, Any]:
        """Protocol and table as plain values, for a file."""
        cells = {name: {column: asdict(cell) for column, cell in row.items()} for name, row in self.table.items()}
        return {"protocol": self.protocol, "table": cells}


def joined(parts: Sequence[Evaluation], protocol: Bootstrap) -> Evaluation:
    """Evaluations of several methods, each on objects of its own, as one: such as one method a category."""
    names = [name for name in parts[0].per_image if all(name in part.per_image for part in parts)]
    per_image = {name: np.concatenate([part.per_image[name] for part in parts]) for name in names}
    objects, groups = _told_apart([part.objects for part in parts]), _told_apart([part.groups for part in parts])
    categories = np.concatenate([part.categories for part in parts])
    choices = {**parts[0].protocol, "set": [part.protocol["set"] for part in parts]}
    if "tuned_thresholds" in choices:
        choices["tuned_thresholds"] = {k: v for part in parts for k, v in part.protocol["tuned_thresholds"].items()}
    return _evaluation(choices, per_image, Images(objects, groups, categories), protocol)


def gains(before: Evaluation, after: Evaluation, protocol: Bootstrap) -> Evaluation:
    """What changed from one evaluation to another of the same images, each image against itself: after - before."""
    if not np.array_equal(before.objects, after.objects):
        raise InputError("evaluations of different images have no gains; evaluate one set twice")
    per_image = {name: after.per_image[name] - values for name, values in before.per_image.items()}
    images = Images(after.objects, after.groups, np.array(after.categories))
    return _evaluation({**after.protocol, "gains_over": before.protocol}, per_image, images, protocol)


def _told_apart(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The numbers of all parts, none of one part the same as one of another."""
    first = np.cumsum([0, *(part.max() + 1 for part in parts)])
    return np.concatenate([part + start for part, start in zip(parts, first)])


class Images(NamedTuple):
    """What is known of each image, (n,) each."""

    objects: np.ndarray
    groups: np.ndarray
    categories: np.ndarray


def _evaluation(
    choices: dict[str, Any], per_image: dict[str, np.ndarray], images: Images, protocol: Bootstrap
) -> Evaluation:
    """The table of the numbers of each image."""
    objects, groups = len(np.unique(images.objects)), len(np.unique(images.groups))
    resampled = "objects" if groups == objects else f"groups of near-duplicates ({groups})"
    choices = {**choices, "images": len(images.objects), "objects": objects, "resampled": resampled}
    table = {name: _row(values, images, protocol) for name, values in per_image.items()}
    for name in MEDIANS:
        if name in per_image:
            table[f"{name}.median"] = _row(per_image[name], images, protocol, np.median)
    return Evaluation(choices, per_image, images.objects, images.groups, tuple(images.categories.tolist()), table)


def whole(
    choices: dict[str, Any],
    found: Sequence[dict[str, np.ndarray]],
    test: ImageSet,
    protocol: Bootstrap,
    groups: Groups | None,
) -> Evaluation:
    """The evaluation of a set, of the numbers of its batches. groups: of all its objects, or None where each is its own."""
    per_image = {name: np.concatenate([part[name] for part in found]).astype(np.float64) for name in found[0]}
    choices, objects = {**choices, "set": test.made_by}, np.asarray(test.objects)
    images = Images(objects, objects if groups is None else _group_of(test, groups)[objects], categories(test))
    return _evaluation(choices, per_image, images, protocol)


def _group_of(test: ImageSet, groups: Groups) -> np.ndarray:
    """(m,) a number for the group of each object. Raises InputError for an object without one."""
    missing = [name for name in test.object_ids if name not in groups]
    if missing:
        raise InputError(f"no group of near-duplicates for the object '{missing[0]}'; name one for every object")
    return np.unique([groups[name] for name in test.object_ids], return_inverse=True)[1]


def _row(values: np.ndarray, images: Images, protocol: Bootstrap, statistic=np.mean) -> dict[str, Cell]:
    """The cells of one quantity; the macro interval draws groups within each category."""
    draw = metrics.bootstrap_median if statistic is np.median else metrics.bootstrap
    objects, groups, categories = images

    def cell(value: float, samples: np.ndarray, rows: np.ndarray) -> Cell:
        low, high = metrics.interval(samples, protocol.level)
        return Cell(float(value), low, high, len(rows), len(np.unique(objects[rows])))

    cells, samples = {}, []
    names = sorted(set(categories.tolist()))
    for number, name in enumerate(names):
        rows = np.flatnonzero(categories == name)
        samples.append(draw(values[rows], groups[rows], resamples=protocol.resamples, seed=[protocol.seed, number]))
        cells[name] = cell(statistic(values[rows]), samples[-1], rows)
    every = np.arange(len(values))
    cells[MACRO] = cell(float(np.mean([cells[name].value for name in names])), np.mean(samples, axis=0), every)
    pooled = draw(values, groups, resamples=protocol.resamples, seed=[protocol.seed, len(names)])
    cells[POOLED] = cell(statistic(values), pooled, every)
    return cells
