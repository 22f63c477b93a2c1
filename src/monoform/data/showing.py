"""A contact sheet of a set: picture with the mask's outline, mesh over the picture, voxels in the same pose."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monoform.data.categories import is_wanted
from monoform.data.samples import Item, Sample, Source
from monoform.errors import InputError
from monoform.files.atomic import write_atomic
from monoform.files.images import save_png
from monoform.meshes import Mesh
from monoform.overlays import INK, MASK_COLOUR, MODEL_COLOUR, PAPER, blend, draw, outline, to_bytes
from monoform.rotation_grids import upright_grid

PANEL = 224
"""Side of a panel in pixels."""
BOX_COLOUR = (255, 255, 255)
_BAND, _GAP = 26, 8
_GREY = 40
_DISTANCE, _FOCAL = 2.2, 1.9
"""Of the view that shows a shape without a pose: in box diagonals, and in panels."""
_CORNERS = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], float)
_SIDES = {
    (0, 0, -1): (0, 3, 2, 1),
    (0, 0, 1): (4, 5, 6, 7),
    (0, -1, 0): (0, 1, 5, 4),
    (0, 1, 0): (3, 7, 6, 2),
    (-1, 0, 0): (0, 4, 7, 3),
    (1, 0, 0): (1, 2, 6, 5),
}
"""Direction (x, y, z) out of a cell to the corners of that side, counter-clockwise from outside."""


def choose(
    items: Sequence[Item], count: int, seed: int, *, category: str | None = None, split: str | None = None
) -> list[int]:
    """At most `count` items of a category and split, in their order; which ones, the seed decides.

    Raises InputError if there is none.
    """
    kept = [i for i, item in enumerate(items) if is_wanted(item.category, category) and split in (None, item.split)]
    if not kept:
        what = " and ".join(f"{key} '{value}'" for key, value in (("category", category), ("split", split)) if value)
        raise InputError(f"no item with {what or 'anything to show'}; `monoform data check` tells what there is")
    chosen = np.random.default_rng(seed).permutation(len(kept))[:count]
    return [kept[i] for i in sorted(chosen.tolist())]


def sheet(source: Source, indices: Sequence[int], *, columns: int = 2) -> np.ndarray:
    """(h, w, 3) uint8: the items in a grid, each with its panels side by side and its id; a bad item shows why."""
    items, pictures, labels = source.items(), [], []
    for index in indices:
        item = items[index]
        try:
            pictures.append(item_picture(source.load(index)))
            labels.append(f"{item.id}  {item.category} {item.split}")
        except InputError as error:
            pictures.append(np.full((PANEL, PANEL, 3), _GREY, np.uint8))
            labels.append(" ".join(str(error).split()))
    columns = min(columns, len(pictures))
    wide = max(picture.shape[1] for picture in pictures) + _GAP
    high = PANEL + _BAND
    canvas = Image.new("RGB", (columns * wide, -(-len(pictures) // columns) * high), PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    letters = int(wide / pen.textlength("m", font) * 1.2)
    for number, (picture, label) in enumerate(zip(pictures, labels)):
        left, top = number % columns * wide, number // columns * high
        canvas.paste(Image.fromarray(picture), (left, top))
        pen.text((left + 6, top + PANEL + 4), label.encode("ascii", "replace").decode()[:letters], INK, font)
    return np.asarray(canvas)


def item_picture(sample: Sample) -> np.ndarray:
    """(224, w, 3) uint8: one panel for each of picture, mesh and voxels that the sample has."""
    base, to_panel = _base(sample)
    empty = np.full((PANEL, PANEL, 3), _GREY, float)
    shown = sample.image is not None or sample.mask is not None
    panels = [_with_box(_with_outline(base, sample), sample, to_panel)] if shown else []
    posed = _pose(sample, to_panel)
    pose = posed or _default_pose(sample)
    if sample.mesh is not None:
        panels.append(_drawn(sample.mesh, base if posed and sample.image is not None else empty, pose))
    if sample.voxels is not None:
        panels.append(_drawn(voxel_mesh(sample), empty, pose))
    if not panels:
        raise InputError(f"{sample.item.id}: no picture, mask, mesh or voxels to show; get the set again")
    return to_bytes(np.concatenate(panels, axis=1))


def _base(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The picture fitted into a panel, (224, 224, 3) float, and the (3, 3) map from its pixels to the panel's."""
    shown = sample.image
    if shown is None and sample.mask is not None:
        shown = np.repeat(np.uint8(90) * (sample.mask >= 0.5).astype(np.uint8)[..., None], 3, axis=2)
    panel = np.full((PANEL, PANEL, 3), _GREY, float)
    if shown is None:
        return panel, np.eye(3)
    h, w = shown.shape[:2]
    size, left, top = _fit(h, w)
    panel[top : top + size[1], left : left + size[0]] = Image.fromarray(shown).resize(size, Image.Resampling.BICUBIC)
    return panel, np.array([[size[0] / w, 0.0, left], [0.0, size[1] / h, top], [0.0, 0.0, 1.0]])


