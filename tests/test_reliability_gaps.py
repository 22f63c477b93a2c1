"""What must survive and belongs to no single module: divergence, empty silhouettes, threads and order, no network."""

import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from monoform import refinement
from monoform.alignment import align
from monoform.cli import main
from monoform.data.procedural import make
from monoform.data.procedural.photographs import Photograph, take_photograph
from monoform.files.images import save_png
from monoform.files.meshes import save_mesh
from monoform.interfaces import Alignment
from monoform.meshes import Mesh
from monoform.projection.kernels.threads import set_threads
from monoform.refinement import refine_pose, soft_iou
from monoform.target import crop_around, level

ROOT = Path(__file__).resolve().parents[1]
IMPORTED_AS = {"pillow": "PIL", "scikit-image": "skimage"}


@pytest.fixture(scope="module")
def car() -> Mesh:
    return make("car", 2)


@pytest.fixture(scope="module")
def shot(car: Mesh) -> Photograph:
    return take_photograph(car, seed=3, size_wh=(240, 180))


def test_a_loss_that_stops_being_a_number_gives_the_best_pose_so_far(
    car: Mesh, shot: Photograph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middle resolution is made to fail: the steps before it are kept, and the pose is no worse than the start."""
    losses = refinement._losses

    def failing(alpha: np.ndarray, aim: refinement.Aim) -> np.ndarray:
        found = losses(alpha, aim)
        return np.full_like(found, np.nan) if alpha.shape[-1] == 64 else found

    t = shot.t + [0.02, 0.0, 0.0]
    start = refine_pose(shot.mask, car, shot.R, t, shot.K, steps=0, resolution=128).iou
    monkeypatch.setattr(refinement, "_losses", failing)
    found = refine_pose(shot.mask, car, shot.R, t, shot.K, steps=9, resolution=128)
    assert found.status == "diverged"
    assert {step.resolution for step in found.trace} >= {32}
    assert found.iou >= start
    assert np.isfinite([*found.R.ravel(), *found.t]).all()


def test_overlap_with_nothing_is_a_number(shot: Photograph) -> None:
    at = level(shot.mask, crop_around(shot.mask), 64)
    assert soft_iou(np.zeros((1, 64, 64), np.float32), at)[0] == 0
    assert soft_iou(at.alpha[None], at)[0] == pytest.approx(1)


def same(a: Alignment, b: Alignment) -> None:
    assert len(a.poses) == len(b.poses)
    for one, other in zip(a.poses, b.poses, strict=True):
        np.testing.assert_allclose(one.R, other.R, atol=1e-5)
        np.testing.assert_allclose(one.t, other.t, atol=1e-5)


def test_neither_threads_nor_what_came_before_change_the_answer(car: Mesh, shot: Photograph) -> None:
    found = []
    for threads in (1, 3):
        set_threads(threads)
        found.append(align(shot.photo, car, mask=shot.mask, K=shot.K, upright=True))
    set_threads(0)
    chair = make("chair", 1)
    other = take_photograph(chair, seed=8, size_wh=(240, 180))
    align(other.photo, chair, mask=other.mask, K=other.K, upright=True)
    found.append(align(shot.photo, car, mask=shot.mask, K=shot.K, upright=True))
    same(found[0], found[1])
    same(found[0], found[2])


def test_no_network_is_touched(
    car: Mesh, shot: Photograph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "__init__", refused)
    monkeypatch.chdir(tmp_path)
    save_png(shot.photo.image, tmp_path / "photo.png")
    save_png(np.rint(255 * shot.mask).astype(np.uint8), tmp_path / "mask.png")
    save_mesh(car, tmp_path / "car.glb")
    command = ["align", "photo.png", "--mask", "mask.png", "--mesh", "car.glb", "-o", "res", "--upright"]
    assert main(command) == 0, capsys.readouterr().err
    assert main(["render", "car.glb", "--pose", "res/photo", "-o", "pictures"]) == 0
    set_threads(0)


def shell(command: str) -> subprocess.CompletedProcess[str]:
    call = f'"{sys.executable}" -c "import sys; from monoform.cli import main; sys.exit(main())" {command}'
    return subprocess.run(["sh", "-c", call], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-"])
def test_streams_closed_before_the_start_are_no_error(streams: str) -> None:
    done = shell(f"schema {streams}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    done = shell("schema > /dev/full")
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "space" in done.stderr


def test_an_output_folder_that_cannot_be_made_is_one_line_with_a_mend(
    car: Mesh, shot: Photograph, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_mesh(car, tmp_path / "car.glb")
    (tmp_path / "file").write_bytes(b"")
    command = ["align", "x.png", "--mesh", str(tmp_path / "car.glb"), "-o", str(tmp_path / "file/res")]
    assert main(command) == 3
    line = capsys.readouterr().err.splitlines()
    assert len(line) == 1
    assert "check the path" in line[0]
    assert "Errno" not in line[0]


def test_every_required_package_is_used() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = [re.split(r"[<>=~!\[ ]", line)[0] for line in required]
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    unused = [name for name in names if not re.search(rf"(import|from) {IMPORTED_AS.get(name, name)}\b", source)]
    assert not unused
