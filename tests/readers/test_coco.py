"""COCO instances: polygons against another filler, run lengths against hand-made ones, and every kind of damage."""

import json

import numpy as np
import pytest
from photo_fixtures import picture, refusal, write_coco
from skimage.draw import polygon2mask

from monoform.data.readers.coco import draw_polygons, open_coco
from monoform.data.samples import Source
from pictures import disc, encode_rle

TRIANGLE = [10.0, 5.0, 50.5, 12.25, 20.0, 35.0]
STAR = [
    30.2,
    2.1,
    36.7,
    15.4,
    55.3,
    16.8,
    40.1,
    24.9,
    45.6,
    38.2,
    30.0,
    30.3,
    14.4,
    38.2,
    19.9,
    24.9,
    4.7,
    16.8,
    23.3,
    15.4,
]
SPIRAL = [
    5,
    5,
    55,
    5,
    55,
    35,
    15,
    35,
    15,
    15,
    45,
    15,
    45,
    27,
    35,
    27,
    35,
    22,
    25,
    22,
    25,
    30,
    50,
    30,
    50,
    10,
    10,
    10,
    10,
    37,
    5,
    37,
]


def filled(polygon: list[float], size_hw: tuple[int, int], times: int = 16) -> np.ndarray:
    """Covered shares by scikit-image at a multiple of the size; its pixel centres are whole numbers."""
    xy = np.array(polygon).reshape(-1, 2) * times - 0.5
    large = polygon2mask((size_hw[0] * times, size_hw[1] * times), xy[:, ::-1])
    return large.reshape(size_hw[0], times, size_hw[1], times).mean((1, 3))


@pytest.mark.parametrize("polygon", [TRIANGLE, STAR, SPIRAL])
def test_polygons_are_drawn_to_a_fraction_of_a_pixel(polygon):
    expected = filled(polygon, (40, 60))
    drawn = draw_polygons([polygon], (40, 60), "test")
    assert drawn.dtype == np.float32
    assert np.abs(drawn - expected).max() < 0.03
    assert abs(drawn.sum() - expected.sum()) < 0.01 * expected.sum()


def test_random_polygons_agree_with_another_filler():
    rng = np.random.default_rng(1)
    for _ in range(20):
        angle = np.sort(rng.uniform(0, 2 * np.pi, 12))
        radius = rng.uniform(5, 25, 12)
        polygon = np.stack([30 + radius * np.cos(angle), 20 + radius * np.sin(angle)], 1).ravel().tolist()
        drawn = draw_polygons([polygon], (40, 60), "test")
        assert np.abs(drawn - filled(polygon, (40, 60))).max() < 0.1


def test_an_upright_box_is_exact():
    # Columns 2.25..7.5, rows 3..6 (rows are sampled 16 times, so eighths are exact as well).
    drawn = draw_polygons([[2.25, 3.0, 7.5, 3.0, 7.5, 6.5, 2.25, 6.5]], (10, 12), "test")
    across = np.array([0, 0, 0.75, 1, 1, 1, 1, 0.5, 0, 0, 0, 0])
    down = np.array([0, 0, 0, 1, 1, 1, 0.5, 0, 0, 0])
    assert np.allclose(drawn, np.outer(down, across))


def test_parts_are_joined_and_what_lies_outside_is_cut_off():
    left, right = [0, 0, 10.5, 0, 10.5, 40, 0, 40], [10.5, 0, 20, 0, 20, 40, 10.5, 40]
    both = draw_polygons([left, right], (40, 60), "test")
    assert np.allclose(both[:, :20], 1.0, atol=1e-6)
    assert np.allclose(both[:, 20:], 0.0, atol=1e-6)
    assert np.allclose(draw_polygons([[-50, -50, 200, -50, 200, 90, -50, 90]], (40, 60), "test"), 1.0, atol=1e-6)
    assert np.allclose(draw_polygons([[-50, -50, -3, -50, -3, 90]], (40, 60), "test"), 0.0)


def test_instances_masks_and_photos(tmp_path):
    runs, text = encode_rle(disc(40, 60))
    rows = [
        {"id": 1, "category_id": 3, "segmentation": [TRIANGLE]},
        {"id": 2, "category_id": 63, "segmentation": {"size": [40, 60], "counts": runs}, "iscrowd": 1},
        {"id": 3, "category_id": 5, "segmentation": {"size": [40, 60], "counts": text}},
    ]
    source = open_coco(write_coco(tmp_path, rows))
    assert isinstance(source, Source)
    assert [item.category for item in source.items()] == ["car", "sofa", "aeroplane"]
    assert [item.id for item in source.items()] == [f"000000000009-{k}" for k in (1, 2, 3)]
    assert {item.object_id for item in source.items()} == {"000000000009"}
    assert [set(item.flags) for item in source.items()] == [set(), {"difficult"}, set()]
    assert {item.split for item in source.items()} == {"val"}
    assert np.abs(source.load(0).mask - filled(TRIANGLE, (40, 60))).max() < 0.03
    assert (source.load(1).mask == disc(40, 60)).all()
    assert (source.load(2).mask == disc(40, 60)).all()
    assert np.abs(source.load(0).image.astype(int) - picture((40, 60))).mean() < 3
    assert source.load(0).box_xyxy.tolist() == [1.0, 2.0, 4.0, 6.0]
    assert [item.id for item in open_coco(tmp_path, category="couch").items()] == ["000000000009-2"]
    assert [item.id for item in open_coco(tmp_path, category="sofa").items()] == ["000000000009-2"]


