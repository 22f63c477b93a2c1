"""Image sets drawn from shapes: turntables as Liao et al. 2019 train on, weak perspective as Zhu et al. 2017."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.data.procedural.shapes import CATEGORIES
from monoform.data.readers.models import Models, open_models
from monoform.data.rendering.augment import CLEAN, AugmentSettings
from monoform.data.rendering.backgrounds import PhotoFolder, Photos, PlainColour
from monoform.data.rendering.drawing import RenderSettings, render_batch
from monoform.data.rendering.models import Entry, Model, ModelLibrary, Recipe
from monoform.data.rendering.poses import EDGE, PRESETS, Camera, intrinsics, viewpoint
from monoform.data.rendering.shading import LookSettings
from monoform.data.view_priors import view_prior
from monoform.data.voxel_targets import random_scale
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.meshes import Mesh
from monoform.projection.kernels import threads
from monoform.results import plain
from monoform.voxels import voxelise

AZIMUTH_STEP = 15.0
"""Degrees between the views of a turntable: 24 all round."""
DISTANCES = (3.0, 10.0)
"""Of the camera in a weak set, in grid sides: near enough for some perspective, too far for it to tell the depth."""
LARGEST_SHIFT = 0.1
"""Of the object in a weak set from the optical axis, in grid sides."""
UPRIGHT = {"azimuth": (0.0, 360.0), "elevation": (-10.0, 40.0), "tilt": (-5.0, 5.0)}
"""Ranges of 'upright' viewpoints, degrees."""
_BATCH = 32
"""Objects that are ready at once."""


@dataclass(frozen=True)
class Style:
    """What the images of a set look like."""

    look: LookSettings = field(default_factory=LookSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    photo_share: float = 0.8
    """Images before a photo, where there is a folder of them."""


RENDERED = Style()
"""The renderer's own look."""
OTHER_LOOK = Style(
    LookSettings(own_colours=0.0, textured=0.9, lights=(1, 1), point_lights=1.0, glossy=0.0),
    AugmentSettings(blurred=0.8, blur=(0.5, 1.5), gain=(0.7, 1.1), offset=(-20.0, 10.0), noise=(3.0, 10.0), jpeg=0.6),
    photo_share=1.0,
)
"""A look that RENDERED does not have: dull and textured, one near light, dark, blurred, noisy, compressed."""


# --- shapes ------------------------------------------------------------------------------------------------------


def shapes_for(category: str, count: int, first_seed: int) -> tuple[list[Entry], list[str]]:
    """Procedural recipes with the seeds from `first_seed` on, and their ids: sets of other seeds share no shape."""
    if category not in CATEGORIES:
        raise InputError(f"no shapes of the category '{category}'; give one of {', '.join(CATEGORIES)}")
    if count < 1 or first_seed < 0:
        raise InputError(f"{count} shapes from seed {first_seed}; give at least one and a seed of 0 or more")
    recipes = [Recipe(category, first_seed + number) for number in range(count)]
    return list(recipes), [f"{category}-{recipe.seed:06d}" for recipe in recipes]


def models_for(root: Path, category: str, split: str | None) -> tuple[list[Entry], list[str]]:
    """The meshes of a folder with a manifest.json (`readers.models`) and their ids. split None: all.

    Raises InputError if there is none, or a file is damaged or not the one of the manifest.
    """
    source = open_models(Path(root), split=split, category=category)
    if not isinstance(source, Models):
        raise InputError(f"{root}: its manifest.json lists photos; give a folder of models")
    meshes = [source.load(index).mesh for index in range(len(source.listed))]
    return [mesh for mesh in meshes if mesh is not None], [item.id for item in source.listed]


# --- sets --------------------------------------------------------------------------------------------------------


