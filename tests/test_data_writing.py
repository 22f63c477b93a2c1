"""The library's own format: what goes in comes out, the same bytes however often a run was interrupted, and splits."""

import io
import json
import os
import tarfile
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cases import SIDE, Counting, TinySet, damaged, shape
from monoform.data.bad_items import TooManyBadError
from monoform.data.encoding import Choices, decode, encode, encode_npz, plain_name
from monoform.data.reading import open_own
from monoform.data.samples import Item, Sample, Source
from monoform.data.shards import write_shard
from monoform.data.splits import assign_split, with_splits
from monoform.data.writing import Plan, write_set
from monoform.errors import InputError
from monoform.projection.kernels.threads import set_threads

LAYOUTS = pytest.mark.parametrize("shard_size", [0, 2, 100], ids=["folders", "small shards", "one shard"])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(source: Source, out: Path, **options):
    force = options.pop("force", False)
    return write_set(source, out, Plan(**options), Counting(), force=force)


# --- reading back ------------------------------------------------------------------------------------------------


@LAYOUTS
def test_a_written_set_gives_back_every_sample(tmp_path: Path, shard_size: int) -> None:
    source = TinySet()
    own = write(source, tmp_path / "set", shard_size=shard_size, licence="CC0-1.0")
    assert isinstance(own, Source)
    assert own.header["licence"] == "CC0-1.0"
    expected = {item.id: index for index, item in enumerate(source.items())}
    assert {item.id for item in own.items()} == set(expected)
    for index, item in enumerate(own.items()):
        one, two = source.load(expected[item.id]), own.load(index)
        assert (item.object_id, item.category, item.flags) == (one.item.object_id, "bar", one.item.flags)
        for name in ("image", "R", "t", "K", "voxels", "depth", "box_xyxy"):
            np.testing.assert_array_equal(getattr(two, name), getattr(one, name), err_msg=name)
        np.testing.assert_allclose(two.mask, one.mask, atol=0.5 / 255 + 1e-6)
        np.testing.assert_allclose(two.mesh.vertices, one.mesh.vertices, atol=1e-7)
        np.testing.assert_array_equal(two.mesh.faces, one.mesh.faces)
        np.testing.assert_array_equal(two.mesh.colours, one.mesh.colours)
        assert two.voxel_kind == "solid"
        assert two.voxel_frame[0] == 0.5
        np.testing.assert_array_equal(two.voxel_frame[1], [0.1, 0.0, 0.0])
        np.testing.assert_array_equal(two.keypoints["corner"], [0.1, 0.2, 0.3])
        assert np.isnan(two.keypoints["none"]).all()
        assert two.normals is None
        assert own.changed(index) == []


def test_a_sample_with_little_in_it_is_read_back_with_as_little() -> None:
    item = Item("a", "a", "")
    back = decode(encode(Sample(item, mesh=shape(0)), Choices()), item, "a")
    assert [getattr(back, name) is None for name in ("image", "mask", "K", "voxels", "depth", "box_xyxy")] == [True] * 6
    assert back.mesh is not None


def test_jpg_pictures_stay_close(tmp_path: Path) -> None:
    own = write(TinySet(), tmp_path / "set", choices=Choices("jpg"))
    assert (tmp_path / "set/samples" / plain_name("bar-000.0") / "image.jpg").is_file()
    error = np.abs(own.load(0).image.astype(float) - TinySet().load(0).image)
    assert 0.0 < error.mean() < 6.0


def test_the_meshes_of_a_folder_are_kept_once_an_object(tmp_path: Path) -> None:
    write(TinySet(shapes=3, views=2), tmp_path / "set")
    assert len(list((tmp_path / "set/objects").iterdir())) == 3


def test_two_meshes_under_one_group_are_both_kept(tmp_path: Path) -> None:
    other = replace(shape(0), vertices=0.5 * shape(0).vertices)
    own = write(TinySet(change={1: lambda found: replace(found, mesh=other)}), tmp_path / "set")
    assert np.ptp(own.load(1).mesh.vertices, axis=0).max() < 0.6 * np.ptp(own.load(0).mesh.vertices, axis=0).max()


