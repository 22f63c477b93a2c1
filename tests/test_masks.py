"""The object's mask from each of its four sources, and how it is cleaned and reported."""

import json
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from monoform import masks
from monoform.errors import EmptyMaskError, FullMaskError, InputError, MissingExtraError
from monoform.files.images import load_image, load_mask_file, save_png
from monoform.interfaces import Photo
from monoform.masks import find_mask, mask_from_array

SIZE = (120, 160)


def disc(x: float, y: float, radius: float, size_hw: tuple[int, int] = SIZE) -> np.ndarray:
    rows, columns = np.mgrid[: size_hw[0], : size_hw[1]]
    return np.hypot(rows - y, columns - x) < radius


def photo_of(inside: np.ndarray, alpha: np.ndarray | None = None) -> Photo:
    """A noisy photo of a shaded orange object before a blue-green background with a gradient, the same every time."""
    noise = np.random.default_rng(0).normal(0, 8, (*inside.shape, 3))
    rows, columns = np.mgrid[: inside.shape[0], : inside.shape[1]][..., None] / 160
    background = np.array([40, 90, 110]) + 60 * columns * np.array([0, 1, 1]) + 20 * rows
    shaded = np.array([200, 110, 40]) * (0.6 + 0.4 * rows)
    image = np.clip(np.where(inside[..., None], shaded, background) + noise, 0, 255).astype(np.uint8)
    return Photo(image, alpha)


def without(monkeypatch, *modules: str):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def intersection_over_union(mask, inside: np.ndarray) -> float:
    found = mask.coverage >= 0.5
    return (found & inside).sum() / (found | inside).sum()


def box_around(inside: np.ndarray, margin: int = 2) -> tuple[float, float, float, float]:
    rows, columns = np.nonzero(inside)
    return (columns.min() - margin, rows.min() - margin, columns.max() + 1 + margin, rows.max() + 1 + margin)


# --- where it comes from ---


def test_a_file_goes_before_alpha_and_alpha_before_a_box(tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "_grabcut", lambda *_: disc(100, 60, 9).astype(np.float32))
    save_png(disc(30, 60, 20), tmp_path / "mask.png")
    photo = photo_of(disc(60, 60, 20), alpha=disc(60, 60, 20).astype(np.float32))
    box = (90, 50, 110, 70)
    from_file = find_mask(photo, mask_path=tmp_path / "mask.png", box_xyxy=box)
    from_alpha = find_mask(photo, box_xyxy=box)
    from_box = find_mask(Photo(photo.image), box_xyxy=box)
    assert [from_file.source, from_alpha.source, from_box.source] == ["file", "alpha", "box"]
    assert intersection_over_union(from_file, disc(30, 60, 20)) == 1
    assert intersection_over_union(from_alpha, disc(60, 60, 20)) == 1
    assert "box is not used" in from_alpha.warnings[0]
    assert (from_file.coverage.dtype, from_file.coverage.shape, from_file.warnings) == (np.float32, SIZE, ())


def test_without_any_way_to_a_mask_the_error_names_the_three_ways(monkeypatch):
    without(monkeypatch, "rembg")
    with pytest.raises(InputError, match=r"--mask FILE.*alpha.*--box") as caught:
        find_mask(photo_of(disc(60, 60, 20)))
    assert "\n" not in str(caught.value)


def test_rembg_is_used_when_it_is_installed(monkeypatch):
    def remove(image, *, only_mask):
        assert only_mask
        assert image.shape == (*SIZE, 3)
        return disc(60, 60, 20) * np.uint8(255)

    monkeypatch.setitem(sys.modules, "rembg", types.SimpleNamespace(remove=remove))
    mask = find_mask(photo_of(disc(60, 60, 20)))
    assert mask.source == "rembg"
    assert intersection_over_union(mask, disc(60, 60, 20)) == 1


def test_a_missing_opencv_is_named_with_the_command_that_installs_it(monkeypatch):
    without(monkeypatch, "cv2")
    with pytest.raises(MissingExtraError, match=r"pip install monoform\[masks\]"):
        find_mask(photo_of(disc(60, 60, 20)), box_xyxy=(30, 30, 90, 90))


