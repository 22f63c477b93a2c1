"""What a camera and the world do to a picture: occluders, blur, colour shifts, noise, compression."""

import io
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from monoform.data.rendering.poses import between
from monoform.data.rendering.shading import random_colours
from monoform.projection.kernels import paint as kernel

Range = tuple[float, float]


@dataclass(frozen=True)
class AugmentSettings:
    """Shares are probabilities an image; ranges are uniform."""

    occluded: float = 0.25
    occluders: tuple[int, int] = (1, 2)
    occluder_size: Range = (0.06, 0.22)
    """Half of an occluder's side, as a share of the image's shorter side."""
    blurred: float = 0.3
    blur: Range = (0.3, 1.0)
    """Standard deviation in pixels."""
    gain: Range = (0.8, 1.2)
    offset: Range = (-12.0, 12.0)
    """Levels."""
    noise: Range = (0.0, 6.0)
    """Standard deviation in levels."""
    jpeg: float = 0.2
    """Images that go through JPEG: it costs more than all else at small sizes."""
    jpeg_quality: tuple[int, int] = (35, 90)


CLEAN = AugmentSettings(occluded=0.0, blurred=0.0, gain=(1.0, 1.0), offset=(0.0, 0.0), noise=(0.0, 0.0), jpeg=0.0)
"""None of it."""
NO_OCCLUDERS = np.zeros((0, kernel.OCCLUDER_WIDTH), np.float32)


@dataclass(frozen=True, eq=False)
class Damage:
    """What one image gets."""

    occluders: np.ndarray
    """(n, 13), as `kernels.paint.compose` takes them."""
    blur: float
    gain: np.ndarray
    offset: float
    noise: float
    jpeg_quality: int
    """0 for none."""
    seed: int


def sample_damage(
    rng: np.random.Generator, settings: AugmentSettings, box: np.ndarray, size_hw: tuple[int, int]
) -> Damage:
    """Draw what one image gets. box (2, 2): the object's lowest and highest x, y in pixels, about which occluders stand."""
    blurred, sigma, offset, noise, compressed, quality, is_occluded, common, *single = rng.random(11).tolist()
    occluders = NO_OCCLUDERS
    if is_occluded < settings.occluded:
        occluders = _occluders(rng, settings, box, size_hw)
    low, high = settings.jpeg_quality
    level = between(settings.gain, common)
    gain = [level * (1.0 + 0.25 * (between(settings.gain, draw) - 1.0)) for draw in single]
    return Damage(
        occluders,
        between(settings.blur, sigma) if blurred < settings.blurred else 0.0,
        np.array(gain, np.float32),
        between(settings.offset, offset),
        between(settings.noise, noise),
        low + int((high + 1 - low) * quality) if compressed < settings.jpeg else 0,
        int(rng.integers(1 << 30)),
    )


def _occluders(
    rng: np.random.Generator, settings: AugmentSettings, box: np.ndarray, size_hw: tuple[int, int]
) -> np.ndarray:
    low, high = settings.occluders
    table = np.zeros((int(rng.integers(low, high + 1)), kernel.OCCLUDER_WIDTH), np.float32)
    table[:, 9:12] = random_colours(rng, len(table))
    least, most = np.clip(box, 0.0, size_hw[::-1]).tolist()
    for row, tilt in zip(table, rng.normal(0.0, 0.3, len(table)).tolist(), strict=True):
        kind, across, down, half_u, half_v, long, turn, lobes, phase, mottle = rng.random(10).tolist()
        outline = int(3.0 * kind)
        half = [between(settings.occluder_size, draw) * min(size_hw) for draw in (half_u, half_v)]
        angle = 2.0 * math.pi * turn
        if outline == kernel.RECTANGLE and long < 0.5:  # a post or a branch reaches right across the picture
            half, angle = [0.35 * half[0], float(max(size_hw))], tilt
        row[0] = outline
        row[1:3] = between((least[0], most[0]), across), between((least[1], most[1]), down)
        row[3:5] = half
        row[5:9] = math.cos(angle), math.sin(angle), 3 + int(4.0 * lobes), 2.0 * math.pi * phase
        row[12] = between((4.0, 24.0), mottle) / min(size_hw)
    return table


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """(h, w, 3) uint8 through JPEG and back."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return np.array(Image.open(data, formats=("JPEG",)))
