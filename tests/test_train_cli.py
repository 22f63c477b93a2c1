"""monoform train: options, refusals, and a run of seconds that stops, goes on and is loaded again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from monoform import checkpoints
from monoform.cli import main, train, train_sets
from monoform.cli.evaluate import Evaluate
from monoform.cli.evaluate import run as evaluate
from monoform.cli.options import Common, UsageError
from monoform.cli.train import Images, Schedule, Train
from monoform.cli.train_progress import TrainProgress
from monoform.data.image_sets import load_images, save_images, subset
from monoform.errors import InputError
from monoform.training import TrainingEnvironmentError
from monoform.training.guards import locked
from test_data_options import cutouts
from test_start_up import loaded_by

QUIET = Common(quiet=True, threads=1)


def parse(*arguments: str) -> Train:
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.DisallowNone)
    return tyro.cli(Annotated[Train, tyro.conf.subcommand("train")], args=list(arguments), config=config)


def test_options_of_the_method_stand_after_two_dashes() -> None:
    config = parse(
        "reprojection", "-o", "run", "--scale", "smoke", "--seed", "5", "--", "--width", "7", "--anchors", "2"
    )
    chosen = train._method_config(config)
    assert (chosen.width, chosen.anchors, chosen.seed) == (7, 2, 5)
    assert train._method_config(replace(config, images=Images(categories="car,bus"))).categories == ("car", "bus")


def test_help_needs_no_torch() -> None:
    code = (
        "import tyro\nfrom monoform.cli.train import Train\n"
        "try: tyro.cli(Train, args=['--help'])\nexcept SystemExit: pass"
    )
    assert loaded_by(code) <= {"rich"}


@pytest.mark.parametrize("arguments", [["--help"], ["--widht", "3"]])
def test_help_and_mistakes_of_the_methods_options(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code = train.run(Train("self_consistency", tmp_path / "run", options=tuple(arguments), common=QUIET))
    assert code == (0 if arguments == ["--help"] else 2)
    assert "--width" in "".join(capsys.readouterr())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"images": Images(data=Path("a"))}, UsageError, "--data and --val go together"),
        ({"images": Images(data=Path("a"), val=Path("b"), shapes=3)}, UsageError, "leave them out with --data"),
        ({"images": Images(data=Path("absent"), val=Path("absent"))}, InputError, "absent"),
        ({"seed": -1}, UsageError, "0 or more"),
        ({"device": "cuda:63"}, TrainingEnvironmentError, "device cuda:63"),
        ({"schedule": Schedule(max_bad_steps=0)}, InputError, "max_bad_steps"),
        ({"images": Images(categories="chair,cair")}, InputError, "no shapes of the category 'cair'"),
        ({"images": Images(categories="chair,chair")}, UsageError, "names one twice"),
    ],
)
def test_refusals(tmp_path: Path, changes: dict, kind: type[Exception], words: str) -> None:
    config = replace(Train("self_consistency", tmp_path / "run", scale="smoke", common=QUIET), **changes)
    with pytest.raises(kind, match=words):
        train.run(config)
    assert not (tmp_path / "run").exists()


def test_a_run_of_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Train(
        "self_consistency", tmp_path / "run", scale="smoke", device="cpu", images=Images(categories="chair", shapes=4, views=1),
        schedule=Schedule(log_every=1), common=Common(json=True, threads=1),
    )  # fmt: skip
    assert train.run(config) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["status"], report["steps"]) == ("trained", 4)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert (run["method"], run["config"]["categories"]) == ("self_consistency", ["chair"])
    drawn = sorted((tmp_path / "run" / "data").iterdir())
    assert train.run(replace(config, resume=True)) == 0
    more = replace(config.images, shapes=40)
    for changes, words in (
        ({}, "holds a run already"),
        ({"resume": True, "images": more}, "drawn.train.shapes = 4, not 40"),
    ):
        with pytest.raises(InputError, match=words):
            train.run(replace(config, **changes))
    with locked(tmp_path / "run"), pytest.raises(TrainingEnvironmentError, match="is training there"):
        train.run(replace(config, resume=True, images=config.images))
    assert sorted((tmp_path / "run" / "data").iterdir()) == drawn, "what is refused draws nothing"
    width = run["config"]["width"]
    with pytest.raises(InputError, match=rf"begun with config.width = {width}, not {2 * width}"):
        train.run(replace(config, resume=True, options=("--width", str(2 * width))))
    method = checkpoints.load_method(tmp_path / "run")
    assert method.config.categories == ("chair",)


# --- sets of one's own ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve chairs before a turntable's camera, in all three splits, as tar files."""
    root = tmp_path_factory.mktemp("own") / "chairs"
    options = ["--count", "12", "--views", "1", "--size", "64", "--cameras", "mvc", "--clean", "--shards", "--quiet"]
    assert main(["data", "synth", "--category", "chair", *options, "-o", str(root)]) == 0
    return root


