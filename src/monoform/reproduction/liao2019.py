"""Liao 2019, "3D Shape Reconstruction from a Single 2D Image via 2D-3D Self-Consistency": its tables 1 to 4."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.image_sets import DrawnObjects, join, render_turntable
from monoform.evaluate import (
    MACRO,
    POOLED,
    Evaluation,
    Liao2019Protocol,
    evaluate_liao2019,
    evaluate_training_shapes,
    joined,
)
from monoform.interfaces import ImageSet
from monoform.methods.self_consistency import LAPTOP, SMOKE, Config
from monoform.reproduction.figures import liao2019_figure
from monoform.reproduction.near_duplicates import groups_for_test
from monoform.reproduction.paper_data import Shapes, ptn_models, real_models, seeded_shapes
from monoform.reproduction.runs import Workshop, evaluated_cells
from monoform.reproduction.tables import Printed, PrintedTable, Row, measured_rows, printed_rows

NAME = "liao2019"
REFERENCE = "Liao et al., ICASSP 2019"
CATEGORIES = ("aeroplane", "car", "chair")
PROTOCOL = Liao2019Protocol()
REAL = "real models, test"
"""The test set of real models."""

# --- what the paper prints ---------------------------------------------------------------------------------------

PRINTED = {
    1: PrintedTable(
        "IoU of pose-invariant voxels",
        CATEGORIES,
        (
            Printed("3D-R2N2", (0.513, 0.798, 0.466)),
            Printed("DRC", (0.570, 0.760, 0.470)),
            Printed("PTN", (0.584, 0.738, 0.507)),
            Printed("Voxel Tube", (0.671, 0.821, 0.550)),
            Printed("MVC (3D)", (0.570, 0.790, 0.490)),
            Printed("Liao 2019", (0.688, 0.807, 0.572)),
        ),
        "The cited systems were measured on other true voxels too: some scaled to fill the grid and solid, those of DRC, MVC "
        "and Liao 2019 unscaled shells.",
    ),
    2: PrintedTable(
        "pose error and mask IoU",
        CATEGORIES,
        (
            Printed("Liao 2019: rotation error, mean, degrees", (6.47, 89.74, 5.19)),
            Printed("Liao 2019: elevation error, mean, degrees", (2.79, 4.21, 1.73)),
            Printed("Liao 2019: mask IoU", (0.930, 0.987, 0.970)),
        ),
        "50.10 % of the paper's car poses are turned by 180 degrees; the silhouette hardly tells the two apart.",
    ),
    3: PrintedTable(
        "IoU of pose-aware voxels",
        CATEGORIES,
        (
            Printed("Liao 2019: predicted shape, predicted pose", (0.569, 0.691, 0.525)),
            Printed("Liao 2019: predicted shape, true pose", (0.640, 0.792, 0.550)),
            Printed("Liao 2019: true shape, predicted pose", (0.728, 0.723, 0.806)),
        ),
    ),
    4: PrintedTable(
        "IoU of projections with the true mask",
        CATEGORIES,
        (
            Printed("Liao 2019: predicted shape, predicted pose", (0.709, 0.864, 0.774)),
            Printed("Liao 2019: predicted shape, true pose", (0.715, 0.864, 0.773)),
            Printed("Liao 2019: true shape, predicted pose", (0.683, 0.827, 0.777)),
            Printed("Liao 2019: true shape, true pose", (0.684, 0.817, 0.777)),
        ),
        "True shape in true pose is what voxels of this size can reach: a ceiling, not an error.",
    ),
}
"""As printed; the paper's airplane is our aeroplane."""

# --- our rows ----------------------------------------------------------------------------------------------------

