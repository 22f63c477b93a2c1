"""The demo end to end, through the command line and the real align(): hidden poses are found."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest

from monoform.cli import main
from monoform.cli.demo import SHAPES
from monoform.files.images import load_image
from monoform.results import load_result


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict]]:
    """The demo's folder and the rows that it prints."""
    folder, printed = tmp_path_factory.mktemp("demo"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["demo", "-o", str(folder), "--json"]) == 0
    return folder, json.loads(printed.getvalue())["shapes"]


@pytest.fixture(scope="module")
def out(demo: tuple[Path, list[dict]]) -> Path:
    return demo[0]


def test_demo_leaves_inputs_results_and_a_sheet(out: Path) -> None:
    for name in SHAPES:
        assert load_result(out / name)["mesh"]["name"] == f"{name}.glb"
        assert (out / "inputs" / f"{name}.png").is_file()
        assert (out / "inputs" / "masks" / f"{name}.png").is_file()
    assert load_image(out / "demo.png", max_pixels=10_000_000).image.shape[1] >= 1600
    assert json.loads((out / "run.json").read_text())["counts"]["ok"] == 3


@pytest.mark.parametrize("name", SHAPES)
def test_rendering_the_found_pose_gives_the_mask_back(name: str, out: Path, tmp_path: Path) -> None:
    """An oracle besides align's own measure: `monoform render` of the result against the demo's mask."""
    mesh = str(out / "inputs" / f"{name}.glb")
    assert main(["render", mesh, "--pose", str(out / name), "-o", str(tmp_path), "--quiet"]) == 0
    found, true = (
        load_image(path).image[..., 0] / 255.0 for path in (tmp_path / "mask.png", out / f"inputs/masks/{name}.png")
    )
    assert np.minimum(found, true).sum() / np.maximum(found, true).sum() > 0.93


def test_demo_compares_with_the_hidden_pose(demo: tuple[Path, list[dict]]) -> None:
    rows = demo[1]
    assert [row["shape"] for row in rows] == list(SHAPES)
    assert max(row["rotation_error_deg"] for row in rows) < 5.0
    assert min(row["iou"] for row in rows) > 0.93