def test_a_data_set_of_ones_own_is_learnt_and_measured(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Train(
        "self_consistency",
        tmp_path / "run",
        scale="smoke",
        device="cpu",
        images=Images(data=own, val=own),
        common=QUIET,
    )
    assert train.run(config) == 0
    training, validation = (load_images(next((tmp_path / "run" / "data").glob(f"{r}-*"))) for r in ("train", "val"))
    assert training.voxels.shape[1:] == (32, 32, 32)
    assert (training.voxel_kind, set(training.categories)) == ("shell", {"chair"})
    assert not set(training.object_ids) & set(validation.object_ids)
    asked = Evaluate(tmp_path / "run", "liao2019", own, val=own, common=Common(json=True, threads=1))
    assert evaluate(asked) == 0
    out, errors = capsys.readouterr()
    assert json.loads(out)["weights"]["finished"] is True
    assert f"weights: {tmp_path / 'run' / 'model'}" in errors
    for changes, words in (
        ({"data": next((tmp_path / "run" / "data").glob("train-*"))}, "are in the run's train set too"),
        ({"data": next((tmp_path / "run" / "data").glob("val-*"))}, "are in the run's val set too"),
        (
            {"val": next((tmp_path / "run" / "data").glob("train-*"))},
            "the validation set .* are in the run's train set",
        ),
    ):
        with pytest.raises(InputError, match=words):
            evaluate(replace(asked, **changes))
    save_images(subset(training, range(len(training) - 1)), tmp_path / "other")
    other = Images(data=tmp_path / "other", val=next((tmp_path / "run" / "data").glob("val-*")))
    with pytest.raises(InputError, match=r"begun with data.train.record_sha256 = "):
        train.run(replace(config, images=other, resume=True))
    with pytest.raises(
        InputError, match=r"the validation set: .* objects, such as 'chair-.*', are in the training set too"
    ):
        train.run(replace(config, out=tmp_path / "new", images=replace(other, val=other.data)))
    assert not (tmp_path / "new").exists()
    (tmp_path / "run" / "model" / "manifest.json").unlink()
    asked = replace(asked, val=None, out=tmp_path / "found.json", common=QUIET)
    with pytest.raises(
        InputError, match=r"a checkpoint after step 4 of the stage .*; the run is not finished: .*--unfinished"
    ):
        evaluate(asked)
    assert evaluate(replace(asked, unfinished=True)) == 0
    assert json.loads((tmp_path / "found.json").read_text())["weights"]["finished"] is False


def test_sets_for_reprojection_have_its_grids_and_photos_are_cut_out(own: Path, tmp_path: Path) -> None:
    images = Images(data=own, val=own, natural=cutouts(tmp_path / "mugs", 3))
    config = Train("reprojection", tmp_path / "run", scale="smoke", images=images, common=QUIET)
    chosen = train._method_config(config)
    training, _, natural = train_sets.sets_of(config, chosen)
    assert training.voxels.shape[1:] == (30, 30, 30)
    assert (training.voxel_kind, training.images.shape[1]) == ("solid", chosen.image_size)
    assert natural is not None
    assert (len(natural), natural.voxel_kind, natural.images.shape[1]) == (3, "", chosen.image_size)
    made = sorted((tmp_path / "run" / "data").iterdir())
    train_sets.sets_of(config, chosen)
    assert sorted((tmp_path / "run" / "data").iterdir()) == made
    cutouts(tmp_path / "mugs", 4)
    train_sets.sets_of(config, chosen)
    assert len(list((tmp_path / "run" / "data").glob("natural-*"))) == 2, "another photo makes another set"


def test_another_side_draws_another_set(tmp_path: Path) -> None:
    settings = []
    for side in ("16", "32"):
        config = Train("self_consistency", tmp_path, scale="smoke", options=("--voxel-side", side), common=QUIET)
        settings.append(train_sets.drawn_settings(config, train._method_config(config), "train"))
    assert settings[0] != settings[1]
    assert {"kind", "elevations", "monoform", "first_seed"} <= settings[0].keys()


def test_progress_goes_to_stderr_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainProgress(quiet=False) as progress:
        progress.begin("shapes", 100, 20)
        progress.told -= 60
        progress.step("shapes", 30, {"loss": 0.25, "skipped": 0.0})
        progress.step("shapes", 31, {"loss": 0.25, "skipped": 0.0})
        progress.validated("shapes", 31, {"score": 0.5}, best=True)
        progress.warn("bad\nnews")
    out, errors = capsys.readouterr()
    lines = errors.splitlines()
    assert out == ""
    assert lines[0] == "shapes: going on after step 20 of 100"
    assert lines[1].startswith("[30/100] shapes, loss 0.25, ")
    assert lines[1].endswith(" left")
    assert lines[2:] == ["[31/100] shapes, validation: score 0.5, the best so far", "monoform: bad?news"]


def test_quiet_progress_still_warns(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainProgress(quiet=True) as progress:
        progress.begin("shapes", 100, 0)
        progress.validated("shapes", 31, {"score": 0.5}, best=True)
        progress.warn("bad news")
    assert capsys.readouterr().err == "monoform: bad news\n"
