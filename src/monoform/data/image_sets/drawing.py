"""Image sets drawn from shapes: turntables as Liao et al. 2019 train on, weak perspective as Zhu et al. 2017."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from monoform.data.image_sets.making import DrawnObjects, Numbers, Placed, make_set, open_photos, photos_record
from monoform.data.procedural.shapes import CATEGORIES, KINDS
from monoform.data.readers.models import Models, open_models
from monoform.data.rendering.augment import CLEAN, AugmentSettings
from monoform.data.rendering.backgrounds import PlainColour
from monoform.data.rendering.drawing import RenderSettings
from monoform.data.rendering.models import Entry, Model, Recipe
from monoform.data.rendering.poses import EDGE, PRESETS, Camera, intrinsics, viewpoint
from monoform.data.rendering.shading import LookSettings
from monoform.data.view_priors import view_prior
from monoform.data.voxel_targets import random_scale
from monoform.errors import InputError
from monoform.interfaces import ImageSet
from monoform.meshes import Mesh
from monoform.voxels import voxelise

AZIMUTH_STEP = 15.0
"""Degrees between the views of a turntable: 24 all round."""
DISTANCES = (3.0, 10.0)
"""Of the camera in a weak set, in grid sides: near enough for some perspective, too far for it to tell the depth."""
LARGEST_SHIFT = 0.1
"""Of the object in a weak set from the optical axis, in grid sides."""
UPRIGHT = {"azimuth": (0.0, 360.0), "elevation": (-10.0, 40.0), "tilt": (-5.0, 5.0)}
"""Ranges of 'upright' viewpoints, degrees."""


@dataclass(frozen=True)
class Style:
    """What the images of a set look like."""

    look: LookSettings = field(default_factory=LookSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    photo_share: float = 0.8
    """Images before a photo, where there is a folder of them."""


RENDERED = Style(LookSettings(own_colours=0.9), CLEAN)
"""As Su et al. 2015 render: mostly the models' own colours, random lamps, photos behind; nothing hides or blurs them."""
OTHER_LOOK = Style(
    LookSettings(own_colours=0.0, textured=0.9, lights=(1, 1), point_lights=1.0, glossy=0.0),
    AugmentSettings(blurred=0.8, blur=(0.5, 1.5), gain=(0.7, 1.1), offset=(-20.0, 10.0), noise=(3.0, 10.0), jpeg=0.6),
    photo_share=1.0,
)
"""A look that RENDERED does not have: dull and textured, one near light, dark, hidden in part, blurred, noisy, compressed."""


# --- shapes ------------------------------------------------------------------------------------------------------


def shapes_for(category: str, count: int, first_seed: int, kind: str | None = None) -> tuple[list[Entry], list[str]]:
    """Procedural recipes with the seeds from `first_seed` on, and their ids: sets of other seeds share no shape.

    kind: one of the category's kinds; None for all, as common as they are.
    """
    if category not in CATEGORIES:
        raise InputError(f"no shapes of the category '{category}'; give one of {', '.join(CATEGORIES)}")
    if kind is not None and kind not in KINDS[category]:
        raise InputError(f"no {category} of the kind '{kind}'; give one of {', '.join(KINDS[category])}")
    if count < 1 or first_seed < 0:
        raise InputError(f"{count} shapes from seed {first_seed}; give at least one and a seed of 0 or more")
    recipes = [Recipe(category, first_seed + number, kind) for number in range(count)]
    name = category if kind is None else f"{category}-{kind}"
    return list(recipes), [f"{name}-{recipe.seed:06d}" for recipe in recipes]


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
    objects: DrawnObjects,
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
    numbers = Numbers(size, views, seed, side)
    angles = [(AZIMUTH_STEP * k, float(e)) for e in elevations for k in range(round(360.0 / AZIMUTH_STEP))]
    if views > len(angles):
        raise InputError(f"{views} views of a turntable with {len(angles)}; give fewer views or more elevations")
    if background not in ("white", "scenery", "photos"):
        raise InputError(f"no background '{background}'; give white, scenery or photos")
    if (background == "photos") != (backgrounds is not None):
        raise InputError(f"background '{background}' with the folder {backgrounds}; a folder goes with 'photos'")
    mvc = PRESETS["mvc"]
    K, t = intrinsics(mvc.field_of_view, (size, size)), np.array([0.0, 0.0, mvc.distance])

    def view_of(model: Model, category: str, name: int) -> Placed:
        grid = voxelise(model.mesh, side, kind)
        chosen = np.random.default_rng((name, 0, 2)).permutation(len(angles))[:views]
        around = [viewpoint(azimuth, elevation, 0.0) for azimuth, elevation in (angles[k] for k in chosen)]
        return Placed(1.0, grid, [Camera(R, t, K) for R in around])

    folder = open_photos(backgrounds)
    made_by = {"function": "render_turntable", "elevations": list(map(float, elevations)), "background": background}
    # The renderer puts a photo or scenery behind an object; a plain background is a photo of nothing.
    behind = PlainColour((255, 255, 255)) if background == "white" else folder
    settings = RenderSettings((size, size), augment=CLEAN, photo_share=1.0)
    made_by["backgrounds"] = photos_record(folder)
    return make_set(objects, numbers, view_of, settings, behind, kind, made_by)


def render_weak(
    objects: DrawnObjects,
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
    part of its shape, not of its pose. A factor of 1 is the largest at which the object, however it is turned about the middle
    of its box, stays in the grid. One grid side at the object's centre spans the image; `t` is the shift in the image plane,
    at most 0.1 and such that the silhouette stays inside, and the distance. Occluders leave masks whole.
    viewpoints: 'prior', the category's view prior (InputError where there is none), 'upright' or 'any'. photos: a folder
    of backgrounds; procedural scenery without. style: what the images look like.
    """
    numbers = Numbers(size, views, seed, side)
    if viewpoints not in ("prior", "upright", "any"):
        raise InputError(f"no viewpoints '{viewpoints}'; give prior, upright or any")
    if not 0.0 < scales[0] <= scales[1] <= 1.0:
        raise InputError(f"scales from {scales[0]} to {scales[1]}; give 0 < low <= high <= 1")

    def view_of(model: Model, category: str, name: int) -> Placed:
        largest = 0.5 / np.linalg.norm(model.mesh.vertices, axis=1).max()
        scale = largest * random_scale(np.random.default_rng((name, 0, 2)), *scales)
        mesh = Mesh(scale * model.mesh.vertices, model.mesh.faces)
        grid = voxelise(mesh, side, kind)
        generators = [np.random.default_rng((name, view, 1)) for view in range(views)]
        cameras = [_weak_camera(rng, _rotation(rng, viewpoints, category), mesh.vertices, size) for rng in generators]
        return Placed(scale, grid, cameras)

    folder = open_photos(photos)
    settings = RenderSettings((size, size), look=style.look, augment=style.augment, photo_share=style.photo_share)
    made_by = {"function": "render_weak", "scales": list(scales), "viewpoints": viewpoints}
    made_by |= {"photos": photos_record(folder), "style": asdict(style)}
    return make_set(objects, numbers, view_of, settings, folder, kind, made_by)


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