def render_turntable(
    entries: Sequence[Entry],
    categories: Sequence[str],
    object_ids: Sequence[str],
    *,
    size: int,
    views: int,
    seed: int,
    side: int = 32,
    kind: str = "shell",
    elevations: Sequence[float] = (30.0,),
    background: Literal["white", "scenery", "photos"] = "white",
    backgrounds: Path | None = None,
) -> ImageSet:
    """Views of each shape from a turntable, clean, with the voxels of the unscaled canonical mesh (Liao et al. 2019, 4).

    The camera is that of Multi-view Consistency (Tulsiani et al. 2018): focal length 1.875 image sides, principal point in
    the middle, 2 box diagonals away; azimuths are multiples of 15 degrees, no two views of a shape the same.
    size: image side in pixels. side: cells of the grid. backgrounds: the folder for background 'photos'.
    An image depends on its shape's id, its number and the seed alone. Raises InputError for what there is not.
    """
    _check(entries, categories, object_ids, size, views, seed)
    angles = [(AZIMUTH_STEP * k, float(e)) for e in elevations for k in range(round(360.0 / AZIMUTH_STEP))]
    if views > len(angles):
        raise InputError(f"{views} views of a turntable with {len(angles)}; give fewer views or more elevations")
    if background not in ("white", "scenery", "photos"):
        raise InputError(f"no background '{background}'; give white, scenery or photos")
    if (background == "photos") != (backgrounds is not None):
        raise InputError(f"background '{background}' with the folder {backgrounds}; a folder goes with 'photos'")
    mvc = PRESETS["mvc"]
    K, t = intrinsics(mvc.field_of_view, (size, size)), np.array([0.0, 0.0, mvc.distance])

    def view_of(model: Model, category: str, name: int) -> _Placed:
        grid = voxelise(model.mesh, side, kind)
        chosen = np.random.default_rng((name, 0, 2)).permutation(len(angles))[:views]
        around = [viewpoint(azimuth, elevation, 0.0) for azimuth, elevation in (angles[k] for k in chosen)]
        return _Placed(1.0, grid, [Camera(R, t, K) for R in around])

    folder = _opened(backgrounds)
    made_by = {"elevations": list(map(float, elevations)), "background": background, "backgrounds": _record(folder)}
    # The renderer puts a photo or scenery behind an object; a plain background is a photo of nothing.
    behind = PlainColour((255, 255, 255)) if background == "white" else folder
    settings = RenderSettings((size, size), augment=CLEAN, photo_share=1.0)
    drawn = _draw(entries, categories, object_ids, view_of, settings, behind, views, seed, side)
    made_by = {"function": "render_turntable", **_common(size, views, seed, side), **made_by}
    return _image_set(drawn, categories, object_ids, kind, made_by)


def render_weak(
    entries: Sequence[Entry],
    categories: Sequence[str],
    object_ids: Sequence[str],
    *,
    size: int,
    views: int,
    seed: int,
    side: int = 30,
    kind: str = "solid",
    scales: tuple[float, float] = (0.6, 1.0),
    viewpoints: Literal["prior", "upright", "any"] = "prior",
    photos: Path | None = None,
    style: Style = RENDERED,
) -> ImageSet:
    """Views of each shape, nearly in weak perspective, with its voxels (Zhu et al. 2017, 3.1 and 4.1).

    Each object has one scale factor, drawn from its id, and its voxels have it too: how large the object is in the image is
    part of its shape, not of its pose. One grid side at the object's centre spans the image; `t` is the shift in the image
    plane, at most 0.1 and such that the silhouette stays inside, and the distance. Occluders leave masks whole.
    viewpoints: 'prior', the category's view prior (InputError where there is none), 'upright' or 'any'. photos: a folder
    of backgrounds; procedural scenery without. style: what the images look like.
    """
    _check(entries, categories, object_ids, size, views, seed)
    if viewpoints not in ("prior", "upright", "any"):
        raise InputError(f"no viewpoints '{viewpoints}'; give prior, upright or any")
    if not 0.0 < scales[0] <= scales[1] <= 1.0:
        raise InputError(f"scales from {scales[0]} to {scales[1]}; give 0 < low <= high <= 1")

    def view_of(model: Model, category: str, name: int) -> _Placed:
        scale = random_scale(np.random.default_rng((name, 0, 2)), *scales)
        mesh = Mesh(scale * model.mesh.vertices, model.mesh.faces)
        grid = voxelise(mesh, side, kind)
        generators = [np.random.default_rng((name, view, 1)) for view in range(views)]
        cameras = [_weak_camera(rng, _rotation(rng, viewpoints, category), mesh.vertices, size) for rng in generators]
        return _Placed(scale, grid, cameras)

    folder = _opened(photos)
    settings = RenderSettings((size, size), look=style.look, augment=style.augment, photo_share=style.photo_share)
    drawn = _draw(entries, categories, object_ids, view_of, settings, folder, views, seed, side)
    made_by = {"scales": list(scales), "viewpoints": viewpoints, "photos": _record(folder), "style": asdict(style)}
    made_by = {"function": "render_weak", **_common(size, views, seed, side), **made_by}
    return _image_set(drawn, categories, object_ids, kind, made_by)


def _rotation(rng: np.random.Generator, viewpoints: str, category: str) -> np.ndarray:
    if viewpoints == "any":
        return Rotation.from_quat(rng.normal(size=4)).as_matrix()
    if viewpoints == "prior":
        return viewpoint(*view_prior(category).sample(rng))
    return viewpoint(*(rng.uniform(*limits) for limits in UPRIGHT.values()))


