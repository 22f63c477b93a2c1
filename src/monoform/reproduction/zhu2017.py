"""Zhu 2017, "Rethinking Reprojection": its table 2, and 3D and 2D AP before and after fine-tuning (tables 3 and 4)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from monoform.data.image_sets import OTHER_LOOK, RENDERED, DrawnObjects, join, render_weak
from monoform.data.rendering.backgrounds import PhotoFolder
from monoform.errors import InputError
from monoform.evaluate import (
    MACRO,
    POOLED,
    Evaluation,
    Zhu2017Protocol,
    evaluate_reconstruction,
    evaluate_zhu2017,
    joined,
)
from monoform.interfaces import ImageSet, Stage
from monoform.methods.reprojection import LAPTOP, SMOKE, Config
from monoform.reproduction.figures import telling_rows, zhu2017_figure
from monoform.reproduction.near_duplicates import groups_of
from monoform.reproduction.paper_data import (
    Shapes,
    coco_photos,
    has_photos,
    manifest_digest,
    masked_photos,
    pascal3d_photos,
    real_models,
    seeded_shapes,
    shapenet_models,
)
from monoform.reproduction.runs import Workshop, evaluated_cells, without_truth
from monoform.reproduction.tables import PAPER, PrintedTable, Row, measured_rows

NAME = "zhu2017"
REFERENCE = "Zhu et al., ICCV 2017"
CATEGORIES = ("aeroplane", "chair", "car")
PROTOCOL = Zhu2017Protocol()
REAL = "real models, other look, test"
SIDE, KIND = 30, "solid"
SCALES_OF_SHAPES = (0.75, 1.0)
"""The random factors of the shapes; the paper does not give its own."""
TUNING = "fine_tuning"
"""The stage on natural images."""
SHARED = {
    "p-3D-VAE-GAN": {"3D-VAE-GAN": ("style", "generator", "discriminator")},
    "p-TL": {"3D-VAE": ("shape_encoder", "generator"), "p-3D-VAE-GAN": ("pose",)},
}
"""The networks that a system takes from others that have trained them."""
OWN_STAGES = {"p-3D-VAE-GAN": ("pose",), "p-TL": ("style", "joint")}
"""The stages that are left for it."""

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
    system: Literal["3D-VAE", "coupled-3D-VAE", "3D-VAE-GAN", "coupled-3D-VAE-GAN", "p-3D-VAE-GAN"]
    quantity: str
    printed: float


TABLE_2 = (
    Entry("3D VAE, voxels to voxels, aligned", "3D-VAE", "ap_v2v", 0.876),
    Entry("3D VAE, voxels to voxels, pose-aware", "coupled-3D-VAE", "ap_v2v", 0.544),
    Entry("3D-VAE-GAN, image to voxels, aligned", "3D-VAE-GAN", "ap_3d.aligned", 0.752),
    Entry("3D-VAE-GAN, image to voxels, pose-aware", "coupled-3D-VAE-GAN", "ap_3d.posed", 0.403),
    Entry("p-3D-VAE-GAN, image to voxels, pose-aware", "p-3D-VAE-GAN", "ap_3d.posed", 0.665),
)
TUNED_SYSTEMS = ("p-TL", "p-3D-VAE-GAN")
TUNED_ROWS = {
    3: (("3D AP, aligned", "ap_3d.aligned", 3), ("3D AP, pose-aware", "ap_3d.posed", 3),
        ("rotation error, median, degrees", "rotation_error_deg.median", 1),
        ("share of rotation errors under 30 degrees", "accuracy", 3)),
    4: (("2D AP", "ap_2d", 3),),
}  # fmt: skip

# --- data and training -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How much is made and trained."""

    train: int
    """Shapes a category."""
    val: int
    test: int
    natural: int
    """Shapes of the images of which masks alone are shown."""
    views: int
    config: Config


