"""How long does one photo take, from Python and from the command line, and how much memory?

    python benchmarks/align_time.py

960x720 photos of meshes of 4,000-6,000 faces, K given, one mesh, all threads: warm in Python with and without `upright`; the
whole command line with a warm kernel cache, in a new process each time; and one step of `refine_pose` at 256 px, 1,280 faces.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import scenes
from machine import describe_machine

from monoform.alignment import align
from monoform.alignment.model import prepare
from monoform.files.images import save_png
from monoform.files.meshes import load_mesh
from monoform.interfaces import Mask, Photo
from monoform.meshes import Mesh, icosphere
from monoform.projection.kernels import coverage, search
from monoform.refinement import CoverageDescent, aim_at
from monoform.rotation_grids import rotation_grid
from monoform.target import crop_around

FACES = (4_000, 6_000)


def timed(run: Callable[[], object], times: int) -> dict:
    run()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return {"median_s": statistics.median(seconds), "min_s": min(seconds), "max_s": max(seconds), "runs": times}


def chosen(count: int) -> list[tuple[str, str]]:
    manifest = json.loads((scenes.SHARED / "data" / "models" / "manifest.json").read_text())["models"]
    fitting = [(m["category"], m["file"]) for m in manifest if FACES[0] <= m["faces"] <= FACES[1]]
    return [fitting[i] for i in np.random.default_rng(0).permutation(len(fitting))[:count]]


def in_python(times: int) -> dict:
    report = {}
    for upright in (True, False):
        medians, laps = [], []
        for category, file in chosen(6):
            scene, mesh = scenes.scene(category, file, upright=True, seed=5)
            photo, mask = Photo(scene.image), Mask(scene.mask, "array")
            medians.append(
                timed(lambda p=photo, m=mask, b=mesh, u=upright: align(p, b, mask=m, K=scenes.K, upright=u), times)
            )
            laps.append(align(photo, mesh, mask=mask, K=scenes.K, upright=upright).timings_s)
        report["upright" if upright else "free"] = {
            "median_s": statistics.median(m["median_s"] for m in medians),
            "slowest_median_s": max(m["median_s"] for m in medians),
            "laps_s": {key: statistics.median(lap[key] for lap in laps) for key in laps[0]},
        }
    return report


def command_line(times: int) -> dict:
    category, file = chosen(1)[0]
    scene, _ = scenes.scene(category, file, upright=True, seed=5)
    with tempfile.TemporaryDirectory() as folder:
        save_png(scene.image, Path(folder) / "photo.png")
        save_png((scene.mask * 255).round().astype(np.uint8), Path(folder) / "mask.png")
        command = [
            str(Path(sys.executable).with_name("monoform")),
            "align",
            f"{folder}/photo.png",
            "--mask",
            f"{folder}/mask.png",
        ]
        command += ["--mesh", str(scenes.mesh_path(file)), "--K", "900,900,480,360", "-o", f"{folder}/out", "--quiet"]
        report = {
            name: timed(lambda e=extra: subprocess.run([*command, *e], check=True), times)
            for name, extra in (("upright", ["--upright"]), ("free", []))
        }
    report["peak_memory_gib"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return report


def hypothesis(times: int) -> dict:
    """Seconds a pose hypothesis of the global search takes on one thread: translation, silhouette and IoU."""
    rotations = rotation_grid(1000).astype(np.float32)
    everywhere = search.pack_rows(np.ones((search.SIDE, search.SIDE), bool))
    square = search.pack_rows(np.pad(np.ones((40, 40), bool), 12))
    camera, box = np.array([90, 90, 32, 32], np.float32), np.array([12, 12, 52, 52], np.float32)
    overlap, t = np.empty(1000, np.float32), np.empty((1000, 3), np.float32)
    seconds, faces = [], []
    for _, file in chosen(6):
        coarse = prepare(load_mesh(scenes.mesh_path(file))).coarse
        vertices = coarse.vertices.astype(np.float32)
        arguments = (vertices, coarse.faces, rotations, camera, square, everywhere, box, np.ones(4, bool))
        run = partial(search.score_rotations, *arguments, np.float32(1.7), np.float32(1.0), overlap, t)
        seconds.append(timed(run, times)["median_s"] / 1000)
        faces.append(len(coarse.faces))
    return {"median_s": statistics.median(seconds), "slowest_s": max(seconds), "faces": faces}


def refinement_step(times: int) -> dict:
    ball = icosphere(3)
    bumps = 1 + 0.25 * np.sin(6 * ball.vertices[:, :1]) * np.cos(4 * ball.vertices[:, 1:2])
    mesh = Mesh(ball.vertices * bumps * 0.3, ball.faces)
    K = np.array([[300.0, 0, 128], [0, 300.0, 128], [0, 0, 1]])
    R, t = np.eye(3), np.array([0.0, 0.0, 1.5])
    x = mesh.vertices + t
    points = np.column_stack([x[:, :2] / x[:, 2:] * 300 + 128, x[:, 2]]).astype(np.float32)
    topology = coverage.Topology(mesh.faces, mesh.vertices)
    mask = coverage.forward(points[None], topology, 256, 256)[0][0]
    aim = aim_at(mask, crop_around(mask), K, 256)
    descent = CoverageDescent(mesh, topology, R[None], (t + [0.01, 0.0, 0.02])[None], aim)
    return {"faces": len(mesh.faces), "resolution": 256, **timed(descent.step, times)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "align_time.json")
    options = parser.parse_args()
    report = {
        "python": in_python(options.times),
        "command line": command_line(options.times),
        "refinement step": refinement_step(200),
        "hypothesis": hypothesis(options.times),
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "machine": describe_machine(),
    }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
