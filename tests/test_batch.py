"""Sources, isolation of failures, resume and the lines that are left behind; align itself is replaced by a stand-in."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monoform import alignment
from monoform.batch import photo_match, runner, sources
from monoform.batch.photo_match import MatchSettings, content_hash, load_library, load_named_mesh, match_photo
from monoform.batch.runner import Job, Outcome
from monoform.errors import InputError, MissingExtraError
from monoform.files.images import save_png
from monoform.files.meshes import save_mesh
from monoform.meshes import box
from monoform.results import PhotoMatch, load_result, write_result


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


# --- sources -----------------------------------------------------------------------------------------------------


def test_folder_in_natural_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("f10.png", "f2.PNG", "f1.jpeg", ".f0.png", "notes.txt")))
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in sources.find_photos([tmp_path])] == ["f1.jpeg", "f2.PNG", "f10.png"]


def test_patterns_files_and_folders_together_without_duplicates(tmp_path: Path) -> None:
    touch(tmp_path / "a/2.png", tmp_path / "a/1.png", tmp_path / "b/c/3.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "a/1.png")
    named = [tmp_path / "a/2.png", tmp_path / "a", f"{tmp_path}/**/*.png", tmp_path / "link.png"]
    found = sources.find_photos([str(source) for source in named])
    assert [path.name for path in found] == ["2.png", "1.png", "3.png"]


def test_names_with_pattern_characters_are_files_first(tmp_path: Path) -> None:
    touch(tmp_path / "car[1].png", tmp_path / "car1.png")
    assert sources.find_photos([str(tmp_path / "car[1].png")]) == [tmp_path / "car[1].png"]


def test_odd_names_are_found(tmp_path: Path) -> None:
    names = ["with space.png", "new\nline.png", "emoji 🚗.png", "größe.png", "x" * 251 + ".png"]
    touch(*(tmp_path / name for name in names))
    assert {path.name for path in sources.find_photos([tmp_path])} == set(names)


def test_symlink_loops_and_broken_links_stay_as_inputs_that_fail(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nothing")
    assert [path.name for path in sources.find_photos([tmp_path])] == ["broken.png", "loop.png"]


@pytest.mark.parametrize("make_source", [lambda p: p, lambda p: f"{p}/*.png"])
def test_nothing_found_is_an_error(make_source, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no images matched"):
        sources.find_photos([make_source(tmp_path)])


def test_masks_by_stem(tmp_path: Path) -> None:
    touch(tmp_path / "masks/1.png", tmp_path / "masks/2.webp")
    photos = [Path("a/1.jpg"), Path("a/2.jpg"), Path("a/3.jpg")]
    masks = sources.find_mask_files(photos, tmp_path / "masks")
    assert [mask and mask.name for mask in masks] == ["1.png", "2.webp", "3.png"]
    assert masks[2] is not None
    assert not masks[2].exists()
    assert sources.find_mask_files(photos, None) == [None] * 3
    assert sources.find_mask_files(photos[:1], Path("m.png")) == [Path("m.png")]
    with pytest.raises(InputError, match="one mask for 3 photos"):
        sources.find_mask_files(photos, Path("m.png"))


def test_library_folder(tmp_path: Path) -> None:
    touch(tmp_path / "m10.glb", tmp_path / "m9.obj", tmp_path / "readme.txt")
    assert [path.name for path in sources.find_meshes(tmp_path)] == ["m9.obj", "m10.glb"]
    with pytest.raises(InputError, match="not a folder"):
        sources.find_meshes(tmp_path / "m9.obj")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no mesh"):
        sources.find_meshes(tmp_path / "empty")


def test_library_leaves_out_what_cannot_be_read(tmp_path: Path) -> None:
    save_mesh(box(), tmp_path / "good.glb")
    (tmp_path / "bad.glb").write_bytes(b"not a mesh")
    meshes, problems = load_library([tmp_path / "bad.glb", tmp_path / "good.glb"])
    assert [named.name for named in meshes] == ["good.glb"]
    assert len(problems) == 1
    with pytest.raises(InputError, match="none of the 1 meshes"):
        load_library([tmp_path / "bad.glb"])


# --- one photo ---------------------------------------------------------------------------------------------------


@pytest.fixture
def files(car_match: PhotoMatch, tmp_path: Path) -> tuple[Path, Path, Path]:
    photo, mask, mesh = tmp_path / "in/car.png", tmp_path / "in/mask.png", tmp_path / "in/car.glb"
    photo.parent.mkdir()
    save_png(car_match.photo.image, photo)
    save_png(np.rint(255 * car_match.mask.coverage).astype(np.uint8), mask)
    save_mesh(car_match.mesh, mesh)
    return photo, mask, mesh


def test_photo_is_matched_with_the_settings(
    files: tuple[Path, Path, Path], car_match: PhotoMatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def stand_in(photo, mesh, **options):
        seen.update(options, faces=len(mesh.faces), shape=photo.image.shape)
        return car_match.alignment

    monkeypatch.setattr(alignment, "align", stand_in, raising=False)
    photo, mask, mesh = files
    settings = MatchSettings(fov_deg=50.0, upright=True, up_axis="z", seed=3, max_poses=4)
    match = match_photo(photo, mask, [load_named_mesh(mesh)], settings, "key")
    assert (seen["fov_deg"], seen["upright"], seen["up_axis"], seen["seed"]) == (50.0, True, "z", 3)
    assert seen["max_poses"] == 4
    assert seen["mask"].source == "file"
    assert seen["faces"] == len(car_match.mesh.faces)
    assert (match.mesh_name, match.content_sha256, match.candidates) == ("car.glb", "key", ())
    assert {"read", "search", "total"} <= set(match.alignment.timings_s)


def test_best_mesh_of_a_library_is_taken(
    files: tuple[Path, Path, Path], car_match: PhotoMatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, mask, mesh = files
    save_mesh(box(), mesh.with_name("box.glb"))
    library = [load_named_mesh(mesh.with_name("box.glb")), load_named_mesh(mesh)]

    def stand_in(photo, meshes, **options):
        return [(name, car_match.alignment) for name, _ in reversed(meshes)]

    monkeypatch.setattr(alignment, "align_library", stand_in, raising=False)
    match = match_photo(photo, mask, library, MatchSettings(), "")
    assert match.mesh_name == "car.glb"
    assert len(match.mesh.faces) == len(car_match.mesh.faces)
    assert [name for name, _ in match.candidates] == ["car.glb", "box.glb"]


def test_impossible_camera_fails_and_odd_camera_warns(files: tuple[Path, Path, Path], car_match, monkeypatch) -> None:
    monkeypatch.setattr(alignment, "align", lambda photo, mesh, **options: car_match.alignment, raising=False)
    photo, mask, mesh = files
    meshes = [load_named_mesh(mesh)]
    with pytest.raises(InputError, match="positive"):
        match_photo(photo, mask, meshes, MatchSettings(K=np.diag([-1.0, 1.0, 1.0])), "")
    match = match_photo(photo, mask, meshes, MatchSettings(K=np.diag([5.0, 5.0, 1.0])), "")
    assert "unusual" in match.photo.warnings[-1]


def test_content_hash_changes_with_all_that_decides(files: tuple[Path, Path, Path]) -> None:
    photo, mask, mesh = files
    meshes, settings = [load_named_mesh(mesh)], MatchSettings()
    hashes = [
        content_hash(photo, mask, meshes, settings),
        content_hash(photo, None, meshes, settings),
        content_hash(mask, mask, meshes, settings),
        content_hash(photo, mask, meshes * 2, settings),
        content_hash(photo, mask, meshes, replace(settings, seed=1)),
        content_hash(photo, mask, meshes, replace(settings, K=np.eye(3))),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hashes[0] == content_hash(photo, mask, meshes, MatchSettings())
    with pytest.raises(InputError, match="cannot be read"):
        content_hash(photo, photo.with_name("none.png"), meshes, settings)


# --- the runner --------------------------------------------------------------------------------------------------


class Recorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[Job] = []
        self.ended: list[Outcome] = []

    def begin(self, job: Job) -> None:
        self.begun.append(job)

    def end(self, outcome: Outcome) -> None:
        self.ended.append(outcome)


def jobs_in(out: Path, names: str) -> list[Job]:
    return [Job(Path(f"{name}.png"), None, out / name) for name in names]


def run_with(work, out: Path, names: str = "abcd", *, resume: bool = False) -> list[Outcome]:
    jobs = jobs_in(out, names)
    return runner.run(jobs, work, lambda job: job.photo.stem, out, Recorder(), resume=resume)


def test_one_failure_does_not_stop_the_rest(car_match: PhotoMatch, tmp_path: Path) -> None:
    def work(job: Job, key: str) -> dict:
        match job.photo.stem:
            case "b":
                raise InputError("b.png: is empty; take another\nsecond line")
            case "c":
                raise KeyError("x")
            case "d":
                raise MissingExtraError("needs an extra")
        return write_result(replace(car_match, content_sha256=key), job.folder, car_match.photo.image)

    outcomes = run_with(work, tmp_path)
    assert [(o.status, o.kind) for o in outcomes] == [
        ("ok", ""),
        ("failed", "input"),
        ("failed", "internal"),
        ("failed", "environment"),
    ]
    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [line["input"] for line in lines] == ["a.png", "b.png", "c.png", "d.png"]
    assert lines[0]["iou"] == 0.97
    assert lines[1]["error"] == "b.png: is empty; take another"
    assert lines[2]["error"] == "KeyError: 'x'"
    assert not (tmp_path / "b").exists()


def test_resume_skips_only_the_same_content(car_match: PhotoMatch, tmp_path: Path) -> None:
    made = []

    def work(job: Job, key: str) -> dict:
        made.append(key)
        return write_result(replace(car_match, content_sha256=key), job.folder, car_match.photo.image)

    run_with(work, tmp_path, "ab")
    assert [o.status for o in run_with(work, tmp_path, "ab", resume=True)] == ["skipped", "skipped"]
    assert [o.status for o in run_with(work, tmp_path, "a")] == ["ok"]
    (tmp_path / "a" / "result.json").unlink()
    (tmp_path / "b" / "result.json").write_text("{")
    assert [o.status for o in run_with(work, tmp_path, "ab", resume=True)] == ["ok", "ok"]
    changed = runner.run(jobs_in(tmp_path, "a"), work, lambda job: "other", tmp_path, Recorder(), resume=True)
    assert changed[0].status == "ok"
    assert made == ["a", "b", "a", "a", "b", "other"]


def test_interrupt_keeps_what_is_finished(car_match: PhotoMatch, tmp_path: Path) -> None:
    def work(job: Job, key: str) -> dict:
        if job.photo.stem == "b":
            raise KeyboardInterrupt
        return write_result(replace(car_match, content_sha256=key), job.folder, car_match.photo.image)

    with pytest.raises(KeyboardInterrupt):
        run_with(work, tmp_path)
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 1
    assert load_result(tmp_path / "a")["content_sha256"] == "a"
    assert not (tmp_path / "b").exists()
    assert not [name for name in os.listdir(tmp_path) if "tmp" in name]


def test_run_record(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    job = Job(Path("a.png"), None, tmp_path / "a")
    runner.write_run(tmp_path, {"K": None}, [Outcome(job, "failed", error="x")], 1.5, datetime.now(UTC), ["w"])
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["counts"] == {"ok": 0, "skipped": 0, "failed": 1}
    assert record["warnings"] == ["w"]
    assert record["libraries"]["numpy"] == np.__version__


def test_overlay_is_drawn_for_a_match(car_match: PhotoMatch, tmp_path: Path) -> None:
    record = photo_match.write_match(car_match, tmp_path, ("opengl",))
    assert load_result(tmp_path) == record
    assert (tmp_path / "overlay.png").stat().st_size > 1000
    assert (tmp_path / "cameras" / "threejs.json").is_file()
