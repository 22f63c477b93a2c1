"""Several objects of one photo in one camera frame (Palazzi 2018, Figures 4 and 7): `find_scene`.

    photo, masks, K ─> a shape and poses each (`library`: meshes; `learned`: a trained method) ─> one focal length for all
                    ─> what one object hides of another ─> pairs and ground ─> scene.json, scene.glb, pictures

records.py   what a scene consists of
library.py   shapes and poses by aligning meshes
learned.py   class and pose by a trained raster_pose method, in a camera that looks at the object; imports torch
fitting.py   given poses refined, measured and ranked
camera.py    one focal length for all objects
upright.py   one up axis for all objects, and shapes and poses under it
layout.py    occlusion, collisions, the ground
pictures.py  the overlay and views from elsewhere
writing.py   scene.json, scene.glb and the pictures in a folder

Torch is not imported but by `learned`.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal

import numpy as np

from monoform.alignment.aiming import aim
from monoform.errors import InputError
from monoform.interfaces import Photo
from monoform.scene import layout
from monoform.scene.camera import search_focal
from monoform.scene.fitting import make_fit, refit
from monoform.scene.records import Failed, Found, Scene, SceneObject, Wanted
from monoform.scene.upright import stand_together

__all__ = ["Failed", "Scene", "SceneObject", "Wanted", "find_scene"]

ScaledBy = Literal["unit", "ground"]
SAME_MASK, OVERLAPPING = 0.9, 0.05
"""IoU above which two masks are one object's, and share of the smaller one above which two are warned of."""


