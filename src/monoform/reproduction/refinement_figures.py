"""Pictures of poses and their refinement: Palazzi 2018, Fig. 5 and Fig. 6 (c)."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monoform.evaluate import Evaluation, Posed, TrueObject, Way, for_encoder, pose, silhouettes_at
from monoform.interfaces import ImageSet
from monoform.methods.raster_pose import RasterPose
from monoform.metrics import rotation_angle_deg
from monoform.overlays import FAINT_INK, INK, PAPER, blend, outline, to_bytes
from monoform.reproduction.figures import Group, first_of_objects, sheet, small_picture

SILHOUETTE, TRUE_LINE = (235, 40, 40), (64, 220, 255)
"""Of what is rendered, red as in the paper, and of the true mask's outline."""
SHOWN_STEPS = 7
_OPACITY = 0.55
_CHART = (380, 250)
"""Width and height of a chart in pixels."""
_MARGIN = (52, 24, 12, 30)
"""Left, top, right and bottom of its axes."""
_COLOURS = ((230, 90, 80), (240, 180, 60), (90, 160, 250), (120, 210, 130))


def ways_side_by_side(
    method: RasterPose,
    test: ImageSet,
    objects: Mapping[str, TrueObject],
    ways: Mapping[str, Way],
    rows: np.ndarray,
) -> np.ndarray:
    """(h, w, 3) uint8: images with the silhouette of each way in red and the outline of the true mask, a column a way.

    The ways are numbered, and named below.
    """
    small = for_encoder(method, test)
    columns = [[_overlaid(test, row, None) for row in rows]]
    for way in ways.values():
        posed = pose(method, small, test, rows, way, objects)
        drawn = silhouettes_at(posed, posed.R, posed.t, test, rows, test.images.shape[1])
        columns.append([_overlaid(test, row, drawn[i]) for i, row in enumerate(rows)])
    names = ["image", *(f"({number})" for number in range(1, len(ways) + 1))]
    panels = sheet(names, [("", [list(row) for row in zip(*columns, strict=True)])])
    return np.concatenate([panels, _legend([f"({n}) {name}" for n, name in enumerate(ways, 1)], panels.shape[1])])


def telling_refinements(before: Evaluation, after: Evaluation, count: int) -> list[Group]:
    """Refinements that helped most, usual ones, and failures of both kinds, as far as there are any; an object once a group."""
    turned = after.per_image["rotation_error_deg"] - before.per_image["rotation_error_deg"]
    gained = after.per_image["iou"] - before.per_image["iou"]
    usual = np.abs(gained - np.median(gained))
    every = np.ones(len(gained), bool)
    groups = (
        ("largest gain of the rotation", turned, turned < 0),
        ("usual gain of the IoU", usual, every),
        ("failures: the IoU rose and the rotation error with it", -turned, (gained > 0) & (turned > 0)),
        ("failures: largest rotation error after all steps", -after.per_image["rotation_error_deg"], every),
    )
    shown = []
    for title, key, chosen in groups:
        order = np.argsort(key, kind="stable")
        shown.append(Group(title, first_of_objects(order[chosen[order]], after.objects, count)))
    return [group for group in shown if group.rows]


def refinements(
    method: RasterPose,
    test: ImageSet,
    objects: Mapping[str, TrueObject],
    way: Way,
    groups: Sequence[Group],
) -> np.ndarray:
    """(h, w, 3) uint8: a row an image, a column a step with its rotation error, the silhouette in red (Fig. 5)."""
    small = for_encoder(method, test)
    steps = np.unique(np.linspace(0, way.steps, min(SHOWN_STEPS, way.steps + 1)).astype(int))
    parts = []
    for group in groups:
        rows = np.asarray(group.rows, np.int64)
        posed = pose(method, small, test, rows, way, objects)
        parts.append((group.title, _steps(posed, test, rows, steps)))
    return sheet(["image", *(f"step {step}" for step in steps)], parts)


