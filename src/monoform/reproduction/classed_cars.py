"""The cars that Palazzi 2018 is reproduced with: procedural, real models, or ShapeNet's, in classes that have a medoid each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from monoform.data.image_sets import shapes_for
from monoform.data.readers.models import Models, open_models
from monoform.data.readers.shapenet import open_shapenet
from monoform.data.rendering.models import Entry, ModelLibrary
from monoform.data.representatives import (
    Representatives,
    choose_representatives,
    describe,
    nearest,
    split_shapes,
)
from monoform.data.vehicle_classes import CLASSES, ClassedModel, classed_models
from monoform.errors import InputError
from monoform.evaluate import Groups
from monoform.meshes import Mesh, bounds
from monoform.reproduction.paper_data import FIRST_SEED, manifest_digest, real_models

MEDOIDS_FIRST_SEED = 5_000_000
"""Of the procedural shapes of which medoids are taken: above those of every part, so that medoids are in none."""
VEHICLES = ("car", "van")
"""The categories of real models that are taken; of those called trucks about half are pickups, which are of no class."""


class Listed(NamedTuple):
    """Shapes to draw, one class and one id each."""

    entries: list[Entry]
    classes: list[str]
    ids: list[str]


@dataclass(frozen=True, eq=False)
class Cars:
    """Cars that can be loaded, and what decides them."""

    made_of: dict[str, Any]
    load: Callable[[], Listed]
    groups: Groups | None = None
    """Of near-duplicates, by id; None of shapes that are each for itself."""


def own_meshes(listed: Listed) -> dict[str, Mesh]:
    """Id to the shape's mesh as it stands in its grid: canonical frame, longest box side 1."""
    library, found = ModelLibrary(listed.entries, capacity=1), {}
    for number, name in enumerate(listed.ids):
        mesh = library.model(number).mesh
        found[name] = Mesh(mesh.vertices / np.ptp(bounds(mesh.vertices), axis=0).max(), mesh.faces)
    return found


# --- procedural --------------------------------------------------------------------------------------------------


def procedural_cars(classes: tuple[str, ...], part: str, count: int) -> Cars:
    """`count` cars of each class, a kind of `data.procedural.car`, with the part's own seeds."""
    made_of = {"shapes": "procedural", "classes": list(classes), "first_seed": FIRST_SEED[part], "count": count}
    return Cars(made_of, lambda: _of_kinds(classes, count, FIRST_SEED[part]))


def _of_kinds(classes: tuple[str, ...], count: int, first: int) -> Listed:
    parts = [(name, *shapes_for("car", count, first, name)) for name in classes]
    return Listed(
        [entry for _, entries, _ in parts for entry in entries],
        [name for name, entries, _ in parts for _ in entries],
        [one for _, _, ids in parts for one in ids],
    )


def compared(classes: tuple[str, ...], count: int) -> dict[str, Any]:
    """What decides `procedural_medoids`, for the record."""
    return {"shapes": "procedural", "classes": list(classes), "first_seed": MEDOIDS_FIRST_SEED, "count": count}


@lru_cache(maxsize=4)
def procedural_medoids(classes: tuple[str, ...], count: int) -> Representatives:
    """The medoid of `count` cars of each class, which are in no part."""
    return choose_representatives({name: shapes_for("car", count, MEDOIDS_FIRST_SEED, name) for name in classes})[0]


# --- real models -------------------------------------------------------------------------------------------------


def real_cars(root: Path, split: str, classes: tuple[str, ...], count: int) -> Cars:
    """The cars and vans of a split of a folder with a manifest, as far as `vehicle_classes` puts them in one of the classes.

    Raises InputError if a group of near-duplicates is in two splits, or if there is no such model.
    """
    made_of = {**real_models(root, "car", split).made_of, "classes_by": compared(CLASSES, count)}
    source = open_models(root, split=split)
    if not isinstance(source, Models):
        raise InputError(f"{root}: its manifest.json lists photos; give a folder of models")
    groups = {item.id: item.object_id for item in source.listed if item.category in VEHICLES}

    def load() -> Listed:
        found = [
            one for one in _classed(root, manifest_digest(root), count) if one.split == split and one.name in classes
        ]
        if not found:
            raise InputError(f"{root}: no car of the classes {', '.join(classes)}; give other models")
        return Listed([one.mesh for one in found], [one.name for one in found], [one.id for one in found])

    return Cars(made_of, load, groups)


@lru_cache(maxsize=2)
def _classed(root: Path, digest: str, count: int) -> tuple[ClassedModel, ...]:
    return classed_models(root, procedural_medoids(CLASSES, count), VEHICLES)


# --- ShapeNet ----------------------------------------------------------------------------------------------------


class Clusters(NamedTuple):
    """ShapeNet's cars in classes."""

    listed: Listed
    representatives: Representatives
    splits: Mapping[str, np.ndarray]
    """Rows of each split; the representatives are in none."""


@lru_cache(maxsize=1)
def shapenet_clusters(root: Path, classes: tuple[str, ...], count: int) -> Clusters:
    """Every car of ShapeNetCore v2 in the class of the nearest procedural medoid, the medoids of these, and 0.6/0.2/0.2.

    Paper: the clusters follow Du et al. 2018, who list no models. Here: by HOG, because that is what medoids go by too.
    """
    place = Path(root) / "ShapeNetCore.v2"
    source = open_shapenet(place, category="car")
    files = [place / synset / model / "models" / "model_normalized.obj" for synset, model in source.models]
    found = [(file, item.id) for file, item in zip(files, source.listed, strict=True) if file.is_file()]
    entries: list[Entry] = [file for file, _ in found]
    ids, library = [name for _, name in found], ModelLibrary(entries, capacity=1)
    medoids = np.stack([describe(mesh) for mesh in procedural_medoids(classes, count).meshes])
    of = [classes[nearest(describe(library.model(i).mesh), medoids)] for i in range(len(entries))]
    members = {name: [i for i, own in enumerate(of) if own == name] for name in classes}
    bare = [name for name, rows in members.items() if len(rows) < 2]
    if bare:
        raise InputError(
            f"{place}: fewer than two cars of the class '{bare[0]}'; check that ShapeNetCore.v2 is complete"
        )
    chosen, medoid_ids = choose_representatives(
        {name: ([entries[i] for i in rows], [ids[i] for i in rows]) for name, rows in members.items()}
    )
    return Clusters(Listed(entries, of, ids), chosen, split_shapes(ids, of, medoid_ids, seed=0))


def shapenet_cars(root: Path | None, part: str, classes: tuple[str, ...], count: int) -> Cars:
    """ShapeNet's cars of a split. Raises InputError without a folder."""
    if root is None:
        raise InputError("the scale 'paper' reads the paper's own data; give a folder with ShapeNetCore.v2 (--data)")
    place = Path(root)

    def load() -> Listed:
        listed, _, splits = shapenet_clusters(place, classes, count)
        return Listed(*([values[row] for row in splits[part]] for values in listed))

    made_of = {"shapes": "ShapeNetCore.v2", "root": place.name, "split": part, "classes_by": compared(classes, count)}
    return Cars(made_of, load)