def _fit(h: int, w: int) -> tuple[tuple[int, int], int, int]:
    """(width, height), left and top of a picture that fills a panel as far as its shape allows."""
    scale = PANEL / max(h, w)
    size = max(1, round(w * scale)), max(1, round(h * scale))
    return size, (PANEL - size[0]) // 2, (PANEL - size[1]) // 2


def _with_outline(base: np.ndarray, sample: Sample) -> np.ndarray:
    if sample.mask is None:
        return base
    size, left, top = _fit(*sample.mask.shape)
    coverage = np.zeros((PANEL, PANEL), np.float32)
    mask = Image.fromarray(sample.mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    coverage[top : top + size[1], left : left + size[0]] = np.asarray(mask)
    return blend(base, MASK_COLOUR, outline(coverage, 1.6))


def _with_box(base: np.ndarray, sample: Sample, to_panel: np.ndarray) -> np.ndarray:
    if sample.box_xyxy is None:
        return base
    left, top, right, bottom = sample.box_xyxy
    corners = np.array([[left, top, 1.0], [right, top, 1.0], [right, bottom, 1.0], [left, bottom, 1.0]]) @ to_panel.T
    picture = Image.fromarray(to_bytes(base))
    ImageDraw.Draw(picture).polygon([*map(tuple, corners[:, :2])], outline=BOX_COLOUR)
    return np.asarray(picture, float)


Pose = tuple[np.ndarray, np.ndarray, np.ndarray]
"""R, t and the panel's K."""


def _pose(sample: Sample, to_panel: np.ndarray) -> Pose | None:
    if sample.R is None or sample.t is None or sample.K is None:
        return None
    return sample.R, sample.t, to_panel @ sample.K


def _default_pose(sample: Sample) -> Pose:
    """The sample's rotation or, without one, a view from the front, one side and above; at a fixed distance."""
    R = sample.R
    if R is None:
        (R,) = upright_grid(np.array([np.radians(35.0)]), np.array([np.radians(20.0)]), np.zeros(1))
    focal, middle = _FOCAL * PANEL, PANEL / 2.0
    return R, np.array([0.0, 0.0, _DISTANCE]), np.array([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]])


def _drawn(mesh: Mesh, ground: np.ndarray, pose: Pose) -> np.ndarray:
    view = draw(mesh, *pose, (PANEL, PANEL))
    panel = blend(0.7 * ground, 255.0 * view.colour, 0.85 * view.alpha)
    return blend(panel, MODEL_COLOUR, 0.7 * outline(view.alpha, 1.4))


def voxel_mesh(sample: Sample) -> Mesh:
    """The outer sides of the filled cells as a mesh in the canonical frame."""
    assert sample.voxels is not None
    cells = np.pad(np.asarray(sample.voxels, bool), 1)
    vertices, faces = [], []
    for (dx, dy, dz), corners in _SIDES.items():
        open_side = cells & ~np.roll(cells, (-dz, -dy, -dx), axis=(0, 1, 2))
        places = np.argwhere(open_side)[:, ::-1] - 1
        start = sum(map(len, vertices))
        vertices.append((places[:, None] + _CORNERS[list(corners)]).reshape(-1, 3))
        first = start + 4 * np.arange(len(places))[:, None]
        faces.append(np.concatenate([first + [0, 1, 2], first + [0, 2, 3]]))
    points = np.concatenate(vertices) / np.array(sample.voxels.shape[::-1]) - 0.5
    scale, offset = sample.voxel_frame or (1.0, np.zeros(3))
    return Mesh((points - offset) / scale, np.concatenate(faces).astype(np.int32))


def save_sheet(picture: np.ndarray, path: Path) -> None:
    """Write (h, w, 3) uint8 as .jpg or .png, atomically."""
    if path.suffix.lower() == ".png":
        save_png(picture, path)
        return
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=90)
    write_atomic(path, buffer.getvalue())