def test_an_alpha_that_leaves_out_only_corners_is_not_taken_for_a_mask(monkeypatch):
    without(monkeypatch, "rembg")
    alpha = np.ones(SIZE, np.float32)
    alpha[:5, :5] = alpha[-5:, -5:] = 0
    with pytest.raises(InputError, match="no mask"):
        find_mask(photo_of(disc(60, 60, 20), alpha))


def test_a_mask_file_can_be_a_run_length_json(tmp_path):
    inside = disc(60, 60, 20)
    flat = np.concatenate([[0], inside.T.ravel(), [0]])
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate([[0], edges, [inside.size]])).tolist()
    (tmp_path / "m.json").write_text(json.dumps({"size": list(SIZE), "counts": runs}))
    mask = find_mask(photo_of(inside), mask_path=tmp_path / "m.json")
    assert ((mask.coverage == 1) == inside).all()


def test_a_photo_file_with_transparency_is_masked_by_it(tmp_path):
    inside = disc(60, 60, 20)
    save_png(np.dstack([photo_of(inside).image, inside * np.uint8(255)]), tmp_path / "cut.png")
    mask = find_mask(load_image(tmp_path / "cut.png"))
    assert (mask.source, intersection_over_union(mask, inside)) == ("alpha", 1)


# --- empty, full, inverted, another size ---


@pytest.mark.parametrize(("value", "error"), [(0, EmptyMaskError), (255, FullMaskError), (1, FullMaskError)])
def test_a_mask_of_one_value_is_an_error_with_a_hint(tmp_path, value, error):
    save_png(np.full(SIZE, value, np.uint8), tmp_path / "mask.png")
    with pytest.raises(error, match="box instead") as caught:
        find_mask(photo_of(disc(60, 60, 20)), mask_path=tmp_path / "mask.png")
    assert "mask.png" in str(caught.value)
    with pytest.raises(error):
        mask_from_array(np.full(SIZE, value, np.uint8), SIZE)


def test_an_inverted_mask_is_turned_around_with_a_warning():
    inside = disc(60, 60, 20)
    mask = mask_from_array(~inside, SIZE)
    assert intersection_over_union(mask, inside) == 1
    assert "inverted" in mask.warnings[0]
    assert not mask.truncated
    as_given = mask_from_array(~inside, SIZE, invert="never")
    assert intersection_over_union(as_given, ~inside) == 1
    assert as_given.truncated
    assert intersection_over_union(mask_from_array(~inside, SIZE, invert="always"), inside) == 1


def test_an_object_that_fills_three_quarters_of_the_border_is_not_inverted():
    inside = np.ones(SIZE, bool)
    inside[:40, 15:] = False
    mask = mask_from_array(inside, SIZE)
    assert intersection_over_union(mask, inside) == 1
    assert mask.truncated


def test_a_mask_of_another_size_needs_leave_to_be_resized(tmp_path):
    save_png(disc(60, 60, 20).repeat(2, 0).repeat(2, 1), tmp_path / "mask.png")
    photo = photo_of(disc(60, 60, 20))
    with pytest.raises(InputError, match="--resize-mask"):
        find_mask(photo, mask_path=tmp_path / "mask.png")
    mask = find_mask(photo, mask_path=tmp_path / "mask.png", resize_mask=True)
    assert intersection_over_union(mask, disc(60, 60, 20)) > 0.98
    with pytest.raises(InputError, match="pixels, the photo"):
        mask_from_array(np.ones((4, 4)), SIZE)


@pytest.mark.parametrize(
    "make",
    [
        lambda m: m,
        lambda m: m.astype(np.uint8),
        lambda m: m * np.uint8(255),
        lambda m: m.astype(np.float64),
        lambda m: m * 255.0,
        lambda m: m.astype(np.int64) * 7,
        lambda m: m[..., None],
        lambda m: m[None],
        np.asfortranarray,
    ],
)
def test_mask_arrays_of_every_kind_are_the_same_and_not_changed(make):
    array = make(disc(60, 60, 20))
    before = array.copy()
    array.flags.writeable = False
    mask = mask_from_array(array, SIZE)
    assert ((mask.coverage == 1) == disc(60, 60, 20)).all()
    assert mask.source == "array"
    assert (array == before).all()


