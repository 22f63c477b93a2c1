"""`monoform data`: the four commands from end to end, exit codes, JSON, and what an interrupt leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from monoform.cli import main
from monoform.cli.data_progress import ItemProgress
from monoform.cli.data_report import table
from monoform.data.reading import open_own
from monoform.data.samples import Item
from monoform.data.synthetic import open_synthetic
from monoform.errors import InputError
from monoform.files.images import load_image
from monoform.meshes import icosphere

SMALL = ["--size", "48", "--voxels", "8", "--views", "2", "--clean"]


@pytest.fixture(scope="module")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four procedural cars of two views each, written by the command."""
    folder = tmp_path_factory.mktemp("sets") / "cars"
    assert main(["data", "synth", "--category", "car", "--count", "4", *SMALL, "-o", str(folder), "--quiet"]) == 0
    return folder


# --- synth -------------------------------------------------------------------------------------------------------


def test_synth_writes_a_set_whose_parts_fit_together(cars: Path) -> None:
    own = open_own(cars)
    assert (own.name, len(own.items()), own.header["licence"]) == ("synthetic-car", 8, "CC0-1.0")
    found = own.load(3)
    assert found.image.shape == (48, 48, 3)
    assert found.voxels.shape == (8, 8, 8)
    assert np.isfinite(found.depth).mean() == pytest.approx(found.mask.mean(), abs=0.05)
    assert "wheel" in " ".join(found.keypoints)


