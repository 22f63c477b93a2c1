"""Looks of rendered objects: colours and solid textures by part, and the lights."""

from dataclasses import dataclass

import numpy as np

from monoform.data.rendering.models import Model, to_linear
from monoform.projection.kernels import shade as kernel

TEXTURES = (kernel.NOISE, kernel.STRIPES, kernel.CHECKS, kernel.WOOD)
FREQUENCIES = {
    kernel.NOISE: (4.0, 16.0),
    kernel.STRIPES: (4.0, 14.0),
    kernel.CHECKS: (5.0, 14.0),
    kernel.WOOD: (8.0, 24.0),
}
"""Features in a box diagonal."""


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
    value = rng.uniform(0.15, 1.0, (count, 1))
    saturation = rng.beta(1.2, 1.8, (count, 1))
    wheel = np.clip(np.abs((rng.random((count, 1)) * 6.0 + [0.0, 4.0, 2.0]) % 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return (255.0 * value * (1.0 - saturation * (1.0 - wheel))).astype(np.float32)


def _materials(rng: np.random.Generator, settings: LookSettings, parts: int, keep: bool) -> np.ndarray:
    table = np.zeros((parts, kernel.MATERIAL_WIDTH), np.float32)
    texture = rng.choice(TEXTURES, parts)
    table[:, 0] = np.where((rng.random(parts) < settings.textured) & (not keep), texture, kernel.PLAIN)
    low, high = np.array([FREQUENCIES[kind] for kind in texture]).T
    table[:, 1] = rng.uniform(low, high)
    table[:, 2] = rng.integers(0, 1 << 16, parts)
    axis = rng.normal(size=(parts, 3))
    table[:, 3:6] = axis / np.linalg.norm(axis, axis=1, keepdims=True)
    table[:, 6] = keep
    first = to_linear(random_colours(rng, parts))
    table[:, 7:10] = first
    # Two shades of one paint are as common as two colours.
    other = np.where(rng.random((parts, 1)) < 0.5, to_linear(random_colours(rng, parts)), 0.35 * first)
    table[:, 10:13] = other
    glossy = rng.random(parts) < settings.glossy
    table[:, 13] = np.where(glossy, rng.uniform(0.05, 0.5, parts), 0.0)
    table[:, 14] = 2.0 ** rng.uniform(3.0, 7.0, parts)
    return table


def _lights(rng: np.random.Generator, settings: LookSettings, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Lights come from above more than from below and from the camera's side more than from behind."""
    low, high = settings.lights
    count = int(rng.integers(low, high + 1))
    tint = rng.uniform(0.85, 1.15, (count + 2, 3))
    sky = rng.uniform(0.15, 0.5)
    ambient = np.stack([sky * tint[0], sky * rng.uniform(0.3, 0.9) * tint[1]])
    direction = rng.normal(size=(count, 3)) * [1.0, 0.8, 0.8] + [0.0, -0.8, -0.6]
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
    is_point = rng.random(count) < settings.point_lights
    away = rng.uniform(0.9, 2.0, (count, 1))
    energy = rng.uniform(0.5, 1.1, (count, 1)) / np.sqrt(max(count, 1))
    lights = np.zeros((count, kernel.LIGHT_WIDTH))
    lights[:, 0] = is_point
    lights[:, 1:4] = np.where(is_point[:, None], direction * away + [0.0, 0.0, distance], direction)
    lights[:, 4:] = energy * np.where(is_point[:, None], away**2, 1.0) * tint[2:]
    return ambient.astype(np.float32), lights.astype(np.float32)
