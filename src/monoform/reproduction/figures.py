"""Pictures of predictions beside the truth, laid out as the papers' own: Liao 2019, Fig. 2; Zhu 2017, Fig. 3 to 5."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from monoform.data.samples import Item, Sample
from monoform.data.showing import voxel_mesh
from monoform.evaluate import Evaluation, Liao2019Protocol, Views, Zhu2017Protocol, posed_side, true_posed
from monoform.interfaces import ImageSet, Method, Prediction
from monoform.meshes import Mesh
from monoform.overlays import INK, PAPER, blend, draw, to_bytes
from monoform.projection.warping import warp
from monoform.rotation_grids import upright_grid
from monoform.voxels import surface

CELL = 112
"""Side of a panel in pixels."""
SAMPLES = 3
"""Rays a pixel and axis."""
_GROUND = 46
_BAND, _FONT = 20, 12
_DISTANCE, _FOCAL = 2.4, 2.2
"""Of the view of a grid: in its sides, and in panels."""
_UPRIGHT = upright_grid(np.radians([35.0]), np.radians([20.0]), np.zeros(1))[0]
"""From beside and above an upright shape."""
_ASIDE = Rotation.from_euler("xy", [8.0, 12.0], degrees=True).as_matrix()
"""From beside and above where the photo was taken: straight on, cubes would show one face and no depth."""
_COLD, _WARM = np.array([96.0, 142.0, 214.0]), np.array([244.0, 132.0, 48.0])
"""Colours of a cell that just reaches the threshold and of one that is sure."""


@dataclass(frozen=True, eq=False)
class Group:
    """Rows of a figure with what they have in common."""

    title: str
    rows: tuple[int, ...]
    """Images of the set."""


# --- Liao 2019 ---------------------------------------------------------------------------------------------------

LIAO_COLUMNS = (
    "(a) image", "(b) true mask", "(c) mask", "(d) projection", "(e) true shape", "(f) shape", "(g) true, posed",
    "(h) its mesh", "(i) posed", "(j) its mesh",
)  # fmt: skip


def liao2019_figure(method: Method, test: ImageSet, rows: Sequence[int], protocol: Liao2019Protocol) -> np.ndarray:
    """(h, w, 3) uint8: Fig. 2's ten columns for the images of these rows, cut at the protocol's fixed threshold."""
    chosen = np.asarray(rows)
    said = _predict(method, test, chosen)
    views = Views(said, test, chosen, protocol)
    projected, posed = views.projected("predicted", "predicted"), views.posed("predicted", "predicted")
    true_grids = np.asarray(test.voxels[test.objects[chosen]], np.float32)
    panels = [
        [
            small_picture(test.images[row]), _grey(test.masks[row] / 255.0), _grey(said.mask[i]), _grey(projected[i]),
            shape_picture(true_grids[i], protocol.threshold),
            shape_picture(said.voxels[i], protocol.threshold),
            *(
                draw_grid(grid, protocol.threshold, posed_side(true_grids.shape[-1], protocol) / true_grids.shape[-1])
                for grid in (views.true_posed[i].astype(np.float32), posed[i])
                for draw_grid in (posed_picture, surface_picture)
            ),
        ]
        for i, row in enumerate(chosen)
    ]  # fmt: skip
    return sheet(LIAO_COLUMNS, [("", panels)])


# --- Zhu 2017 ----------------------------------------------------------------------------------------------------

ZHU_COLUMNS = (
    "image", "mask before", "after", "true", "shape before", "after", "true", "posed before", "after", "true",
)  # fmt: skip


def zhu2017_figure(
    before: Method, after: Method, test: ImageSet, groups: Sequence[Group], protocol: Zhu2017Protocol
) -> np.ndarray:
    """(h, w, 3) uint8: silhouettes, aligned and pose-aware shapes before and after fine-tuning, and the truth.

    Shapes stand in their likeliest poses, as a mixture over poses has few sure cells; silhouettes are those measured.
    """
    parts = []
    for group in groups:
        chosen = np.asarray(group.rows, np.int64)
        old, new = _predict(before, test, chosen), _predict(after, test, chosen)
        posed = true_posed(test, chosen, old.posed.shape[-1], protocol)
        placed = [_in_one_pose(found) for found in (old, new)]
        grids = np.asarray(test.voxels[test.objects[chosen]], np.float32)
        panels = []
        for i, row in enumerate(chosen):
            masks = [_grey(mask) for mask in (old.mask[i], new.mask[i], test.masks[row] / 255.0)]
            shapes = [shape_picture(grid) for grid in (old.voxels[i], new.voxels[i], grids[i])]
            turned = [posed_picture(grid) for grid in (placed[0][i], placed[1][i], posed[i].astype(np.float32))]
            panels.append([small_picture(test.images[row]), *masks, *shapes, *turned])
        parts.append((group.title, panels))
    return sheet(ZHU_COLUMNS, parts)


def _in_one_pose(found: Prediction) -> np.ndarray:
    """(b, q, q, q): the aligned shapes in the pose that is told."""
    return warp(*(torch.from_numpy(part) for part in (found.voxels, found.R, found.t))).numpy()


def telling_rows(before: Evaluation, after: Evaluation, count: int) -> list[Group]:
    """Where fine-tuning helped most and what stays worst, an object at most once a group (Zhu 2017, Fig. 3, 4 and 5)."""
    gain_3d = after.per_image["ap_3d.aligned"] - before.per_image["ap_3d.aligned"]
    turned = before.per_image["rotation_error_deg"] - after.per_image["rotation_error_deg"]
    groups = (
        ("largest gain of the aligned shape's AP", -gain_3d),
        ("largest gain of the pose", -turned),
        ("worst silhouettes after fine-tuning", after.per_image["ap_2d"]),
    )
    return [
        Group(title, first_of_objects(np.argsort(key, kind="stable"), after.objects, count)) for title, key in groups
    ]


def first_of_objects(order: np.ndarray, objects: np.ndarray, count: int) -> tuple[int, ...]:
    """The first rows in this order, of every object at most one."""
    first = np.sort(np.unique(objects[order], return_index=True)[1])[:count]
    return tuple(int(row) for row in order[first])


# --- panels ------------------------------------------------------------------------------------------------------


def shape_picture(grid: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """(CELL, CELL, 3) uint8: an aligned shape's cells at or above the threshold, the warmer the surer.

    grid: (q, q, q) float [z, y, x] in [0, 1].
    """
    return _drawn(_coloured_cells(grid, threshold), _UPRIGHT)


def posed_picture(grid: np.ndarray, threshold: float = 0.5, sides: float = 1.0) -> np.ndarray:
    """As `shape_picture`, of a pose-aware grid, seen from a little aside of the camera.

    sides: the grid's side in sides of the shape's own.
    """
    return _drawn(_coloured_cells(grid, threshold), sides * _ASIDE)


def surface_picture(grid: np.ndarray, threshold: float = 0.5, sides: float = 1.0) -> np.ndarray:
    """As `posed_picture`, of the surface by marching cubes."""
    return _drawn(surface(grid, threshold).mesh, sides * _ASIDE)


def _coloured_cells(grid: np.ndarray, threshold: float) -> Mesh | None:
    filled = grid >= threshold
    if not filled.any():
        return None
    mesh = voxel_mesh(Sample(Item("", "", ""), voxels=filled))
    sides = mesh.vertices.reshape(-1, 4, 3)
    outwards = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
    outwards /= np.linalg.norm(outwards, axis=1, keepdims=True)
    q = len(grid)
    x, y, z = np.floor((sides.mean(1) - outwards / (2 * q) + 0.5) * q).astype(int).T
    sure = np.clip((grid[z, y, x] - threshold) / max(1.0 - threshold, 1e-6), 0.0, 1.0)[:, None]
    colours = to_bytes(_COLD + sure * (_WARM - _COLD))
    return Mesh(mesh.vertices, mesh.faces, np.repeat(colours, 4, axis=0))


def _drawn(mesh: Mesh | None, R: np.ndarray) -> np.ndarray:
    ground = np.full((CELL, CELL, 3), _GROUND, float)
    if mesh is None:
        return to_bytes(ground)
    focal, middle = _FOCAL * CELL, CELL / 2.0
    K = np.array([[focal, 0.0, middle], [0.0, focal, middle], [0.0, 0.0, 1.0]])
    turned = Mesh(mesh.vertices @ R.T, mesh.faces, mesh.colours)
    view = draw(turned, np.eye(3), np.array([0.0, 0.0, _DISTANCE]), K, (CELL, CELL), samples=SAMPLES)
    return to_bytes(blend(ground, 255.0 * view.colour, view.alpha))


def small_picture(image: np.ndarray) -> np.ndarray:
    """(CELL, CELL, 3) uint8: an image at the side of a panel."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((CELL, CELL), Image.Resampling.BICUBIC))


