"""Zhu 2017, "Rethinking Reprojection": its table 2, and 3D and 2D AP before and after fine-tuning (tables 3 and 4)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from monoform.errors import InputError
from monoform.evaluate import (
    MACRO,
    POOLED,
    Evaluation,
    Zhu2017Protocol,
    evaluate_mean_shape,
    evaluate_reconstruction,
    evaluate_zhu2017,
    joined,
)
from monoform.interfaces import ImageSet, Stage
from monoform.methods.reprojection import Config
from monoform.methods.reprojection.config import SystemName
from monoform.reproduction.figures import telling_rows, zhu2017_figure
from monoform.reproduction.near_duplicates import groups_for_test
from monoform.reproduction.runs import Workshop, evaluated_cells
from monoform.reproduction.tables import PAPER, PrintedTable, Row, measured_rows
from monoform.reproduction.zhu2017_sets import CATEGORIES, NAME, REAL, SCALES, Sets, Task, image_sets

REFERENCE = "Zhu et al., ICCV 2017"
PROTOCOL = Zhu2017Protocol()
POSE, TUNING = "pose", "fine_tuning"
"""The stage of the pose regressor, and the one on natural images."""
FEATURES_ALONE: Mapping[str, Any] = {"voxel_weight": 0.0}
"""The paper's own loss of 3D-VAE-GAN."""


@dataclass(frozen=True)
class Plan:
    """How a system comes to its weights."""

    system: SystemName
    takes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Plan to the networks that are taken from it, because both would train them alike."""
    stages: tuple[str, ...] | None = None
    """Those that are left to train; None is all."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Of the scale's configuration."""


_SHAPES = ("style", "generator", "discriminator")
PLANS = {
    "3D-VAE": Plan("3D-VAE"),
    "coupled-3D-VAE": Plan("coupled-3D-VAE"),
    "3D-VAE-GAN": Plan("3D-VAE-GAN"),
    "coupled-3D-VAE-GAN": Plan("coupled-3D-VAE-GAN"),
    "p-3D-VAE-GAN": Plan("p-3D-VAE-GAN", {"3D-VAE-GAN": _SHAPES}, (POSE,)),
    "p-TL": Plan("p-TL", {"3D-VAE": ("shape_encoder", "generator"), "p-3D-VAE-GAN": ("pose",)}, ("style", "joint")),
    "3D-VAE-GAN-features": Plan("3D-VAE-GAN", changes=FEATURES_ALONE),
    "coupled-3D-VAE-GAN-features": Plan("coupled-3D-VAE-GAN", changes=FEATURES_ALONE),
    "p-3D-VAE-GAN-features": Plan(
        "p-3D-VAE-GAN", {"3D-VAE-GAN-features": _SHAPES, "p-3D-VAE-GAN": ("pose",)}, (), FEATURES_ALONE
    ),
}
"""By the name that their runs bear."""

# --- what the paper prints ---------------------------------------------------------------------------------------

_ABSENT = (
    "Its numbers are not in the copy of the paper that was at hand, which ends before the table: ours stand alone."
)
PRINTED = {
    2: PrintedTable(
        "average precision of aligned and pose-aware shapes",
        CATEGORIES,
        (),
        "The paper prints the mean over the categories alone.",
    ),
    3: PrintedTable("3D average precision before and after fine-tuning", CATEGORIES, (), _ABSENT),
    4: PrintedTable("2D average precision before and after fine-tuning", CATEGORIES, (), _ABSENT),
}


@dataclass(frozen=True)
class Entry:
    """A number of table 2 and how it is measured here."""

    label: str
    plan: str
    quantity: str
    printed: float | None = None
    """None beside a row that has the paper's number already."""
    first_seed_alone: bool = True
    """Of several seeds it is trained with the first, as a baseline."""


