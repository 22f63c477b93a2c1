"""From one number an image to means with intervals: of a category, of the categories, of all images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from monoform import metrics
from monoform.evaluate.batches import categories
from monoform.interfaces import ImageSet

MACRO, POOLED = "macro", "pooled"
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
    first = np.cumsum([0, *(part.objects.max() + 1 for part in parts)])
    objects = np.concatenate([part.objects + start for part, start in zip(parts, first)])
    categories = np.concatenate([part.categories for part in parts])
    choices = {**parts[0].protocol, "set": [part.protocol["set"] for part in parts]}
    if "tuned_thresholds" in choices:
        choices["tuned_thresholds"] = {k: v for part in parts for k, v in part.protocol["tuned_thresholds"].items()}
    return _evaluation(choices, per_image, objects, categories, protocol)


def _evaluation(
    choices: dict[str, Any], per_image: dict[str, np.ndarray], objects: np.ndarray, categories: np.ndarray,
    protocol: Bootstrap,
) -> Evaluation:  # fmt: skip
    """The table of the numbers of each image."""
    choices = {**choices, "images": len(objects), "objects": len(np.unique(objects))}
    table = {name: _row(values, objects, categories, protocol) for name, values in per_image.items()}
    for name in MEDIANS:
        if name in per_image:
            table[f"{name}.median"] = _row(per_image[name], objects, categories, protocol, np.median)
    return Evaluation(choices, per_image, objects, tuple(categories.tolist()), table)


def whole(
    choices: dict[str, Any], found: Sequence[dict[str, np.ndarray]], test: ImageSet, protocol: Bootstrap
) -> Evaluation:
    """The evaluation of a set, of the numbers of its batches."""
    per_image = {name: np.concatenate([part[name] for part in found]).astype(np.float64) for name in found[0]}
    choices = {**choices, "set": test.made_by}
    return _evaluation(choices, per_image, np.asarray(test.objects), categories(test), protocol)


def _row(
    values: np.ndarray, objects: np.ndarray, categories: np.ndarray, protocol: Bootstrap, statistic=np.mean
) -> dict[str, Cell]:
    """The cells of one quantity; the macro interval draws objects within each category."""
    draw = metrics.bootstrap_median if statistic is np.median else metrics.bootstrap

    def cell(value: float, samples: np.ndarray, rows: np.ndarray) -> Cell:
        low, high = metrics.interval(samples, protocol.level)
        return Cell(float(value), low, high, len(rows), len(np.unique(objects[rows])))

    cells, samples = {}, []
    names = sorted(set(categories.tolist()))
    for number, name in enumerate(names):
        rows = np.flatnonzero(categories == name)
        samples.append(draw(values[rows], objects[rows], resamples=protocol.resamples, seed=[protocol.seed, number]))
        cells[name] = cell(statistic(values[rows]), samples[-1], rows)
    every = np.arange(len(values))
    cells[MACRO] = cell(float(np.mean([cells[name].value for name in names])), np.mean(samples, axis=0), every)
    pooled = draw(values, objects, resamples=protocol.resamples, seed=[protocol.seed, len(names)])
    cells[POOLED] = cell(statistic(values), pooled, every)
    return cells