def _grey(coverage: np.ndarray) -> np.ndarray:
    shown = Image.fromarray(to_bytes(255.0 * np.nan_to_num(coverage)))
    return np.repeat(np.asarray(shown.resize((CELL, CELL), Image.Resampling.NEAREST))[..., None], 3, axis=2)


def _predict(method: Method, test: ImageSet, rows: np.ndarray) -> Prediction:
    device = next((p.device for p in method.parameters()), torch.device("cpu"))  # pyright: ignore[reportAttributeAccessIssue]
    pixels = torch.from_numpy(np.ascontiguousarray(test.images[rows])).to(device)
    return method.predict(pixels.permute(0, 3, 1, 2).float() / 255.0)


def sheet(columns: Sequence[str], parts: Sequence[tuple[str, list[list[np.ndarray]]]]) -> np.ndarray:
    """(h, w, 3) uint8: the columns' names above rows of panels; a part's title above its rows."""
    step, bands = CELL + 4, [bool(title) for title, _ in parts]
    height = _BAND + sum(bands) * _BAND + step * sum(len(rows) for _, rows in parts)
    canvas = Image.new("RGB", (step * len(columns), height), PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_FONT)
    for number, name in enumerate(columns):
        pen.text((step * number + 4, 3), name, INK, font)
    top = _BAND
    for title, rows in parts:
        if title:
            pen.text((4, top + 3), title, INK, font)
            top += _BAND
        for row in rows:
            for number, panel in enumerate(row):
                canvas.paste(Image.fromarray(panel), (step * number + 2, top + 2))
            top += step
    return np.asarray(canvas)
