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
    """The images of a, then those of b. An object with the category, id and voxels of one of a is that one.

    One that differs in voxels alone, such as in its scale, keeps a row of its own. Raises InputError for sets that differ
    in kind.
    """
    for what, of_a, of_b in (
        ("images", a.images.shape[1:], b.images.shape[1:]),
        ("voxels", a.voxels.shape[1:], b.voxels.shape[1:]),
        ("kind of voxels", a.voxel_kind, b.voxel_kind),
    ):
        if of_a != of_b:
            raise InputError(f"two image sets whose {what} differ, {of_a} and {of_b}; make both with the same settings")
    rows, new = _rows_in(a, b)
    return replace(
        a,
        **{name: np.concatenate([getattr(a, name), getattr(b, name)]) for name in PER_IMAGE},
        objects=np.concatenate([a.objects, rows[b.objects]]),
        voxels=np.concatenate([a.voxels, b.voxels[new]]),
        object_ids=(*a.object_ids, *(b.object_ids[number] for number in new)),
        categories=(*a.categories, *(b.categories[number] for number in new)),
        made_by={"joined": [a.made_by, b.made_by]},
    )


def _rows_in(a: ImageSet, b: ImageSet) -> tuple[np.ndarray, list[int]]:
    """Where the objects of b are in the joined set, and which of them a has not.

    With two rows one object could be learnt from in one and held back in the other, and would count twice in an interval.
    """
    known: dict[tuple[str, str], list[int]] = {}
    for row, name in enumerate(zip(a.categories, a.object_ids, strict=True)):
        known.setdefault(name, []).append(row)
    rows, new = np.empty(len(b.object_ids), np.int64), []
    for number, name in enumerate(zip(b.categories, b.object_ids, strict=True)):
        same = [row for row in known.get(name, []) if np.array_equal(a.voxels[row], b.voxels[number])]
        rows[number] = same[0] if same else len(a.object_ids) + len(new)
        if not same:
            new.append(number)
    return rows, new
