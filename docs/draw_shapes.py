"""Draws docs/images/shapes_<category>.jpg: every kind of every procedural category from a few seeds.

Run `python docs/draw_shapes.py [folder [category ...]]`.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monoform.data.procedural.shapes import KINDS, make_shape
from monoform.files.atomic import write_atomic
from monoform.meshes import Mesh
from monoform.overlays import blend, draw, to_bytes
from monoform.rotation_grids import upright_grid

SEEDS = range(8)
CELL_WH, NAME_W = (170, 130), 108
AZIMUTH_DEG, ELEVATION_DEG, DISTANCE, FIELD_OF_VIEW_DEG = 40.0, 20.0, 2.6, 21.0
INK = "#333333"


def picture(mesh: Mesh) -> np.ndarray:
    """(h, w, 3) uint8: front and right side from a little above, before white; the shape fills the height or width."""
    w, h = CELL_WH
    (R,) = upright_grid(*(np.radians([angle]) for angle in (AZIMUTH_DEG, ELEVATION_DEG, 0.0)))
    # Centre and size of what is seen, so that flat and tall shapes are shown equally large.
    rays = mesh.vertices @ R.T + (0.0, 0.0, DISTANCE)
    plane = rays[:, :2] / rays[:, 2:]
    low, high = plane.min(axis=0), plane.max(axis=0)
    focal = 0.92 * min(np.array([w, h]) / (high - low))
    centre = np.array([w, h]) / 2.0 - focal * (low + high) / 2.0
    K = np.array([[focal, 0.0, centre[0]], [0.0, focal, centre[1]], [0.0, 0.0, 1.0]])
    view = draw(mesh, R, np.array([0.0, 0.0, DISTANCE]), K, (h, w), samples=3)
    return to_bytes(blend(np.full((h, w, 3), 255.0), 255.0 * view.colour, view.alpha))


def sheet(category: str) -> Image.Image:
    """A row for every kind with its name on the left, a column for every seed."""
    kinds, (w, h) = KINDS[category], CELL_WH
    image = Image.new("RGB", (NAME_W + w * len(SEEDS), h * len(kinds)), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for row, kind in enumerate(kinds):
        pen.text((8, (row + 0.5) * h), kind.replace(" ", "\n"), INK, font, anchor="lm")
        for column, seed in enumerate(SEEDS):
            shown = picture(make_shape(category, seed, kind).mesh)
            image.paste(Image.fromarray(shown), (NAME_W + column * w, row * h))
    return image


def draw_all(folder: Path, categories: Sequence[str]) -> list[Path]:
    """The sheets of some categories, as JPEG files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"shapes_{category}.jpg" for category in categories]
    for category, path in zip(categories, paths):
        data = io.BytesIO()
        sheet(category).save(data, "JPEG", quality=80)
        write_atomic(path, data.getvalue())
    return paths


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "images", sys.argv[2:] or list(KINDS))