def _weak_camera(rng: np.random.Generator, R: np.ndarray, vertices: np.ndarray, size: int) -> Camera:
    """A camera in grid sides. The shifts are those that keep every vertex inside; none is left where the object fills all."""
    distance = rng.uniform(*DISTANCES)
    turned = vertices @ R.T
    half = (0.5 - EDGE) * (1.0 + turned[:, 2:] / distance)
    lowest, highest = (-half - turned[:, :2]).max(axis=0), (half - turned[:, :2]).min(axis=0)
    low, high = np.clip(lowest, -LARGEST_SHIFT, LARGEST_SHIFT), np.clip(highest, -LARGEST_SHIFT, LARGEST_SHIFT)
    shift = np.where(lowest < highest, rng.uniform(low, np.maximum(low, high)), (lowest + highest) / 2.0)
    focal = distance * size
    K = np.array([[focal, 0.0, size / 2.0], [0.0, focal, size / 2.0], [0.0, 0.0, 1.0]])
    return Camera(R, np.array([*shift, distance]), K)


# --- drawing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Placed:
    """An object in its grid, and the cameras around it, in grid sides."""

    scale: float
    grid: np.ndarray
    cameras: list[Camera]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The arrays of a set; views of an object stand together."""

    images: np.ndarray
    masks: np.ndarray
    R: np.ndarray
    t: np.ndarray
    K: np.ndarray
    voxels: np.ndarray


def _check(
    entries: Sequence[Entry], categories: Sequence[str], object_ids: Sequence[str], size: int, views: int, seed: int
) -> None:
    if not len(entries) == len(categories) == len(object_ids) > 0:
        raise InputError(f"{len(entries)} shapes, {len(categories)} categories, {len(object_ids)} ids; give one each")
    if len(set(object_ids)) < len(object_ids):
        raise InputError("two shapes have one id, so their images would have the same draws; give ids that differ")
    if size < 8 or views < 1 or seed < 0:
        raise InputError(f"size {size}, views {views}, seed {seed}; give at least 8, 1 and 0")


def _draw(
    entries: Sequence[Entry],
    categories: Sequence[str],
    object_ids: Sequence[str],
    view_of: Callable[[Model, str, int], _Placed],
    settings: RenderSettings,
    photos: Photos | None,
    views: int,
    seed: int,
    side: int,
) -> _Drawn:
    """All images, some objects at a time. Masks are what the object covers, behind occluders too."""
    (size, _), count, n = settings.size_hw, len(entries), len(entries) * views
    drawn = _Drawn(
        np.empty((n, size, size, 3), np.uint8), np.empty((n, size, size), np.uint8), np.empty((n, 3, 3), np.float32),
        np.empty((n, 3), np.float32), np.empty((n, 3, 3), np.float32), np.empty((count, side, side, side), bool),
    )  # fmt: skip
    library = ModelLibrary(entries, categories, capacity=_BATCH)
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        names = [_name(seed, object_ids[number]) for number in numbers]

        def placed(first: int, stop: int, numbers: range = numbers, names: list[int] = names) -> list[_Placed]:
            part = zip(numbers[first:stop], names[first:stop], strict=True)
            return [view_of(library.model(number), categories[number], name) for number, name in part]

        spans = threads.run([partial(placed, *span) for span in threads.spans(len(numbers))])
        found = [one for span in spans for one in span]
        models = [library.model(number) for number in numbers for _ in range(views)]
        seeds = [(name, view) for name in names for view in range(views)]
        # The renderer counts in box diagonals, and a diagonal is `scale` grid sides long.
        cameras = [Camera(c.R, c.t / one.scale, c.K) for one in found for c in one.cameras]
        for i, view in enumerate(render_batch(models, seeds, settings, photos=photos, cameras=cameras)):
            drawn.images[start * views + i] = view.image
            drawn.masks[start * views + i] = np.rint(255.0 * view.amodal)
        for number, one in zip(numbers, found, strict=True):
            rows = slice(number * views, (number + 1) * views)
            drawn.voxels[number] = one.grid
            drawn.R[rows], drawn.t[rows], drawn.K[rows] = (
                [getattr(camera, name) for camera in one.cameras] for name in ("R", "t", "K")
            )
    return drawn


def _image_set(
    drawn: _Drawn, categories: Sequence[str], object_ids: Sequence[str], kind: str, made_by: dict[str, Any]
) -> ImageSet:
    objects = np.repeat(np.arange(len(object_ids)), len(drawn.images) // len(object_ids))
    return ImageSet(
        drawn.images, drawn.masks, drawn.R, drawn.t, drawn.K, objects, drawn.voxels,
        tuple(object_ids), tuple(categories), kind, plain(made_by),
    )  # fmt: skip


def _name(seed: int, object_id: str) -> int:
    """A number for a shape of a set, for the generators of all its draws."""
    return int(np.random.SeedSequence([seed, *object_id.encode()]).generate_state(1, np.uint64)[0])


def _common(size: int, views: int, seed: int, side: int) -> dict[str, Any]:
    return {"size": size, "views": views, "seed": seed, "side": side}


def _opened(folder: Path | None) -> PhotoFolder | None:
    return None if folder is None else PhotoFolder(folder)


def _record(folder: PhotoFolder | None) -> dict[str, Any] | None:
    return None if folder is None else folder.record()
