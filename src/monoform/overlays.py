"""Pictures: a mesh drawn in a pose, its outline over the photo, depth and normals, contact sheets. NumPy and PIL.

Poses and cameras are OpenCV's: ``x_camera = R @ x_file + t``, +y down, pixel centres at +0.5. Colours are sRGB.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monoform.interfaces import Alignment, Mask, Photo, RankedPose
from monoform.meshes import Mesh, face_normals, vertex_normals

MASK_COLOUR, MODEL_COLOUR = (64, 220, 255), (255, 170, 40)
PAPER, INK, FAINT_INK, WARNING_INK = (24, 26, 30), (240, 240, 240), (160, 166, 174), (255, 170, 40)
PLAIN_MESH = (186, 190, 198)
LIGHT = np.array([-0.45, -0.75, -0.6]) / np.linalg.norm([-0.45, -0.75, -0.6])
"""Towards the lamp, camera frame: above, left of and behind the photographer."""
AMBIENT = 0.3
SMOOTH_DEG = 40.0
"""Corners sharper than this keep their facets; softer ones are shaded smoothly."""
PANEL_PX = 800
"""Longest side of a panel: larger photos are shown smaller."""


@dataclass(frozen=True, eq=False)
class View:
    """A mesh as a camera sees it."""

    colour: np.ndarray
    """(h, w, 3) float32 sRGB in [0, 1], averaged over the covered samples; black where there is none."""
    alpha: np.ndarray
    """(h, w) float32, the covered fraction of each pixel."""
    depth: np.ndarray
    """(h, w) float32 depth along the optical axis at a sample of the pixel, in the mesh's unit; inf where empty."""
    normals: np.ndarray
    """(h, w, 3) float32 unit normals in the camera frame, towards the camera; zero where empty."""


def draw(
    mesh: Mesh, R: np.ndarray, t: np.ndarray, K: np.ndarray, size_hw: tuple[int, int], *, samples: int = 2
) -> View:
    """A shaded picture of `mesh` under one lamp; `samples` x `samples` rays a pixel, 1 for exact pixel centres."""
    h, w = size_hw
    view = View(
        np.zeros((h, w, 3), np.float32),
        np.zeros((h, w), np.float32),
        np.full((h, w), np.inf, np.float32),
        np.zeros((h, w, 3), np.float32),
    )
    pixels, depth, faces = _project(mesh, R, t, K)
    left, top, right, bottom = _window(pixels, faces, size_hw)
    if right <= left or bottom <= top:
        return view
    # Only the object's own window is drawn; the samples' pixels count from its corner.
    corner_K = samples * (K - np.array([[0, 0, left], [0, 0, top], [0, 0, 0]]))
    points = np.concatenate([samples * (pixels - (left, top)), depth], axis=1).astype(np.float32)
    part = _draw_window(mesh, R, corner_K, points, faces, (bottom - top, right - left), samples)
    for whole, piece in zip((view.colour, view.alpha, view.depth, view.normals), part):
        whole[top:bottom, left:right] = piece
    return view