def test_synth_on_any_threads_as_shards_and_json(cars: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    base = ["data", "synth", "--category", "car", "--count", "4", *SMALL, "--shards", "--shard-size", "3", "--json"]
    for threads in ("1", "3"):
        assert main([*base, "--threads", threads, "-o", str(tmp_path / threads)]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["counts"] == second["counts"] == json.loads((cars / "dataset.json").read_text())["counts"]
    shards = [sorted((tmp_path / threads / "shards").iterdir()) for threads in ("1", "3")]
    assert len(shards[0]) >= 3
    assert [path.read_bytes() for path in shards[0]] == [path.read_bytes() for path in shards[1]]
    images = {item.id: open_own(cars).load(i).image for i, item in enumerate(open_own(cars).items())}
    own = open_own(tmp_path / "1")
    for index, item in enumerate(own.items()):
        np.testing.assert_array_equal(own.load(index).image, images[item.id])


def test_a_shape_looks_the_same_in_every_set_that_has_it() -> None:
    small, large = (open_synthetic(["car"], count, size=32, seed=seed) for count, seed in ((1, 2), (3, 0)))
    assert [item.id for item in large.items()[8:]] == [item.id for item in small.items()]
    np.testing.assert_array_equal(small.load(1).image, large.load(9).image)


def test_a_kind_is_kept_apart_from_the_mixture() -> None:
    only = open_synthetic(["car"], 2, kind="suv", size=32)
    assert only.name == "synthetic-car-suv"
    assert only.items()[0].object_id == "car-suv-000000"


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"categories": ["cup"]}, "no shapes of the category 'cup'"),
        ({"categories": []}, "no shapes"),
        ({"kind": "cup"}, "no car of the kind 'cup'"),
        ({"categories": ["car", "chair"], "kind": "suv"}, "belongs to one category"),
        ({"count": 0}, "count 0"),
        ({"size": 4}, "size 4"),
        ({"size": 2049}, "size 2049: give 16 to 2048"),
        ({"count": 10_000, "views": 1000}, "items 10000000"),
        ({"seed": -1}, "seed -1"),
        ({"voxels": 1000}, "voxels 1000"),
        ({"cameras": "none"}, "no cameras 'none'"),
        ({"backgrounds": Path("missing")}, "missing"),
    ],
)
def test_shapes_that_there_are_not_are_refused(options: dict, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        open_synthetic(**{"categories": ["car"], "count": 2, **options})


def test_blender_draws_the_views_of_a_shape_at_once_before_a_background(monkeypatch, tmp_path: Path) -> None:
    from monoform.data import synthetic
    from monoform.data.blender import CyclesImage

    runs = []

    def stand_in(models, views, python, folder) -> list[CyclesImage]:
        runs.append((len(models), python, folder.is_dir()))
        return [
            CyclesImage(np.rint(200 * view.amodal[..., None].repeat(3, 2)).astype(np.uint8), view.amodal, view.depth)
            for view in views
        ]

    monkeypatch.setattr(synthetic, "render_with_blender", stand_in)
    source = open_synthetic(["car"], 2, views=3, size=48, voxels=0, blender_python=tmp_path)
    samples = [source.load(index) for index in range(6)]
    assert runs == [(3, tmp_path, True)] * 2
    for found in samples:
        inside = found.mask == 1.0
        assert (found.image[inside] == 200).all()
        assert found.image[found.mask == 0.0].std() > 0.0
        assert "occluded" not in found.item.flags


def test_the_voxels_are_the_solid_ones_of_the_mesh() -> None:
    from monoform.voxels import voxelise_solid

    found = open_synthetic(["car"], 1, size=32, voxels=12).load(0)
    np.testing.assert_array_equal(found.voxels, voxelise_solid(found.mesh, 12))
    assert found.voxel_kind == "solid"


# --- convert, check, show ----------------------------------------------------------------------------------------


def test_convert_keeps_samples_and_splits(cars: Path, tmp_path: Path) -> None:
    assert main(["data", "convert", "--root", str(cars), "-o", str(tmp_path / "s"), "--shards", "--quiet"]) == 0
    one, two = open_own(cars), open_own(tmp_path / "s")
    assert {(item.id, item.split) for item in one.items()} == {(item.id, item.split) for item in two.items()}


def test_convert_reads_the_layout_that_it_is_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from monoform.files.meshes import save_mesh

    (tmp_path / "in").mkdir()
    records = []
    for level in (1, 2):
        save_mesh(icosphere(level), tmp_path / f"in/ball{level}.glb")
        records.append({"id": f"ball{level}", "file": f"ball{level}.glb", "category": "ball", "group": f"ball{level}"})
    (tmp_path / "in/manifest.json").write_text(json.dumps({"models": records}))
    out = str(tmp_path / "out")
    assert main(["data", "convert", "--from", "models", "--root", str(tmp_path / "in"), "-o", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["made_by"]["from"] == "models"
    assert [len(open_own(Path(out)).load(i).mesh.faces) for i in range(2)] == [80, 320]


def test_check_reports_a_good_set_as_text_and_json(cars: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["data", "check", "--root", str(cars), "-o", str(tmp_path / "report.json")]) == 0
    text = capsys.readouterr().out
    for expected in ("8 items of 4 objects", "corrupt or empty: none", "8 compared", "verdict: ok"):
        assert expected in text
    assert main(["data", "check", "--root", str(cars), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "report.json").read_text())


def test_check_tells_flaws_and_damage_by_the_exit_code(cars: Path, tmp_path: Path, capsys) -> None:
    import shutil

    shutil.copytree(cars, tmp_path / "set")
    (tmp_path / "set/samples/car-000001-00/image.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert main(["data", "check", "--root", str(tmp_path / "set")]) == 4
    out, err = capsys.readouterr()
    assert "car-000001-00/image.png" in out
    assert "verdict: unusable" in out
    assert "cannot be used: car-000001-00" in err
    assert main(["data", "check", "--root", str(cars), "--min-iou", "1", "--quiet"]) == 5
    assert main(["data", "check", "--root", str(tmp_path / "missing")]) == 4


def test_show_writes_a_sheet(cars: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sheet = tmp_path / "sheet.jpg"
    assert main(["data", "show", "--root", str(cars), "--count", "4", "-o", str(sheet), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 4
    assert load_image(sheet).image.shape[0] == 2 * 250
    assert main(["data", "show", "--root", str(cars), "--category", "cup", "-o", str(sheet)]) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["synth", "--category", "car"],
        ["synth", "--category", "car", "-o", "x", "--ratios", "1"],
        ["synth", "--category", "car", "-o", "x", "--renderer", "blender"],
        ["synth", "--category", "car", "-o", "x", "--blender-python", "python"],
        ["synth", "--category", "car", "-o", "x", "--shards", "--shard-size", "0"],
        ["convert", "--root", "x", "-o", "x"],
        ["convert", "--from", "nothing", "--root", "x", "-o", "y"],
        ["check", "--root", "x", "--min-iou", "2"],
        ["check", "--root", "x", "-o", "none/report.json"],
        ["check", "--from", "coco", "--root", "x", "--shapenet", "y"],
        ["show", "--root", "x", "-o", "sheet.gif"],
        ["show", "--root", "x", "--count", "0"],
        ["show", "--root", "x", "--threads", "-1"],
        [],
    ],
)
def test_options_that_cannot_be_meant_are_refused(arguments: list[str], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments]) == 2
    assert list(tmp_path.iterdir()) == []


def test_every_reader_has_its_name_on_the_command_line() -> None:
    from typing import get_args

    from monoform.cli.data_sources import SourceName
    from monoform.data.readers import SOURCES

    assert set(get_args(SourceName)) == {"own", *SOURCES}


def test_splits_that_do_not_add_up_are_bad_input(tmp_path: Path) -> None:
    assert main(["data", "synth", "--category", "car", "-o", str(tmp_path / "x"), "--ratios", "1,1,1"]) == 4


# --- interrupt and progress --------------------------------------------------------------------------------------


def test_an_interrupt_leaves_a_set_that_the_same_command_finishes(tmp_path: Path, capsys) -> None:
    command = ["data", "synth", "--category", "car", "--count", "40", *SMALL, "-o"]
    start = "import sys; from monoform.cli import main; sys.exit(main())"
    part, whole = tmp_path / "part", tmp_path / "whole"
    process = subprocess.Popen([sys.executable, "-c", start, *command, str(part)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (part / "items.jsonl").exists() or (part / "items.jsonl").read_bytes().count(b"\n") < 4:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in err
    before = (part / "items.jsonl").read_bytes().count(b"\n")
    assert 4 <= before < 80
    assert main([*command, str(part)]) == 0
    assert f"going on: {before} of 80" in capsys.readouterr().err
    assert main([*command, str(whole), "--quiet"]) == 0
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (part, whole)]
    assert files[0] == files[1]


def test_progress_tells_the_time_left_now_and_then(monkeypatch, capsys: pytest.CaptureFixture) -> None:
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with ItemProgress("writing", quiet=False) as progress:
        progress.start(100, 0)
        for number in range(4):
            progress.step(Item(str(number), "", ""), "")
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert all(line.endswith("left") and "writing" in line for line in lines)


def test_progress_tells_failures_even_when_quiet(capsys: pytest.CaptureFixture) -> None:
    with ItemProgress("writing", quiet=True) as progress:
        progress.start(2, 1)
        progress.step(Item("a\nb", "", ""), "broken\x1b; mend it")
    assert capsys.readouterr().err == "left out: a?b: broken?; mend it\n"


def test_the_table_lists_a_few_of_many() -> None:
    pairs = [
        {"kind": "picture", "exact": True, "first": f"a{i}", "second": f"b{i}", "across_splits": True}
        for i in range(30)
    ]
    record = {
        "name": "set",
        "verdict": "flawed",
        "stopped_early": False,
        "counts": {"items": 2, "objects": 1, "categories": {"": 2}, "splits": {"": 2}, "flags": {},
                   "category_splits": {"/": 2}},
        "bad": [],
        "changed_files": [],
        "wrong_boxes": [{"id": "c", "error": "the box is inside out"}],
        "full_masks": ["d"],
        "repeated_ids": [],
        "objects_in_two_splits": [],
        "duplicates": {"exact": 30, "near": 0, "across_splits": 30, "pairs": pairs},
        "silhouettes": {"compared": 0, "mean_iou": None, "min_iou": 0.9, "below": 0, "worst": []},
    }  # fmt: skip
    lines = table(record).splitlines()
    assert "duplicates across splits: 30" in lines
    assert "  equal picture: a9 and b9" in lines
    assert "  c: the box is inside out" in lines
    assert lines[lines.index("masks of the whole picture: 1") + 1] == "  d"
    assert "ids of two items: none" in lines
    assert "  and 20 more" in lines
    assert "  equal picture: a10 and b10" not in lines
