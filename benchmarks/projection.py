"""How fast and how right are the hard, soft and coverage projections, against their PyTorch twins and a C reference?

    python benchmarks/projection.py [--quick]

Times are medians with the camera's projection included; f+b is the gradient to the vertices in camera space. The mesh is a
bumpy sphere that fills 70 % of the image, closed, and the same open and inconsistently wound. The C reference (the same soft
algorithm, compiled here with gcc) is used where it lies beside the repository: shortest times of interleaved single-threaded
runs of the kernels alone, so that a busy machine changes their ratio little.
"""

import argparse
import ctypes
import json
import math
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import trimesh
from machine import describe_machine
from scipy.spatial.transform import Rotation

from monoform.projection.clipping import broadcast_batch, project
from monoform.projection.coverage import coverage
from monoform.projection.hard_raster import hard_raster
from monoform.projection.kernels import soft, threads
from monoform.projection.soft_raster import soft_raster

RESULT = Path(__file__).parent / "results" / "projection.json"
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "prototypes" / "soft_reference.c"
JOBS = {
    "hard": (hard_raster, "closed", False),
    "soft": (soft_raster, "closed", False),
    "soft f+b": (soft_raster, "closed", True),
    "coverage": (coverage, "closed", False),
    "coverage f+b": (coverage, "closed", True),
    "open coverage f+b": (coverage, "open", True),
}
"""The operator, which mesh, and whether backwards too."""
QUICK = [(1280, 64, 1), (1280, 64, 8), (1280, 64, 32), (1280, 128, 1), (1280, 128, 8), (1280, 256, 1), (1280, 256, 8)]
ZEN_4_C_MS = 1.66
"""The C reference on the machine of the absolute goals: 1,280 faces, 64 px, batch 32, both of its cores."""
C_CELLS = [(64, 1), (64, 8), (64, 32), (128, 1), (128, 8), (256, 1), (256, 8)]
LEVELS = {1280: 3, 5120: 4, 20480: 5}


