"""The experiments run, small; and without their data say so in one line."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


def run(script: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(script), *options], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_sphere_fit(shared: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    options = ("--quick", "--fits", "coverage/large-steps", "--out", str(result), "--pictures", str(tmp_path))
    done = run(EXPERIMENTS / "sphere_fit.py", *options)
    assert done.returncode == 0, done.stderr
    assert json.loads(result.read_text())["rows"][-1]["watertight"]


@pytest.mark.slow
def test_resolution(shared: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    done = run(EXPERIMENTS / "resolution.py", "--quick", "--out", str(result), "--images", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "coverage" in done.stdout


@pytest.mark.parametrize("name", ["resolution.py", "sphere_fit.py"])
def test_without_data(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "repository" / "experiments"
    shutil.copytree(EXPERIMENTS, folder)
    done = run(folder / name)
    assert done.returncode == 3
    assert len((done.stdout + done.stderr).strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("script", "page"),
    [("liao2019", "self_consistency"), ("zhu2017", "reprojection"), ("palazzi2018", "raster_pose")],
)
def test_results_pages(script: str, page: str, tmp_path: Path) -> None:
    """What stands on a paper's page is what its script writes from the tables."""
    written = EXPERIMENTS.parent / "docs" / "papers" / f"{page}.md"
    copy = tmp_path / "docs" / "papers" / written.name
    copy.parent.mkdir(parents=True)
    before, _ = written.read_text().split("## Results")
    copy.write_text(before + "## Results\n\nof another run\n")
    shutil.copytree(EXPERIMENTS, tmp_path / "experiments")
    done = run(tmp_path / "experiments" / f"{script}_results.py")
    assert done.returncode == 0, done.stderr
    assert copy.read_text() == written.read_text()


@pytest.mark.parametrize("script", ["palazzi2018_poses.py"])
def test_measures_without_sets(script: str, tmp_path: Path) -> None:
    done = run(EXPERIMENTS / script, str(tmp_path))
    assert done.returncode == 3
    assert len((done.stdout + done.stderr).strip().splitlines()) == 1