TABLE_2 = (
    Entry("3D VAE, voxels to voxels, aligned", "3D-VAE", "ap_v2v", 0.876),
    Entry("3D VAE, voxels to voxels, pose-aware", "coupled-3D-VAE", "ap_v2v", 0.544),
    Entry("3D-VAE-GAN, image to voxels, aligned", "3D-VAE-GAN", "ap_3d.aligned", 0.752, first_seed_alone=False),
    Entry("3D-VAE-GAN, features alone, image to voxels, aligned", "3D-VAE-GAN-features", "ap_3d.aligned"),
    Entry("3D-VAE-GAN, image to voxels, pose-aware", "coupled-3D-VAE-GAN", "ap_3d.posed", 0.403),
    Entry("3D-VAE-GAN, features alone, image to voxels, pose-aware", "coupled-3D-VAE-GAN-features", "ap_3d.posed"),
    Entry("p-3D-VAE-GAN, image to voxels, pose-aware", "p-3D-VAE-GAN", "ap_3d.posed", 0.665, first_seed_alone=False),
    Entry("p-3D-VAE-GAN, features alone, image to voxels, pose-aware", "p-3D-VAE-GAN-features", "ap_3d.posed"),
)
"""'Features alone' is left out where a scale trains so anyway."""
MAIN = "p-3D-VAE-GAN"
MAIN_ROWS = (
    ("3D AP, true shape, predicted pose", "ap_3d.true_shape.predicted_pose", 3),
    ("3D AP, predicted shape, true pose", "ap_3d.predicted_shape.true_pose", 3),
    ("rotation error, median, degrees", "rotation_error_deg.median", 1),
    ("share of rotation errors under 30 degrees", "accuracy", 3),
)
"""What of the main system's error in table 2 is the pose's, and what the shape's."""
MEAN_ROWS = (("aligned", "ap_3d.aligned"), ("pose-aware", "ap_3d.posed"))
"""What tables 2 and 3 are to be read against: the mean training shape, for which no image is looked at."""
TUNED_SYSTEMS = ("p-TL", "p-3D-VAE-GAN")
TUNED_ROWS = {
    3: (("3D AP, aligned", "ap_3d.aligned", 3), ("3D AP, pose-aware", "ap_3d.posed", 3),
        ("rotation error, median, degrees", "rotation_error_deg.median", 1),
        ("share of rotation errors under 30 degrees", "accuracy", 3)),
    4: (("2D AP", "ap_2d", 3),),
}  # fmt: skip

# --- our rows ----------------------------------------------------------------------------------------------------


def rows_of(table: int, task: Task, shop: Workshop) -> tuple[list[Row], dict[str, Any]]:
    """The paper's rows and ours, and the protocol; what is missing is drawn and trained."""
    rows = table_2(task, shop) if table == 2 else before_and_after(table, task, shop)
    baselines = {"seed_of_baselines": task.seeds[0]} if table == 2 else {}
    return rows, {"name": NAME, **asdict(PROTOCOL), **baselines, "set": "see Data"}


def table_2(task: Task, shop: Workshop) -> list[Row]:
    """Each number of the paper above ours, on rendered images."""
    source, rows = "rendered test images", []
    for entry in (each for each in TABLE_2 if _is_asked(each, task)):
        seeds = task.seeds[:1] if entry.first_seed_alone else task.seeds
        found = {seed: _measured(entry, task, shop, seed) for seed in seeds}
        if entry.printed is not None:
            rows.append(Row(entry.label, PAPER, {MACRO: entry.printed}))
        told = [(entry.label, entry.quantity, 3)]
        if entry.plan == MAIN:
            told += [(f"{MAIN}: {label}", quantity, digits) for label, quantity, digits in MAIN_ROWS]
        for label, quantity, digits in told:
            cells = {seed: evaluated_cells(evaluation, quantity) for seed, evaluation in found.items()}
            rows += measured_rows(f"monoform: {label}", source, cells, digits)
    return rows + mean_shape_rows(task, shop, lambda sets: {source: sets.rendered})


def _is_asked(entry: Entry, task: Task) -> bool:
    """Whether its training differs from those of the other entries."""
    changes, config = PLANS[entry.plan].changes, SCALES[task.scale].config
    return not changes or any(getattr(config, name) != value for name, value in changes.items())


def _measured(entry: Entry, task: Task, shop: Workshop, seed: int) -> Evaluation:
    """A system of table 2 on rendered images, all categories together."""
    measure = evaluate_reconstruction if entry.quantity == "ap_v2v" else evaluate_zhu2017
    parts = []
    for category in task.categories:
        sets = image_sets(category, task, shop)
        method, _ = trained(entry.plan, category, sets, task, shop, seed)
        shop.tell(f"measuring {entry.plan} of {category}")
        parts.append(measure(method, sets.rendered, PROTOCOL))
    return joined(parts, PROTOCOL)


def mean_shape_rows(task: Task, shop: Workshop, tests_of: Callable[[Sets], Mapping[str, ImageSet]]) -> list[Row]:
    """The mean training shape as the answer to every image of the test sets that have true shapes."""
    parts: dict[str, list[Evaluation]] = {}
    for category in task.categories:
        sets = image_sets(category, task, shop)
        for source, test in tests_of(sets).items():
            if test.voxel_kind:
                groups = groups_for_test(task.models, category, real=source == REAL)
                parts.setdefault(source, []).append(evaluate_mean_shape(sets.train, test, PROTOCOL, groups))
    rows = []
    for source, found in parts.items():
        evaluation = joined(found, PROTOCOL)
        for label, quantity in MEAN_ROWS:
            cells = evaluated_cells(evaluation, quantity)
            rows += measured_rows(f"the mean training shape, {label}", source, {0: cells})
    return rows