def scene(faces: int, batch: int, size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vertices in camera space (b, v, 3), closed faces, the same open and against each other, K."""
    sphere = trimesh.creation.icosphere(LEVELS[faces])
    v, f = np.asarray(sphere.vertices), np.asarray(sphere.faces)
    v = v * (1 + 0.25 * np.sin(6 * v[:, :1] + 1) * np.cos(4 * v[:, 1:2]) + 0.15 * np.sin(7 * v[:, 2:])) * 0.9
    rng = np.random.default_rng(0)
    flipped = np.where(rng.random(len(f))[:, None] < 0.5, f, f[:, ::-1])[len(f) // 20 :]
    turned = np.einsum("bij,vj->bvi", Rotation.random(batch, rng=np.random.default_rng(0)).as_matrix(), v) + [0, 0, 3.2]
    focal = size / 2 / math.tan(math.radians(20))
    K = torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]])
    return torch.tensor(turned).float(), torch.tensor(f).int(), torch.tensor(flipped.copy()).int(), K


def measure(run: Callable[[], object], seconds: float) -> dict:
    """Median, minimum and spread (the middle half) in ms, and the number of runs."""
    run()
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or (time.perf_counter() < end and len(times) < 200):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    low, median, high = statistics.quantiles(times, n=4)
    found = {"ms": median, "shortest_ms": min(times), "spread_ms": high - low}
    return {name: round(value, 4) for name, value in found.items()} | {"runs": len(times)}


def shortest(runs: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Shortest time in ms of each of several runs, made in turn."""
    best = [math.inf] * len(runs)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or math.inf in best:
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run()
            best[i] = min(best[i], (time.perf_counter() - start) * 1e3)
    return best


def forward_backward(
    draw: Callable, vertices: torch.Tensor, faces: torch.Tensor, K: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = vertices.clone().requires_grad_()
    image = draw(leaf, faces, K, weight.shape[-2:])
    (image * weight).sum().backward()
    assert leaf.grad is not None
    return image.detach(), leaf.grad


def measure_cell(faces: int, size: int, batch: int, seconds: float) -> dict:
    vertices, closed, opened, K = scene(faces, batch, size)
    weight = torch.rand(batch, size, size, generator=torch.Generator().manual_seed(0))
    job = {"closed": closed, "open": opened}
    found: dict = {"faces": faces, "size": size, "batch": batch}
    for name, (draw, mesh, backward) in JOBS.items():
        if backward:
            run = partial(forward_backward, draw, vertices, job[mesh], K, weight)
        else:
            run = partial(draw, vertices, job[mesh], K, (size, size))
        found[name] = measure(run, seconds)
    return found


def compare_with_twins(seconds: float, images: int) -> dict:
    """How much faster the kernels are than the twins (1,280 faces, 64 px, batch 8), and the differences of some images.

    The differences are to the twins in float64. The dense twins take seconds and gigabytes: each is timed once.
    """
    vertices, closed, opened, K = scene(1280, 8, 64)
    weight = torch.rand(8, 64, 64, generator=torch.Generator().manual_seed(0))
    found = {}
    for name, draw, faces in (
        ("coverage", coverage, closed),
        ("open coverage", coverage, opened),
        ("soft", soft_raster, closed),
    ):
        twin = partial(draw, backend="torch")
        image, grad = forward_backward(draw, vertices[:images], faces, K, weight[:images])
        twin_image, twin_grad = forward_backward(
            twin, vertices[:images].double(), faces, K.double(), weight[:images].double()
        )
        found[name] = {
            "value_difference": float((image - twin_image).abs().max()),
            "gradient_difference": float((grad - twin_grad).norm() / twin_grad.norm()),
            "times_faster": times_faster(
                partial(forward_backward, draw, vertices, faces, K, weight),
                partial(forward_backward, twin, vertices, faces, K, weight),
                seconds,
            ),
        }
    twin = partial(hard_raster, backend="torch")
    kernel = hard_raster(vertices[:images], closed, K, (64, 64))
    exact = twin(vertices[:images].double(), closed, K.double(), (64, 64))
    same = kernel.face_id == exact.face_id
    job = (vertices, closed, K, (64, 64))
    found["hard"] = {
        "pixels_with_another_face": int((~same).sum()),
        "value_difference": float((kernel.barycentric - exact.barycentric)[same].abs().max()),
        "times_faster": times_faster(partial(hard_raster, *job), partial(twin, *job), seconds),
    }
    return found


def times_faster(kernel: Callable[[], object], twin: Callable[[], object], seconds: float) -> float:
    start = time.perf_counter()
    twin()
    return round((time.perf_counter() - start) * 1e3 / measure(kernel, seconds)["ms"], 1)


def compare_with_c(seconds: float) -> dict[str, dict[str, float]] | str:
    """Times over that of SoftRas' forward in C, all on one thread: the soft kernel's alone and whole operators; or why not."""
    if not REFERENCE.exists() or not shutil.which("gcc"):
        return "not compared: no gcc" if REFERENCE.exists() else "not compared: its source is not beside the repository"
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "soft.so"
        flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd", "-shared", "-fPIC"]  # no OpenMP threads
        subprocess.run(["gcc", *flags, str(REFERENCE), "-o", str(library), "-lm"], check=True)
        run_c = ctypes.CDLL(str(library)).soft_fwd
        count = threads.get_threads()
        threads.set_threads(1)
        found = {f"{size} px, batch {batch}": _over_c(run_c, size, batch, seconds) for size, batch in C_CELLS}
        threads.set_threads(count)
    return found


def _over_c(run_c: Callable, size: int, batch: int, seconds: float) -> dict[str, float]:
    vertices, faces, _, K = scene(1280, batch, size)
    points, triangles = project(*broadcast_batch(vertices, K)).numpy(), faces.numpy()
    width = (size + 15) // 8 * 8
    out = np.empty((batch, size, width), np.float32)
    scale = (size / 2) ** 2
    radius2, per_sigma = math.log(1 / 1e-4 - 1) * 1e-4 * scale, 1 / (1e-4 * scale)
    arrays = [array.ctypes.data_as(ctypes.c_void_p) for array in (points, triangles, out)]
    counts = [batch, points.shape[1], len(triangles), size, size, width]
    constants = [ctypes.c_float(radius2), ctypes.c_float(per_sigma), 1]
    alpha, saved = soft.forward(points, triangles, size, size)
    c, forward, backward = shortest(
        [
            lambda: run_c(*arrays[:2], *counts, *constants, arrays[2]),
            lambda: soft.forward(points, triangles, size, size),
            lambda: soft.backward(saved, alpha),
        ],
        seconds,
    )
    difference = np.abs(1 - out[:, :, :size] - alpha).max()
    assert difference < 1e-3, f"the C reference and the kernel differ by {difference}"
    weight = torch.from_numpy(alpha)
    jobs = [partial(forward_backward, draw, vertices, faces, K, weight) for draw in (soft_raster, coverage)]
    times = [forward, backward, *shortest(jobs, seconds)]
    names = ["forward", "backward", "soft f+b", "coverage f+b"]
    return {"c_ms": round(c, 4)} | {name: round(ms / c, 2) for name, ms in zip(names, times, strict=True)}


def judge(cells: list[dict], twins: dict, c: dict[str, dict[str, float]] | str) -> list[dict]:
    """The figures to reach, each with what was found. Absolute times are those of 2 Zen 4 cores, and of the shortest runs."""
    at = {(cell["faces"], cell["size"], cell["batch"]): cell for cell in cells}

    def ms(name: str, faces: int, size: int, batch: int) -> float:
        return at[faces, size, batch][name]["shortest_ms"]

    ratio_open = {where: ms("open coverage f+b", *where) / ms("coverage f+b", *where) for where in at}
    ahead = {where: ms("soft f+b", *where) / ms("coverage f+b", *where) for where in at}
    lines = [
        ("largest difference in values to the twins", max(t["value_difference"] for t in twins.values()), "<=", 1e-4),
        (
            "largest relative difference in gradients to the twins",
            max(t.get("gradient_difference", 0) for t in twins.values()),
            "<=",
            1e-3,
        ),
        ("soft times faster than the twin", twins["soft"]["times_faster"], ">=", 50),
        ("hard times faster than the twin", twins["hard"]["times_faster"], ">=", 50),
        ("soft f+b, 1,280 faces, 64 px, batch 32, shortest ms", ms("soft f+b", 1280, 64, 32), "<=", 13),
        ("coverage f+b, 1,280 faces, 64 px, batch 32, shortest ms", ms("coverage f+b", 1280, 64, 32), "<=", 3),
        ("coverage f+b, 1,280 faces, 256 px, batch 1, shortest ms", ms("coverage f+b", 1280, 256, 1), "<=", 0.6),
        ("open over closed mesh, f+b, worst cell", max(ratio_open.values()), "<=", 2),
        ("open over closed mesh, f+b, median cell", statistics.median(ratio_open.values()), "<=", 2),
        ("coverage over soft f+b, 64 px", min(r for where, r in ahead.items() if where[1] == 64), ">=", 1.8),
        ("coverage over soft f+b, 128 px on", min(r for where, r in ahead.items() if where[1] > 64), ">=", 3),
    ]
    if isinstance(c, dict):
        lines.append(
            ("soft forward over the C reference, worst cell", max(at["forward"] for at in c.values()), "<=", 2.5)
        )
        for name, goal in (("soft f+b", 13), ("coverage f+b", 3)):
            times_c = c["64 px, batch 32"][name]
            lines.append((f"{name}, 64 px, batch 32, over C's forward", times_c, "<=", round(goal / ZEN_4_C_MS, 1)))
    judged = []
    for name, value, relation, goal in lines:
        passed = value <= goal if relation == "<=" else value >= goal
        judged.append(
            {"what": name, "found": round(value, 7), "to_reach": f"{relation} {goal}", "passed": bool(passed)}
        )
    return judged


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one size of mesh, shorter runs: about a minute")
    quick = parser.parse_args().quick
    seconds = 0.15 if quick else 1.5
    torch.set_num_threads(1)  # its waiting threads would take the cores from the kernels' own
    machine = describe_machine()
    names = list(JOBS)
    print("faces size batch | " + " | ".join(f"{name} ms" for name in names), flush=True)
    cells = []
    for faces, size, batch in (
        QUICK if quick else [(f, s, b) for f in LEVELS for s in (64, 128, 256) for b in (1, 8, 32)]
    ):
        cell = measure_cell(faces, size, batch, seconds)
        cells.append(cell)
        print(
            faces,
            size,
            batch,
            "|",
            " | ".join(f"{cell[n]['ms']:.3f} +- {cell[n]['spread_ms']:.3f}" for n in names),
            flush=True,
        )
    c = compare_with_c(4 * seconds)
    torch.set_num_threads(machine["threads"])
    twins = compare_with_twins(seconds, 1 if quick else 8)
    judged = judge(cells, twins, c)
    print(f"twins: {json.dumps(twins)}\nover C's forward, one thread: {json.dumps(c)}")
    print("PyTorch3D itself: not compared, it has no wheel; see the relation to the C reference")
    for line in judged:
        print(
            f"{'reached' if line['passed'] else 'FALLS SHORT'}: {line['what']}: {line['found']:g} ({line['to_reach']})"
        )
    RESULT.parent.mkdir(exist_ok=True)
    record = {"machine": machine, "quick": quick, "cells": cells, "twins": twins, "soft_over_c": c, "to_reach": judged}
    RESULT.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
