"""The recipes by name."""

import numpy as np

from monoform.data.procedural import aeroplane, car, chair
from monoform.meshes import Mesh

CATEGORIES = ("aeroplane", "car", "chair")


def make(category: str, seed: int) -> Mesh:
    """A coloured mesh of a category in the canonical frame: y up, front -z, box centred, box diagonal 1."""
    rng = np.random.default_rng([seed, CATEGORIES.index(category)])
    match category:
        case "aeroplane":
            return aeroplane.build(aeroplane.sample(rng))
        case "car":
            return car.build(car.sample(rng))
        case _:
            return chair.build(chair.sample(rng))