def test_only_a_split_or_a_category_is_opened(tmp_path: Path) -> None:
    write(TinySet(splits={0: "test", 2: "train", 4: "train"}), tmp_path / "set")
    assert [item.id for item in open_own(tmp_path / "set", split="test").items()] == ["bar-000.0", "bar-000.1"]
    own = open_own(tmp_path / "set", split="train", category="bar")
    np.testing.assert_array_equal(own.load(0).image, TinySet().load(2).image)
    assert open_own(tmp_path / "set", category="cup").items() == []
    with pytest.raises(InputError, match="no split 'foo'; give test or train"):
        open_own(tmp_path / "set", split="foo")


def test_a_category_goes_by_either_name(tmp_path: Path) -> None:
    class Sofas(TinySet):
        def items(self) -> list[Item]:
            return [replace(item, category="sofa") for item in super().items()]

    write(Sofas(), tmp_path / "set")
    assert len(open_own(tmp_path / "set", category="couch").items()) == 6


# --- the same bytes ----------------------------------------------------------------------------------------------


@LAYOUTS
def test_equal_runs_give_equal_bytes_on_any_number_of_threads(tmp_path: Path, shard_size: int) -> None:
    try:
        for threads in (1, 4):
            set_threads(threads)
            write(TinySet(), tmp_path / str(threads), shard_size=shard_size)
    finally:
        set_threads(0)
    assert contents(tmp_path / "1") == contents(tmp_path / "4")


@LAYOUTS
@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_an_interrupted_run_goes_on_and_ends_with_the_same_bytes(tmp_path: Path, shard_size: int, stop_at: int) -> None:
    write(TinySet(), tmp_path / "whole", shard_size=shard_size)
    set_threads(1)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(TinySet(stop_at=stop_at), tmp_path / "parts", shard_size=shard_size)
    finally:
        set_threads(0)
    with pytest.raises(InputError, match="not finished"):
        open_own(tmp_path / "parts")
    again = TinySet()
    write(again, tmp_path / "parts", shard_size=shard_size)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    if shard_size == 0:
        assert sorted(again.loaded) == list(range(stop_at, 6))


def test_a_line_that_broke_off_is_written_again(tmp_path: Path) -> None:
    write(TinySet(), tmp_path / "whole", shard_size=2)
    write(TinySet(), tmp_path / "parts", shard_size=2)
    file, header = tmp_path / "parts/items.jsonl", tmp_path / "parts/dataset.json"
    file.write_bytes(file.read_bytes()[:-30])
    record = json.loads(header.read_text())
    begun = {name: value for name, value in record.items() if name not in ("counts", "left_out")}
    header.write_text(json.dumps({**begun, "complete": False}))
    again = TinySet()
    write(again, tmp_path / "parts", shard_size=2)
    assert len(again.loaded) == 2
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_finished_set_is_not_made_again(tmp_path: Path) -> None:
    write(TinySet(), tmp_path / "set")
    again = TinySet()
    assert len(write(again, tmp_path / "set").items()) == 6
    assert again.loaded == []


def test_a_shard_is_plain_tar_without_time_owner_or_order_of_chance(tmp_path: Path) -> None:
    write(TinySet(), tmp_path / "set", shard_size=100, ratios=(1.0, 0.0, 0.0))
    with tarfile.open(tmp_path / "set/shards/train-000000.tar") as archive:
        members = archive.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
    names = ["image.png", "mask.png", "pose.json", "mesh.glb", "voxels.npz", "depth.npz"]
    assert [m.name.split(".", 1)[1] for m in members] == names * 6
    keys = [m.name.split(".")[0] for m in members]
    assert keys == [key for key in dict.fromkeys(keys) for _ in names]


def test_names_are_plain_short_and_different() -> None:
    texts = ["car-01", "car.01", "car/01", "..", "", "x" * 300, "x" * 301, "Auto-ü"]
    names = [plain_name(text) for text in texts]
    assert len(set(names)) == len(texts)
    assert names[0] == "car-01"
    for name in names:
        assert name
        assert len(name) <= 80
        assert not set(name) & set("./ü")


# --- folders that hold something else ----------------------------------------------------------------------------