SCALES = {
    "smoke": Scale(4, 2, 2, 2, 2, SMOKE),
    "laptop": Scale(2000, 60, 80, 300, 6, LAPTOP),
    "paper": Scale(0, 0, 0, 0, 51, Config()),
}
"""'paper' takes every model; 51 views of each are about the paper's numbers of images."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked for."""

    scale: str
    categories: tuple[str, ...] = CATEGORIES
    seeds: tuple[int, ...] = (0,)
    models: Path | None = None
    """A folder of real models whose training split joins the training set and whose test split is a set of its own."""
    photos: Path | None = None
    """A folder of photos for backgrounds."""
    natural: Path | None = None
    """A folder of photos with masks and a manifest, a test set of its own whose 2D AP is told."""
    data: Path | None = None
    """For 'paper': a folder with ShapeNetCore.v1, coco, PASCAL3D+ and sun."""


@dataclass(frozen=True, eq=False)
class Sets:
    """What one category is trained and measured on."""

    train: ImageSet
    val: ImageSet
    rendered: ImageSet
    """The test set that looks as the training set does, on which table 2 is measured."""
    natural: ImageSet
    """For fine-tuning: masks alone."""
    tests: dict[str, ImageSet]
    """Test sets that look as the natural images do, for tables 3 and 4."""


def rows_of(table: int, task: Task, shop: Workshop) -> tuple[list[Row], dict[str, Any]]:
    """The paper's rows and ours, and the protocol; what is missing is drawn and trained."""
    rows = table_2(task, shop) if table == 2 else before_and_after(table, task, shop)
    return rows, {"name": NAME, **asdict(PROTOCOL), "set": "see Data"}


def table_2(task: Task, shop: Workshop) -> list[Row]:
    """Each number of the paper above ours, on rendered images."""
    rows = []
    for entry in TABLE_2:
        cells = {}
        for seed in task.seeds:
            measure = evaluate_reconstruction if entry.quantity == "ap_v2v" else evaluate_zhu2017
            parts = []
            for category in task.categories:
                sets = image_sets(category, task, shop)
                method, _ = trained(entry.system, category, sets, task, shop, seed)
                shop.tell(f"measuring {entry.system} of {category}")
                parts.append(measure(method, sets.rendered, PROTOCOL))
            cells[seed] = evaluated_cells(joined(parts, PROTOCOL), entry.quantity)
        rows.append(Row(entry.label, PAPER, {MACRO: entry.printed}))
        rows += measured_rows(f"monoform: {entry.label}", "rendered test images", cells)
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
    return rows


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
                groups = None
                if source == REAL and task.models is not None:
                    groups = groups_of(task.models, category, "test")
                parts[when].setdefault(source, []).append(evaluate_zhu2017(method, test, PROTOCOL, groups))
    return {
        when: {source: joined(found, PROTOCOL) for source, found in by_set.items()} for when, by_set in parts.items()
    }


def trained(system: str, category: str, sets: Sets, task: Task, shop: Workshop, seed: int) -> tuple[Any, Path]:
    """A system after all stages on rendered images, and the folder of its weights.

    What two systems train alike is trained once: 3D-VAE-GAN is the first stage of p-3D-VAE-GAN, 3D-VAE that of p-TL, and both
    have the same pose regressor.
    """
    weights = {name: trained(name, category, sets, task, shop, seed)[1] for name in SHARED.get(system, {})}
    start = {f"networks.{part}.": weights[name] for name, parts in SHARED.get(system, {}).items() for part in parts}
    return shop.trained(
        _run(task, system, category, seed), "reprojection", _config(task, system, category, seed),
        lambda method: stages_named(method.stages(sets.train, sets.val), OWN_STAGES.get(system)),
        sets={"train": sets.train, "val": sets.val}, seed=seed, start=start,
    )  # fmt: skip


def fine_tuned(system: str, category: str, sets: Sets, task: Task, shop: Workshop, seed: int, weights: Path) -> Any:
    """The system after fine-tuning on natural images, from its weights before."""
    method, _ = shop.trained(
        _run(task, system, category, seed) + "-tuned", "reprojection", _config(task, system, category, seed),
        lambda m: stages_named(m.stages(sets.train, sets.val, sets.natural), (TUNING,)),
        sets={"train": sets.train, "val": sets.val, "natural": sets.natural}, seed=seed, start={"": weights},
    )  # fmt: skip
    return method


def stages_named(stages: Iterable[Stage], names: Sequence[str] | None) -> Iterator[Stage]:
    """Of a method's stages those of the given names, or all of them. Raises InputError if there is none."""
    found = False
    for stage in stages:
        if names is None or stage.name in names:
            found = True
            yield stage
    if not found:
        raise InputError(f"the method has no stage named {' or '.join(names or ())}, so there is nothing to train")


