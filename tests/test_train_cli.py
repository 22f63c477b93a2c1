"""monoform train: options, refusals, and a run of seconds that stops, goes on and is loaded again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from monoform import checkpoints
from monoform.cli import train
from monoform.cli.options import Common, UsageError
from monoform.cli.train import Images, Schedule, Train
from monoform.cli.train_progress import TrainProgress
from monoform.errors import InputError
from monoform.training import TrainingEnvironmentError
from test_start_up import loaded_by

QUIET = Common(quiet=True)


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
    assert sorted((tmp_path / "run" / "data").iterdir()) == drawn
    width = run["config"]["width"]
    with pytest.raises(InputError, match=rf"begun with config.width = {width}, not {2 * width}"):
        train.run(replace(config, resume=True, options=("--width", str(2 * width))))
    method = checkpoints.load_method(tmp_path / "run")
    assert method.config.categories == ("chair",)


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