def test_a_foreign_folder_is_refused_and_its_files_are_kept_with_force(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"not empty.*--force"):
        write(TinySet(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    write(TinySet(), tmp_path, force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(open_own(tmp_path).items()) == 6


@pytest.mark.parametrize("of_a_set", [False, True])
def test_force_removes_only_what_a_set_consists_of(tmp_path: Path, of_a_set: bool) -> None:
    if of_a_set:
        write(TinySet(shapes=2), tmp_path)
    mine = [tmp_path / name for name in ("samples/a.jpg", "samples/holiday/b.jpg", "objects/c.txt", "shards/d/e.tar")]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    write(TinySet(), tmp_path, force=True)
    assert [path.read_text() for path in mine] == [path.name for path in mine]
    for path in mine:
        path.unlink()
    for name in ("samples/holiday", "shards/d", "shards"):
        (tmp_path / name).rmdir()
    write(TinySet(), tmp_path.with_name("new"))
    assert contents(tmp_path) == contents(tmp_path.with_name("new"))


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "set").mkdir()
    descriptor = os.open(tmp_path / "set", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another process"):
        write(TinySet(), tmp_path / "set", force=True)
    os.close(descriptor)
    assert len(write(TinySet(), tmp_path / "set").items()) == 6


def test_another_set_is_refused_and_replaced_with_force(tmp_path: Path) -> None:
    write(TinySet(shapes=3), tmp_path / "set")
    with pytest.raises(InputError, match=r"another set.*--force"):
        write(TinySet(shapes=2), tmp_path / "set")
    with pytest.raises(InputError, match=r"another set \(made_by differs\)"):
        write(TinySet(shapes=3), tmp_path / "set", made_by={"seed": 1})
    write(TinySet(shapes=2), tmp_path / "set", shard_size=4, force=True)
    write(TinySet(shapes=2), tmp_path / "new", shard_size=4)
    assert contents(tmp_path / "set") == contents(tmp_path / "new")


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set").write_text("")
    with pytest.raises(InputError, match="a file is in the way"):
        write(TinySet(), tmp_path / "set", force=True)


def test_a_source_without_items_or_with_two_of_one_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no items"):
        write(TinySet(shapes=0), tmp_path / "set")

    class Twice(TinySet):
        def items(self) -> list[Item]:
            return [Item("Car", "1", "car"), Item("car", "2", "car")]

    with pytest.raises(InputError, match=r"'Car' and 'car' differ in capitals only"):
        write(Twice(), tmp_path / "set")

    class Same(TinySet):
        def items(self) -> list[Item]:
            return [Item("car", "1", "car"), Item("car", "2", "car")]

    with pytest.raises(InputError, match="two items are called 'car'; ids must differ"):
        write(Same(), tmp_path / "set")


# --- bad items ---------------------------------------------------------------------------------------------------


def test_few_bad_items_are_left_out_and_listed(tmp_path: Path) -> None:
    source = TinySet(shapes=100, views=1, change={7: damaged})
    listener = Counting()
    own = write_set(source, tmp_path / "set", Plan(), listener)
    assert len(own.items()) == 99
    assert own.header["left_out"] == [{"id": "bar-007.0", "error": "bar-007.0.png: breaks off; get it again"}]
    assert listener.errors == ["bar-007.0: bar-007.0.png: breaks off; get it again"]
    assert not (tmp_path / "set/samples" / plain_name("bar-007.0")).exists()


@LAYOUTS
def test_more_than_one_in_a_hundred_stop_the_run_and_mended_ones_let_it_go_on(tmp_path: Path, shard_size: int) -> None:
    with pytest.raises(TooManyBadError, match=r"1 of 6 items cannot be used, first bar-001\.0: .*; at most 1%"):
        write(TinySet(change={2: damaged}), tmp_path / "set", shard_size=shard_size)
    write(TinySet(), tmp_path / "set", shard_size=shard_size)
    write(TinySet(), tmp_path / "whole", shard_size=shard_size)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_many_bad_items_stop_the_run_before_its_end(tmp_path: Path) -> None:
    source = TinySet(shapes=60, views=1, change=dict.fromkeys(range(60), damaged))
    with pytest.raises(TooManyBadError, match="20 of 60"):
        write(source, tmp_path / "set")
    assert len(source.loaded) < 40


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda found: replace(found, mask=np.zeros_like(found.mask)), "mask is empty"),
        (lambda found: replace(found, voxels=np.zeros_like(found.voxels)), "voxel grid is empty"),
        (lambda found: replace(found, image=np.full_like(found.image, 9)), "one plain colour"),
        (lambda found: replace(found, mesh=replace(found.mesh, faces=found.mesh.faces[:0])), "no faces"),
        (lambda found: Sample(found.item), "no picture, mask, mesh or voxels"),
    ],
)
def test_empty_items_are_left_out(tmp_path: Path, change, reason: str) -> None:
    with pytest.raises(TooManyBadError, match=reason):
        write(TinySet(change={0: change}), tmp_path / "set")


