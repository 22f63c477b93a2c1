"""What stands behind the object: a window of a photo from a folder, a plain colour, or procedural scenery."""

import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.rendering.poses import between
from monoform.data.rendering.shading import random_colours
from monoform.errors import InputError
from monoform.files.images import load_image
from monoform.projection.drawing.records import PhotoWindow, Scenery
from monoform.projection.kernels import paint

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CACHE_BYTES = 1 << 27
LEAST_WINDOW = 0.4
"""Smallest window, as a share of the photo's largest window of the image's shape."""
SCENERY_UNTIL = (
    (paint.PLAIN, 0.1),
    (paint.GRADIENT, 0.3),
    (paint.CLOUDS, 0.6),
    (paint.TILES, 0.75),
    (paint.ROOM, 1.0),
)
"""Kinds of procedural scenery and their cumulative shares."""


def fingerprint(folder: Path, files: Sequence[Path]) -> str:
    """SHA-256 of the names and sizes of files below a folder: changes where one is added, taken out or exchanged."""
    lines = [f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n" for path in sorted(files)]
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class PhotoFolder:
    """The photos below a folder, decoded when they are drawn; at most CACHE_BYTES of them are held.

    Raises InputError for a folder that is missing or holds no photo, and, where it is drawn, for a photo that is damaged.
    """

    def __init__(self, folder: Path):
        if not folder.is_dir():
            raise InputError(f"{folder}: no folder of backgrounds is there; give a folder of photos, or none")
        self.folder = folder
        self.paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not self.paths:
            raise InputError(f"{folder}: no photo ({', '.join(SUFFIXES)}) is in it; give a folder of photos, or none")
        self._held: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_held": OrderedDict(), "_bytes": 0, "_lock": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.paths)

    def record(self) -> dict[str, Any]:
        """Which photos these are, as JSON without a path of this machine: SHA-256 over their names and sizes."""
        digest = fingerprint(self.folder, self.paths)
        return {"folder": self.folder.resolve().name, "photos": len(self.paths), "sha256": digest}

    def photo(self, number: int) -> np.ndarray:
        """(h, w, 3) uint8."""
        with self._lock:
            if number in self._held:
                self._held.move_to_end(number)
                return self._held[number]
        image = np.ascontiguousarray(load_image(self.paths[number]).image)
        with self._lock:
            if number not in self._held:
                self._held[number] = image
                self._bytes += image.nbytes
            while self._bytes > CACHE_BYTES and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1].nbytes
        return image


@dataclass(frozen=True)
class PlainColour:
    """One colour, as a photo of nothing."""

    colour: tuple[int, int, int]
    """sRGB, 0-255."""

    def __len__(self) -> int:
        return 1

    def photo(self, number: int) -> np.ndarray:
        """(1, 1, 3) uint8."""
        return np.array([[self.colour]], np.uint8)


Photos = PhotoFolder | PlainColour


def sample_background(
    rng: np.random.Generator, photos: Photos | None, photo_share: float, size_hw: tuple[int, int]
) -> Scenery | PhotoWindow:
    """Draw a background, not yet painted."""
    if photos is not None and rng.random() < photo_share:
        photo = photos.photo(int(rng.integers(len(photos))))
        (h, w), (rows, columns) = size_hw, photo.shape[:2]
        scale = min(rows / h, columns / w) * rng.uniform(LEAST_WINDOW, 1.0)
        height, width = h * scale, w * scale
        top, left = rng.uniform(0.0, rows - height), rng.uniform(0.0, columns - width)
        return PhotoWindow(photo, left, top, width, height, bool(rng.random() < 0.5))
    at, turn, frequency, horizon = rng.random(4).tolist()
    kind, turn = next(kind for kind, until in SCENERY_UNTIL if at < until), 2.0 * math.pi * turn
    numbers = [between((2.0, 8.0), frequency), math.cos(turn), math.sin(turn), between((0.35, 0.75), horizon)]
    return Scenery(kind, random_colours(rng, 3), np.array(numbers, np.float32), int(rng.integers(1 << 30)))


def paint_background(rng: np.random.Generator, photos: Photos | None, photo_share: float, out: np.ndarray) -> None:
    """Draw a background into out (h, w, 3) float32, levels 0-255."""
    h, w = out.shape[:2]
    found = sample_background(rng, photos, photo_share, (h, w))
    if isinstance(found, PhotoWindow):
        paint.paint_window(found.photo, found.left, found.top, found.width, found.height, found.mirrored, out)
    else:
        paint.paint_scenery(found.kind, found.colours, found.numbers, found.seed, out)
