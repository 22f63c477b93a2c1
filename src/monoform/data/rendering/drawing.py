"""From models and seeds to images with depth, normals and masks: draws first, then the kernels, a batch over the threads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from monoform.data.rendering.augment import AugmentSettings, Damage, compress, sample_damage
from monoform.data.rendering.backgrounds import PhotoFolder, Photos, paint_background, sample_background
from monoform.data.rendering.models import Model
from monoform.data.rendering.poses import Camera, FixedViews, FreeViews, sample_camera
from monoform.data.rendering.shading import Look, LookSettings, sample_look
from monoform.errors import InputError
from monoform.projection.drawing.records import ImageDraws, PhotoWindow, Scenery
from monoform.projection.kernels import coverage, threads
from monoform.projection.kernels.framing import project
from monoform.projection.kernels.paint import compose, develop
from monoform.projection.kernels.shade import find_truth, rasterise_both, shade

FINE_BELOW = 128
"""Images up to this size are shaded at 2 x 2 samples a pixel, larger ones (whose faces are larger) at one."""
AT_ONCE = 32
"""Images whose draws a thread makes before it draws them."""
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
    photos: Photos | None = None,
    cameras: Sequence[Camera] | None = None,
) -> list[View]:
    """Draw one image of each model. An image depends on its own model, seed and settings alone.

    seeds: (seed, index) of every image. categories: for view priors. photos: the folder of `settings.backgrounds`, opened by
    the caller so that it is read once; opened here where it is missing. cameras: given instead of drawn.
    """
    photos, make_plan = _opened(settings, photos), _planner(models, seeds, settings, categories, cameras)

    def draw_span(start: int, stop: int) -> list[View]:
        scratch, views = _Scratch(*settings.size_hw), []
        # Python's code and the kernels push each other out of the caches: the draws of several images come first.
        for first in range(start, stop, AT_ONCE):
            plans = [make_plan(i) for i in range(first, min(first + AT_ONCE, stop))]
            drawn = [_draw(plan, settings, photos, scratch) for plan in plans]
            views += [_compressed(view, plan.damage.jpeg_quality) for view, plan in zip(drawn, plans, strict=True)]
        return views

    spans = threads.run([partial(draw_span, *span) for span in threads.spans(len(models))] if models else [])
    return [view for span in spans for view in span]


def sample_draws(
    models: Sequence[Model],
    seeds: Sequence[tuple[int, int]],
    settings: RenderSettings,
    *,
    categories: Sequence[str] | None = None,
    photos: Photos | None = None,
    cameras: Sequence[Camera] | None = None,
) -> list[ImageDraws]:
    """What `render_batch` draws at random for the same arguments, for `projection.drawing.views.draw_views` on any device."""
    photos, make_plan = _opened(settings, photos), _planner(models, seeds, settings, categories, cameras)
    draws = []
    for plan in map(make_plan, range(len(models))):
        background = sample_background(plan.rng, photos, settings.photo_share, settings.size_hw)
        draws.append(_flat(plan, background, settings.size_hw))
    return draws


@dataclass(frozen=True, eq=False)
class _Plan:
    """What was drawn for one image."""

    model: Model
    camera: Camera
    points: np.ndarray
    """(v, 3) float32 [x_px, y_px, depth]."""
    box: np.ndarray
    """(2, 2): their lowest and highest x, y."""
    look: Look
    damage: Damage
    rng: np.random.Generator
    """For the background."""


class _Scratch:
    """Arrays that one thread uses for one image after the other."""

    def __init__(self, h: int, w: int):
        self.samples = s = _samples(h, w)
        self.canvas, self.colour = np.empty((h, w, 3), np.float32), np.empty((h, w, 3), np.float32)
        self.face_id, self.barycentric = np.empty((h, w), np.int32), np.empty((h, w, 3), np.float32)
        self.hit = np.empty((h, w), np.int32)
        self.fine = np.empty((h * s, w * s), np.float32)
        self.fine_id = np.empty((h * s, w * s), np.int32) if s > 1 else self.face_id


def _samples(h: int, w: int) -> int:
    return 2 if max(h, w) <= FINE_BELOW else 1


def _opened(settings: RenderSettings, photos: Photos | None) -> Photos | None:
    return PhotoFolder(settings.backgrounds) if photos is None and settings.backgrounds is not None else photos


def _planner(
    models: Sequence[Model],
    seeds: Sequence[tuple[int, int]],
    settings: RenderSettings,
    categories: Sequence[str] | None,
    cameras: Sequence[Camera] | None,
) -> Callable[[int], _Plan]:
    """Makes the plan of an image by its number."""
    if len(models) != len(seeds):
        raise ValueError(f"{len(models)} models for {len(seeds)} seeds; give one an image")
    given = [None] * len(models) if cameras is None else cameras
    names = [""] * len(models) if categories is None else categories
    return lambda i: _plan(models[i], seeds[i], settings, names[i], given[i])


def _plan(model: Model, seed: tuple[int, int], settings: RenderSettings, category: str, camera: Camera | None) -> _Plan:
    rng = np.random.default_rng(seed)
    if camera is None:
        # A generator of its own, so that a given camera changes nothing else about the image's draws.
        camera = sample_camera(
            np.random.default_rng((*seed, 1)), settings.views, model.extremes, category, settings.size_hw
        )
    points, box = _project(model, camera)
    look = sample_look(rng, settings.look, model, float(camera.t[2]))
    return _Plan(model, camera, points, box, look, sample_damage(rng, settings.augment, box, settings.size_hw), rng)


def _draw(plan: _Plan, settings: RenderSettings, photos: Photos | None, scratch: _Scratch) -> View:
    """One image before compression, on the calling thread alone."""
    h, w = settings.size_hw
    canvas, colour, damage = scratch.canvas, scratch.colour, plan.damage
    paint_background(plan.rng, photos, settings.photo_share, canvas)
    depth, normals, mask = np.empty((h, w), np.float32), np.empty((h, w, 3), np.float32), np.empty((h, w), np.float32)
    _shade(plan, depth, normals, scratch)
    coverages, _ = coverage.forward(plan.points[None], plan.model.topology, h, w)
    amodal, image = coverages[0], np.empty((h, w, 3), np.uint8)
    visible = compose(canvas, colour, scratch.hit, amodal, damage.occluders, damage.seed, mask)
    develop(canvas, damage.blur, damage.gain, damage.offset, damage.noise, damage.seed, colour, image)
    (left, top), (right, bottom) = plan.box.tolist()
    truncated = left < 0.0 or top < 0.0 or right > w or bottom > h
    return View(image, mask, amodal, depth, normals, plan.camera, visible < 1.0 - OCCLUDED_FROM, truncated)


def _flat(plan: _Plan, background: Scenery | PhotoWindow, size_hw: tuple[int, int]) -> ImageDraws:
    model, camera, look, damage = plan.model, plan.camera, plan.look, plan.damage
    return ImageDraws(
        size_hw, _samples(*size_hw), camera.R, camera.t, camera.K, plan.points, plan.box, model.vertices,
        model.mesh.faces, model.normals, model.colours, model.part, model.topology, model.solid, look.materials,
        look.ambient, look.lights, background, damage.occluders, damage.blur, damage.gain, damage.offset, damage.noise,
        damage.seed, damage.jpeg_quality,
    )  # fmt: skip


def _compressed(view: View, quality: int) -> View:
    return replace(view, image=compress(view.image, quality)) if quality else view


def _project(model: Model, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """(v, 3) float32 [x_px, y_px, depth], and the lowest and highest x, y. Raises InputError for a camera inside the object."""
    points, box = np.empty(model.vertices.shape, np.float32), np.empty((2, 2))
    R, t, K = (np.ascontiguousarray(array, np.float64) for array in (camera.R, camera.t, camera.K))
    if not project(model.mesh.vertices, R, t, K, points, box) > 0.0:
        raise InputError("the object reaches behind the camera; give a camera at least half a box diagonal from it")
    return points, box


def _shade(plan: _Plan, depth: np.ndarray, normals: np.ndarray, scratch: _Scratch) -> None:
    """Depth and normals into theirs, the object's colours into scratch.colour where scratch.hit."""
    model, points, box, look = plan.model, plan.points, plan.box, plan.look
    faces, face_id, weights = model.mesh.faces, scratch.face_id, scratch.barycentric
    K, R = np.ascontiguousarray(plan.camera.K, np.float64), np.ascontiguousarray(plan.camera.R, np.float32)
    rasterise_both(points, faces, model.solid, scratch.samples, depth, face_id, scratch.fine, scratch.fine_id)
    find_truth(points, face_id, K, faces, model.normals, R, box, depth, weights, normals)
    shade(
        points, face_id, depth, weights, normals, scratch.samples, scratch.fine_id, K, R, box, model.vertices, faces,
        model.normals, model.colours, model.part, look.materials, look.ambient, look.lights, scratch.colour, scratch.hit,
    )  # fmt: skip