SHAPES_AND_POSES = (
    ("predicted shape, predicted pose", "predicted_shape.predicted_pose", True),
    ("predicted shape, true pose", "predicted_shape.true_pose", True),
    ("true shape, predicted pose", "true_shape.predicted_pose", False),
    ("true shape, true pose", "true_shape.true_pose", False),
    ("predicted shape, predicted pose, half-turn resolved by an oracle", "predicted_shape.resolved_pose", True),
    ("true shape, predicted pose, half-turn resolved by an oracle", "true_shape.resolved_pose", False),
)
"""Label, part of the quantity's name, and whether a threshold on what is predicted matters."""
TRAINING_SHAPES = (
    ("the mean training shape, threshold tuned on validation", "voxel_iou.mean_shape"),
    ("the nearest training shape (oracle)", "voxel_iou.nearest_shape"),
)
"""What table 1 is to be read against: no image is looked at."""
POSE_ROWS = (
    ("rotation error, mean, degrees", "rotation_error_deg", 2),
    ("rotation error, median, degrees", "rotation_error_deg.median", 2),
    ("rotation error modulo half-turns, mean, degrees", "half_turn_error_deg", 2),
    ("rotation error modulo half-turns, median, degrees", "half_turn_error_deg.median", 2),
    ("share of poses flipped by a half-turn", "flipped", 3),
    ("elevation error, mean, degrees", "elevation_error_deg", 2),
    ("mask IoU, threshold 0.5", "mask_iou", 3),
)
THRESHOLDS = (("threshold 0.5", "fixed"), ("threshold tuned on validation", "tuned"))


def quantities(table: int) -> list[tuple[str, str, int]]:
    """Label, name in the evaluation, and digits of the rows of one of our tables."""
    if table == 1:
        return [(f"voxel IoU, {text}", f"voxel_iou.{name}", 3) for text, name in THRESHOLDS]
    if table == 2:
        return list(POSE_ROWS)
    what = "posed_iou" if table == 3 else "projection_iou"
    rows = []
    for label, name, threshold_matters in SHAPES_AND_POSES:
        if table == 3 and name == "true_shape.true_pose":
            continue  # the truth itself: 1
        for text, cut in THRESHOLDS if threshold_matters else THRESHOLDS[:1]:
            rows.append((f"{label}, {text}" if threshold_matters else label, f"{what}.{name}.{cut}", 3))
    return rows


# --- data and training -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How much is made and trained."""

    train: int
    """Shapes a category."""
    val: int
    test: int
    views: int
    """Of the 24 around a shape."""
    config: Config
    shown: int = 4
    """Rows a test set in the figure."""


SCALES = {
    "smoke": Scale(4, 2, 2, 2, SMOKE, shown=2),
    "laptop": Scale(1200, 60, 80, 6, LAPTOP),
    "paper": Scale(0, 0, 0, 24, Config()),
}
"""'paper' takes every model of the paper's split."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked for."""

    scale: str
    categories: tuple[str, ...] = CATEGORIES
    seeds: tuple[int, ...] = (0,)
    models: Path | None = None
    """A folder of real models whose training split joins the training set and whose test split is a set of its own."""
    data: Path | None = None
    """For 'paper': a folder with ShapeNetCore.v1 and ptn, whose shapenetcore_ids give the split."""


def rows_of(table: int, task: Task, shop: Workshop) -> tuple[list[Row], dict[str, Any]]:
    """The paper's rows and ours, and the protocol; what is missing is drawn and trained."""
    rows = printed_rows(PRINTED[table])
    systems = {"monoform": {}} if table != 1 else {"monoform": {}, "monoform without a pose branch": {"pose": "none"}}
    protocol: dict[str, Any] = {}
    resampled: dict[str, str] = {}
    for system, changes in systems.items():
        found = {seed: evaluations(task, shop, seed, changes) for seed in task.seeds}
        for source in next(iter(found.values())):
            protocol = protocol or found[task.seeds[0]][source].protocol
            resampled[source] = found[task.seeds[0]][source].protocol["resampled"]
            for label, quantity, digits in quantities(table):
                cells = {seed: evaluated_cells(found[seed][source], quantity) for seed in task.seeds}
                rows += measured_rows(f"{system}: {label}", source, cells, digits)
    if table == 1:
        against = training_shapes(task, shop)
        for source, found in against.items():
            for label, quantity in TRAINING_SHAPES:
                rows += measured_rows(label, source, {0: evaluated_cells(found, quantity)})
        thresholds = next(iter(against.values())).protocol["tuned_thresholds"]
        protocol = protocol | {"mean_training_shape_thresholds": thresholds}
    return rows, protocol | {"set": "see Data", "resampled": resampled}