# --- damaged sets ------------------------------------------------------------------------------------------------


def test_every_damaged_file_is_one_line_with_its_name(tmp_path: Path) -> None:
    own = write(TinySet(), tmp_path / "set")
    folder = tmp_path / "set/samples" / plain_name("bar-000.0")
    for file in [*sorted(folder.iterdir()), *(tmp_path / "set/objects").glob("bar-000*")]:
        whole = file.read_bytes()
        for data in (b"", whole[: len(whole) // 2], b"\0" * len(whole)):
            file.write_bytes(data)
            fresh = open_own(tmp_path / "set") if file.suffix != ".glb" else open_own(copied(tmp_path, data))
            with pytest.raises(InputError, match=file.name) as caught:
                fresh.load(0)
            assert "\n" not in str(caught.value)
            assert ";" in str(caught.value)
        file.write_bytes(whole)
    file = folder / "mask.png"
    file.unlink()
    with pytest.raises(InputError, match=r"mask\.png: cannot be read"):
        own.load(0)


def copied(folder: Path, data: bytes) -> Path:
    """The set in a new place, so that its damaged mesh is in no cache."""
    import shutil

    target = folder / f"copy-{len(list(folder.iterdir()))}"
    shutil.copytree(folder / "set", target)
    return target


def test_damaged_shards_are_refused(tmp_path: Path) -> None:
    own = write(TinySet(), tmp_path / "set", shard_size=100, ratios=(1.0, 0.0, 0.0))
    shard = tmp_path / "set/shards/train-000000.tar"
    whole = shard.read_bytes()
    for data, cause in ((b"x" * 700, "not a tar"), (whole[:3000], "damaged|breaks off|no sample")):
        shard.write_bytes(data)
        with pytest.raises(InputError, match=cause):
            own.load(5)
    write_shard(shard, [("other", {"image.png": b""})])
    with pytest.raises(InputError, match="no sample"):
        own.load(0)
    shard.unlink()
    with pytest.raises(InputError, match="cannot be read"):
        own.load(0)


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not a data set"),
        ('{"format": "other"}', "not a data set"),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: str, cause: str) -> None:
    (tmp_path / "dataset.json").write_text(header)
    with pytest.raises(InputError, match=cause):
        open_own(tmp_path)


def test_a_newer_schema_and_a_missing_header_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found"):
        open_own(tmp_path)
    write(TinySet(), tmp_path / "set")
    header = tmp_path / "set/dataset.json"
    header.write_text(json.dumps({**json.loads(header.read_text()), "schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        open_own(tmp_path / "set")


@pytest.mark.parametrize(
    "line", ["{}", "7", '{"id": 3}', "{", '{"id": "a", "object_id": "", "category": "", "split": ""}']
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    write(TinySet(), tmp_path / "set")
    with (tmp_path / "set/items.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match="line 7"):
        open_own(tmp_path / "set")


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda lines: lines[:4], "other items"),
        (lambda lines: [*lines, lines[0]], "twice"),
        (lambda lines: [lines[0].replace(b'"bar"', b'"rod"'), *lines[1:]], "other items"),
        (lambda lines: [*lines[:5], b"[" * 100_000], "line 6"),
    ],
)
def test_a_listing_that_is_not_the_one_written_is_refused(tmp_path: Path, change, cause: str) -> None:
    write(TinySet(), tmp_path / "set")
    file = tmp_path / "set/items.jsonl"
    file.write_bytes(b"".join(line + b"\n" for line in change(file.read_bytes().splitlines())))
    with pytest.raises(InputError, match=cause) as caught:
        open_own(tmp_path / "set")
    assert "items.jsonl" in str(caught.value)


def test_two_items_that_changed_places_in_the_list_cannot_be_used(tmp_path: Path) -> None:
    write(TinySet(splits={0: "train", 2: "val", 4: "train"}), tmp_path / "set")
    file = tmp_path / "set/items.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[0]["split"], lines[2]["split"] = lines[2]["split"], lines[0]["split"]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    own = open_own(tmp_path / "set")
    for index in (0, 2):
        with pytest.raises(InputError, match=r"pose\.json: is of Item\(.*the list of items says"):
            own.load(index)
    assert own.load(1).item.split == "train"


def wider(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values, values[:, :1]], axis=1)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda found: {"mask": wider(found.mask)}, "different sizes"),
        (lambda found: {"depth": wider(found.depth)}, "different sizes"),
        (lambda found: {"depth": np.full_like(found.depth, np.nan)}, "depth"),
        (lambda found: {"normals": np.zeros((SIDE, SIDE, 2), np.float32)}, "normals"),
        (lambda found: {"normals": np.full((SIDE, SIDE, 3), np.inf)}, "normals"),
        (lambda found: {"voxels": np.ones((3, 4, 5), bool)}, "not a cube"),
        (lambda found: {"R": 2.0 * found.R}, "no rotation"),
        (lambda found: {"R": -found.R}, "no rotation"),
        (lambda found: {"K": -found.K}, "focal"),
        (lambda found: {"voxel_frame": (np.nan, np.zeros(3))}, "pose.json"),
        (lambda found: {"voxel_frame": (0.0, np.zeros(3))}, "voxel_frame"),
        (lambda found: {"voxel_frame": (1.0, np.zeros(1))}, "voxel_frame"),
    ],
)
def test_parts_that_cannot_be_are_refused(change, cause: str) -> None:
    found = TinySet().load(0)
    files = encode(replace(found, **change(found)), Choices())
    with pytest.raises(InputError, match=cause) as caught:
        decode(files, found.item, "a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pose", ['{"keypoints": [1, 2]}', "[" * 100_000, "7", "[]"])
