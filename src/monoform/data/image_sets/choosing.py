"""Parts of image sets, and two as one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from monoform.errors import InputError
from monoform.interfaces import ImageSet

PER_IMAGE = ("images", "masks", "R", "t", "K")
"""The arrays with a row an image, beside `objects`."""


def subset(images: ImageSet, rows: Sequence[int] | np.ndarray) -> ImageSet:
    """The images of these rows, in their order, with the objects that they show. Raises IndexError beyond the end."""
    rows = np.asarray(rows, np.int64).reshape(-1)
    kept, objects = np.unique(images.objects[rows], return_inverse=True)
    return replace(
        images,
        **{name: getattr(images, name)[rows] for name in PER_IMAGE},
        objects=objects.astype(np.int64),
        voxels=images.voxels[kept],
        object_ids=tuple(images.object_ids[row] for row in kept),
        categories=tuple(images.categories[row] for row in kept),
    )


def of_category(images: ImageSet, name: str) -> ImageSet:
    """The images of one category. Raises InputError if there are none."""
    rows = np.flatnonzero(np.array(images.categories)[images.objects] == name)
    if len(rows) == 0:
        known = ", ".join(sorted(set(images.categories))) or "none"
        raise InputError(f"no image of the category '{name}' in the set; it holds {known}")
    return subset(images, rows)


def join(a: ImageSet, b: ImageSet) -> ImageSet:
    """The images of a, then those of b; objects keep rows of their own. Raises InputError for sets that differ in kind."""
    for what, of_a, of_b in (
        ("images", a.images.shape[1:], b.images.shape[1:]),
        ("voxels", a.voxels.shape[1:], b.voxels.shape[1:]),
        ("kind of voxels", a.voxel_kind, b.voxel_kind),
    ):
        if of_a != of_b:
            raise InputError(f"two image sets whose {what} differ, {of_a} and {of_b}; make both with the same settings")
    return replace(
        a,
        **{name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in PER_IMAGE},
        objects=np.concatenate([a.objects, b.objects + len(a.object_ids)]),
        voxels=np.concatenate([a.voxels, b.voxels]),
        object_ids=(*a.object_ids, *b.object_ids),
        categories=(*a.categories, *b.categories),
        made_by={"joined": [a.made_by, b.made_by]},
    )
