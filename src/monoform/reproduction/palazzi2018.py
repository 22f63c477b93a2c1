"""Palazzi 2018, "End-to-end 6-DoF Object Pose Estimation through Differentiable Rasterization": its tables 1 and 2, figure 6.

Figure 6 here is its part (c), errors over the steps; its parts (a) and (b), fidelity and time of the operators themselves, are
measured in experiments/resolution.py.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import lru_cache
from typing import Any

import numpy as np

from monoform.data.image_sets import subset
from monoform.evaluate import (
    DEFINITIONS,
    MACRO,
    POOLED,
    Evaluation,
    Way,
    evaluate_palazzi2018,
    evaluate_steps,
    for_encoder,
    gains,
    pose,
)
from monoform.interfaces import Stage
from monoform.methods.raster_pose import RasterPose
from monoform.methods.raster_pose.online import OPERATORS
from monoform.reproduction.palazzi2018_sets import CATEGORIES, NAME, SCALES, Task, Test, image_sets, representatives
from monoform.reproduction.refinement_figures import (
    errors_over_steps,
    refinements,
    telling_refinements,
    ways_side_by_side,
)
from monoform.reproduction.runs import Workshop, evaluated_cells
from monoform.reproduction.tables import Printed, PrintedTable, Row, measured_rows, printed_rows

__all__ = [
    "CATEGORIES", "COLUMNS", "FIGURES", "PRINTED", "REFERENCE", "SCALES", "Task", "drawn_figure", "figure", "figure_rows_of",
    "rows_of",
]  # fmt: skip

REFERENCE = "Palazzi et al., ECCV workshops 2018"

# --- what the paper prints ---------------------------------------------------------------------------------------

_PAVLAKOS, _TULSIANI, _SU = (
    f"{name} (on other data than Palazzi 2018's)" for name in ("Pavlakos et al.", "Tulsiani and Malik", "Su et al.")
)
_BEFORE, _AFTER = "Palazzi 2018, encoder", "Palazzi 2018, encoder + refinement"
PRINTED_1 = {
    "accuracy of class": {_BEFORE: 0.89, _AFTER: 0.89},
    "mIoU": {_BEFORE: 0.59, _AFTER: 0.72},
    "rotation error, median, degrees (MVE)": {_BEFORE: 5.7, _AFTER: 4.5, _PAVLAKOS: 6.9, _TULSIANI: 9.1, _SU: 6.0},
    "share of rotation errors under 30 degrees": {_BEFORE: 0.86, _AFTER: 0.90, _TULSIANI: 0.89, _SU: 0.88},
}
"""Table 1 by quantity, then system."""
PRINTED = {
    1: PrintedTable(
        "class, silhouette and pose before and after the online refinement",
        (POOLED,),
        tuple(Printed(f"{who}: {text}", (value,)) for text, row in PRINTED_1.items() for who, value in row.items()),
        "Lengths are in longest sides of the object, which are 6 units of the paper. Refining changes no class. A car and its "
        "half-turn are told apart by the image alone, hardly by a silhouette. Refinements are given the true masks, as the "
        "paper's are. Real models are in the class that their name or category tells, else in that of the nearer medoid; those "
        "of no class are left out. Weights are refined on 20 test images at once, as the paper's are. Times are of images in "
        "batches of 20.",
    ),
    2: PrintedTable(
        "gains of the refinement by the resolution at which it renders",
        (POOLED,),
        tuple(
            Printed(f"Palazzi 2018, {px} px: {what}", (value,))
            for what, values in (
                ("change of IoU", (0.00, 0.03, 0.05, 0.11, 0.13)),
                ("change of the rotation error, degrees", (0.15, -0.26, -0.57, -1.03, -1.29)),
                ("change of the translation error", (0.02, 0.00, 0.00, -0.01, -0.03)),
            )
            for px, value in zip((16, 32, 64, 128, 256), values, strict=True)
        ),
        "From the encoder's own poses. The paper tells neither the unit of its translation error nor whether its changes are "
        "of means or of medians; ours are the images' own changes, means and medians, lengths in longest sides.",
    ),
}
FIGURES = {
    6: PrintedTable(
        "errors over the steps of the refinement",
        (POOLED,),
        (),
        "The paper's figure 6 (c) has no numbers. Every step's pose is shown; what a refinement returns is the best of them.",
    )
}

# --- our rows ----------------------------------------------------------------------------------------------------

ENCODER, SAME_POSE = "encoder", "encoder, true mesh"
TUNED = "encoder + refinement of its weights, {}"
REFINED = "encoder + refinement of the pose, {}"
WAYS = {
    ENCODER: Way(),
    **{TUNED.format(name): Way("weights", name) for name in OPERATORS},
    **{REFINED.format(name): Way("poses", name) for name in OPERATORS},
    SAME_POSE: Way(mesh="true_mesh"),
    REFINED.format("coverage, medoid of the true class"): Way("poses", "coverage", "true_class"),
    REFINED.format("coverage, medoid of a wrong class"): Way("poses", "coverage", "wrong_class"),
    REFINED.format("coverage, true mesh"): Way("poses", "coverage", "true_mesh"),
}
"""Table 1's, with the predicted class's medoid where nothing else is said; SAME_POSE has another IoU alone."""
SYSTEMS: dict[str, dict[str, Any]] = {
    "": {},
    "cosine head (the paper's): ": {"head": "cosine"},
    "mask as input: ": {"input": "mask"},
}
"""Changes of the configuration. The first is measured by all ways, the others by the encoder alone and one refinement."""
QUANTITIES = (
    ("accuracy of class", "class_accuracy", 3),
    ("mIoU", "iou", 3),
    ("rotation error, median, degrees (MVE)", "rotation_error_deg.median", 2),
    ("rotation error, mean, degrees", "rotation_error_deg", 2),
    ("rotation error modulo half-turns, median, degrees", "half_turn_error_deg.median", 2),
    ("share of rotation errors under 30 degrees", "accuracy", 3),
    ("share of poses flipped by a half-turn", "flipped", 3),
    ("translation error, mean", "translation_error", 3),
    ("translation error over the distance, mean", "translation_error.relative", 3),
    ("ADD, mean", "add", 3),
    ("ADD-S, mean", "add_s", 3),
    ("MSSD, mean", "mssd", 3),
    ("MSPD, mean, pixels", "mspd", 2),
)
GAINED = (
    ("change of IoU", "iou", 3),
    ("change of the rotation error, degrees", "rotation_error_deg", 2),
    ("change of the rotation error, median, degrees", "rotation_error_deg.median", 2),
    ("change of the translation error", "translation_error", 3),
)
STEPPED = (
    ("rotation error, mean, degrees", "rotation_error_deg", 2),
    ("IoU, mean", "iou", 3),
    ("translation error, mean", "translation_error", 3),
)
ONCE = ("class_accuracy",)
"""What no refinement changes."""
TIMED = 3
"""Runs of which the time of an image is the median."""

# --- tables and figure -------------------------------------------------------------------------------------------


def rows_of(table: int, task: Task, shop: Workshop) -> tuple[list[Row], dict[str, Any]]:
    """The paper's rows and ours, and the protocol; what is missing is drawn and trained."""
    rows = table_1(task, shop) if table == 1 else printed_rows(PRINTED[table]) + table_2(task, shop)
    return rows, _choices(task, shop)