def before_and_after(table: int, task: Task, shop: Workshop) -> list[Row]:
    """Both pose-aware systems before and after fine-tuning, on images that look otherwise than those of training."""
    rows = []
    for system in TUNED_SYSTEMS:
        found = {seed: tuned_evaluations(system, task, shop, seed) for seed in task.seeds}
        for source in next(iter(found.values()))["before"]:
            for label, quantity, digits in TUNED_ROWS[table]:
                if quantity not in found[task.seeds[0]]["before"][source].table:
                    continue  # photos whose masks alone are known have no 3D numbers
                for when in ("before", "after"):
                    cells = {seed: evaluated_cells(found[seed][when][source], quantity) for seed in task.seeds}
                    rows += measured_rows(f"{system}, {when} fine-tuning: {label}", source, cells, digits)
    return rows + (mean_shape_rows(task, shop, lambda sets: sets.tests) if table == 3 else [])


def figure(table: int, task: Task, shop: Workshop) -> np.ndarray | None:
    """Fig. 3 to 5 of the first seed's p-3D-VAE-GAN on each category's first test set; table 2 has none."""
    if table == 2:
        return None
    pictures, system, seed = [], TUNED_SYSTEMS[-1], task.seeds[0]
    for category in task.categories:
        sets = image_sets(category, task, shop)
        before, weights = trained(system, category, sets, task, shop, seed)
        after = fine_tuned(system, category, sets, task, shop, seed, weights)
        test = next(iter(sets.tests.values()))
        found = [evaluate_zhu2017(method, test, PROTOCOL) for method in (before, after)]
        groups = telling_rows(found[0], found[1], 2)
        pictures.append(zhu2017_figure(before, after, test, groups, PROTOCOL))
    return np.concatenate(pictures)


def tuned_evaluations(system: str, task: Task, shop: Workshop, seed: int) -> dict[str, dict[str, Evaluation]]:
    """'before' and 'after', then test set, to the evaluation of one method a category, all categories together."""
    parts: dict[str, dict[str, list[Evaluation]]] = {"before": {}, "after": {}}
    for category in task.categories:
        sets = image_sets(category, task, shop)
        before, weights = trained(system, category, sets, task, shop, seed)
        after = fine_tuned(system, category, sets, task, shop, seed, weights)
        for when, method in (("before", before), ("after", after)):
            for source, test in sets.tests.items():
                shop.tell(f"measuring {system} of {category} {when} fine-tuning")
                groups = groups_for_test(task.models, category, real=source == REAL)
                parts[when].setdefault(source, []).append(evaluate_zhu2017(method, test, PROTOCOL, groups))
    return {
        when: {source: joined(found, PROTOCOL) for source, found in by_set.items()} for when, by_set in parts.items()
    }


# --- training ----------------------------------------------------------------------------------------------------


def trained(name: str, category: str, sets: Sets, task: Task, shop: Workshop, seed: int) -> tuple[Any, Path]:
    """A plan's system after all stages on rendered images, and the folder of its weights. name: of PLANS.

    What two systems train alike is trained once: 3D-VAE-GAN is the first stage of p-3D-VAE-GAN, 3D-VAE that of p-TL, and all
    that are pose-aware and not coupled have the same pose regressor.
    """
    plan = PLANS[name]
    weights = {other: trained(other, category, sets, task, shop, seed)[1] for other in plan.takes}
    start = {f"networks.{part}.": weights[other] for other, parts in plan.takes.items() for part in parts}
    return shop.trained(
        _run(task, name, category, seed), "reprojection", _config(task, plan, category, seed),
        lambda method: stages_named(method.stages(sets.train, sets.val), plan.stages),
        sets={"train": sets.train, "val": sets.val}, seed=seed, start=start,
    )  # fmt: skip


def fine_tuned(system: str, category: str, sets: Sets, task: Task, shop: Workshop, seed: int, weights: Path) -> Any:
    """The system after fine-tuning on natural images, from its weights before."""
    method, _ = shop.trained(
        _run(task, system, category, seed) + "-tuned", "reprojection", _config(task, PLANS[system], category, seed),
        lambda m: stages_named(m.stages(sets.train, sets.val, sets.natural), (TUNING,)),
        sets={"train": sets.train, "val": sets.val, "natural": sets.natural}, seed=seed, start={"": weights},
    )  # fmt: skip
    return method


def stages_named(stages: Iterable[Stage], names: Sequence[str] | None) -> Iterator[Stage]:
    """Of a method's stages those of the given names, or all of them. Raises InputError if there is none of those asked for."""
    found = names == ()
    for stage in stages:
        if names is None or stage.name in names:
            found = True
            yield stage
    if not found:
        raise InputError(f"the method has no stage named {' or '.join(names or ())}, so there is nothing to train")


def _config(task: Task, plan: Plan, category: str, seed: int) -> Config:
    return replace(SCALES[task.scale].config, system=plan.system, categories=(category,), seed=seed, **plan.changes)


def _run(task: Task, name: str, category: str, seed: int) -> str:
    return "-".join((NAME, task.scale, name, category, str(seed)))


COLUMNS = (MACRO, POOLED)
