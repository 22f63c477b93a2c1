"""What a camera and the world do to a picture: occluders, blur, colour shifts, noise, compression."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

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
    occluders = np.zeros((0, kernel.OCCLUDER_WIDTH), np.float32)
    if rng.random() < settings.occluded:
        occluders = _occluders(rng, settings, box, size_hw)
    low, high = settings.jpeg_quality
    return Damage(
        occluders,
        rng.uniform(*settings.blur) if rng.random() < settings.blurred else 0.0,
        (rng.uniform(*settings.gain) * (1.0 + 0.25 * (rng.uniform(*settings.gain, 3) - 1.0))).astype(np.float32),
        rng.uniform(*settings.offset),
        rng.uniform(*settings.noise),
        int(rng.integers(low, high + 1)) if rng.random() < settings.jpeg else 0,
        int(rng.integers(1 << 30)),
    )


def _occluders(
    rng: np.random.Generator, settings: AugmentSettings, box: np.ndarray, size_hw: tuple[int, int]
) -> np.ndarray:
    low, high = settings.occluders
    count = int(rng.integers(low, high + 1))
    table = np.zeros((count, kernel.OCCLUDER_WIDTH), np.float32)
    table[:, 0] = rng.choice((kernel.ELLIPSE, kernel.RECTANGLE, kernel.STAR), count)
    seen = np.clip(box, 0.0, size_hw[::-1])
    table[:, 1:3] = rng.uniform(seen[0], np.maximum(seen[1], seen[0] + 1e-3), (count, 2))
    half = rng.uniform(*settings.occluder_size, (count, 2)) * min(size_hw)
    # A post or a branch reaches right across the picture.
    half[:, 1] = np.where((table[:, 0] == kernel.RECTANGLE) & (rng.random(count) < 0.5), max(size_hw), half[:, 1])
    half[:, 0] *= np.where(half[:, 1] >= max(size_hw), 0.35, 1.0)
    table[:, 3:5] = half
    turn = np.where(half[:, 1] >= max(size_hw), rng.normal(0.0, 0.3, count), rng.uniform(0.0, 2.0 * np.pi, count))
    table[:, 5], table[:, 6] = np.cos(turn), np.sin(turn)
    table[:, 7] = rng.integers(3, 7, count)
    table[:, 8] = rng.uniform(0.0, 2.0 * np.pi, count)
    table[:, 9:12] = random_colours(rng, count)
    table[:, 12] = rng.uniform(4.0, 24.0, count) / min(size_hw)
    return table


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """(h, w, 3) uint8 through JPEG and back."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=quality)
    return np.array(Image.open(data))