@pytest.mark.parametrize(
    "array",
    [
        np.full(SIZE, np.nan), np.full(SIZE, -1.0), np.zeros(SIZE, object), np.zeros(SIZE, complex),
        np.zeros((*SIZE, 3)), np.zeros(()), np.zeros((0, 0)), np.arange(19200).reshape(SIZE), np.full(SIZE, "a"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_masks_are_refused(array):
    with pytest.raises(InputError) as caught:
        mask_from_array(array, SIZE)
    assert "\n" not in str(caught.value)


# --- parts, specks, soft edges, border ---


def test_the_largest_part_is_kept_and_all_are_counted():
    large, small, speck = disc(60, 60, 25), disc(120, 30, 12), disc(20, 110, 1.1)
    together = large | small | speck
    mask = mask_from_array(together, SIZE)
    assert ((mask.coverage == 1) == large).all()
    assert mask.components == 3
    assert "3 parts" in mask.warnings[0]
    everything = mask_from_array(together, SIZE, keep="all")
    assert ((everything.coverage == 1) == (large | small)).all()
    assert (everything.components, everything.warnings) == (3, ())


def test_specks_go_without_a_warning_and_diagonal_pixels_belong_together():
    inside = disc(60, 60, 25)
    dirty = inside.copy()
    dirty[3, 3] = dirty[100, 150] = True
    mask = mask_from_array(dirty, SIZE)
    assert ((mask.coverage == 1) == inside).all()
    assert (mask.components, mask.warnings) == (3, ())
    stairs = np.zeros(SIZE, bool)
    stairs[range(20, 90), range(30, 100)] = True
    assert mask_from_array(stairs, SIZE).components == 1


def test_the_pieces_of_an_object_behind_a_pole_are_one_object():
    inside = disc(60, 60, 40)
    behind = inside.copy()
    behind[:, 66:70] = False
    mask = mask_from_array(behind | disc(140, 20, 10), SIZE)
    assert ((mask.coverage == 1) == behind).all()
    assert mask.components == 3
    assert "taken for one object" in mask.warnings[0]


def test_noise_does_not_bridge_the_gap_to_another_object():
    large, other = disc(50, 60, 40), disc(130, 60, 20)
    noise = np.zeros(SIZE, bool)
    noise[::4, ::4] = True
    far = ~disc(50, 60, 45)  # noise close to the object may stay with it
    mask = mask_from_array(large | other | noise, SIZE)
    assert ((mask.coverage == 1) & far).sum() == 0


def test_each_part_keeps_or_takes_along_its_own_soft_edge():
    def soft(x, y, radius):
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        return np.clip((radius - np.hypot(rows - y, columns - x)) / 6 + 0.5, 0, 1)

    large, small = soft(60, 60, 25), soft(120, 30, 12)
    mask = mask_from_array(np.maximum(large, small), SIZE)
    assert np.abs(mask.coverage - large).max() < 1e-6
    assert np.abs(mask_from_array(np.maximum(large, small), SIZE, keep="all").coverage - large - small).max() < 1e-6


def test_holes_of_an_object_stay_holes():
    ring = disc(60, 60, 30) & ~disc(60, 60, 12)
    assert ((mask_from_array(ring, SIZE).coverage == 1) == ring).all()


@pytest.mark.parametrize(
    ("x", "y", "truncated"), [(10, 60, True), (150, 60, True), (80, 5, True), (80, 60, False), (21, 60, False)]
)
def test_contact_with_the_border_is_reported(x, y, truncated):
    mask = mask_from_array(disc(x, y, 20), SIZE)
    assert mask.truncated == truncated
    assert any("border" in note for note in mask.warnings) == truncated


# --- GrabCut ---


@pytest.fixture
def opencv():
    return pytest.importorskip("cv2", reason="needs the extra 'masks'")


@pytest.mark.parametrize("size", [SIZE, (900, 1200)])
def test_grabcut_finds_the_object_in_a_box_and_always_the_same(opencv, size):
    scale = size[0] / SIZE[0]
    inside = disc(70 * scale, 60 * scale, 30 * scale, size) | disc(95 * scale, 70 * scale, 20 * scale, size)
    photo = photo_of(inside)
    mask = find_mask(photo, box_xyxy=box_around(inside, 3))
    assert mask.source == "box"
    assert intersection_over_union(mask, inside) > 0.95
    opencv.setRNGSeed(99)
    assert (find_mask(photo, box_xyxy=box_around(inside, 3)).coverage == mask.coverage).all()


def test_grabcut_works_at_the_border_and_never_leaves_the_box(opencv):
    inside = disc(5, 60, 40)
    mask = find_mask(photo_of(inside), box_xyxy=(-20, 15, 50, 105))
    assert intersection_over_union(mask, inside) > 0.9
    assert mask.truncated
    assert not mask.coverage[:, 51:].any()


def test_an_outline_that_does_not_reach_the_sides_of_the_box_is_doubted(opencv):
    inside = disc(60, 60, 12)
    assert "spans only" in find_mask(photo_of(inside), box_xyxy=(20, 20, 110, 110)).warnings[-1]
    assert find_mask(photo_of(inside), box_xyxy=box_around(inside)).warnings == ()


def test_small_holes_are_filled_and_large_ones_stay(opencv):
    ring = disc(70, 60, 40) & ~disc(70, 60, 15)
    mask = find_mask(photo_of(ring & ~disc(98, 60, 2.5)), box_xyxy=box_around(ring))
    assert intersection_over_union(mask, ring) > 0.95


def test_grabcut_on_a_plain_picture_is_an_answer_or_a_typed_error(opencv):
    for value in (0, 128, 255):
        photo = Photo(np.full((*SIZE, 3), value, np.uint8))
        try:
            assert find_mask(photo, box_xyxy=(30, 30, 90, 90)).coverage.shape == SIZE
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize(
    ("box", "told"),
    [
        ((0, 0, 160, 120), "whole photo"),
        ((90, 30, 30, 90), "order: left,top,right,bottom"),
        ((200, 200, 300, 300), "no 8 x 8"),
        ((30, 30, 33, 90), "no 8 x 8"),
        ((float("nan"), 0, 10, 10), "four numbers"),
        ((0, 0, float("inf"), 10), "four numbers"),
        ((1, 2, 3), "four numbers"),
    ],
)
def test_impossible_boxes_are_refused(opencv, box, told):
    with pytest.raises(InputError, match=told):
        find_mask(photo_of(disc(60, 60, 20)), box_xyxy=box)


def test_grabcut_on_a_real_photo(opencv, shared):
    folder = shared / "data" / "photos"
    photo = load_image(folder / "images" / "davis_mallard-water_00072.jpg")
    inside = load_mask_file(folder / "masks" / "davis_mallard-water_00072.png", photo.size_hw) >= 0.5
    assert intersection_over_union(find_mask(photo, box_xyxy=box_around(inside)), inside) > 0.9


def test_the_masks_of_real_photos_are_read_as_they_are(shared):
    folder = shared / "data" / "photos"
    items = json.loads((folder / "manifest.json").read_text())["items"][::10]
    for item in items:
        photo = load_image(folder / item["image"])
        mask = find_mask(photo, mask_path=folder / item["mask"])
        stored = np.asarray(Image.open(folder / item["mask"]).convert("L")) > 0
        assert intersection_over_union(mask, stored) > 0.98
        assert mask.truncated == item["touches_border"]


def test_finding_a_mask_needs_no_torch(tmp_path):
    code = (
        "import sys, numpy; from monoform.masks import mask_from_array\n"
        "assert not {'cv2', 'scipy', 'rembg'} & set(sys.modules)\n"
        "mask_from_array(numpy.eye(30, dtype=bool), (30, 30)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
