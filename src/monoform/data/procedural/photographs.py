"""Photographs of a mesh under a random pose before a textured background, with their masks and true poses."""

from dataclasses import dataclass

import numpy as np

from monoform.interfaces import Photo
from monoform.meshes import Mesh
from monoform.overlays import blend, draw, to_bytes
from monoform.rotation_grids import upright_grid

FIELD_OF_VIEW_DEG = 50.0
ELEVATION_DEG, TILT_DEG, DISTANCE = (5.0, 35.0), (-6.0, 6.0), (1.5, 2.1)
"""Ranges; distances in diagonals of the mesh's box."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photo and the truth about it."""

    photo: Photo
    mask: np.ndarray
    """(h, w) float32 coverage."""
    R: np.ndarray
    """(3, 3) model to OpenCV camera."""
    t: np.ndarray
    """(3,) in the mesh's unit."""
    K: np.ndarray
    """(3, 3) in pixels."""


def take_photograph(mesh: Mesh, seed: int, size_wh: tuple[int, int] = (960, 720)) -> Photograph:
    """A mesh in the canonical frame (box diagonal 1), seen from anywhere around and a little above, with film grain."""
    rng = np.random.default_rng(seed)
    w, h = size_wh
    focal = w / 2.0 / np.tan(np.radians(FIELD_OF_VIEW_DEG) / 2.0)
    K = np.array([[focal, 0.0, w / 2.0], [0.0, focal, h / 2.0], [0.0, 0.0, 1.0]])
    R, t = _random_pose(rng)
    view = draw(mesh, R, t, K, (h, w), samples=3)
    scene = blend(textured_background(rng, size_wh), 255.0 * view.colour, view.alpha)
    photo = to_bytes(scene + rng.normal(0.0, 2.5, (h, w, 1)))
    return Photograph(Photo(photo), view.alpha, R, t, K)


def _random_pose(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    azimuth, elevation = rng.uniform(0.0, 2.0 * np.pi), np.radians(rng.uniform(*ELEVATION_DEG))
    tilt = np.radians(rng.uniform(*TILT_DEG))
    (R,) = upright_grid(np.array([azimuth]), np.array([elevation]), np.array([tilt]))
    return R, np.array([*rng.uniform(-0.12, 0.12, 2), 1.0]) * rng.uniform(*DISTANCE)


def textured_background(rng: np.random.Generator, size_wh: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) float 0-255: a mottled wall above a planked floor that runs to the horizon."""
    w, h = size_wh
    horizon = rng.uniform(0.3, 0.5) * h
    row, column = np.mgrid[0:h, 0:w] + 0.5
    wall = _pale_colour(rng, 130.0, 200.0) + 30.0 * _noise(rng, size_wh)[..., None] * rng.uniform(0.7, 1.0, 3)
    depth = np.maximum(row - horizon, 1.0) / h
    across = (column - rng.uniform(0.2, 0.8) * w) / w / depth
    plank = np.floor(3.0 * across)
    shade = np.sin(plank * 12.9898 + 78.233) * 22.0 - 30.0 * (np.abs(3.0 * across - plank - 0.5) > 0.47)
    floor = _pale_colour(rng, 80.0, 150.0) + (shade + 26.0 * _noise(rng, size_wh))[..., None]
    # Far planks are thinner than a pixel: let them fade into their mean.
    fade = np.clip(depth / 0.08, 0.0, 1.0)[..., None]
    floor = fade * floor + (1.0 - fade) * floor.mean(axis=(0, 1))
    return np.clip(np.where((row > horizon)[..., None], floor, wall), 0.0, 255.0)


def _pale_colour(rng: np.random.Generator, dark: float, light: float) -> np.ndarray:
    """(3,) a grey between two levels with a little colour."""
    return rng.uniform(dark, light) + rng.uniform(-18.0, 18.0, 3)


def _noise(rng: np.random.Generator, size_wh: tuple[int, int]) -> np.ndarray:
    """(h, w) smooth noise of five octaves, about -1 to 1."""
    from PIL import Image

    total = np.zeros((size_wh[1], size_wh[0]))
    for octave in range(5):
        cells = 4 * 2**octave
        grid = Image.fromarray(rng.normal(0.0, 0.6**octave, (cells, cells)).astype(np.float32))
        total += np.asarray(grid.resize(size_wh, Image.Resampling.BICUBIC))
    return total / 2.0