def find_scene(
    photo: Photo,
    wanted: Sequence[Wanted],
    *,
    K: np.ndarray | None = None,
    fov_deg: float | None = None,
    up_axis: str = "y",
    upright: bool = False,
    unit: str = "file",
    scaled_by: ScaledBy = "unit",
    notes: Sequence[str] = (),
) -> Scene:
    """Find every object's shape and pose in one camera frame.

    K (3, 3) in pixels of the photo, or `fov_deg`, the horizontal field of view; else the photo's EXIF tells, or one focal
    length is searched for all objects together. `up_axis`: the meshes' axis that points up. `upright`: all objects stand
    upright, so that their poses share one up axis. `scaled_by` 'unit' takes the
    sizes of the meshes as they are; 'ground' scales all but the first until they stand on the ground of the first. `notes`
    are warnings that go before those of the scene.
    An object that cannot be found is left out and told of in `failed`. Raises InputError without an object, for names or masks
    given twice, for masks of another size than the photo's, and where no object can be found, the first one's error.
    """
    clock = _Clock()
    about_masks = _checked(photo, wanted)
    wanted, found, cameras, K_source, failed = _found(photo, wanted, K, fov_deg)
    middle = cameras[len(cameras) // 2]
    clock.lap("find")
    if len(cameras) > 1:
        middle, found = _under_one_focal(photo, wanted, found, cameras, up_axis)
        clock.lap("focal length")
    if upright and len(found) > 1:
        found = stand_together(photo, wanted, found, middle, up_axis)
        clock.lap("upright")
    objects = [_object(one, of) for one, of in zip(wanted, found, strict=True)]
    if not (upright and len(found) > 1):
        objects = layout.refine_hidden(objects, middle)
        clock.lap("hidden")
    if scaled_by == "ground":
        objects = layout.scale_to_ground(objects, up_axis)
    objects = layout.measured(objects, middle)
    ground = layout.fit_ground(objects, up_axis)
    pairs = layout.compare(objects, middle, photo.size_hw)
    clock.lap("layout")
    scene = Scene(
        photo, tuple(objects), middle, K_source, unit, scaled_by, ground, tuple(pairs), (), clock.laps, tuple(failed)
    )
    return replace(scene, warnings=(*notes, *photo.warnings, *about_masks, *_doubts(scene)))


def _found(
    photo: Photo, wanted: Sequence[Wanted], K: np.ndarray | None, fov_deg: float | None
) -> tuple[list[Wanted], list[Found], tuple[np.ndarray, ...], str, list[Failed]]:
    """The objects that can be found, what was found, the cameras to try and where they come from, and the other objects."""
    kept, found, failed, errors = [], [], [], []
    cameras, K_source = (), ""
    for one in wanted:
        try:
            aimed = aim(photo, one.mask, K, fov_deg)
            cameras, K_source = aimed.cameras, aimed.K_source
            found.append(one.find(photo, one.mask, cameras[len(cameras) // 2]))
            kept.append(one)
        except InputError as error:
            failed.append(Failed(one.name, str(error)))
            errors.append(error)
    if not kept:
        raise errors[0]
    return kept, found, cameras, K_source, failed


def _checked(photo: Photo, wanted: Sequence[Wanted]) -> list[str]:
    """Warnings about masks that overlap; InputError for masks of another size, and for an object given twice."""
    if not wanted:
        raise InputError("a scene needs at least one object; give a mask or a box of each")
    for one in wanted:
        if one.mask.coverage.shape != photo.size_hw:
            h, w = one.mask.coverage.shape
            raise InputError(f"the mask of {one.name} is {w} x {h}, the photo {photo.size_hw[1]} x {photo.size_hw[0]}; "
                             "give a mask of the photo's size")  # fmt: skip
    notes = []
    foregrounds = [one.mask.coverage > 0.5 for one in wanted]
    for i, j in combinations(range(len(wanted)), 2):
        a, b = wanted[i].name, wanted[j].name
        both = np.count_nonzero(foregrounds[i] & foregrounds[j])
        areas = [np.count_nonzero(foregrounds[k]) for k in (i, j)]
        if both > SAME_MASK * (sum(areas) - both):
            raise InputError(f"the masks of {a} and {b} show the same object; give every object once")
        if a == b:
            raise InputError(f"two objects are called {a}; give each a name of its own")
        if both > OVERLAPPING * min(areas):
            notes.append(f"the masks of {a} and {b} overlap by {both / min(areas):.0%} of the smaller one")
    return notes


def _under_one_focal(
    photo: Photo, wanted: Sequence[Wanted], found: Sequence[Found], cameras: Sequence[np.ndarray], up_axis: str
) -> tuple[np.ndarray, list[Found]]:
    """The focal length for all objects, and their poses refined and ranked under it."""
    fits = [
        make_fit(photo, one.mask, of.shape.sized, cameras[0], up_axis) for one, of in zip(wanted, found, strict=True)
    ]
    K, poses = search_focal(fits, [of.alignment for of in found], cameras)
    again = [refit(fit, *of, K, "searched") for fit, of in zip(fits, poses, strict=True)]
    return K, [replace(of, alignment=one) for of, one in zip(found, again, strict=True)]


def _object(wanted: Wanted, found: Found) -> SceneObject:
    of = found.alignment
    warnings = dict.fromkeys((*wanted.mask.warnings, *of.warnings))
    return SceneObject(
        wanted.name,
        wanted.mask,
        found.shape,
        of.poses,
        of.ambiguous,
        of.ambiguity,
        of.symmetry,
        found.candidates,
        warnings=tuple(warnings),
    )


def _doubts(scene: Scene) -> list[str]:
    notes = [f"{one.name} was not found: {one.reason}" for one in scene.failed]
    notes += layout.doubts(scene.pairs, scene.objects)
    if scene.K_source == "searched":
        notes.append("the focal length is not known: it was traded against distance; give --K or --fov")
    if len(scene.objects) > 1 and not scene.ground.common:
        heights = ", ".join(f"{height:.3g}" for height in scene.ground.heights)
        notes.append(f"the objects do not stand on one plane: heights {heights}, tilts up to "
                     f"{max(scene.ground.tilts_deg):.0f} degrees; is the unit, a size or a pose wrong?")  # fmt: skip
    return notes


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now