def errors_over_steps(curves: Mapping[str, Mapping[str, Sequence[float]]], below: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: a chart a quantity with a curve an operator over the steps (Fig. 6 c), above another picture."""
    charts = np.concatenate([_chart(title, of_operators) for title, of_operators in curves.items()], axis=1)
    width = max(charts.shape[1], below.shape[1])
    wide = [np.full((part.shape[0], width, 3), PAPER, np.uint8) for part in (charts, below)]
    for canvas, part in zip(wide, (charts, below), strict=True):
        canvas[:, : part.shape[1]] = part
    return np.concatenate(wide)


# --- panels ------------------------------------------------------------------------------------------------------


def _steps(posed: Posed, test: ImageSet, rows: np.ndarray, steps: np.ndarray) -> list[list[np.ndarray]]:
    assert posed.path is not None
    columns = [[_overlaid(test, row, None) for row in rows]]
    for step in steps:
        R, t = posed.path.R_steps[step], posed.path.t_steps[step]
        drawn = silhouettes_at(posed, R, t, test, rows, test.images.shape[1])
        off = rotation_angle_deg(R.cpu().numpy(), test.R[rows])
        column = [_overlaid(test, row, drawn[i]) for i, row in enumerate(rows)]
        columns.append([_labelled(panel, f"{angle:.0f}°") for panel, angle in zip(column, off, strict=True)])
    return [list(row) for row in zip(*columns, strict=True)]


def _labelled(panel: np.ndarray, text: str) -> np.ndarray:
    canvas = Image.fromarray(panel)
    pen = ImageDraw.Draw(canvas)
    pen.text((4, len(panel) - 16), text, INK, ImageFont.load_default(12), stroke_width=2, stroke_fill=PAPER)
    return np.asarray(canvas)


def _overlaid(test: ImageSet, row: int, silhouette: np.ndarray | None) -> np.ndarray:
    """The image about the object, what is rendered over it in red, and the true mask's outline; the image alone without."""
    window = _about(test.masks[row])
    image = test.images[row][window].astype(np.float32)
    if silhouette is None:
        return small_picture(to_bytes(image))
    image = np.asarray(small_picture(to_bytes(blend(image, SILHOUETTE, _OPACITY * silhouette[window]))), np.float32)
    mask = np.repeat(test.masks[row][window][..., None], 3, axis=2)
    line = outline(small_picture(mask)[..., 0] / np.float32(255), 1.2)
    return to_bytes(blend(image, TRUE_LINE, line))


def _about(mask: np.ndarray) -> tuple[slice, slice]:
    """A square window of nearly twice the mask's extent about it, inside the picture."""
    size, ends = len(mask), []
    where = [np.flatnonzero((mask > 127).any(axis=axis)) for axis in (1, 0)]
    if any(len(found) == 0 for found in where):
        return slice(0, size), slice(0, size)
    side = min(size, int(1.8 * max(found[-1] + 1 - found[0] for found in where)) + 4)
    for found in where:
        low = int(np.clip((found[0] + found[-1] + 1 - side) // 2, 0, size - side))
        ends.append(slice(low, low + side))
    return ends[0], ends[1]


def _chart(title: str, curves: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Curves over the steps from 0 on, with the values at both ends of the axes."""
    (width, height), (left, top, right, bottom) = _CHART, _MARGIN
    canvas = Image.new("RGB", _CHART, PAPER)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(11)
    values = np.array(list(curves.values()), float)
    low, high = values.min(), max(values.max(), values.min() + 1e-6)
    count = values.shape[1]

    def place(step: float, value: float) -> tuple[float, float]:
        x = left + (width - left - right) * step / max(count - 1, 1)
        return x, height - bottom - (height - top - bottom) * (value - low) / (high - low)

    pen.text((left, 4), title, INK, font)
    for part in np.linspace(0, 1, 5):
        value = low + part * (high - low)
        pen.line([place(0, value), place(count - 1, value)], (60, 64, 70))
        pen.text((4, place(0, value)[1] - 6), f"{value:.4g}", FAINT_INK, font)
    for step in np.unique(np.linspace(0, count - 1, min(7, count)).astype(int)).tolist():
        pen.text((place(step, low)[0] - 5, height - bottom + 4), str(step), FAINT_INK, font)
    for number, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        pen.line([place(step, value) for step, value in enumerate(curve)], colour, 2)
        pen.text((left + 110 * number, height - 14), name, colour, font)
    return np.asarray(canvas)


def _legend(lines: Sequence[str], width: int) -> np.ndarray:
    font = ImageFont.load_default(12)
    canvas = Image.new("RGB", (width, 16 * len(lines) + 8), PAPER)
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((6, 4 + 16 * number), line, INK, font)
    return np.asarray(canvas)
