"""The command line: exit codes, one-line errors, nothing but JSON on stdout, hostile arguments and streams."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monoform import alignment, results
from monoform.cli import main
from monoform.cli.progress import Progress
from monoform.files.images import load_image, save_png
from monoform.files.meshes import save_mesh
from monoform.interfaces import Alignment
from monoform.meshes import box
from monoform.projection.kernels.threads import set_threads
from monoform.results import PhotoMatch, write_result
from monoform.scene.writing import schema as scene_schema


@pytest.fixture
def inputs(car_match: PhotoMatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two photos, their masks and a mesh; align() is replaced by a stand-in with the made-up answer."""

    def stand_in(photo, mesh, **options) -> Alignment:
        return replace(car_match.alignment, timings_s={})

    monkeypatch.setattr(alignment, "align", stand_in, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    for name in ("one", "two"):
        save_png(car_match.photo.image, tmp_path / f"photos/{name}.png")
        save_png(np.rint(255 * car_match.mask.coverage).astype(np.uint8), tmp_path / f"masks/{name}.png")
    save_mesh(car_match.mesh, tmp_path / "car.glb")
    return tmp_path


def test_align_writes_results_and_only_json_on_stdout(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "photos", "--mask", "masks", "--mesh", "car.glb", "-o", "res", "--json"]) == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["folder"] for line in lines] == ["one", "two"]
    for line in lines:
        jsonschema.validate(line["result"], results.schema())
        assert line["result"] == json.loads((inputs / "res" / line["folder"] / "result.json").read_text())
    assert "[2/2]" in err
    run = json.loads((inputs / "res/run.json").read_text())
    assert run["counts"]["ok"] == 2
    assert run["config"]["mesh"] == "car.glb"


def test_same_inputs_and_seed_give_the_same_bytes(inputs: Path) -> None:
    for out in ("first", "second"):
        assert main(["align", "photos/one.png", "--mask", "masks/one.png", "--mesh", "car.glb", "-o", out]) == 0
    for path in (inputs / "first/one").rglob("*"):
        again = inputs / "second/one" / path.relative_to(inputs / "first/one")
        if path.name == "result.json":
            first, second = json.loads(path.read_text()), json.loads(again.read_text())
            assert first.pop("timings").keys() == second.pop("timings").keys()
            assert first == second
        elif path.is_file():
            assert path.read_bytes() == again.read_bytes()


def test_some_failures_exit_with_5_and_resume_goes_on(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "photos/bad.png").write_bytes(b"<html>not found</html>")
    command = ["align", "photos", "--mask", "masks", "--mesh", "car.glb", "-o", "res", "--resume"]
    assert main(command) == 5
    statuses = [json.loads(line)["status"] for line in (inputs / "res/results.jsonl").read_text().splitlines()]
    assert statuses == ["failed", "ok", "ok"]
    assert "failed" in capsys.readouterr().err
    assert main(command) == 5
    statuses = [json.loads(line)["status"] for line in (inputs / "res/results.jsonl").read_text().splitlines()]
    assert statuses == ["failed", "skipped", "skipped"]


def test_library(inputs: Path, car_match: PhotoMatch, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    def stand_in(photo, meshes, **options):
        return [(name, car_match.alignment) for name, _ in meshes]

    monkeypatch.setattr(alignment, "align_library", stand_in, raising=False)
    (inputs / "cars").mkdir()
    for name in ("a", "b"):
        save_mesh(car_match.mesh, inputs / f"cars/{name}.glb")
    (inputs / "cars/c.glb").write_bytes(b"")
    assert main(["align", "photos/one.png", "--mask", "masks/one.png", "--mesh-library", "cars", "-o", "res"]) == 0
    assert "c.glb" in capsys.readouterr().err
    record = json.loads((inputs / "res/one/result.json").read_text())
    assert [candidate["mesh"] for candidate in record["candidates"]] == ["a.glb", "b.glb"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "subcommand"),
        (["alignn"], 2, "align"),
        (["align", "photos"], 2, "--mesh"),
        (["align", "--mesh", "car.glb"], 2, "at least one photo"),
        (["align", "photos", "--mesh", "car.glb", "--mesh-library", "x"], 2, "--mesh-library"),
        (["align", "photos", "--mesh", "car.glb", "--fov", "0"], 2, "--fov"),
        (["align", "photos", "--mesh", "car.glb", "--fov", "180"], 2, "--fov"),
        (["align", "photos", "--mesh", "car.glb", "--fov", "nan"], 2, "--fov"),
        (["align", "photos", "--mesh", "car.glb", "--fov", "50", "--K", "1,1,1,1"], 2, "--K"),
        (["align", "photos", "--mesh", "car.glb", "--box", "1,2,3"], 2, "--box"),
        (["align", "photos", "--mesh", "car.glb", "--cameras", "maya"], 2, "maya"),
        (["align", "photos", "--mesh", "car.glb", "--threads", "-1"], 2, "--threads"),
        (["align", "photos", "--mesh", "none.glb"], 4, "none.glb"),
        (["align", "nothing", "--mesh", "car.glb"], 4, "nothing"),
        (["align", "photos/*.bmp", "--mesh", "car.glb"], 4, "no images matched"),
        (["align", "photos", "--mesh", "car.glb", "--mask", "masks/one.png"], 4, "one mask for 2 photos"),
        (["align", "photos/one.png", "--mask", "photos", "--mesh", "car.glb", "--K", "-5,5,1,1"], 4, "positive"),
        (["align", "photos/one.png", "--mask", "masks/none.png", "--mesh", "car.glb"], 4, "none.png"),
        (["render", "car.glb", "--pose", "photos"], 4, "result.json"),
        (["render", "car.glb", "--pose", "1,0,0,0,1,0,0,0,1,0,0,2"], 2, "--K"),
        (["render", "car.glb", "--pose", "2,0,0,0,1,0,0,0,1,0,0,2"], 4, "not a rotation"),
    ],
)
def test_bad_calls(arguments: list[str], code: int, text: str, inputs: Path, capsys) -> None:
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert "Traceback" not in err
    if arguments and arguments[0] != "alignn":
        assert len(err.splitlines()) == 1