def table_1(task: Task, shop: Workshop) -> list[Row]:
    """The paper's and all our ways to a pose, quantity by quantity, and the time of an image."""
    refined = REFINED.format("coverage")
    found = {
        system + label: _measured(system, _at_scale(way, task), task, shop)
        for system in SYSTEMS
        for label, way in WAYS.items()
        if not system or label in (ENCODER, refined)
    }
    rows, tests = [], image_sets(task, shop).tests
    for text, quantity, digits in QUANTITIES:
        rows += [row for row in printed_rows(PRINTED[1]) if row.label.endswith(f": {text}")]
        for source in tests:
            for label, by_seed in found.items():
                if (quantity not in ONCE or label.endswith(ENCODER)) and (quantity == "iou" or label != SAME_POSE):
                    cells = {seed: evaluated_cells(by_seed[seed][source], quantity) for seed in task.seeds}
                    rows += measured_rows(f"{label}: {text}", source, cells, digits)
    source, test = next(iter(tests.items()))
    method = _method("", task.seeds[0], task, shop)
    for label, way in WAYS.items():
        taken = seconds_an_image(method, test, _at_scale(way, task), task.protocol.batch_size)
        rows.append(Row(f"{label}: milliseconds an image", source, {POOLED: 1000 * taken}, 1))
    return rows