def test_a_run_length_mask_written_by_hand(tmp_path):
    # Columns 2 and 3 of 40 rows, then row 5 of column 7.
    counts = [80, 80, 125, 1, 2400 - 286]
    source = open_coco(
        write_coco(tmp_path, [{"id": 1, "category_id": 3, "segmentation": {"size": [40, 60], "counts": counts}}])
    )
    expected = np.zeros((40, 60))
    expected[:, 2:4] = 1
    expected[5, 7] = 1
    assert (source.load(0).mask == expected).all()


def test_splits_and_years(tmp_path):
    row = {"id": 1, "category_id": 3, "segmentation": [TRIANGLE]}
    write_coco(tmp_path, [row])
    write_coco(tmp_path, [row], split="train")
    assert [item.split for item in open_coco(tmp_path).items()] == ["train", "val"]
    assert [item.split for item in open_coco(tmp_path, split="train").items()] == ["train"]
    write_coco(tmp_path, [row], year=2014)
    assert "2014 or 2017, which share photos; choose one with --year" in refusal(lambda: open_coco(tmp_path))
    assert len(open_coco(tmp_path, year=2014).items()) == 1
    assert "instances_test" in refusal(lambda: open_coco(tmp_path, split="test"))


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segmentation", "cause"),
    [
        ([[1.0, 2.0, 3.0, 4.0]], "3 points"),
        ([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]], "3 points"),
        ([5.0], "3 points"),
        ([[1.0, 2.0, float("nan"), 4.0, 5.0, 6.0]], "NaN"),
        ([["a", "b", "c", "d", "e", "f"]], "polygon"),
        ([], "empty"),
        ([[10.0, 10.0, 10.1, 10.0, 10.1, 10.1]], "empty"),
        ({"size": [40, 60], "counts": [1, 2]}, "add up"),
        ({"size": [4, 6], "counts": [24]}, "size"),
        (None, "run-length"),
        ("text", "run-length"),
    ],
)
def test_segmentations_that_cannot_be_used_are_named(tmp_path, segmentation, cause):
    source = open_coco(write_coco(tmp_path, [{"id": 77, "category_id": 3, "segmentation": segmentation}]))
    message = refusal(lambda: source.load(0))
    assert cause in message
    assert "instance 77" in message


def test_a_box_may_be_missing_but_not_be_wrong(tmp_path):
    row = {"id": 1, "category_id": 3, "segmentation": [TRIANGLE]}
    assert open_coco(write_coco(tmp_path, [{**row, "bbox": None}])).load(0).box_xyxy is None
    for box in ([1, 2, 3], [1, 2, 3, float("inf")], "wide"):
        source = open_coco(write_coco(tmp_path, [{**row, "bbox": box}]))
        assert "bbox" in refusal(lambda source=source: source.load(0))


def test_missing_and_damaged_files_are_named(tmp_path):
    assert "annotations" in refusal(lambda: open_coco(tmp_path))
    row = {"id": 1, "category_id": 3, "segmentation": [TRIANGLE]}
    root = write_coco(tmp_path, [row])
    assert "'boat'" in refusal(lambda: open_coco(root, category="boat"))
    photo = root / "val2017" / "000000000009.jpg"
    photo.write_bytes(photo.read_bytes()[:400])
    assert "000000000009.jpg" in refusal(lambda: open_coco(root).load(0))
    photo.unlink()
    assert "000000000009.jpg" in refusal(lambda: open_coco(root).load(0))
    photo.parent.rmdir()
    assert "val2017" in refusal(lambda: open_coco(root))
    path = root / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    photo.parent.mkdir()
    for broken in ("", "[]", "{", json.dumps({**content, "images": [{}]}), json.dumps({**content, "images": []})):
        path.write_text(broken)
        assert "instances_val2017.json" in refusal(lambda: open_coco(root))


def test_a_photo_of_another_size_is_refused(tmp_path):
    from photo_fixtures import save

    root = write_coco(tmp_path, [{"id": 1, "category_id": 3, "segmentation": [TRIANGLE]}])
    save(picture((60, 40)), root / "val2017" / "000000000009.jpg")
    assert "size" in refusal(lambda: open_coco(root).load(0))
