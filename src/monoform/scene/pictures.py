"""Pictures of a scene: over the photo with right mutual occlusion, and from viewpoints of its own over the ground."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.spatial.transform import Rotation

from monoform.meshes import Mesh, concatenate, sample_surface
from monoform.overlays import (
    FAINT_INK,
    INK,
    PANEL_PX,
    PAPER,
    WARNING_INK,
    blend,
    draw,
    outline,
    to_bytes,
)
from monoform.scene.layout import sample_whole
from monoform.scene.records import Scene, SceneObject

PALETTE = ((255, 170, 40), (64, 200, 255), (140, 220, 90), (240, 110, 150), (180, 140, 255), (240, 220, 80))
"""The objects' colours, in order and over again."""
VIEW_WH, CELL_WH = (960, 640), (420, 280)
SKY_TOP, SKY_FOOT = (208, 216, 226), (244, 245, 246)
TILES = ((214, 214, 210), (200, 201, 199))
GROUND_CELLS, GROUND_REACH, SHADOW_SAMPLES = 150, 2.4, 20_000
ELEVATED_DEG, SIDEWAYS_DEG, ABOVE_DEG, TURNTABLE_DEG = 28.0, 38.0, 89.0, 18.0
TURNTABLE_VIEWS = 8
FIELD_OF_VIEW_DEG, FREE_MARGIN = 32.0, 0.07


def palette(count: int) -> list[tuple[int, int, int]]:
    """A colour an object."""
    return [PALETTE[i % len(PALETTE)] for i in range(count)]


# --- over the photo ----------------------------------------------------------------------------------------------


def overlay_picture(scene: Scene) -> np.ndarray:
    """The photo with the masks' outlines, beside it the objects where they stand; (h, w, 3) uint8.

    What is nearer hides what is farther, pixel by pixel; each object's outline is that of what is left of it. A caption
    names the objects in their colours.
    """
    h, w = scene.photo.size_hw
    factor = min(1.0, PANEL_PX / max(h, w))
    small = max(1, round(h * factor)), max(1, round(w * factor))
    K = np.diag([small[1] / w, small[0] / h, 1.0]) @ scene.K
    whole = Image.fromarray(scene.photo.image)
    photo = np.asarray(whole.resize((small[1], small[0]), Image.Resampling.BICUBIC), np.float32)
    colours = palette(len(scene.objects))
    left = photo
    for one, colour in zip(scene.objects, colours, strict=True):
        left = blend(left, colour, outline(sample_whole(one.mask.coverage, small), 2.0))
    shaded = draw(_together(scene.objects), np.eye(3), np.zeros(3), K, small)
    right = blend(0.55 * photo + 0.3 * photo.mean(axis=2, keepdims=True), 255.0 * shaded.colour, 0.88 * shaded.alpha)
    for visible, colour in zip(visible_parts(scene.objects, K, small), colours, strict=True):
        right = blend(right, colour, outline(visible, 2.2))
    row = np.concatenate([np.pad(left, ((0, 0), (0, 4), (0, 0))), right], axis=1)
    return _with_caption(to_bytes(row), scene, colours)


def visible_parts(objects: Sequence[SceneObject], K: np.ndarray, size_hw: tuple[int, int]) -> list[np.ndarray]:
    """(h, w) float32 of each object: its coverage where no other object is nearer."""
    views = [draw(one.shape.sized, one.R, one.t, K, size_hw) for one in objects]
    nearest = np.min([view.depth for view in views], axis=0)
    return [np.where(view.depth <= nearest, view.alpha, 0.0).astype(np.float32) for view in views]


def _together(objects: Sequence[SceneObject]) -> Mesh:
    """All objects as one mesh in the camera's frame, those without colours in the palette's."""
    posed = []
    for one, colour in zip(objects, palette(len(objects)), strict=True):
        mesh = one.shape.mesh
        plain = np.tile(np.array(_pale(colour), np.uint8), (len(mesh.vertices), 1))
        posed.append(Mesh(one.in_camera(), mesh.faces, plain if mesh.colours is None else mesh.colours))
    return concatenate(posed)