def table_2(task: Task, shop: Workshop) -> list[Row]:
    """What refining gains over the encoder's own poses, at each resolution."""
    rows, before = [], _measured("", _at_scale(Way(), task), task, shop)
    # Of the weights' refinement the paper's operator alone: table 1 has all three.
    labelled = [(TUNED, Way("weights", "edge_product")), *((REFINED, Way("poses", name)) for name in OPERATORS)]
    for text, way in labelled:
        for px in SCALES[task.scale].sizes:
            after = _measured("", replace(_at_scale(way, task), px=px), task, shop)
            label = f"{text.format(way.operator)}, {px} px"
            for source in before[task.seeds[0]]:
                found = {seed: gains(before[seed][source], after[seed][source], task.protocol) for seed in task.seeds}
                for what, quantity, digits in GAINED:
                    cells = {seed: evaluated_cells(gained, quantity) for seed, gained in found.items()}
                    rows += measured_rows(f"{label}: {what}", source, cells, digits)
    return rows


def figure_rows_of(number: int, task: Task, shop: Workshop) -> tuple[list[Row], dict[str, Any]]:
    """The numbers of a figure's curves, every fifth step and the last, and the protocol."""
    rows, last = printed_rows(FIGURES[number]), SCALES[task.scale].way.steps
    for name in OPERATORS:
        found = _stepped(name, task, shop)
        for source in found[task.seeds[0]]:
            for label, quantity, digits in STEPPED:
                for step in sorted({*range(0, last, 5), last}):
                    cells = {seed: evaluated_cells(found[seed][source], f"{quantity}.{step}") for seed in task.seeds}
                    rows += measured_rows(f"{REFINED.format(name)}, step {step}: {label}", source, cells, digits)
    return rows, _choices(task, shop)


def figure(table: int, task: Task, shop: Workshop) -> np.ndarray:
    """Images of each test set and where each of table 1's ways sees the object; for both tables the same."""
    shown, method = SCALES[task.scale].shown, _method("", task.seeds[0], task, shop)
    ways = {label: _at_scale(way, task) for label, way in WAYS.items()}
    pictures = []
    for test in image_sets(task, shop).tests.values():
        span = np.unique(np.linspace(0, len(test.images) - 1, min(2 * shown, len(test.images))).astype(int))
        pictures.append(ways_side_by_side(method, test.images, test.objects, ways, span))
    return np.concatenate(pictures)


def drawn_figure(number: int, task: Task, shop: Workshop) -> np.ndarray:
    """Figure 6 (c) of each operator on the first test set, and below it figure 5: refinements step by step, failures too."""
    source, test = next(iter(image_sets(task, shop).tests.items()))
    seed, steps = task.seeds[0], range(SCALES[task.scale].way.steps + 1)
    tables = {name: _stepped(name, task, shop)[seed][source].table for name in OPERATORS}
    curves = {
        label: {name: [rows[f"{quantity}.{step}"][POOLED].value for step in steps] for name, rows in tables.items()}
        for label, quantity, _ in STEPPED
    }
    method, way = _method("", seed, task, shop), _at_scale(WAYS[REFINED.format("coverage")], task)
    before, after = (_measured("", _at_scale(each, task), task, shop)[seed][source] for each in (Way(), way))
    groups = telling_refinements(before, after, SCALES[task.scale].shown)
    return errors_over_steps(curves, refinements(method, test.images, test.objects, way, groups))


