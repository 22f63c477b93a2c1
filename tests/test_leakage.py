"""What a run has seen, and the refusal of sets that share objects or images with it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monoform.data.image_sets import join, save_images, subset
from monoform.data.image_sets.leakage import load_known, refuse_shared, seen_record
from monoform.errors import InputError
from monoform.interfaces import ImageSet


def small(seed: int, *ids: str, category: str = "car") -> ImageSet:
    """Two noisy images of each object, without voxels."""
    n, m = 2 * len(ids), len(ids)
    rng = np.random.default_rng(seed)
    nan = np.full((n, 3, 3), np.nan, np.float32)
    return ImageSet(
        rng.integers(0, 255, (n, 8, 8, 3), np.uint8), np.zeros((n, 8, 8), np.uint8), nan, nan[:, 0], nan,
        np.repeat(np.arange(m), 2), np.zeros((m, 0, 0, 0), bool), ids, (category,) * m, "", {"function": "small"},
    )  # fmt: skip


def test_sets_apart_pass_and_what_is_shared_is_named() -> None:
    train = small(0, "a", "b")
    seen = json.loads(json.dumps(seen_record({"train": train, "natural": small(1, "c")})))
    refuse_shared(small(2, "d", "e"), "the validation set", seen)
    refuse_shared(small(2, "a", category="chair"), "the validation set", seen)
    with pytest.raises(InputError, match=r"the test set: 1 of its 2 objects, such as 'b', are in the train set too"):
        refuse_shared(small(3, "d", "b"), "the test set", seen)
    with pytest.raises(InputError, match="'c', are in the natural set too"):
        refuse_shared(small(3, "c"), "the test set", seen)
    renamed = replace(train, object_ids=("x", "y"))
    with pytest.raises(InputError, match="1 of its 3 images, such as number 2, are in the train set too"):
        refuse_shared(subset(join(small(4, "z"), renamed), [0, 1, 4]), "the test set", seen)


def test_a_damaged_record_is_told() -> None:
    with pytest.raises(InputError, match="record of its train set is damaged"):
        refuse_shared(small(0, "a"), "the test set", {"train": {"objects": "?"}})


def test_sets_that_were_made_alike_of_other_shapes_are_told_apart(tmp_path: Path) -> None:
    for name, images in (("one", small(0, "a")), ("two", small(1, "a")), ("same", small(0, "a"))):
        save_images(images, tmp_path / name)
    one, two, same = (load_known(tmp_path / name).made_by for name in ("one", "two", "same"))
    assert one == same
    assert one != two
    assert one["function"] == "small"
