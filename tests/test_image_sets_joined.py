"""Two image sets as one whose objects share ids."""

from dataclasses import replace

import numpy as np
import pytest

from image_set_cases import same
from monoform.data.image_sets import join, load_images, of_category, save_images, subset
from monoform.data.image_sets.leakage import object_hashes, refuse_shared, seen_record
from monoform.errors import InputError
from monoform.interfaces import ImageSet


def small(seed: int, *objects: tuple[str, str, int]) -> ImageSet:
    """Two noisy images of each object: its category, its id, and how many cells are filled."""
    n, m = 2 * len(objects), len(objects)
    rng = np.random.default_rng(seed)
    voxels = np.zeros((m, 4, 4, 4), bool)
    for grid, (_, _, filled) in zip(voxels, objects, strict=True):
        grid.reshape(-1)[:filled] = True
    matrices = rng.normal(size=(n, 3, 3)).astype(np.float32)
    return ImageSet(
        rng.integers(0, 255, (n, 8, 8, 3), np.uint8), rng.integers(0, 255, (n, 8, 8), np.uint8), matrices, matrices[:, 0],
        matrices, np.arange(n) % m, voxels, tuple(name for _, name, _ in objects), tuple(c for c, _, _ in objects), "solid",
        {"seed": seed},
    )  # fmt: skip


A = small(0, ("car", "a", 10), ("car", "b", 20), ("chair", "a", 30))
B = small(1, ("car", "c", 40), ("car", "b", 20), ("chair", "a", 31), ("bus", "b", 20))


def test_an_object_of_both_is_one_and_all_images_keep_theirs() -> None:
    """b, the car, is in both; a, the chair, has other voxels there; b, the bus, is no car."""
    both = join(A, B)
    assert both.object_ids == ("a", "b", "a", "c", "a", "b")
    assert both.categories == ("car", "car", "chair", "car", "chair", "bus")
    assert both.objects.tolist() == [0, 1, 2, 0, 1, 2, 3, 1, 4, 5, 3, 1, 4, 5]
    for part, start in ((A, 0), (B, len(A))):
        rows = np.arange(start, start + len(part))
        np.testing.assert_array_equal(both.voxels[both.objects[rows]], part.voxels[part.objects])
        for i, row in enumerate(rows):
            found, was = both.objects[row], part.objects[i]
            assert (both.object_ids[found], both.categories[found]) == (part.object_ids[was], part.categories[was])
    np.testing.assert_array_equal(both.images, np.concatenate([A.images, B.images]))
    np.testing.assert_array_equal(both.t, np.concatenate([A.t, B.t]))
    assert both.made_by == {"joined": [{"seed": 0}, {"seed": 1}]}


def test_a_set_joined_to_itself_has_no_new_object_and_joining_goes_on() -> None:
    twice = join(A, A)
    assert (len(twice), twice.object_ids) == (12, A.object_ids)
    both = join(A, B)
    assert join(both, B).object_ids == both.object_ids
    assert join(both, B).objects.tolist() == [*both.objects.tolist(), 3, 1, 4, 5, 3, 1, 4, 5]


def test_parts_files_and_leakage_of_a_joined_set(tmp_path) -> None:
    both = join(A, B)
    chairs = of_category(both, "chair")
    assert chairs.object_ids == ("a", "a")
    assert chairs.voxels.sum((1, 2, 3)).tolist() == [30, 31]
    assert same(subset(both, range(len(A))), A)
    save_images(both, tmp_path / "both")
    assert same(load_images(tmp_path / "both"), both)
    assert len(np.unique(object_hashes(both))) == 5, "the two chairs are one object"
    seen = seen_record({"train": A})
    with pytest.raises(InputError, match="such as 'b', are in the train set too"):
        refuse_shared(subset(both, [1 + len(A)]), "the test set", seen)
    refuse_shared(subset(both, [len(A)]), "the test set", seen)


def test_photos_of_an_object_in_two_sets_are_of_one_object() -> None:
    """Else some could be learnt from and others held back."""
    photos = [replace(one, voxels=np.zeros((len(one.object_ids), 0, 0, 0), bool), voxel_kind="") for one in (A, B)]
    both = join(*photos)
    assert both.object_ids == ("a", "b", "a", "c", "b")
    assert both.objects.tolist() == [0, 1, 2, 0, 1, 2, 3, 1, 2, 4, 3, 1, 2, 4]
