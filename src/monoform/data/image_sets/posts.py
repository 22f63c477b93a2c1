"""Image sets from cameras on a grid of posts around the object, as Palazzi et al. 2018 train on."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np

from monoform.data.image_sets.drawing import RENDERED, Style
from monoform.data.image_sets.making import DrawnObjects, Numbers, Placed, make_set, open_photos, photos_record
from monoform.data.rendering.drawing import RenderSettings
from monoform.data.rendering.models import Model
from monoform.data.rendering.poses import EDGE, Camera
from monoform.data.voxel_targets import make_target
from monoform.errors import InputError
from monoform.interfaces import ImageSet

POSTS, POSTS_REACH = 10, 2.0
"""Posts along a side of their grid, and how far the outermost stand from the middle; lengths are in longest object sides.

Paper: the grid's size is not told. Here: a car's side spans 0.4 of the picture at the far posts, nearly all at the near."""
HEIGHT = 1.5 / 6.0
"""Of the cameras over the object's centre: 1.5 beside an object whose longest side is 6."""
TARGETS, TARGETS_REACH = 3, 0.25
"""The same of the points that cameras look at, in the plane of the object's centre.

Paper: not told. Here: so near that most posts see the whole object whichever point they look at."""
CLEARANCE = 0.5
"""Least distance of a camera from the object's box. Paper: not told; a post within the object sees nothing of it."""
FOCAL = 35.0 / 32.0
"""In image sides: Blender's default lens and sensor, mm."""
_GRIDS = ((POSTS, POSTS_REACH), (TARGETS, TARGETS_REACH))
_CORNERS = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


def render_posts(
    objects: DrawnObjects,
    *,
    size: int,
    views: int,
    seed: int,
    side: int = 32,
    kind: str = "solid",
    places: Literal["posts", "anywhere"] = "posts",
    photos: Path | None = None,
    style: Style = RENDERED,
) -> ImageSet:
    """Views of each shape from posts around it, with its voxels (Palazzi et al. 2018, 4.1).

    A grid side is the longest side of the object's box, so that the object fills its grid from end to end. A camera stands
    on a random post of 10 x 10 at height 0.25 and looks at a random point of 3 x 3 at height 0, upright; it is drawn again
    if it stands in or near the object, or if the object's box is not wholly in the picture. K is that of the whole image.
    objects: their categories are classes. places: 'anywhere' takes points between those of both grids too, so that sets
    share no pose. photos: a folder of backgrounds; procedural scenery without. style: what the images look like.
    An image depends on its shape's id, its number and the seed alone. Raises InputError for what there is not.
    """
    numbers = Numbers(size, views, seed, side)
    if places not in ("posts", "anywhere"):
        raise InputError(f"no places '{places}'; give posts or anywhere")
    K = np.array([[FOCAL * size, 0.0, size / 2.0], [0.0, FOCAL * size, size / 2.0], [0.0, 0.0, 1.0]])

    def view_of(model: Model, category: str, name: int) -> Placed:
        extents = np.ptp(model.mesh.vertices, axis=0)
        box = extents / extents.max()
        generators = [np.random.default_rng((name, view, 1)) for view in range(views)]
        cameras = [_camera(rng, box, K, places) for rng in generators]
        return Placed(1.0 / extents.max(), make_target(model.mesh, side, kind, fill=1.0).grid, cameras)

    folder = open_photos(photos)
    settings = RenderSettings((size, size), look=style.look, augment=style.augment, photo_share=style.photo_share)
    made_by = {"function": "render_posts", "places": places, "photos": photos_record(folder), "style": asdict(style)}
    return make_set(objects, numbers, view_of, settings, folder, kind, made_by)


def _camera(rng: np.random.Generator, box: np.ndarray, K: np.ndarray, places: str) -> Camera:
    """The first camera drawn that may stay; the outermost posts see any box of longest side 1, so that there is one."""
    while True:
        (x, z), (at_x, at_z) = (_place(rng, *grid, places) for grid in _GRIDS)
        eye, target = np.array([x, HEIGHT, z]), np.array([at_x, 0.0, at_z])
        clear = np.linalg.norm(np.maximum(np.abs(eye) - box / 2.0, 0.0)) >= CLEARANCE
        camera = look_at(eye, target, K)
        if clear and _sees(camera, box):
            return camera


def _place(rng: np.random.Generator, count: int, reach: float, places: str) -> np.ndarray:
    """(2,) x and z of a point of a square grid, or of any within its square."""
    share = rng.random(2) if places == "anywhere" else rng.integers(count, size=2) / (count - 1)
    return reach * (2.0 * share - 1.0)


def look_at(eye: np.ndarray, target: np.ndarray, K: np.ndarray) -> Camera:
    """The upright camera at `eye` (3,) that sees `target` (3,) in the middle; it must not look straight up or down."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 1.0, 0.0))
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(forward, right), forward])
    return Camera(R, -R @ eye, K)


def _sees(camera: Camera, box: np.ndarray) -> bool:
    """Whether all corners of a box (3,) about the origin lie before the camera and in its picture, off the edges."""
    points = (_CORNERS * box / 2.0) @ camera.R.T + camera.t
    # As shares of the picture's side from its middle.
    shares = FOCAL * points[:, :2] / points[:, 2:]
    return bool((points[:, 2] > 0.0).all() and (np.abs(shares) <= 0.5 - EDGE).all())