def _config(task: Task, system: str, category: str, seed: int) -> Config:
    return replace(SCALES[task.scale].config, system=system, categories=(category,), seed=seed)


def _run(task: Task, system: str, category: str, seed: int) -> str:
    return "-".join((NAME, task.scale, system, category, str(seed)))


def image_sets(category: str, task: Task, shop: Workshop) -> Sets:
    """All sets of a category; no shape is in two of them.

    Natural images, of which there are none with true shapes at hand below 'paper', are stood in for by renders of another
    look: dull, dark, blurred, noisy, with one near lamp.
    """
    if task.scale == "paper":
        return _paper_sets(category, task, shop)
    counts = asdict(SCALES[task.scale])

    def drawn(part: str, look: Literal["rendered", "other"]) -> ImageSet:
        seeds = {"train": "train", "val": "val", "rendered": "test"}.get(part, part)
        shapes = seeded_shapes(category, seeds, counts[{"natural-test": "test"}.get(seeds, seeds)])
        return _drawn("procedural", part, category, shapes, look, task, shop)

    train, natural = drawn("train", "rendered"), without_truth(drawn("natural", "other"))
    tests = {"procedural, other look, test": drawn("natural-test", "other")}
    if task.models is not None:
        real = partial(real_models, task.models, category)
        train = join(train, _drawn("real", "train", category, real("train"), "rendered", task, shop))
        tests[REAL] = _drawn("real", "test", category, real("test"), "other", task, shop)
    if task.natural is not None and has_photos(task.natural, category):
        tests["photos"] = _photos(task.natural, category, task, shop)
    return Sets(train, drawn("val", "rendered"), drawn("rendered", "rendered"), natural, tests)


def _photos(root: Path, category: str, task: Task, shop: Workshop) -> ImageSet:
    size = SCALES[task.scale].config.image_size
    settings = {"category": category, "size": size, "source": "photos", "manifest_sha256": manifest_digest(root)}
    name = f"{NAME}-{task.scale}-photos-{category}"
    return shop.image_set(name, settings, lambda: masked_photos(root, category, size))


def _paper_sets(category: str, task: Task, shop: Workshop) -> Sets:
    size = SCALES["paper"].config.image_size
    photos = replace(task, photos=task.data / "sun" if task.data else None)

    def drawn(part: str) -> ImageSet:
        return _drawn("ShapeNet", part, category, shapenet_models(task.data, category, part), "rendered", photos, shop)

    def taken(source: str, make: Callable[[], ImageSet]) -> ImageSet:
        settings = {
            "category": category,
            "size": size,
            "source": source,
            "root": task.data.resolve().name if task.data else None,
        }
        return shop.image_set(f"{NAME}-paper-{source}-{category}", settings, make)

    natural = taken("coco", lambda: coco_photos(task.data, category, size))
    test = taken("pascal3d", lambda: pascal3d_photos(task.data, category, size, SIDE))
    return Sets(drawn("train"), drawn("val"), drawn("test"), natural, {"PASCAL3D+": test})


def _drawn(
    source: str,
    part: str,
    category: str,
    shapes: Shapes,
    look: Literal["rendered", "other"],
    task: Task,
    shop: Workshop,
) -> ImageSet:
    scale = SCALES[task.scale]
    size, views = scale.config.image_size, scale.views
    photos = None if task.photos is None else PhotoFolder(task.photos).record()
    settings = {
        "category": category, "size": size, "side": SIDE, "kind": KIND, "views": views, "look": look,
        "scales": SCALES_OF_SHAPES, "photos": photos,
        **shapes.made_of,
    }  # fmt: skip

    def make() -> ImageSet:
        entries, ids = shapes.load()
        return render_weak(
            DrawnObjects(entries, [category] * len(entries), ids), size=size, views=views, seed=0, side=SIDE, kind=KIND,
            photos=task.photos,
            scales=SCALES_OF_SHAPES, style=OTHER_LOOK if look == "other" else RENDERED,
        )  # fmt: skip

    return shop.image_set(f"{NAME}-{task.scale}-{source}-{category}-{part}-{look}", settings, make)


COLUMNS = (MACRO, POOLED)
