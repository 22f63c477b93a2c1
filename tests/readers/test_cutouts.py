"""A folder of cut-outs in every layout it may have, and what is said where something is missing."""

import json

import numpy as np
import pytest
from photo_fixtures import picture, refusal, save, write_text

from monoform.data.readers.cutouts import open_cutouts
from monoform.data.samples import Source
from monoform.errors import EmptyMaskError, FullMaskError
from pictures import disc, encode_rle

OBJECT = disc(40, 60)


def transparent() -> np.ndarray:
    return np.dstack([picture((40, 60)), OBJECT * np.uint8(255)])


def test_transparent_pictures(tmp_path):
    root = tmp_path / "mug"
    for name in ("red__side", "red__front", "blue"):
        save(transparent(), root / f"{name}.png")
    write_text(root / "notes.txt", "not a picture")
    source = open_cutouts(root)
    assert isinstance(source, Source)
    assert [item.id for item in source.items()] == ["mug-blue", "mug-red__front", "mug-red__side"]
    assert [item.object_id for item in source.items()] == ["mug-blue", "mug-red", "mug-red"]
    sample = source.load(1)
    assert (sample.mask == OBJECT).all()
    assert (sample.image[OBJECT] == picture((40, 60))[OBJECT]).all()
    assert (sample.image[~OBJECT] == 255).all()
    assert [item.category for item in open_cutouts(root, category="cup").items()] == ["cup"] * 3


def test_photos_and_masks(tmp_path):
    root = tmp_path / "tvmonitor"
    save(picture((40, 60)), root / "images" / "one.jpg")
    save(OBJECT * np.uint8(255), root / "masks" / "one.png")
    save(picture((40, 60)), root / "images" / "two.png")
    write_text(root / "masks" / "two.json", json.dumps({"size": [40, 60], "counts": encode_rle(OBJECT)[1]}))
    source = open_cutouts(root)
    assert [item.id for item in source.items()] == ["monitor-one", "monitor-two"]
    for index in (0, 1):
        assert (source.load(index).mask == OBJECT).all()
    assert (source.load(1).image == picture((40, 60))).all()


def test_split_folders(tmp_path):
    save(transparent(), tmp_path / "train" / "a.png")
    save(picture((40, 60)), tmp_path / "val" / "images" / "b.jpg")
    save(OBJECT * np.uint8(1), tmp_path / "val" / "masks" / "b.png")
    assert [item.split for item in open_cutouts(tmp_path).items()] == ["train", "val"]
    source = open_cutouts(tmp_path, split="val", category="mug")
    assert [item.id for item in source.items()] == ["mug-b"]
    assert (source.load(0).mask == OBJECT).all()
    assert "test" in refusal(lambda: open_cutouts(tmp_path, split="test"))


def test_what_is_missing_is_named(tmp_path):
    assert "nowhere" in refusal(lambda: open_cutouts(tmp_path / "nowhere"))
    assert str(tmp_path) in refusal(lambda: open_cutouts(tmp_path))
    save(picture((40, 60)), tmp_path / "images" / "a.jpg")
    assert "masks" in refusal(lambda: open_cutouts(tmp_path))
    (tmp_path / "masks").mkdir()
    assert "a.png" in refusal(lambda: open_cutouts(tmp_path))
    save(OBJECT * np.uint8(255), tmp_path / "masks" / "a.png")
    save(OBJECT * np.uint8(255), tmp_path / "masks" / "b.png")
    assert "b.png" in refusal(lambda: open_cutouts(tmp_path))


def test_two_photos_of_one_name_are_refused(tmp_path):
    save(transparent(), tmp_path / "train" / "a.png")
    save(transparent(), tmp_path / "val" / "a.png")
    message = refusal(lambda: open_cutouts(tmp_path))
    assert "-a'" in message
    assert "train" in message
    assert "val" in message


@pytest.mark.parametrize(
    ("stored", "cause"),
    [
        (picture((40, 60)), "transparent background"),
        (np.dstack([picture((40, 60)), np.zeros((40, 60), np.uint8)]), "transparent"),
        (np.dstack([picture((40, 60)), np.full((40, 60), 255, np.uint8)]), "transparent background"),
    ],
)
def test_pictures_that_are_not_cut_out_are_named(tmp_path, stored, cause):
    save(stored, tmp_path / "a.png")
    message = refusal(lambda: open_cutouts(tmp_path).load(0))
    assert cause in message
    assert "a.png" in message


def test_masks_that_do_not_fit_are_named(tmp_path):
    save(picture((40, 60)), tmp_path / "images" / "a.jpg")
    mask = tmp_path / "masks" / "a.png"
    for stored, kind in ((np.zeros((40, 60), np.uint8), EmptyMaskError), (np.full((40, 60), 255), FullMaskError)):
        save(stored.astype(np.uint8), mask)
        with pytest.raises(kind, match=r"a\.png"):
            open_cutouts(tmp_path).load(0)
    save(OBJECT[:20] * np.uint8(255), mask)
    assert "a.png" in refusal(lambda: open_cutouts(tmp_path).load(0))
    mask.write_bytes(mask.read_bytes()[:60])
    assert "a.png" in refusal(lambda: open_cutouts(tmp_path).load(0))