def evaluations(task: Task, shop: Workshop, seed: int, changes: Mapping[str, Any]) -> dict[str, Evaluation]:
    """Test set to the evaluation of one method a category on it, all categories together."""
    parts: dict[str, list[Evaluation]] = {}
    for category in task.categories:
        train, val, tests = image_sets(category, task, shop)
        method = _method(category, train, val, task, shop, seed, changes)
        for source, test in tests.items():
            shop.tell(f"measuring {category} on {source}")
            groups = groups_for_test(task.models, category, real=source == REAL)
            parts.setdefault(source, []).append(evaluate_liao2019(method, test, val, PROTOCOL, groups))
    return {source: joined(found, PROTOCOL) for source, found in parts.items()}


def training_shapes(task: Task, shop: Workshop) -> dict[str, Evaluation]:
    """Test set to the evaluation of what each category's training set itself says of it, all categories together."""
    parts: dict[str, list[Evaluation]] = {}
    for category in task.categories:
        train, val, tests = image_sets(category, task, shop)
        for source, test in tests.items():
            found = evaluate_training_shapes(
                train, test, val, PROTOCOL, groups_for_test(task.models, category, real=source == REAL)
            )
            parts.setdefault(source, []).append(found)
    return {source: joined(found, PROTOCOL) for source, found in parts.items()}


def _method(
    category: str, train: ImageSet, val: ImageSet, task: Task, shop: Workshop, seed: int, changes: Mapping[str, Any]
) -> Any:
    """The trained method of a category. changes: of its configuration."""
    config = replace(SCALES[task.scale].config, categories=(category,), seed=seed, **changes)
    name = "-".join((NAME, task.scale, category, *changes.values(), str(seed)))
    method, _ = shop.trained(
        name, "self_consistency", config, lambda m: m.stages(train, val), sets={"train": train, "val": val}, seed=seed
    )
    return method


def figure(table: int, task: Task, shop: Workshop) -> np.ndarray | None:
    """Fig. 2 of the first seed's methods: images spread over each test set. For every table the same."""
    scale, pictures = SCALES[task.scale], []
    for category in task.categories:
        train, val, tests = image_sets(category, task, shop)
        method = _method(category, train, val, task, shop, task.seeds[0], {})
        for test in tests.values():
            rows = np.unique(np.linspace(0, len(test) - 1, min(scale.shown, len(test))).astype(int))
            pictures.append(liao2019_figure(method, test, rows.tolist(), PROTOCOL))
    return np.concatenate(pictures)


def image_sets(category: str, task: Task, shop: Workshop) -> tuple[ImageSet, ImageSet, dict[str, ImageSet]]:
    """Training set, validation set, and test sets by name; no shape is in two of them."""
    scale, size, side = SCALES[task.scale], SCALES[task.scale].config.image_size, SCALES[task.scale].config.voxel_side

    def drawn(source: str, part: str, shapes: Shapes) -> ImageSet:
        drawing = {"size": size, "views": scale.views, "side": side, "kind": "shell", "elevations": (30.0,)}
        settings = {"category": category, **drawing, **shapes.made_of}

        def make() -> ImageSet:
            entries, ids = shapes.load()
            return render_turntable(DrawnObjects(entries, [category] * len(entries), ids), seed=0, **drawing)

        return shop.image_set(f"{NAME}-{task.scale}-{source}-{category}-{part}", settings, make)

    if task.scale == "paper":
        ours = {part: partial(ptn_models, task.data, category, part) for part in ("train", "val", "test")}
        source = "ShapeNet"
    else:
        counts = asdict(scale)
        ours = {part: partial(seeded_shapes, category, part, counts[part]) for part in ("train", "val", "test")}
        source = "procedural"
    sets = {part: drawn(source, part, shapes()) for part, shapes in ours.items()}
    tests = {f"{source}, test": sets["test"]}
    train = sets["train"]
    if task.models is not None:
        train = join(train, drawn("real", "train", real_models(task.models, category, "train")))
        tests[REAL] = drawn("real", "test", real_models(task.models, category, "test"))
    return train, sets["val"], tests


COLUMNS = (MACRO, POOLED)
