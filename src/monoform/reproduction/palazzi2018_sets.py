"""What Palazzi 2018 is reproduced on: how much at each scale, and the sets."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from monoform.data.image_sets import DrawnObjects, join, render_posts
from monoform.data.rendering.backgrounds import PhotoFolder
from monoform.data.representatives import Representatives
from monoform.data.vehicle_classes import CLASSES
from monoform.evaluate import Groups, Palazzi2018Protocol, TrueObject, Way, true_objects
from monoform.interfaces import ImageSet
from monoform.methods.raster_pose import LAPTOP, SMOKE, Config
from monoform.reproduction.classed_cars import (
    Cars,
    compared,
    own_meshes,
    procedural_cars,
    procedural_medoids,
    real_cars,
    shapenet_cars,
    shapenet_clusters,
)
from monoform.reproduction.runs import Workshop

NAME = "palazzi2018"
CATEGORIES = CLASSES
"""What a run is of unless other classes are asked for."""
REAL = "real models, test"


@dataclass(frozen=True)
class Scale:
    """How much is made and trained."""

    train: int
    """Shapes a class."""
    val: int
    test: int
    compared: int
    """Procedural shapes a class of which the medoid is taken."""
    views: int
    config: Config
    way: Way
    """Side and steps of the refinements."""
    sizes: tuple[int, ...]
    """Of table 2; the test images have the largest."""
    shown: int
    """Rows of each kind in the pictures."""


SCALES = {
    "smoke": Scale(4, 2, 1, 2, 2, SMOKE, Way(steps=2, px=32), (16, 64), 1),
    "laptop": Scale(700, 20, 27, 40, 6, LAPTOP, Way(), (16, 32, 64, 128, 256), 3),
    "paper": Scale(0, 0, 0, 40, 10, Config(), Way(), (16, 32, 64, 128, 256), 3),
}
"""'paper' takes every car of ShapeNetCore v2; how many views of each the paper draws it does not tell."""


@dataclass(frozen=True, eq=False)
class Task:
    """What is asked for."""

    scale: str
    categories: tuple[str, ...] = CATEGORIES
    """The classes, two or more."""
    seeds: tuple[int, ...] = (0,)
    models: Path | None = None
    """A folder of real models whose training split joins the training set and whose test split is a set of its own."""
    photos: Path | None = None
    """A folder of photos for backgrounds."""
    data: Path | None = None
    """For 'paper': a folder with ShapeNetCore.v2."""

    @property
    def protocol(self) -> Palazzi2018Protocol:
        """Silhouettes are compared at the side at which they are refined."""
        return Palazzi2018Protocol(mask_px=SCALES[self.scale].way.px)


class Test(NamedTuple):
    """A test set and what is known of its objects."""

    images: ImageSet
    objects: dict[str, TrueObject]
    groups: Groups | None


class Sets(NamedTuple):
    """What is trained and measured on."""

    train: ImageSet
    val: ImageSet
    tests: dict[str, Test]


@lru_cache(maxsize=2)
def image_sets(task: Task, shop: Workshop) -> Sets:
    """All sets; no shape is in two of them, and the representatives are in none. Kept, because symmetries take their time.

    The test cameras stand anywhere within the grid of posts, so that no pose of the test was trained on. Test images are as
    large as the finest refinement; the encoder is given their area means.
    """
    scale, source = SCALES[task.scale], "ShapeNet" if task.scale == "paper" else "procedural"

    def cars(part: str) -> Cars:
        if task.scale == "paper":
            return shapenet_cars(task.data, part, task.categories, scale.compared)
        return procedural_cars(task.categories, part, getattr(scale, part))

    size = scale.config.image_size
    train, val = (_drawn(f"{source}-{part}", cars(part), size, "posts", task, shop) for part in ("train", "val"))
    tests = {f"{source}, test": _test(f"{source}-test", cars("test"), task, shop)}
    if task.models is not None:
        real = {part: real_cars(task.models, part, task.categories, scale.compared) for part in ("train", "test")}
        train = join(train, _drawn("real-train", real["train"], size, "posts", task, shop))
        tests[REAL] = _test("real-test", real["test"], task, shop)
    # The representatives decide which checkpoint is the best: they belong to what is learnt from.
    medoids_of = compared(task.categories, scale.compared)
    return Sets(replace(train, made_by={"images": train.made_by, "medoids_of": medoids_of}), val, tests)


def _test(name: str, cars: Cars, task: Task, shop: Workshop) -> Test:
    scale = SCALES[task.scale]
    images = _drawn(name, cars, max(*scale.sizes, scale.way.px), "anywhere", task, shop)
    shop.tell(f"looking for the symmetries of the {len(images.object_ids)} objects of {name}")
    objects = true_objects(images, own_meshes(cars.load()), task.protocol)
    groups = None if cars.groups is None else {one: cars.groups[one] for one in images.object_ids}
    return Test(images, objects, groups)


def _drawn(
    name: str, cars: Cars, size: int, places: Literal["posts", "anywhere"], task: Task, shop: Workshop
) -> ImageSet:
    scale, photos = SCALES[task.scale], None if task.photos is None else PhotoFolder(task.photos).record()
    drawing = {"size": size, "views": scale.views, "side": scale.config.voxel_side, "places": places}

    def make() -> ImageSet:
        return render_posts(DrawnObjects(*cars.load()), seed=0, photos=task.photos, **drawing)

    settings = {**drawing, "photos": photos, **cars.made_of}
    return shop.image_set(f"{NAME}-{task.scale}-{name}", settings, make)


def representatives(task: Task) -> Representatives:
    """The medoid of each class."""
    count = SCALES[task.scale].compared
    if task.scale == "paper" and task.data is not None:
        return shapenet_clusters(task.data, task.categories, count).representatives
    return procedural_medoids(task.categories, count)
