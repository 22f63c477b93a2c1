"""Looks of rendered objects: colours and solid textures by part, and the lights."""

from dataclasses import dataclass

import numpy as np

from monoform.data.rendering.models import Model
from monoform.projection.kernels import draws
from monoform.projection.kernels import shade as kernel

SATURATION = (1.2, 1.8)
"""Of the beta distribution of colours' saturations."""


@dataclass(frozen=True)
class LookSettings:
    """How objects are coloured and lit. Shares are probabilities."""

    own_colours: float = 0.5
    """Images in which a coloured mesh keeps its colours; otherwise every part gets one of its own."""
    textured: float = 0.4
    """Parts (of images with random colours) with a solid texture."""
    lights: tuple[int, int] = (1, 3)
    """Fewest and most lights beside the ambient one."""
    point_lights: float = 0.4
    glossy: float = 0.5
    """Parts with highlights."""


@dataclass(frozen=True, eq=False)
class Look:
    """Materials (parts, 17), ambient light (2, 3) and lights (n, 7), as `kernels.shade.shade` takes them."""

    materials: np.ndarray
    ambient: np.ndarray
    lights: np.ndarray


def sample_look(rng: np.random.Generator, settings: LookSettings, model: Model, distance: float) -> Look:
    """Draw the materials of a model's parts and the lights around it. distance: of the object from the camera."""
    keep = model.coloured and rng.random() < settings.own_colours
    ambient, lights = _lights(rng, settings, distance)
    return Look(_materials(rng, settings, model.parts, keep), ambient, lights)


def random_colours(rng: np.random.Generator, count: int) -> np.ndarray:
    """(count, 3) sRGB levels: any hue, from grey to vivid, rarely black."""
    out = np.empty((count, 3), np.float32)
    draws.fill_colours(rng.random((count, draws.COLOUR_DRAWS)), rng.beta(*SATURATION, count), out)
    return out


def _materials(rng: np.random.Generator, settings: LookSettings, parts: int, keep: bool) -> np.ndarray:
    table = np.zeros((parts, kernel.MATERIAL_WIDTH), np.float32)
    uniform, axes = rng.random((parts, draws.MATERIAL_DRAWS)), rng.normal(size=(parts, 3))
    saturations = rng.beta(*SATURATION, (parts, 2))
    draws.fill_materials(uniform, axes, saturations, settings.textured, settings.glossy, keep, table)
    return table


def _lights(rng: np.random.Generator, settings: LookSettings, distance: float) -> tuple[np.ndarray, np.ndarray]:
    low, high = settings.lights
    count = int(rng.integers(low, high + 1))
    ambient, lights = np.empty((2, 3), np.float32), np.empty((count, kernel.LIGHT_WIDTH), np.float32)
    sky, uniform = rng.random(draws.AMBIENT_DRAWS), rng.random((count, draws.LIGHT_DRAWS))
    draws.fill_lights(sky, uniform, rng.normal(size=(count, 3)), settings.point_lights, distance, ambient, lights)
    return ambient, lights
