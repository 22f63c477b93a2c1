"""From models and seeds to images with depth, normals and masks: draws first, then the kernels, a batch over the threads."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from monoform.data.rendering.augment import AugmentSettings, Damage, compress, sample_damage
from monoform.data.rendering.backgrounds import PhotoFolder, paint_background
from monoform.data.rendering.models import Model
from monoform.data.rendering.poses import Camera, FixedViews, FreeViews, sample_camera
from monoform.data.rendering.shading import Look, LookSettings, sample_look
from monoform.errors import InputError
from monoform.projection.kernels import coverage, threads
from monoform.projection.kernels.paint import compose, develop
from monoform.projection.kernels.shade import find_normals, rasterise_one, shade

FINE_BELOW = 128
"""Images up to this size are shaded at 2 x 2 samples a pixel, larger ones (whose faces are larger) at one."""
OCCLUDED_FROM = 0.02
"""Share of the silhouette that occluders must cover for the image to count as occluded."""


@dataclass(frozen=True)
class RenderSettings:
    """Everything about the images but their number."""

    size_hw: tuple[int, int] = (64, 64)
    views: FreeViews | FixedViews = field(default_factory=FreeViews)
    look: LookSettings = field(default_factory=LookSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    backgrounds: Path | None = None
    """Folder of photos; None for procedural scenery alone."""
    photo_share: float = 0.8
    """Images before a photo, where there is a folder."""


@dataclass(frozen=True, eq=False)
class View:
    """One image and the truth about it."""

    image: np.ndarray
    """(h, w, 3) uint8 sRGB."""
    mask: np.ndarray
    """(h, w) float32: the share of each pixel in which the object is seen, exact but for the occluders' soft edges."""
    amodal: np.ndarray
    """(h, w) float32: the share of each pixel that the object covers, behind occluders too; exact."""
    depth: np.ndarray
    """(h, w) float32 at the pixels' centres, box diagonals; inf where empty. Of the object, behind occluders too."""
    normals: np.ndarray
    """(h, w, 3) float32 at the centres, camera frame, towards the camera; 0 where empty. Behind occluders too."""
    camera: Camera
    occluded: bool
    truncated: bool
    """Whether the object reaches over the image's edge."""


def render_batch(
    models: Sequence[Model],
    seeds: Sequence[tuple[int, int]],
    settings: RenderSettings,
    *,
    categories: Sequence[str] | None = None,
    photos: PhotoFolder | None = None,
    cameras: Sequence[Camera] | None = None,
) -> list[View]:
    """Draw one image of each model. An image depends on its own model, seed and settings alone.

    seeds: (seed, index) of every image. categories: for view priors. photos: the folder of `settings.backgrounds`, opened by
    the caller so that it is read once; opened here where it is missing. cameras: given instead of drawn.
    """
    if len(models) != len(seeds):
        raise ValueError(f"{len(models)} models for {len(seeds)} seeds; give one an image")
    if photos is None and settings.backgrounds is not None:
        photos = PhotoFolder(settings.backgrounds)

    def draw_span(start: int, stop: int) -> list[View]:
        views = []
        for i in range(start, stop):
            category = categories[i] if categories is not None else ""
            views.append(_render(models[i], seeds[i], settings, category, photos, cameras[i] if cameras else None))
        return views

    spans = threads.run([partial(draw_span, *span) for span in threads.spans(len(models))] if models else [])
    return [view for span in spans for view in span]


def _render(
    model: Model,
    seed: tuple[int, int],
    settings: RenderSettings,
    category: str,
    photos: PhotoFolder | None,
    camera: Camera | None,
) -> View:
    """One image, on the calling thread alone."""
    h, w = settings.size_hw
    rng = np.random.default_rng(seed)
    if camera is None:
        # A generator of its own, so that a given camera changes nothing else about the image's draws.
        camera = sample_camera(
            np.random.default_rng((*seed, 1)), settings.views, model.extremes, category, settings.size_hw
        )
    points = _project(model, camera)
    box = np.stack([points[:, :2].min(axis=0), points[:, :2].max(axis=0)])
    look = sample_look(rng, settings.look, model, float(camera.t[2]))
    damage = sample_damage(rng, settings.augment, box, settings.size_hw)
    background = np.empty((h, w, 3), np.float32)
    paint_background(rng, photos, settings.photo_share, background)

    face_id, depth, barycentric = rasterise_one(points, model.mesh.faces, h, w)
    coverages, _ = coverage.forward(points[None], model.topology, h, w)
    amodal = coverages[0]
    normals = _normals(model, camera, face_id, barycentric)
    image, mask = _picture(model, camera, look, damage, points, (face_id, depth, barycentric), background, amodal)
    occluded = float(mask.sum(dtype=np.float64)) < (1.0 - OCCLUDED_FROM) * float(amodal.sum(dtype=np.float64))
    truncated = bool((box[0] < 0.0).any() or (box[1] > [w, h]).any())
    return View(image, mask, amodal, depth, normals, camera, occluded, truncated)


def _project(model: Model, camera: Camera) -> np.ndarray:
    """(v, 3) float32 [x_px, y_px, depth]. Raises InputError for a camera inside the object's reach."""
    in_camera = model.mesh.vertices @ camera.R.T + camera.t
    if not in_camera[:, 2].min(initial=1.0) > 0.0:
        raise InputError("the object reaches behind the camera; give a camera at least half a box diagonal from it")
    pixels = (in_camera @ camera.K.T)[:, :2] / in_camera[:, 2:]
    return np.concatenate([pixels, in_camera[:, 2:]], axis=1).astype(np.float32)


Fragments = tuple[np.ndarray, np.ndarray, np.ndarray]


def _normals(model: Model, camera: Camera, face_id: np.ndarray, barycentric: np.ndarray) -> np.ndarray:
    normals = np.empty((*face_id.shape, 3), np.float32)
    R, t = camera.R.astype(np.float32), camera.t.astype(np.float32)
    find_normals(face_id, barycentric, model.vertices, model.mesh.faces, model.normals, R, t, normals)
    return normals


def _picture(
    model: Model,
    camera: Camera,
    look: Look,
    damage: Damage,
    points: np.ndarray,
    found: Fragments,
    background: np.ndarray,
    amodal: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The image (h, w, 3) uint8 and the visible mask. found: what is seen at the pixels' centres."""
    h, w = amodal.shape
    samples = 2 if max(h, w) <= FINE_BELOW else 1
    if samples > 1:
        finer = points * np.array([samples, samples, 1], np.float32)
        found = rasterise_one(finer, model.mesh.faces, h * samples, w * samples)
    colour, canvas = np.empty((h, w, 3), np.float32), np.empty((h, w, 3), np.float32)
    hit, mask, image = np.empty((h, w), np.int32), np.empty((h, w), np.float32), np.empty((h, w, 3), np.uint8)
    R, t = camera.R.astype(np.float32), camera.t.astype(np.float32)
    shade(
        found[0], found[2], samples, model.vertices, model.mesh.faces, model.normals, model.colours, model.part,
        look.materials, R, t, look.ambient, look.lights, colour, hit,
    )  # fmt: skip
    compose(background, colour, hit, amodal, damage.occluders, damage.seed, canvas, mask)
    develop(canvas, damage.blur, damage.gain, damage.offset, damage.noise, damage.seed, colour, image)
    return (compress(image, damage.jpeg_quality) if damage.jpeg_quality else image), mask
