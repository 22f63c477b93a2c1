"""SUN's folders of background photos: what is there comes back, lists are followed, damage is named."""

import numpy as np
import pytest
from photo_fixtures import picture, refusal, save, write_text

from monoform.data.readers.sun import open_sun
from monoform.data.samples import Source


@pytest.fixture
def root(tmp_path):
    for name in ("a/abbey/sun_1.jpg", "a/abbey/sun_2.jpg", "b/barn/sun_3.png"):
        save(picture((40, 60)), tmp_path / name)
    write_text(tmp_path / "ClassName.txt", "/a/abbey\n")
    return tmp_path


def test_photos_come_back_in_order(root):
    source = open_sun(root)
    assert isinstance(source, Source)
    assert [item.id for item in source.items()] == ["a-abbey-sun_1", "a-abbey-sun_2", "b-barn-sun_3"]
    assert {item.category for item in source.items()} == {""}
    assert (source.load(2).image == picture((40, 60))).all()
    assert source.load(2).mask is None
    assert len(open_sun(root, category="abbey").items()) == 2
    assert len(open_sun(root, category="b/barn").items()) == 1
    assert "'bar'" in refusal(lambda: open_sun(root, category="bar"))


@pytest.mark.parametrize("folder", ["", "Partitions/"])
def test_the_first_partition_gives_the_splits(root, folder):
    write_text(root / f"{folder}Training_01.txt", "/a/abbey/sun_1.jpg\n")
    write_text(root / f"{folder}Testing_01.txt", "/b/barn/sun_3.png\n")
    assert [item.split for item in open_sun(root).items()] == ["train", "", "test"]
    assert [item.id for item in open_sun(root, split="test").items()] == ["b-barn-sun_3"]


def test_missing_and_damaged_files_are_named(root, tmp_path):
    assert "nowhere" in refusal(lambda: open_sun(tmp_path / "nowhere"))
    assert "Training_01.txt" in refusal(lambda: open_sun(root, split="train"))
    assert "'val'" in refusal(lambda: open_sun(root, split="val"))
    empty = root / "empty"
    empty.mkdir()
    assert "empty" in refusal(lambda: open_sun(empty))
    path = root / "a/abbey/sun_1.jpg"
    path.write_bytes(path.read_bytes()[:300])
    assert "sun_1.jpg" in refusal(lambda: open_sun(root).load(0))


def test_real_backgrounds(shared):
    source = open_sun(shared / "data" / "backgrounds")
    assert len(source.items()) > 500
    assert np.array_equal(source.load(0).image.shape[2:], [3])


def test_two_photos_of_one_id_are_both_named(root):
    save(picture((40, 60)), root / "a/abbey/sun_1.png")
    message = refusal(lambda: open_sun(root))
    assert "sun_1.jpg" in message
    assert "sun_1.png" in message
    assert "rename" in message