def test_internal_error_is_one_line_and_debug_shows_more(inputs: Path, monkeypatch, capsys) -> None:
    def broken(photo, mesh, **options):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(alignment, "align", broken, raising=False)
    command = ["align", "photos/one.png", "--mask", "masks/one.png", "--mesh", "car.glb"]
    assert main(command) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "Traceback" not in err
    assert main([*command, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_unwritable_output_is_the_environments_fault(inputs: Path, capsys) -> None:
    (inputs / "file").write_bytes(b"")
    command = ["align", "photos/one.png", "--mask", "masks/one.png", "--mesh", "car.glb", "-o", "file/res"]
    assert main(command) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_interrupt_exits_with_130_and_leaves_no_partial_files(inputs: Path, monkeypatch, capsys) -> None:
    def interrupted(photo, mesh, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(alignment, "align", interrupted, raising=False)
    assert main(["align", "photos", "--mask", "masks", "--mesh", "car.glb", "-o", "res"]) == 130
    assert sorted(path.name for path in (inputs / "res").rglob("*")) == ["results.jsonl"]
    assert "interrupted" in capsys.readouterr().err


def test_print_config_stops_before_work(inputs: Path, capsys) -> None:
    assert main(["align", "photos", "--mesh", "car.glb", "--fov", "40", "--print-config"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert config["photos"] == ["photos"]
    assert config["fov"] == 40.0
    assert not (inputs / "out").exists()


def test_quiet_says_nothing(inputs: Path, capsys) -> None:
    assert main(["align", "photos", "--mask", "masks", "--mesh", "car.glb", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_schema(capsys) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == results.schema()
    assert main(["schema", "scene", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == scene_schema()


def test_doctor(capsys) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["libraries"]["numpy"] == np.__version__
    assert report["threads"] >= 1
    assert main(["doctor"]) == 0
    assert "kernels" in capsys.readouterr().out


def test_render_from_a_result_and_from_numbers(car_match: PhotoMatch, tmp_path: Path, capsys) -> None:
    save_mesh(car_match.mesh, tmp_path / "car.glb")
    write_result(car_match, tmp_path / "res", car_match.photo.image)
    mesh, first, second = str(tmp_path / "car.glb"), tmp_path / "first", tmp_path / "second"
    assert main(["render", mesh, "--pose", str(tmp_path / "res"), "-o", str(first), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    mask = load_image(first / "mask.png").image[..., 0] / 255.0
    both, either = np.minimum(mask, car_match.mask.coverage).sum(), np.maximum(mask, car_match.mask.coverage).sum()
    assert both / either > 0.97
    depth = np.load(first / "depth.npz")["depth"]
    from PIL import Image

    with Image.open(first / "depth.png") as picture:
        levels = np.asarray(picture)
    seen = np.isfinite(depth)
    np.testing.assert_allclose(levels[seen] / record["depth_png_per_unit"], depth[seen], rtol=1e-4)
    assert not levels[~seen].any()
    pose, K = car_match.alignment.poses[0], car_match.alignment.K
    numbers = ",".join(map(repr, [*pose.R.ravel().tolist(), *pose.t.tolist()]))
    camera = f"{K[0, 0]!r},{K[1, 1]!r},{K[0, 2]!r},{K[1, 2]!r}".replace("np.float64(", "").replace(")", "")
    options = [f"--pose={numbers}", "--K", camera, "--size", "192,144", "-o", str(second)]
    assert main(["render", mesh, *options]) == 0
    for name in ("shaded.png", "mask.png", "depth.png", "normals.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert main(["render", mesh, "--pose", str(tmp_path / "res"), "--rank", "3"]) == 2


# --- whatever is typed -------------------------------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(
        [
            "align",
            "scene",
            "render",
            "demo",
            "doctor",
            "schema",
            "photos",
            "car.glb",
            "masks",
            "--mesh",
            "--mask",
            "--masks",
            "--mesh-library",
            "--K",
            "--fov",
            "--box",
            "--up",
            "--upright",
            "--cameras",
            "--resume",
            "--json",
            "--seed",
            "--threads",
            "--max-poses",
            "--pose",
            "--size",
            "--rank",
            "--unit",
            "--print-config",
            "--quiet",
            "-o",
            "0",
            "-1",
            "1,2,3,4",
            "nan",
            "1e999",
            "z",
            "opencv,bop",
            "x/y",
            "photos/one.png",
            "masks/one.png",
            "800,800,96,72",
            "--",
            "-h",
        ]
    ),
    st.text(st.characters(exclude_characters="/."), max_size=6),
)


@settings(max_examples=80)
@given(arguments=st.lists(WORDS, max_size=9))
def test_no_arguments_give_a_traceback(arguments: list[str], fuzz_folder: Path) -> None:
    """`demo` only prints its options here, as it needs the real align()."""
    arguments = [*arguments, "--print-config"] if "demo" in arguments else arguments
    with contextlib.chdir(fuzz_folder), contextlib.redirect_stderr(io.StringIO()) as err:
        assert main(arguments) in {0, 2, 3, 4, 5}
    assert "Traceback" not in err.getvalue()


@pytest.fixture(scope="module")
def fuzz_folder(car_match: PhotoMatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "photos").mkdir()
    (folder / "masks").mkdir()
    save_png(car_match.photo.image, folder / "photos/one.png")
    save_png(np.rint(255 * car_match.mask.coverage).astype(np.uint8), folder / "masks/one.png")
    save_mesh(car_match.mesh, folder / "car.glb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "align", lambda photo, mesh, **options: car_match.alignment, raising=False)
        yield folder
    set_threads(0)


@pytest.mark.parametrize(
    "environment",
    [
        {"TERM": "dumb"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "tr_TR.UTF-8", "TZ": "Pacific/Chatham", "PYTHONHASHSEED": "77"},
        {"PYTHONIOENCODING": "ascii", "COLUMNS": "20"},
        {"PYTHONIOENCODING": "cp1252"},
        {"PYTHONOPTIMIZE": "1"},
    ],
)
def test_odd_environments(environment: dict[str, str]) -> None:
    name = "größe 車.png"
    code = f"import sys; from monoform.cli import main; sys.exit(main(['align', {name!a}, '--mesh', 'x.glb']))"
    for script, expected in ((code, 4), (code.replace("'align',", "'align', '--help',"), 0)):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script], env={**os.environ, **environment}, capture_output=True
        )
        assert done.returncode == expected, done.stderr
        assert b"Traceback" not in done.stderr


def test_closed_stdout_is_no_error() -> None:
    code = "import sys; from monoform.cli import main; sys.exit(main(['schema']))"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_command(number: signal.Signals, code: int, tmp_path: Path) -> None:
    """A real signal, sent while align is at work, ends the process with its code and leaves no result behind."""
    save_mesh(box(), tmp_path / "box.glb")
    save_png(np.zeros((32, 32, 3), np.uint8), tmp_path / "photo.png")
    save_png(np.pad(np.full((16, 16), 255, np.uint8), 8), tmp_path / "mask.png")
    script = (
        "import sys, time\nfrom monoform import alignment\n"
        "def slow(*a, **k):\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "alignment.align = slow\nfrom monoform.cli import main\n"
        "sys.exit(main(['align', 'photo.png', '--mask', 'mask.png', '--mesh', 'box.glb']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        started = time.monotonic()
        assert process.wait(timeout=20) == code
        assert time.monotonic() - started < 10
        assert "Traceback" not in process.stderr.read()
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == ["results.jsonl"]


class FakeTerminal:
    """A stderr that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(("term", "bar"), [("xterm-256color", True), ("dumb", False)])
def test_a_terminal_gets_a_bar_with_the_time_left(term: str, bar: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from monoform.batch.runner import Job, Outcome

    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", term)
    job = Job(Path("[bold]a.png"), None, Path("a"))
    with Progress(2, quiet=False, debug=False) as listener:
        listener.begin(job)
        listener.end(Outcome(job, "failed", error="is empty", kind="input"))
    assert "[1/2] failed: [bold]a.png: is empty" in terminal.text
    assert ("left" in terminal.text) == bar
