"""The recipes by name: a category, a seed and, if wanted, a kind make one shape, the same on every machine."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType

import numpy as np

from monoform.data.procedural.parts import Shape
from monoform.errors import InputError
from monoform.meshes import Mesh

CATEGORIES = (
    "aeroplane",
    "bicycle",
    "boat",
    "bottle",
    "bus",
    "car",
    "chair",
    "lamp",
    "monitor",
    "motorbike",
    "sofa",
    "table",
    "train",
)


def _recipe(category: str) -> ModuleType:
    """The module of a category, imported when it is first asked for. Raises InputError for an unknown name."""
    if category not in CATEGORIES:
        raise InputError(f"no shapes of the category {category!r}; give one of {', '.join(CATEGORIES)}")
    return import_module(f"monoform.data.procedural.{category}")


class _Kinds(Mapping[str, tuple[str, ...]]):
    """The kinds that each recipe names; a recipe is imported when its entry is read."""

    def __getitem__(self, category: str) -> tuple[str, ...]:
        if category not in CATEGORIES:
            raise KeyError(category)
        return _recipe(category).KINDS

    def __iter__(self) -> Iterator[str]:
        return iter(CATEGORIES)

    def __len__(self) -> int:
        return len(CATEGORIES)


KINDS: Mapping[str, tuple[str, ...]] = _Kinds()
"""The kinds of each category: KINDS["car"] holds 'sedan', 'suv', ..."""


def make_shape(category: str, seed: int, kind: str | None = None) -> Shape:
    """A shape with its parts and keypoints in the canonical frame: y up, front -z, box centred, box diagonal 1.

    Without a `kind` the seed decides, by how common the kinds are. Raises InputError for an unknown category or kind.
    """
    recipe = _recipe(category)
    if kind is not None and kind not in recipe.KINDS:
        raise InputError(f"no {category} of the kind {kind!r}; give one of {', '.join(recipe.KINDS)}")
    return recipe.build(recipe.sample(np.random.default_rng([seed, *category.encode()]), kind))


def make(category: str, seed: int) -> Mesh:
    """The coloured mesh of `make_shape`, of any kind."""
    return make_shape(category, seed).mesh
