"""Shapes for a scene's objects out of meshes: `alignment` picks the mesh and the pose."""

from collections.abc import Sequence

import numpy as np

from monoform.alignment import align, align_library
from monoform.errors import InputError
from monoform.interfaces import Mask, Photo
from monoform.scene.records import Candidate, Finder, Found, Shape


def from_meshes(shapes: Sequence[Shape], *, upright: bool, up_axis: str, seed: int, max_poses: int) -> Finder:
    """A finder that tries every shape; options as in `alignment.align`. Raises InputError without a shape."""
    if not shapes:
        raise InputError("no mesh to look for; give at least one")

    def find(photo: Photo, mask: Mask, K: np.ndarray) -> Found:
        if len(shapes) == 1:
            found = align(
                photo, shapes[0].sized, mask=mask, K=K, upright=upright, up_axis=up_axis, seed=seed, max_poses=max_poses
            )
            return Found(shapes[0], found)
        # The names of a library's files are its own affair: shapes are told apart by their numbers.
        meshes = [(str(number), shape.sized) for number, shape in enumerate(shapes)]
        tried = align_library(
            photo, meshes, mask=mask, K=K, upright=upright, up_axis=up_axis, seed=seed, max_poses=max_poses
        )
        candidates = tuple(
            Candidate(shapes[int(number)].name, one.poses[0].iou, one.poses[0].contour_px, float("nan"))
            for number, one in tried
        )
        (best, found), *others = ((shapes[int(number)], one) for number, one in tried)
        return Found(best, found, candidates, tuple(others))

    return find