# --- measuring ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def _measured(system: str, way: Way, task: Task, shop: Workshop) -> dict[int, dict[str, Evaluation]]:
    """Seed, then test set, to the evaluation of one way. system: of SYSTEMS. Kept, because pictures ask again."""
    found: dict[int, dict[str, Evaluation]] = {seed: {} for seed in task.seeds}
    for seed in task.seeds:
        method = _method(system, seed, task, shop)
        for source, test in image_sets(task, shop).tests.items():
            what = "the encoder" if way.refine == "none" else f"{way.refine} refined by {way.operator} at {way.px} px"
            shop.tell(f"measuring {system}{what}, {way.mesh.replace('_', ' ')}, on {source}")
            found[seed][source] = evaluate_palazzi2018(
                method, test.images, way, task.protocol, test.objects, test.groups
            )
    return found


@lru_cache(maxsize=8)
def _stepped(operator: str, task: Task, shop: Workshop) -> dict[int, dict[str, Evaluation]]:
    """Seed, then test set, to the errors after each step of the pose's refinement through an operator."""
    way = _at_scale(Way("poses", operator), task)
    found: dict[int, dict[str, Evaluation]] = {seed: {} for seed in task.seeds}
    for seed in task.seeds:
        method = _method("", seed, task, shop)
        for source, test in image_sets(task, shop).tests.items():
            shop.tell(f"following the steps of {operator} on {source}")
            found[seed][source] = evaluate_steps(method, test.images, way, task.protocol, test.groups)
    return found


def seconds_an_image(method: RasterPose, test: Test, way: Way, batch_size: int) -> float:
    """Median time of a batch over its images, after one that is not counted: it compiles."""
    span = np.arange(min(batch_size, len(test.images)))
    images, taken = subset(test.images, span), []
    small = for_encoder(method, images)
    for _ in range(TIMED + 1):
        start = time.perf_counter()
        pose(method, small, images, span, way, test.objects)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken[1:])) / len(span)


def _at_scale(way: Way, task: Task) -> Way:
    scale = SCALES[task.scale].way
    return replace(way, steps=scale.steps, px=scale.px)


def _choices(task: Task, shop: Workshop) -> dict[str, Any]:
    way, tests = SCALES[task.scale].way, image_sets(task, shop).tests
    resampled = {
        name: "objects" if test.groups is None else "groups of near-duplicates" for name, test in tests.items()
    }
    said = {
        "steps": way.steps,
        "px": way.px,
        "rate of the weights": "a tenth of the training's",
        "set": "see Data",
        "resampled": resampled,
    }
    return {"name": NAME, **asdict(task.protocol), **DEFINITIONS, **said}


# --- training -------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _method(system: str, seed: int, task: Task, shop: Workshop) -> RasterPose:
    """The trained method."""
    changes = SYSTEMS[system]
    # Before the sets, whose drawing takes minutes: it refuses what it cannot learn.
    config = replace(SCALES[task.scale].config, categories=task.categories, seed=seed, **changes)
    sets = image_sets(task, shop)

    def stages(method: RasterPose) -> Iterator[Stage]:
        method.set_representatives(representatives(task))
        return method.stages(sets.train, sets.val)

    name = "-".join((NAME, task.scale, *changes.values(), str(seed)))
    roles = {"train": sets.train, "val": sets.val}
    return shop.trained(name, "raster_pose", config, stages, sets=roles, seed=seed)[0]


COLUMNS = (MACRO, POOLED)