def _pale(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    """A colour half way to light grey: a surface, not a line."""
    r, g, b = (round(0.55 * level + 0.45 * 215) for level in colour)
    return r, g, b


def _with_caption(picture: np.ndarray, scene: Scene, colours: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """The picture above a bar with a line an object, in as many columns as fit, and one about the camera."""
    h, w, _ = picture.shape
    size = int(np.clip(w / 76, 11, 20))
    font = ImageFont.load_default(size)
    wide = 40 * size
    columns = max(1, w // wide)
    rows = -(-len(scene.objects) // columns)
    canvas = Image.new("RGB", (w, h + round((1.5 * rows + 2.6) * size)), PAPER)
    canvas.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(canvas)
    for index, (one, colour) in enumerate(zip(scene.objects, colours, strict=True)):
        x, y = size + (index % columns) * wide, h + (0.6 + 1.5 * (index // columns)) * size
        pen.rectangle((x, y + 0.2 * size, x + 0.8 * size, y + size), fill=colour)
        pen.text((x + 1.4 * size, y), _line(one, columns > 1), WARNING_INK if one.ambiguous else INK, font)
    pen.text((size, h + (0.8 + 1.5 * rows) * size), _about_camera(scene), FAINT_INK, font)
    return np.asarray(canvas)


def _line(one: SceneObject, short: bool) -> str:
    """An object in words; what is not printable becomes a question mark."""
    own, shape = (14, 24) if short else (30, 40)
    name = f"{one.name[:own]}: {Path(one.shape.name).stem[:shape]}"
    doubt = f"  ambiguous ({one.ambiguity})" if one.ambiguous else ""
    text = f"{name}  IoU {one.visible_iou:.3f}{doubt}"
    return "".join(character if character.isprintable() else "?" for character in text)


def _about_camera(scene: Scene) -> str:
    focal = f"focal length {scene.K[0, 0]:.0f} px ({scene.K_source})"
    unit = "" if scene.unit == "file" else f" {scene.unit}"
    ground = f"ground: residual {scene.ground.residual:.2g}{unit}" if scene.ground.common else "no common ground"
    return f"left: masks    right: models, visible part    {focal}    {ground}"


# --- from elsewhere ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Stage:
    """The scene in a frame of its own: y up, -z the photo's viewing direction, level; the origin amid the objects."""

    objects: Mesh
    floor: Mesh
    radius: float
    """Of the objects about the middle of their box."""


def _stage(scene: Scene) -> _Stage:
    up = scene.ground.normal
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    ahead = np.array([0.0, -1.0, 0.0]) - up[1] * up if np.linalg.norm(ahead) < 1e-3 else ahead
    ahead /= np.linalg.norm(ahead)
    turn = np.stack([np.cross(ahead, up), up, -ahead])
    points = np.concatenate([one.in_camera() for one in scene.objects]) @ turn.T
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    whole = _together(scene.objects)
    placed = replace(whole, vertices=whole.vertices @ turn.T - middle)
    radius = float(np.linalg.norm(points - middle, axis=1).max())
    # Without a common ground the floor lies under the lowest object, so that shadows tell how high the others are.
    floor = scene.ground.offset - middle[1] if scene.ground.common else placed.vertices[:, 1].min()
    return _Stage(placed, _ground(placed, floor, radius), radius)


def _ground(objects: Mesh, height: float, radius: float) -> Mesh:
    """A round tiled floor with the objects' soft shadows from straight above, which show where they stand."""
    from scipy.ndimage import gaussian_filter

    reach = GROUND_REACH * radius
    line = np.linspace(-reach, reach, GROUND_CELLS + 1)
    x, z = np.meshgrid(line, line)
    inward = np.minimum(1.0, reach / np.maximum(np.hypot(x, z), 1e-9))  # corners beyond the rim are drawn in to it
    vertices = np.stack([inward * x, np.full_like(x, height), inward * z], axis=-1).reshape(-1, 3)
    points = sample_surface(objects, SHADOW_SAMPLES, np.random.default_rng(0))
    near = np.exp(-np.maximum(points[:, 1] - height, 0.0) / (0.35 * radius))
    counts = np.histogram2d(
        points[:, 2], points[:, 0], bins=GROUND_CELLS + 1, range=[(-reach, reach)] * 2, weights=near
    )[0]
    shadow = np.asarray(gaussian_filter(np.minimum(counts, 1.0), 1.3))
    tile = _round_length(radius / 4)
    odd = (np.floor(x / tile).astype(int) + np.floor(z / tile).astype(int)) % 2
    level = np.array(TILES, float)[odd] * (1.0 - 0.62 * np.clip(shadow, 0.0, 1.0))[..., None]
    row, column = np.mgrid[0:GROUND_CELLS, 0:GROUND_CELLS]
    first = (row * (GROUND_CELLS + 1) + column)[(x[:-1, :-1] ** 2 + z[:-1, :-1] ** 2) < reach**2]
    below = first + GROUND_CELLS + 1
    faces = np.concatenate([np.stack([first, below, first + 1], 1), np.stack([first + 1, below, below + 1], 1)])
    return Mesh(vertices, faces, np.rint(level).astype(np.uint8).reshape(-1, 3))


def _round_length(length: float) -> float:
    """1, 2 or 5 times a power of ten, not above a length."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(power * max(step for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)))


@dataclass(frozen=True, eq=False)
class _Shot:
    """A viewpoint: rotation of the stage's frame into the camera, and its distance from the middle."""

    R: np.ndarray
    t: np.ndarray


def _shot(stage: _Stage, azimuth_deg: float, elevation_deg: float) -> _Shot:
    """From `azimuth_deg` counted from the photo's camera, to the right of it, and so high."""
    turn = Rotation.from_euler("XY", [elevation_deg, -azimuth_deg], degrees=True).as_matrix()
    distance = stage.radius / np.sin(np.radians(FIELD_OF_VIEW_DEG) / 2)
    return _Shot(np.diag([1.0, -1.0, -1.0]) @ turn, np.array([0.0, 0.0, distance]))


def _frame(stage: _Stage, shots: Sequence[_Shot], size_wh: tuple[int, int]) -> np.ndarray:
    """K (3, 3) under which all objects fill the picture in every shot, as tight as the widest of them allows."""
    boxes = []
    for shot in shots:
        x = stage.objects.vertices @ shot.R.T + shot.t
        seen = x[:, :2] / x[:, 2:]
        boxes.append((seen.min(axis=0), seen.max(axis=0)))
    low, high = np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)
    room = (1.0 - 2.0 * FREE_MARGIN) * np.array(size_wh)
    focal = float((room / np.maximum(high - low, 1e-9)).min())
    cx, cy = np.array(size_wh) / 2 - focal * (low + high) / 2
    return np.array([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]])


def _picture(stage: _Stage, shot: _Shot, K: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) uint8: the objects over the ground before a pale sky."""
    view = draw(concatenate([stage.objects, stage.floor]), shot.R, shot.t, K, (size_wh[1], size_wh[0]), samples=2)
    share = np.linspace(0.0, 1.0, size_wh[1])[:, None, None]
    sky = (1.0 - share) * np.array(SKY_TOP, float) + share * np.array(SKY_FOOT, float)
    canvas = np.broadcast_to(sky, (size_wh[1], size_wh[0], 3))
    return to_bytes(blend(canvas, 255.0 * view.colour, view.alpha))


def views(scene: Scene) -> dict[str, np.ndarray]:
    """Pictures from viewpoints of their own, by name, (h, w, 3) uint8: 'elevated', 'above' and the sheet 'turntable'.

    The azimuth counts from the photo's camera. From above, what is farther from the photo's camera is higher up.
    """
    stage = _stage(scene)
    alone = {"elevated": _shot(stage, SIDEWAYS_DEG, ELEVATED_DEG), "above": _shot(stage, 0.0, ABOVE_DEG)}
    pictures = {name: _picture(stage, shot, _frame(stage, [shot], VIEW_WH), VIEW_WH) for name, shot in alone.items()}
    azimuths = [360.0 * i / TURNTABLE_VIEWS for i in range(TURNTABLE_VIEWS)]
    shots = [_shot(stage, azimuth, TURNTABLE_DEG) for azimuth in azimuths]
    K = _frame(stage, shots, CELL_WH)
    cells = [_labelled(_picture(stage, shot, K, CELL_WH), f"{azimuth:.0f}°") for shot, azimuth in zip(shots, azimuths)]
    half = TURNTABLE_VIEWS // 2
    rows = [np.concatenate(row, axis=1) for row in (cells[:half], cells[half:])]
    pictures["above"] = _labelled(
        pictures["above"], "seen from above; the photo's camera is below and looks up the page"
    )
    pictures["elevated"] = _labelled(pictures["elevated"], f"{SIDEWAYS_DEG:.0f}° to the right of the photo's camera")
    return {**pictures, "turntable": np.concatenate(rows, axis=0)}


def _labelled(picture: np.ndarray, text: str) -> np.ndarray:
    canvas = Image.fromarray(picture)
    size = max(13, round(picture.shape[1] / 55))
    ImageDraw.Draw(canvas).text((0.6 * size, 0.4 * size), text, (70, 76, 84), ImageFont.load_default(size))
    return np.asarray(canvas)