def test_a_pose_of_another_form_is_refused(pose: str) -> None:
    record = json.loads(encode(TinySet().load(0), Choices())["pose.json"])
    if pose.startswith("{"):
        pose = json.dumps({**record, **json.loads(pose)})
    with pytest.raises(InputError, match=r"a/pose\.json: damaged"):
        decode({"pose.json": pose.encode()}, Item("a", "a", ""), "a")


def test_maps_of_text_are_refused() -> None:
    files = {"depth.npz": encode_npz({"depth": np.array([["a"]])})}
    with pytest.raises(InputError, match=r"depth\.npz: depth is <U1"):
        decode(files, Item("a", "a", ""), "a")


def test_an_array_that_claims_more_than_there_is_costs_one_item() -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|b1", "fortran_order": False, "shape": (1 << 46,)})
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("voxels.npy", header.getvalue())
    with pytest.raises(InputError, match=r"voxels\.npz: damaged"):
        decode({"voxels.npz": archive.getvalue()}, Item("a", "a", ""), "a")


@pytest.mark.parametrize("box", [[1, 2, 3], [1, 2, 3, None], "wide"])
def test_a_box_of_other_numbers_is_refused(box: object) -> None:
    files = encode(TinySet().load(0), Choices())
    pose = json.loads(files["pose.json"])
    with pytest.raises(InputError, match=r"a/pose\.json: "):
        decode({"pose.json": json.dumps({**pose, "box_xyxy": box}).encode()}, Item("a", "a", ""), "a")


def test_an_npz_file_with_a_pickle_is_refused() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, voxels=np.array([object()]))
    with pytest.raises(InputError, match=r"voxels\.npz: damaged"):
        decode({"voxels.npz": buffer.getvalue()}, Item("a", "a", ""), "a")


# --- splits ------------------------------------------------------------------------------------------------------


def test_splits_are_by_object_and_have_about_the_asked_shares() -> None:
    items = [Item(f"{number}-{view}", f"object-{number}", "car") for number in range(3000) for view in range(2)]
    given = with_splits(items)
    assert len({(item.object_id, item.split) for item in given}) == 3000
    counts = Counter(item.split for item in given)
    assert [counts[name] / 6000 for name in ("train", "val", "test")] == pytest.approx([0.6, 0.2, 0.2], abs=0.03)
    assert [item.split for item in with_splits(items[:100])] == [item.split for item in given[:100]]


def test_a_split_never_changes_between_versions() -> None:
    assert assign_split("\udcff\udcfe") in ("train", "val", "test")
    assert [assign_split(f"car-{number:06d}") for number in range(6)] == [
        "test",
        "train",
        "val",
        "val",
        "train",
        "train",
    ]


def test_given_splits_are_kept_and_hold_for_the_whole_object() -> None:
    items = [Item("a", "1", ""), Item("b", "1", "", "val"), Item("c", "2", "", "test"), Item("d", "2", "", "train")]
    assert [item.split for item in with_splits(items, (1.0, 0.0, 0.0))] == ["val", "val", "test", "train"]


@pytest.mark.parametrize("ratios", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0.5, 0.5)])
def test_shares_that_are_none_are_refused(ratios: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="three shares"):
        with_splits([], ratios)