def _project(mesh: Mesh, R: np.ndarray, t: np.ndarray, K: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels (v, 2) and depth (v, 1) of the vertices, and the faces that lie before the camera entirely."""
    camera = mesh.vertices @ R.T + t
    near = 1e-3 * max(float(np.linalg.norm(t)), 1e-9)
    faces = mesh.faces[(camera[mesh.faces, 2] > near).all(axis=1)]
    depth = np.maximum(camera[:, 2:], near)
    return np.clip((camera @ K.T)[:, :2] / depth, -1e6, 1e6), depth, faces


def _window(pixels: np.ndarray, faces: np.ndarray, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the picture's part that the faces can touch; empty when there is none."""
    if len(faces) == 0:
        return 0, 0, 0, 0
    used = pixels[np.unique(faces)]
    low = np.clip(np.floor(used.min(axis=0)), 0, size_hw[::-1]).astype(int)
    high = np.clip(np.ceil(used.max(axis=0)), 0, size_hw[::-1]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _draw_window(
    mesh: Mesh,
    R: np.ndarray,
    K: np.ndarray,
    points: np.ndarray,
    faces: np.ndarray,
    size_hw: tuple[int, int],
    samples: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Colour, alpha, depth and normals of a window; `points` and K count its samples."""
    from monoform.projection.kernels import hard

    h, w = size_hw
    face_ids, depths, barycentrics = hard.rasterise(points[None], faces, h * samples, w * samples)
    face_id, depth, barycentric = face_ids[0], depths[0], barycentrics[0]
    hit = face_id >= 0
    weights = barycentric[hit][:, :, None]
    seen = _shading_normals(mesh, faces, face_id[hit], weights) @ R.T
    seen = _towards_camera(seen, hit, K)
    normals, colour = np.zeros((*hit.shape, 3), np.float32), np.zeros((*hit.shape, 3), np.float32)
    normals[hit] = seen
    colour[hit] = (
        np.einsum("nci,nco->ni", _linear_colours(mesh)[faces[face_id[hit]]], weights) * _lambert(seen)[:, None]
    )
    alpha = np.asarray(np.mean(_phases(hit.astype(np.float32), samples), axis=0))
    mean = np.mean(_phases(colour, samples), axis=0) / np.maximum(alpha, 1e-6)[..., None]
    middle = normals[samples // 2 :: samples, samples // 2 :: samples]
    return _to_srgb(mean), alpha, np.min(_phases(depth, samples), axis=0), middle


def _phases(image: np.ndarray, samples: int) -> list[np.ndarray]:
    """The picture's samples x samples sub-images, one for each place within a pixel."""
    return [image[row::samples, column::samples] for row in range(samples) for column in range(samples)]


def _shading_normals(mesh: Mesh, faces: np.ndarray, hit_faces: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(n, 3) normals in the model frame: interpolated over smooth corners, the facet's own at sharp ones."""
    flat = face_normals(mesh.vertices, faces)
    round_ = vertex_normals(mesh.vertices, mesh.faces)[faces]
    sharp = np.einsum("fci,fi->fc", round_, flat) < np.cos(np.radians(SMOOTH_DEG))
    corners = np.where(sharp[:, :, None], flat[:, None], round_)
    mixed = np.einsum("nci,nco->ni", corners.astype(np.float32)[hit_faces], weights)
    return mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)


def _towards_camera(normals: np.ndarray, hit: np.ndarray, K: np.ndarray) -> np.ndarray:
    """Normals turned to face the viewer, as open and inside-out surfaces are drawn two-sided."""
    row, column = np.nonzero(hit)
    x, y = (column + 0.5 - K[0, 2]) / K[0, 0], (row + 0.5 - K[1, 2]) / K[1, 1]
    facing_away = normals[:, 0] * x + normals[:, 1] * y + normals[:, 2] > 0
    return np.where(facing_away[:, None], -normals, normals).astype(np.float32)


def _linear_colours(mesh: Mesh) -> np.ndarray:
    colours = np.tile(np.array(PLAIN_MESH, np.uint8), (len(mesh.vertices), 1)) if mesh.colours is None else mesh.colours
    return ((colours / 255.0) ** 2.2).astype(np.float32)


def _lambert(normals: np.ndarray) -> np.ndarray:
    return AMBIENT + (1.0 - AMBIENT) * np.clip(normals @ LIGHT.astype(np.float32), 0.0, 1.0)


def _to_srgb(linear: np.ndarray) -> np.ndarray:
    return np.clip(linear, 0.0, 1.0) ** (1.0 / 2.2)


# --- parts of pictures -------------------------------------------------------------------------------------------


def outline(coverage: np.ndarray, width: float = 2.0) -> np.ndarray:
    """(h, w) opacity in [0, 1] of an antialiased line, `width` pixels wide, along the 0.5 level of a coverage image."""
    from scipy.ndimage import gaussian_filter
    from scipy.special import ndtri

    soft = gaussian_filter(coverage.astype(np.float32), 1.2)
    near = np.abs(soft - 0.5) < 0.498
    down, right = (np.asarray(change)[near] for change in np.gradient(soft))
    slope = np.hypot(down, right)
    # Across a blurred edge the values are a normal distribution's, soft = Phi(q): with its density as the slope, the
    # distance to the edge is q * density(q) / slope, whatever the blur.
    q = ndtri(soft[near])
    distance = np.abs(q) * np.exp(-0.5 * q * q) / np.sqrt(2.0 * np.pi) / np.maximum(slope, 1e-6)
    line = np.zeros_like(soft)
    line[near] = np.clip(width / 2.0 + 0.5 - distance, 0.0, 1.0)
    return line


def blend(image: np.ndarray, colour: np.ndarray | Sequence[float], opacity: np.ndarray) -> np.ndarray:
    """`colour` (0-255) over an image by an (h, w) opacity; float (h, w, 3)."""
    return image + (np.asarray(colour, np.float32) - image) * opacity[..., None]


def to_bytes(image: np.ndarray) -> np.ndarray:
    """An image of values 0-255 as uint8."""
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def depth_picture(depth: np.ndarray) -> np.ndarray:
    """(h, w) uint8: the nearest point white, the farthest dark grey, nothing black."""
    seen = np.isfinite(depth)
    if not seen.any():
        return np.zeros(depth.shape, np.uint8)
    near, far = float(depth[seen].min()), float(depth[seen].max())
    grey = 255.0 - 200.0 * (np.where(seen, depth, far) - near) / max(far - near, 1e-12)
    return to_bytes(np.where(seen, grey, 0.0))


def normal_picture(normals: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: right red, up green, towards the camera blue; black where there is no surface."""
    seen = np.abs(normals).sum(-1, keepdims=True) > 0
    return to_bytes(np.where(seen, 127.5 + 127.5 * normals * (1.0, -1.0, -1.0), 0.0))


# --- the overlay -------------------------------------------------------------------------------------------------


def overlay_picture(photo: Photo, mask: Mask, mesh: Mesh, alignment: Alignment, *, name: str = "") -> np.ndarray:
    """The photo with the mask's outline, beside it the mesh in its best pose (and in its second, if that is as good).

    (h, w, 3) uint8; the photo is shown whole, at most 800 px long, the poses closer up where the object is small; a
    caption tells the fit and what else explains the photo.
    """
    h, w = photo.size_hw
    factor = min(1.0, PANEL_PX / max(h, w))
    size = max(1, round(w * factor)), max(1, round(h * factor))
    whole, close = (0.0, 0.0, float(w), float(h)), _close_up(mask.coverage)
    panels = [blend(_cut(photo.image, whole, size), MASK_COLOUR, outline(_cut(mask.coverage, whole, size), 1.6))]
    shown, mask_line = _cut(photo.image, close, size), outline(_cut(mask.coverage, close, size), 1.6)
    scale = np.diag([size[0] / (close[2] - close[0]), size[1] / (close[3] - close[1]), 1.0])
    K = scale @ (alignment.K - np.array([[0, 0, close[0]], [0, 0, close[1]], [0, 0, 0]]))
    for pose in alignment.poses[: 2 if alignment.ambiguous else 1]:
        panels.append(_pose_panel(shown, mask_line, mesh, pose, K))
    row = np.concatenate([np.pad(p, ((0, 0), (0, 4), (0, 0))) for p in panels], axis=1)[:, :-4]
    return _with_caption(to_bytes(row), _caption(alignment, name), alignment.ambiguous)


def _close_up(coverage: np.ndarray) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a window of the photo's shape, within it, with the masked object at its middle."""
    h, w = coverage.shape
    rows, columns = np.nonzero((coverage > 0.5).any(axis=1))[0], np.nonzero((coverage > 0.5).any(axis=0))[0]
    if len(rows) == 0:
        return 0.0, 0.0, float(w), float(h)
    fraction = 1.5 * max(np.ptp(rows) / h, np.ptp(columns) / w)
    fraction = 1.0 if fraction > 0.75 else max(fraction, 0.1)
    wide, high = fraction * w, fraction * h
    left = float(np.clip((columns[0] + columns[-1] + 1 - wide) / 2.0, 0.0, w - wide))
    top = float(np.clip((rows[0] + rows[-1] + 1 - high) / 2.0, 0.0, h - high))
    return left, top, left + wide, top + high


def _cut(image: np.ndarray, box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """A window of an image (h, w, 3) uint8 or (h, w) float at another size (width, height), as float32."""
    whole = Image.fromarray(np.ascontiguousarray(image if image.ndim == 3 else image.astype(np.float32)))
    return np.asarray(whole.resize(size, Image.Resampling.BICUBIC, box=box), np.float32)


def _pose_panel(shown: np.ndarray, mask_line: np.ndarray, mesh: Mesh, pose: RankedPose, K: np.ndarray) -> np.ndarray:
    view = draw(mesh, pose.R, pose.t, K, shown.shape[:2])
    grey = shown.mean(axis=2, keepdims=True)
    panel = 0.55 * shown + 0.3 * grey
    panel = blend(panel, 255.0 * view.colour, 0.82 * view.alpha)
    panel = blend(panel, MASK_COLOUR, 0.8 * mask_line)
    return blend(panel, MODEL_COLOUR, outline(view.alpha, 2.2))


def _caption(alignment: Alignment, name: str) -> tuple[str, str]:
    """Two lines: how well the best pose fits, and what else fits."""
    best = alignment.poses[0]
    fit = f"IoU {best.iou:.3f}    outline off by {best.contour_px:.1f} px"
    field = "focal length assumed" if alignment.K_assumed else f"focal length {alignment.K_source}"
    first = "    ".join(part for part in (name, fit, field) if part)
    if not alignment.ambiguous:
        return first, f"one pose explains the photo (weight {best.weight:.2f})"
    weights = " / ".join(f"{pose.weight:.2f}" for pose in alignment.poses[:4])
    return first, f"AMBIGUOUS ({alignment.ambiguity or 'other'}): {len(alignment.poses)} poses, weights {weights}"


def _with_caption(picture: np.ndarray, lines: tuple[str, str], alarmed: bool) -> np.ndarray:
    """The picture above a bar with two lines and the legend of the two outlines."""
    h, w, _ = picture.shape
    size = int(np.clip(w / 62, 11, 22))
    font = ImageFont.load_default(size)
    canvas = Image.new("RGB", (w, h + round(3.6 * size)), PAPER)
    canvas.paste(Image.fromarray(picture), (0, 0))
    pen = ImageDraw.Draw(canvas)
    legend = (("mask", MASK_COLOUR), ("model", MODEL_COLOUR))
    left = w - round(sum(pen.textlength(word, font) + 2.4 * size for word, _ in legend))
    pen.text((size, h + 0.6 * size), _fit(lines[0], left - 2 * size, font, pen), INK, font)
    second_ink = WARNING_INK if alarmed else FAINT_INK
    pen.text((size, h + 2.0 * size), _fit(lines[1], w - 2 * size, font, pen), second_ink, font)
    for word, colour in legend:
        pen.line([(left, h + 1.2 * size), (left + size, h + 1.2 * size)], fill=colour, width=3)
        pen.text((left + 1.4 * size, h + 0.6 * size), word, FAINT_INK, font)
        left += round(pen.textlength(word, font) + 2.4 * size)
    return np.asarray(canvas)


def _fit(text: str, width: float, font, pen: ImageDraw.ImageDraw) -> str:
    """The text on one line, its middle left out when it is wider than `width` pixels."""
    text = "".join(character if character.isprintable() else "?" for character in text)
    if len(text) <= 300 and pen.textlength(text, font) <= width:
        return text
    for kept in range(min(len(text), 300) // 2, 0, -1):
        short = f"{text[:kept]}...{text[-kept:]}"
        if pen.textlength(short, font) <= width:
            return short
    return ""


def contact_sheet(
    pictures: Sequence[np.ndarray], labels: Sequence[str], *, columns: int = 4, cell: int = 320
) -> np.ndarray:
    """Pictures (h, w, 3) uint8 in a grid of square cells with a label under each; (h, w, 3) uint8."""
    columns = max(1, min(columns, len(pictures)))
    rows = -(-len(pictures) // columns)
    band, font = 26, ImageFont.load_default(15)
    sheet = Image.new("RGB", (columns * cell, rows * (cell + band)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for index, (picture, label) in enumerate(zip(pictures, labels)):
        x, y = (index % columns) * cell, (index // columns) * (cell + band)
        small = Image.fromarray(picture).convert("RGB")
        small.thumbnail((cell - 4, cell - 4))
        sheet.paste(small, (x + (cell - small.width) // 2, y + (cell - small.height) // 2))
        pen.text((x + 8, y + cell + 4), _fit(label, cell - 16, font, pen), INK, font)
    return np.asarray(sheet)
