"""The job that Blender's Python gets and what comes back, with a stand-in for it; the real one where it is named."""

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from monoform.data.blender import read_results, render_with_blender, write_job
from monoform.data.procedural import make
from monoform.data.rendering import CLEAN, FreeViews, Model, RenderSettings, View, prepare, render_batch
from monoform.errors import InputError, MissingExtraError

STAND_IN = """#!{python}
import json, sys
from pathlib import Path
import numpy as np
from PIL import Image
job = Path(sys.argv[2])
for record in json.loads(job.read_text())["images"]:
    h, w = record["size_hw"]
    matrix = np.array(record["camera_to_world"])
    # The object's centre, by Blender's own formulas: shifts move the view right and up, in image widths.
    x, y, z = np.linalg.inv(matrix)[:3, 3]
    u = w / 2 + record["focal_px"] * x / -z - record["shift_x"] * w
    v = h / 2 - record["focal_px"] * y / -z + record["shift_y"] * w
    rgba = np.zeros((h, w, 4), np.uint8)
    depth = np.full((h, w), 1e10, np.float32)
    rgba[int(v), int(u)] = [255, 128, 0, 255]
    depth[int(v), int(u)] = -z
    Image.fromarray(rgba).save(job.parent / record["image"])
    np.save(job.parent / record["depth"], depth)
"""


def program(path: Path, text: str) -> Path:
    path.write_text(text.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture(scope="module")
def scene() -> tuple[list[Model], list[View]]:
    models = [prepare(make("car", 1))] * 2 + [prepare(make("chair", 1))]
    settings = RenderSettings((40, 64), FreeViews(truncated=0.0), augment=CLEAN)
    return models, render_batch(models, [(0, i) for i in range(3)], settings)


def test_round_trip(scene, tmp_path: Path) -> None:
    models, views = scene
    stand_in = program(tmp_path / "python", STAND_IN)
    results = render_with_blender(models, views, stand_in, tmp_path / "job")
    for view, result in zip(views, results):
        u, v, z = view.camera.K @ view.camera.t
        (place,) = np.argwhere(result.mask)
        assert tuple(place) == (int(v / z), int(u / z))
        assert result.depth[tuple(place)] == pytest.approx(view.camera.t[2], rel=1e-5)
        assert np.isinf(result.depth).sum() == result.depth.size - 1
        assert result.image[tuple(place)].tolist() == [255, 128, 0]
    job = json.loads((tmp_path / "job/job.json").read_text())
    assert [record["mesh"] for record in job["images"]] == ["mesh-00000.ply", "mesh-00000.ply", "mesh-00001.ply"]
    assert job["samples"] == 16


def test_failures_are_told(scene, tmp_path: Path) -> None:
    models, views = scene
    with pytest.raises(MissingExtraError, match="--blender-python"):
        render_with_blender(models, views, tmp_path / "none", tmp_path / "a")
    fails = program(tmp_path / "fails", "#!{python}\nraise SystemExit('out of memory')\n")
    with pytest.raises(InputError, match="out of memory"):
        render_with_blender(models, views, fails, tmp_path / "b")
    lacks = program(tmp_path / "lacks", "#!{python}\nimport bpy\n")
    with pytest.raises(MissingExtraError, match="no bpy"):
        render_with_blender(models, views, lacks, tmp_path / "c")
    with pytest.raises(InputError, match="must be empty"):
        render_with_blender(models, views, fails, tmp_path / "b")
    job = write_job(models, views, tmp_path / "d")
    with pytest.raises(InputError, match=r"image-00000\.png"):
        read_results(job)


def test_cycles_draws_the_same_silhouette(scene, tmp_path: Path) -> None:
    given = os.environ.get("MONOFORM_BLENDER_PYTHON")
    if not given:
        pytest.skip("set MONOFORM_BLENDER_PYTHON to a Python with bpy to render by Cycles")
    models, views = scene
    for view, result in zip(views, render_with_blender(models, views, Path(given), tmp_path / "job")):
        assert np.abs(result.mask - view.amodal).sum() < 0.06 * view.amodal.sum()
        both = np.isfinite(result.depth) & np.isfinite(view.depth)
        assert np.median(np.abs(result.depth - view.depth)[both]) < 0.01
