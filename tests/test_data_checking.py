"""`check` finds each planted fault and nothing else; contact sheets show what there is."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cases import SIDE, Counting, TinySet, damaged, sample, shape
from monoform.data.checking import box_fault, check, silhouette_iou
from monoform.data.duplicates import (
    difference_hash,
    mesh_descriptor,
    similar_pictures,
    similar_shapes,
    thumbnail,
    voxel_descriptor,
)
from monoform.data.encoding import plain_name
from monoform.data.reading import open_own
from monoform.data.samples import Sample
from monoform.data.showing import PANEL, choose, item_picture, save_sheet, sheet, voxel_mesh
from monoform.data.writing import Plan, write_set
from monoform.errors import InputError
from monoform.files.images import load_image
from monoform.meshes import icosphere, is_watertight, signed_volume

TRAIN_VAL = {0: "train", 1: "train", 2: "val", 3: "val", 4: "train", 5: "train"}


def report(source, **options):
    found = check(source, Counting(), **options)
    return found.record, found.verdict


# --- check -------------------------------------------------------------------------------------------------------


def test_a_good_set_has_no_findings() -> None:
    record, verdict = report(TinySet(splits=TRAIN_VAL))
    assert verdict == "ok"
    assert record["counts"] == {
        "items": 6,
        "objects": 3,
        "categories": {"bar": 6},
        "splits": {"train": 4, "val": 2},
        "flags": {"difficult": 3},
        "category_splits": {"bar/train": 4, "bar/val": 2},
    }
    assert record["duplicates"] == {"exact": 0, "near": 0, "across_splits": 0, "pairs": []}
    assert record["silhouettes"]["compared"] == 6
    assert record["silhouettes"]["mean_iou"] > 0.95


def test_corrupt_and_empty_items_are_listed_and_the_rest_is_checked() -> None:
    empty = {4: lambda found: replace(found, mask=np.zeros_like(found.mask)), 1: damaged}
    record, verdict = report(TinySet(change=empty))
    assert verdict == "unusable"
    assert [bad["id"] for bad in record["bad"]] == ["bar-000.1", "bar-002.0"]
    assert record["silhouettes"]["compared"] == 4
    assert not record["stopped_early"]


def test_one_bad_item_in_a_hundred_is_a_flaw_and_two_are_too_many() -> None:
    assert report(TinySet(shapes=100, views=1, change={7: damaged}))[1] == "flawed"
    assert report(TinySet(shapes=100, views=1, change={7: damaged, 8: damaged}))[1] == "unusable"


def test_many_bad_items_stop_the_check() -> None:
    source = TinySet(shapes=60, views=1, change=dict.fromkeys(range(60), damaged))
    record, verdict = report(source)
    assert verdict == "unusable"
    assert record["stopped_early"]
    assert len(record["bad"]) == 20


def test_a_corrupt_png_is_found_and_named(tmp_path: Path) -> None:
    write_set(TinySet(), tmp_path / "set", Plan(), Counting())
    file = tmp_path / "set/samples" / plain_name("bar-001.0") / "image.png"
    file.write_bytes(file.read_bytes()[:-200])
    record, verdict = report(open_own(tmp_path / "set"))
    assert verdict == "unusable"
    (bad,) = record["bad"]
    assert bad["id"] == "bar-001.0"
    assert "image.png" in bad["error"]
    assert record["changed_files"] == [{"id": "bar-001.0", "files": ["image.png"]}]


def test_a_file_that_was_exchanged_is_found_by_its_hash(tmp_path: Path) -> None:
    write_set(TinySet(), tmp_path / "set", Plan(ratios=(1.0, 0.0, 0.0)), Counting())
    samples = tmp_path / "set/samples"
    shutil.copy(samples / plain_name("bar-001.0") / "voxels.npz", samples / plain_name("bar-000.1") / "voxels.npz")
    record, verdict = report(open_own(tmp_path / "set"))
    assert verdict == "flawed"
    assert record["changed_files"] == [{"id": "bar-000.1", "files": ["voxels.npz"]}]


def test_an_object_in_two_splits_is_leakage() -> None:
    record, verdict = report(TinySet(splits={**TRAIN_VAL, 1: "val"}))
    assert verdict == "flawed"
    assert record["objects_in_two_splits"] == ["bar-000"]


def other_id(index: int):
    """Everything of item `index`, under the id that it is put at."""
    return lambda found: replace(sample(*divmod(index, 2)), item=found.item)


def test_an_equal_picture_and_mesh_across_splits_are_leakage() -> None:
    record, verdict = report(TinySet(splits=TRAIN_VAL, change={2: other_id(0)}))
    assert verdict == "flawed"
    found = {(pair["kind"], pair["exact"], pair["across_splits"]) for pair in record["duplicates"]["pairs"]}
    assert found == {("picture", True, True), ("mesh", True, True)}
    assert {(pair["first"], pair["second"]) for pair in record["duplicates"]["pairs"]} == {("bar-000.0", "bar-001.0")}


def test_equal_grids_across_splits_are_leakage_where_there_is_no_mesh() -> None:
    def only_voxels(index: int):
        return lambda found: Sample(found.item, voxels=sample(index, 0).voxels)

    change = {0: only_voxels(0), 1: only_voxels(0), 2: only_voxels(0), 3: only_voxels(1), 4: only_voxels(2)}
    record, verdict = report(TinySet(splits=TRAIN_VAL, change=change))
    assert verdict == "flawed"
    (pair,) = record["duplicates"]["pairs"]
    assert (pair["kind"], pair["exact"], pair["first"], pair["second"]) == ("voxels", True, "bar-000.0", "bar-001.0")


def test_an_equal_picture_within_a_split_is_listed_but_no_flaw() -> None:
    record, verdict = report(TinySet(splits=TRAIN_VAL, change={1: other_id(0)}))
    assert verdict == "ok"
    (pair,) = record["duplicates"]["pairs"]
    assert (pair["kind"], pair["exact"], pair["across_splits"]) == ("picture", True, False)


def test_a_compressed_brighter_copy_is_a_near_duplicate_across_splits() -> None:
    def brighter(found: Sample) -> Sample:
        image = np.clip(sample(0, 0).image.astype(int) + 4, 0, 255).astype(np.uint8)
        rng = np.random.default_rng(0)
        image = np.clip(image + rng.integers(-2, 3, image.shape), 0, 255).astype(np.uint8)
        return replace(found, image=image, mesh=None, voxels=None)

    record, verdict = report(TinySet(splits=TRAIN_VAL, change={2: brighter}))
    assert verdict == "flawed"
    (pair,) = record["duplicates"]["pairs"]
    assert (pair["kind"], pair["exact"], pair["first"], pair["second"]) == ("picture", False, "bar-000.0", "bar-001.0")


def test_a_render_that_looks_like_one_of_another_shape_is_no_duplicate() -> None:
    def brighter(found: Sample) -> Sample:
        return replace(found, image=np.minimum(sample(0, 0).image, 251) + np.uint8(4))

    assert report(TinySet(splits=TRAIN_VAL, change={2: brighter}))[1] == "ok"


def test_objects_of_one_photo_are_no_copies_but_one_region_twice_is() -> None:
    def on_the_photo(shift: float):
        return lambda found: Sample(found.item, sample(0, 0).image, box_xyxy=np.array([1.0 + shift, 2, 30, 40]))

    split = dict.fromkeys(range(6), "train")
    two = report(TinySet(splits=split, change={0: on_the_photo(0), 1: on_the_photo(5)}))[0]
    assert two["duplicates"]["pairs"] == []
    twice = report(TinySet(splits=split, change={0: on_the_photo(0), 1: on_the_photo(0)}))[0]
    assert twice["duplicates"]["exact"] == 1


def test_a_model_that_stands_for_many_objects_is_neither_leakage_nor_compared() -> None:
    def stand_in(found: Sample) -> Sample:
        item = replace(found.item, flags=found.item.flags | {"approximate"})
        return replace(found, item=item, mesh=shape(7), voxels=None)

    record, verdict = report(TinySet(splits=TRAIN_VAL, change=dict.fromkeys(range(6), stand_in)))
    assert verdict == "ok"
    assert record["silhouettes"]["compared"] == 0
    assert record["duplicates"]["pairs"] == []


def test_a_wrong_pose_is_the_worst_item() -> None:
    def turned(found: Sample) -> Sample:
        return replace(found, t=found.t + np.array([0.3, 0.0, 0.0]))

    record, verdict = report(TinySet(change={3: turned}))
    assert verdict == "flawed"
    assert record["silhouettes"]["worst"][0]["id"] == "bar-001.1"
    assert record["silhouettes"]["below"] == 1
    assert report(TinySet(change={3: turned}), min_iou=0.0)[1] == "ok"


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ((10, 5, 10, 20), "inside out"),
        ((10, 25, 30, 20), "inside out"),
        ((-1.5, 5, 30, 20), "reaches 1.5 pixels out of the image of 48 x 48"),
        ((10, 5, 30, SIDE + 2), "reaches 2 pixels"),
        ((60, 5, 70, 20), "reaches 22 pixels"),
    ],
)
def test_a_wrong_box_is_a_flaw(box: tuple[float, ...], fault: str) -> None:
    record, verdict = report(TinySet(change={3: lambda found: replace(found, box_xyxy=np.array(box, float))}))
    assert verdict == "flawed"
    (wrong,) = record["wrong_boxes"]
    assert wrong["id"] == "bar-001.1"
    assert fault in wrong["error"]


@pytest.mark.parametrize("box", [(0, 0, SIDE, SIDE), (-1, -1, SIDE + 1, SIDE + 1), (4.5, 5, 5, 6)])
def test_a_box_within_the_image_or_a_pixel_beyond_is_right(box: tuple[float, ...]) -> None:
    found = replace(sample(0, 0), box_xyxy=np.array(box, float))
    assert box_fault(found) == ""
    assert box_fault(replace(found, image=None)) == ""
    assert box_fault(replace(found, box_xyxy=None)) == ""


@pytest.mark.parametrize(("flags", "verdict"), [((), "flawed"), (("truncated",), "ok")])
def test_a_mask_of_the_whole_picture_is_a_flaw_where_no_mesh_tells(flags: tuple[str, ...], verdict: str) -> None:
    def full(found: Sample) -> Sample:
        item = replace(found.item, flags=frozenset(flags))
        return replace(found, item=item, mask=np.ones_like(found.mask), mesh=None)

    record, found = report(TinySet(splits=dict.fromkeys(range(6), "train"), change={2: full}))
    assert (record["full_masks"], found) == (["bar-001.0"] * (verdict == "flawed"), verdict)


def test_an_id_of_two_items_is_a_flaw() -> None:
    class Twice(TinySet):
        def items(self):
            return [replace(item, id="twin" if i in (1, 4) else item.id) for i, item in enumerate(super().items())]

    record, verdict = report(Twice())
    assert (record["repeated_ids"], verdict) == (["twin"], "flawed")


def test_a_copy_in_another_split_is_seen_beside_one_without_a_split() -> None:
    plain = np.full((SIDE, SIDE, 3), 90, np.uint8)
    plain[:4] = 80
    same = {i: lambda found: Sample(found.item, plain) for i in (0, 2, 4)}
    record, verdict = report(TinySet(splits={2: "train", 3: "train", 4: "val", 5: "val"}, change=same))
    assert verdict == "flawed"
    assert record["duplicates"]["exact"] == 2
    assert record["duplicates"]["near"] == 0
    assert record["duplicates"]["across_splits"] == 1


def test_equal_entries_are_never_called_similar() -> None:
    images = [sample(0, 0).image] * 4
    hashes, small = (np.stack([work(image) for image in images]) for work in (difference_hash, thumbnail))
    assert all(pair.exact for pair in similar_pictures(list("aaaa"), hashes, small))
    assert len(similar_pictures(list("aaaa"), hashes, small)) == 3
    descriptors = np.stack([mesh_descriptor(shape(0))] * 4)
    assert [pair.exact for pair in similar_shapes(list("aaaa"), descriptors, 0.02)] == [True] * 3


def test_occluded_items_are_not_compared() -> None:
    class Occluded(TinySet):
        def items(self):
            return [replace(item, flags=frozenset({"occluded"})) for item in super().items()]

    assert report(Occluded())[0]["silhouettes"]["compared"] == 0


def test_a_silhouette_needs_mask_mesh_pose_and_camera() -> None:
    found = sample(0, 0)
    assert silhouette_iou(found) == pytest.approx(1.0, abs=0.05)
    for name in ("mask", "mesh", "R", "t", "K"):
        assert silhouette_iou(replace(found, **{name: None})) is None
    assert silhouette_iou(replace(found, t=np.array([0.0, 0.0, -2.0]))) == 0.0


def test_a_set_without_items_is_refused() -> None:
    with pytest.raises(InputError, match="no items"):
        report(TinySet(shapes=0))


# --- duplicates --------------------------------------------------------------------------------------------------


def test_the_picture_hash_survives_scale_and_light_and_tells_pictures_apart() -> None:
    from PIL import Image

    images = [sample(number, 0).image for number in range(3)]
    larger = np.asarray(Image.fromarray(images[0]).resize((3 * SIDE, 3 * SIDE), Image.Resampling.BICUBIC))
    hashes = np.stack([difference_hash(image) for image in [*images, larger]])
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2)
    assert apart[0, 3] <= 20
    assert apart[0, 1] > 40
    assert apart[1, 2] > 40


def test_plain_pictures_are_compared_by_content_only() -> None:
    plain = [np.full((SIDE, SIDE, 3), level, np.uint8) for level in (100, 101)]
    hashes = np.stack([difference_hash(image) for image in plain])
    assert similar_pictures(["a", "b"], hashes, np.stack([thumbnail(image) for image in plain])) == []
    assert len(similar_pictures(["a", "a"], hashes, np.stack([thumbnail(image) for image in plain]))) == 1


def test_the_same_surface_cut_into_other_triangles_is_a_near_duplicate() -> None:
    meshes = [icosphere(3, 0.5), icosphere(4, 0.5), shape(0), shape(1)]
    descriptors = np.stack([mesh_descriptor(mesh) for mesh in meshes])
    pairs = similar_shapes(list("abcd"), descriptors, 0.04)
    assert [(pair.first, pair.second, pair.exact) for pair in pairs] == [(0, 1, False)]


def test_descriptors_are_shares_in_the_places_of_the_shape() -> None:
    grid = np.zeros((16, 16, 16), bool)
    grid[3, 5, 7] = True
    shares = voxel_descriptor(grid).reshape(16, 16, 16)
    assert shares[3, 5, 7] == pytest.approx(1.0)
    assert voxel_descriptor(np.zeros((4, 4, 4), bool)) is None
    assert mesh_descriptor(replace(shape(0), vertices=0.0 * shape(0).vertices)) is None


# --- show --------------------------------------------------------------------------------------------------------


def test_items_are_chosen_by_seed_category_and_split() -> None:
    items = TinySet(shapes=10, splits={0: "val", 5: "val"}).items()
    assert choose(items, 9, 0, split="val") == [0, 5]
    assert choose(items, 4, 1) == choose(items, 4, 1)
    assert choose(items, 4, 1) != choose(items, 4, 2)
    with pytest.raises(InputError, match="category 'cup'"):
        choose(items, 4, 0, category="cup")


def test_a_sheet_has_a_cell_an_item_and_shows_why_one_is_bad(tmp_path: Path) -> None:
    picture = sheet(TinySet(change={1: damaged}), [0, 1, 2], columns=2)
    assert picture.shape == (2 * (PANEL + 26), 2 * (3 * PANEL + 8), 3)
    bad = picture[:PANEL, 3 * PANEL + 8 : 4 * PANEL + 8]
    assert np.ptp(bad) == 0
    label = picture[PANEL : PANEL + 26, 3 * PANEL + 8 :]
    assert np.ptp(label) > 100
    for name in ("sheet.jpg", "sheet.png"):
        save_sheet(picture, tmp_path / name)
        assert load_image(tmp_path / name).image.shape == picture.shape


def test_the_mesh_panel_covers_what_the_mask_covers() -> None:
    found = sample(0, 0)
    black = replace(found, image=np.zeros_like(found.image), voxels=None)
    panels = item_picture(black)
    assert panels.shape == (PANEL, 2 * PANEL, 3)
    drawn = panels[:, PANEL:].max(axis=2) > 8
    near = (np.arange(PANEL) * SIDE / PANEL).astype(int)
    inside = found.mask[near][:, near] > 0.5
    assert (drawn & inside).sum() / (drawn | inside).sum() > 0.8


@pytest.mark.parametrize("names", [("mesh",), ("voxels",), ("mask",), ("image",), ("image", "mask", "voxels")])
def test_whatever_a_sample_has_is_shown(names: tuple[str, ...]) -> None:
    found = sample(0, 0)
    little = replace(Sample(found.item), **{name: getattr(found, name) for name in names})
    panels = item_picture(little)
    assert panels.shape[1] == PANEL * (len(names) - ({"image", "mask"} <= set(names)))
    assert panels.std() > 3


def test_the_box_is_drawn_where_it_lies() -> None:
    found = replace(sample(0, 0), mesh=None, voxels=None, mask=None, image=np.zeros((SIDE, SIDE // 2, 3), np.uint8))
    scale = PANEL / SIDE
    drawn = item_picture(replace(found, box_xyxy=np.array([6.0, 12.0, 18.0, 36.0]))).max(axis=2) > 128
    rows, columns = np.nonzero(drawn)
    left = PANEL / 4
    edges = [columns.min(), rows.min(), columns.max(), rows.max()]
    np.testing.assert_allclose(edges, [left + 6 * scale, 12 * scale, left + 18 * scale, 36 * scale], atol=1)
    assert not drawn[rows.min() + 2 : rows.max() - 1, columns.min() + 2 : columns.max() - 1].any()


def test_voxels_become_a_closed_mesh_in_the_object_frame() -> None:
    grid = np.zeros((4, 4, 4), bool)
    grid[0, 1, 2] = grid[0, 1, 3] = True
    mesh = voxel_mesh(replace(sample(0, 0), voxels=grid, voxel_frame=None))
    assert is_watertight(mesh)
    assert signed_volume(mesh) == pytest.approx(2 / 64)
    np.testing.assert_allclose([mesh.vertices.min(0), mesh.vertices.max(0)], [[0, -0.25, -0.5], [0.5, 0, -0.25]])
    scaled = voxel_mesh(replace(sample(0, 0), voxels=grid, voxel_frame=(0.5, np.array([0.1, 0.0, 0.0]))))
    np.testing.assert_allclose(0.5 * scaled.vertices + [0.1, 0.0, 0.0], mesh.vertices)
