"""`monoform data`: options that go with a source, folders that must not touch, records, licences, and bad items."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_cases import SIDE
from monoform.cli import main
from monoform.cli.data_sources import Opened, made_by, open_source
from monoform.data.reading import open_own
from monoform.data.rendering.backgrounds import fingerprint
from monoform.files.voxels import save_voxels

SMALL = ["--size", "32", "--voxels", "0", "--views", "1", "--clean", "--quiet"]


def photos(folder: Path, seed: int = 0, count: int = 2) -> Path:
    """Coloured noise in the place of photos."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng([seed, number]).integers(0, 255, (40, 40 + seed, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def cutouts(folder: Path, count: int, bad: int = 0) -> Path:
    """Cut-outs of discs; the first `bad` are damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:SIDE, :SIDE]
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 4), dtype=np.uint8)
        pixels[..., 3] = 255 * (np.hypot(x - 24, y - 24) < 10 + number)
        file = folder / f"{number}.png"
        Image.fromarray(pixels).save(file)
        if number < bad:
            file.write_bytes(b"broken")
    return folder


def header(folder: Path) -> dict:
    return json.loads((folder / "dataset.json").read_text())


def synth(out: Path, *more: str) -> int:
    return main(["data", "synth", "--category", "car", "--count", "1", *SMALL, "-o", str(out), *more])


# --- where the result goes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["set", "set/new", "."])
def test_a_set_is_not_written_over_what_is_read(tmp_path: Path, out: str, capsys: pytest.CaptureFixture) -> None:
    root = cutouts(tmp_path / "set", 3)
    before = sorted(tmp_path.rglob("*"))
    command = ["data", "convert", "--from", "cutouts", "--root", str(root), "-o", str(tmp_path / out), "--force"]
    assert main(command) == 2
    assert "--root" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_nor_into_the_backgrounds_or_models(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    assert synth(folder / "set", "--backgrounds", str(folder)) == 2
    command = ["data", "convert", "--from", "r2n2", "--root", str(tmp_path / "r"), "--shapenet", str(tmp_path / "s")]
    assert main([*command, "-o", str(tmp_path / "s/new")]) == 2


@pytest.mark.parametrize("command", [["check", "-o", "none/r.json"], ["show", "-o", "none/sheet.png"]])
def test_a_folder_that_is_missing_is_told_before_the_work(tmp_path: Path, monkeypatch, capsys, command) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", command[0], "--root", str(tmp_path / "no set"), *command[1:]]) == 2
    assert "there is no folder none" in capsys.readouterr().err
    (tmp_path / "r.json").mkdir()
    assert main(["data", "check", "--root", str(tmp_path / "no set"), "-o", "r.json"]) == 2


# --- what a record says ------------------------------------------------------------------------------------------


def test_other_photos_make_another_set(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    one, two = photos(tmp_path / "one"), photos(tmp_path / "two", seed=1)
    assert synth(tmp_path / "set", "--backgrounds", str(one)) == 0
    assert synth(tmp_path / "set", "--backgrounds", str(two)) == 4
    assert "made_by differs" in capsys.readouterr().err
    assert "CC0" in header(tmp_path / "set")["licence"]
    assert "photos" in header(tmp_path / "set")["licence"]
    moved = shutil.copytree(one, tmp_path / "moved")
    assert synth(tmp_path / "set", "--backgrounds", str(moved)) == 0


def test_a_fingerprint_knows_names_and_sizes(tmp_path: Path) -> None:
    folder = photos(tmp_path / "one")
    files = sorted(folder.iterdir())
    first = fingerprint(folder, files)
    assert fingerprint(folder, files[::-1]) == first
    assert fingerprint(folder, files[:1]) != first
    files[0].write_bytes(files[0].read_bytes() + b"x")
    assert fingerprint(folder, files) != first


def test_the_options_that_decide_are_recorded(tmp_path: Path) -> None:
    opened = Opened(tmp_path / "r2n2", "r2n2", shapenet=tmp_path / "sn1")
    assert made_by(opened) == {"from": "r2n2", "root": "r2n2", "split": None, "category": None, "shapenet": "sn1"}
    assert made_by(Opened(tmp_path / "r2n2", "r2n2")) != made_by(opened)


def test_an_own_set_keeps_its_licence(tmp_path: Path) -> None:
    assert synth(tmp_path / "cars") == 0
    base = ["data", "convert", "--root", str(tmp_path / "cars"), "--quiet", "-o"]
    assert main([*base, str(tmp_path / "same")]) == 0
    assert main([*base, str(tmp_path / "other"), "--licence", "mine"]) == 0
    assert [header(tmp_path / name)["licence"] for name in ("same", "other")] == ["CC0-1.0", "mine"]


# --- options that only some sources have -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ["--from", "cub", "--year", "2014"],
        ["--from", "coco", "--subset", "pascal"],
        ["--colours", "plain"],
        ["--from", "nmr", "--voxel-kind", "shell"],
        ["--from", "pascal3d", "--shapenet", "x"],
    ],
)
def test_an_option_of_another_source_is_refused(options: list[str], tmp_path: Path, capsys) -> None:
    assert main(["data", "check", "--root", str(tmp_path), *options]) == 2
    assert "goes with --from" in capsys.readouterr().err


def test_the_kind_of_binvox_grids_can_be_told(tmp_path: Path) -> None:
    grid = np.zeros((4, 4, 4), bool)
    grid[1:3, 1:3, 1:3] = True
    (tmp_path / "car").mkdir()
    save_voxels(grid, tmp_path / "car/a.binvox")
    assert open_source(Opened(tmp_path, "binvox")).load(0).voxel_kind == "solid"
    assert open_source(Opened(tmp_path, "binvox", voxel_kind="shell")).load(0).voxel_kind == "shell"


def test_years_subsets_and_colours_reach_their_readers(tmp_path: Path, monkeypatch) -> None:
    from monoform.data import readers

    told = []
    for name in ("coco", "pascal3d", "nmr"):
        monkeypatch.setitem(readers.SOURCES, name, lambda root, **options: told.append(options))
    open_source(Opened(tmp_path, "coco", year=2014))
    open_source(Opened(tmp_path, "pascal3d", subset="imagenet"))
    open_source(Opened(tmp_path, "nmr", colours="plain", shapenet=tmp_path))
    part = {"split": None, "category": None}
    assert told == [{**part, "year": 2014}, {**part, "subsets": ("imagenet",)},
                    {**part, "inverted": False, "shapenet": tmp_path}]  # fmt: skip


def test_an_unknown_split_is_answered_with_those_there_are(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert synth(tmp_path / "set", "--ratios", "1,0,0") == 0
    assert main(["data", "check", "--root", str(tmp_path / "set"), "--split", "foo"]) == 4
    assert "no split 'foo'; give train" in capsys.readouterr().err
    (tmp_path / "meshes/car/train").mkdir(parents=True)
    (tmp_path / "meshes/car/train/a.off").write_text("OFF\n")
    assert main(["data", "check", "--from", "modelnet", "--root", str(tmp_path / "meshes"), "--split", "foo"]) == 4
    assert "train or val or test" in capsys.readouterr().err


# --- bad items ---------------------------------------------------------------------------------------------------


def test_more_bad_items_are_left_out_where_it_is_allowed_and_tried_again(tmp_path: Path, capsys) -> None:
    root, out = cutouts(tmp_path / "discs", 6, bad=2), tmp_path / "set"
    base = ["data", "convert", "--from", "cutouts", "--root", str(root), "-o", str(out)]
    assert main([*base, "--max-bad", "0.2"]) == 4
    assert "at most 20%" in capsys.readouterr().err
    assert main([*base, "--max-bad", "0.5"]) == 5
    assert len(header(out)["left_out"]) == 2
    # A finished set stays one, whatever is allowed now.
    assert main(base) == 5
    assert len(open_own(out).items()) == 4
    cutouts(root, 6, bad=1)
    assert main([*base, "--quiet"]) == 5
    assert len(open_own(out).items()) == 5
    cutouts(root, 6)
    assert main([*base, "--quiet"]) == 0
    assert len(open_own(out).items()) == 6
    assert header(out)["left_out"] == []
    assert main([*base[:-1], str(tmp_path / "whole"), "--quiet"]) == 0
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in (out, tmp_path / "whole")]
    assert files[0] == files[1]


def test_a_share_is_from_0_to_1(tmp_path: Path) -> None:
    assert synth(tmp_path / "set", "--max-bad", "1.5") == 2


def test_check_leaves_nothing_out_and_prints_wrong_boxes(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = cutouts(tmp_path / "discs", 3, bad=1)
    assert main(["data", "check", "--from", "cutouts", "--root", str(root)]) == 4
    out, err = capsys.readouterr()
    assert "cannot be used: discs-0" in err
    assert "left out" not in err
    assert "wrong boxes: none" in out


def test_names_that_are_not_utf_8_are_taken(tmp_path: Path) -> None:
    root = cutouts(tmp_path / "discs", 2)
    (root / "1.png").rename(os.fsdecode(bytes(root) + b"/\xff\xfe.png"))
    command = ["data", "convert", "--from", "cutouts", "--root", str(root), "-o", str(tmp_path / "set"), "--quiet"]
    assert main(command) == 0
    assert main(["data", "check", "--root", str(tmp_path / "set"), "--quiet"]) == 0
    assert len(open_own(tmp_path / "set").items()) == 2
