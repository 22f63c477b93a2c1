"""CUB-200-2011: what is written comes back, and every kind of damage."""

import numpy as np
import pytest
from photo_fixtures import picture, refusal, save, write_cub, write_text

from monoform.data.readers.cub import open_cub
from monoform.data.samples import Source


@pytest.fixture
def root(tmp_path):
    return write_cub(tmp_path / "CUB_200_2011")[0]


def test_photos_masks_parts_and_boxes(tmp_path):
    root, masks = write_cub(tmp_path)
    source = open_cub(root)
    assert isinstance(source, Source)
    assert [item.id for item in source.items()] == ["Albatross_0001_1", "Yellowthroat_0002_2"]
    assert [item.split for item in source.items()] == ["train", "test"]
    assert {item.category for item in source.items()} == {"bird"}
    for index, (photo, mask) in enumerate(masks.items()):
        sample = source.load(index)
        assert np.allclose(sample.mask, mask, atol=1e-6)
        assert np.abs(sample.image.astype(int) - picture((40, 60))).mean() < 3
        assert source.species(index) == photo.split("/")[0]
    assert source.load(0).box_xyxy.tolist() == [14.0, 9.0, 36.0, 32.0]
    assert {name: point.tolist() for name, point in source.load(0).keypoints.items()} == {"back": [20.0, 12.5]}
    assert source.load(1).keypoints["left_eye"].tolist() == [33.0, 15.0]


def test_splits_and_species(root):
    assert [item.split for item in open_cub(root, split="test").items()] == ["test"]
    assert len(open_cub(root, category="bird").items()) == 2
    assert len(open_cub(root, category="200.Common_Yellowthroat").items()) == 1


def test_masks_may_lie_beside_the_folder_or_be_missing(root):
    (root / "segmentations").rename(root.parent / "segmentations")
    assert open_cub(root).load(0).mask is not None
    (root.parent / "segmentations").rename(root.parent / "elsewhere")
    assert open_cub(root).load(0).mask is None


@pytest.mark.parametrize(
    "name", ["images.txt", "train_test_split.txt", "bounding_boxes.txt", "parts/parts.txt", "parts/part_locs.txt"]
)
def test_missing_lists_are_named(root, name):
    (root / name).unlink()
    assert name.split("/")[-1] in refusal(lambda: open_cub(root))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("images.txt", "1\n"),
        ("bounding_boxes.txt", "1 2 3\n"),
        ("bounding_boxes.txt", "1 nan 3 4 5\n"),
        ("bounding_boxes.txt", "1 a b c d\n"),
        ("bounding_boxes.txt", "1 2 3 4 5\n"),
        ("train_test_split.txt", "1 1\n"),
        ("parts/part_locs.txt", "9 1 2.0 3.0 1\n"),
        ("parts/part_locs.txt", "1 9 2.0 3.0 1\n"),
        ("parts/part_locs.txt", "1 1 inf 3.0 1\n"),
    ],
)
def test_damaged_lists_are_named(root, name, text):
    write_text(root / name, text)
    assert name.split("/")[-1] in refusal(lambda: open_cub(root))


def test_damaged_pictures_are_named(root):
    assert "'val'" in refusal(lambda: open_cub(root, split="val"))
    assert "'car'" in refusal(lambda: open_cub(root, category="car"))
    source = open_cub(root)
    mask = root / "segmentations" / "001.Black_footed_Albatross" / "Albatross_0001_1.png"
    save(np.zeros((40, 60), np.uint8), mask)
    assert "empty" in refusal(lambda: source.load(0))
    mask.unlink()
    assert "Albatross_0001_1.png" in refusal(lambda: source.load(0))
    photo = root / "images" / "001.Black_footed_Albatross" / "Albatross_0001_1.jpg"
    photo.write_bytes(photo.read_bytes()[:300])
    assert "Albatross_0001_1.jpg" in refusal(lambda: source.load(0))
    write_text(root / "images.txt", "1 ../../secret.jpg\n2 200.Common_Yellowthroat/Yellowthroat_0002_2.jpg\n")
    assert "secret" in refusal(lambda: open_cub(root).load(0))
