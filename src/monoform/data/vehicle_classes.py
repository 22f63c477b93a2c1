"""The three classes of vehicles of Palazzi et al. 2018, 4.1: procedural cars of each, real models put into them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.data.image_sets import shapes_for
from monoform.data.readers.models import Models, open_models
from monoform.data.rendering.models import Entry
from monoform.data.representatives import Representatives, describe
from monoform.errors import InputError
from monoform.meshes import Mesh

CLASSES = ("sedan", "suv", "cargo")
"""Low passenger cars; high ones; vans, ambulances and trucks."""
OF_CATEGORY: Mapping[str, tuple[str, ...]] = {"car": ("sedan", "suv"), "van": ("cargo",), "truck": ("cargo",)}
"""The classes that a model of a category can be in."""
TELLING: Mapping[str, tuple[str, ...]] = {
    "": ("race", "toy"),
    "suv": ("suv",),
    "sedan": ("sedan", "taxi", "cab", "cop", "police"),
}
"""Words of a model's name that tell its class, the first found of these; '' is no class, as of what no street has."""
FARTHEST = 12.0
"""HOG distance from the nearer medoid beyond which a car is in no class: real models of cars are 4 to 11 apart, a buggy of
tubes 13."""


@dataclass(frozen=True, eq=False)
class ClassedModel:
    """A real model and where it belongs."""

    id: str
    group: str
    """Of near-duplicates."""
    split: str
    """As the manifest suggests it, or ''."""
    mesh: Mesh
    name: str
    """One of CLASSES, or '' for none."""
    told_by: str
    """'name', 'category' or 'shape'."""
    distances: np.ndarray
    """(k,) HOG distances from the medoids."""


def seeded_vehicles(count: int, first_seed: int) -> dict[str, tuple[list[Entry], list[str]]]:
    """`count` procedural cars of each class and their ids: recipes with the seeds from `first_seed` on."""
    return {name: shapes_for("car", count, first_seed, name) for name in CLASSES}


def classed_models(
    root: Path, medoids: Representatives, categories: Sequence[str] = ("car", "van")
) -> tuple[ClassedModel, ...]:
    """The models of a folder with a manifest.json (`readers.models`), each with its class.

    The category tells vans and trucks (cargo) from cars; of a car the words of its name tell, else the nearer medoid of
    'sedan' and 'suv'. Paper: clusters of ShapeNet's cars, no rule told. medoids: of CLASSES, of procedural cars, say.
    Raises InputError for other categories, and for what `readers.models` refuses.
    """
    if medoids.classes != CLASSES or not set(categories) <= set(OF_CATEGORY):
        raise InputError(
            f"medoids of {', '.join(medoids.classes)} and models of {', '.join(categories)}; give medoids of "
            f"{', '.join(CLASSES)} and models of {', '.join(OF_CATEGORY)}"
        )
    source = open_models(Path(root))
    if not isinstance(source, Models):
        raise InputError(f"{root}: its manifest.json lists photos; give a folder of models")
    features = np.stack([describe(mesh) for mesh in medoids.meshes])
    found = []
    for index, item in enumerate(source.listed):
        if item.category not in categories:
            continue
        mesh = source.load(index).mesh
        assert mesh is not None
        distances = np.linalg.norm(features - describe(mesh), axis=1)
        name, told_by = _class_of(item.id, item.category, distances)
        found.append(ClassedModel(item.id, item.object_id, item.split, mesh, name, told_by, distances))
    return tuple(found)


def _class_of(item_id: str, category: str, distances: np.ndarray) -> tuple[str, str]:
    """The class and what told it."""
    possible = OF_CATEGORY[category]
    if len(possible) == 1:
        return possible[0], "category"
    words = re.findall("[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", item_id.split("__")[-1]).lower())
    for name, telling in TELLING.items():
        if set(words) & set(telling):
            return name, "name"
    of_possible = [distances[CLASSES.index(name)] for name in possible]
    return (possible[int(np.argmin(of_possible))] if min(of_possible) <= FARTHEST else ""), "shape"
