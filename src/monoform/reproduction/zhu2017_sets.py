"""The sets that Zhu 2017's tables are trained and measured on."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from monoform.data.image_sets import OTHER_LOOK, RENDERED, DrawnObjects, join, render_weak
from monoform.data.rendering.backgrounds import PhotoFolder
from monoform.interfaces import ImageSet
from monoform.methods.reprojection import LAPTOP, SMOKE, Config
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
from monoform.reproduction.runs import Workshop, without_truth

NAME = "zhu2017"
CATEGORIES = ("aeroplane", "chair", "car")
REAL = "real models, other look, test"
SIDE, KIND = 30, "solid"
SCALES_OF_SHAPES = (0.85, 1.0)
"""The random factors of the shapes, of the largest that the grid holds; the paper does not give its own."""


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
