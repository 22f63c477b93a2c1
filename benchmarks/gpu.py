"""How fast and how right are the silhouette operators on a CUDA device, and how close to what it could do?

    python benchmarks/gpu.py [--seconds 400] [--out FILE]

Every Triton kernel against its PyTorch twin on the same device, for a shared mesh and for another mesh in every image. Times
by CUDA events, medians: what a caller waits, launches included; `device_ms` is the time the device itself worked, from the
profiler. `share` is the least time the work could take, over `device_ms`: the estimated arithmetic at the rate of a float32
matrix product here, or the estimated bytes at the rate of a copy here, whichever takes longer. Training images are
drawn on the device too, against the compiled kernels on this machine's CPU. Without CUDA nothing is run.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from projection_scenes import (
    LEVELS,
    MAX_SIDE,
    MESH_OPERATORS,
    RAYS,
    VOXEL_OPERATORS,
    Case,
    mesh_case,
    on_screen,
    operators,
    voxel_case,
)
from projection_twins import differences_of
from rendering import meshes_of_5k

from monoform.data.rendering import AugmentSettings, RenderSettings, prepare, render_batch
from monoform.data.rendering.drawing import sample_draws
from monoform.projection import kernels
from monoform.projection.drawing.views import draw_views

RESULT = Path(__file__).parent / "results" / "gpu.json"
FLOPS_A_PAIR = {"hard": 20, "soft": 80, "edge product": 40}
"""Estimates for one face and one pixel's centre it reaches, forward; forward and backward: three times as many."""
FLOPS_A_SAMPLE = 60
"""Of a grid: its place, eight neighbours, three interpolations; backwards likewise three times as many."""
FLOPS_A_FACE = 10
"""Of coverage: one orientation test a face; its work along the outline is small beside it."""
SOFT_REACH = math.sqrt(math.log(1 / 1e-4 - 1) * 1e-4) / 2
"""How far `soft_raster` reaches beyond a face, in image sides."""
RUNS = 50
DENSE_CELL = (1280, 64, 8)
"""Where the dense twins fit and end soon."""

IMAGES = 256
"""Training images that are drawn at once."""


def median_ms(run: Callable[[], object], seconds: float) -> float:
    run()
    run()
    torch.cuda.synchronize()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 5 or (len(times) < RUNS and time.perf_counter() < end):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def device_ms(run: Callable[[], object]) -> float:
    """Time for which kernels and copies ran, the mean of three runs."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(3):
            run()
        torch.cuda.synchronize()
    return sum(event.self_device_time_total for event in profile.key_averages()) / 3e3


def device_limits() -> dict[str, float]:
    """Bytes and float32 operations a second, measured: a copy of 1 GiB counted both ways, a product of 8192^2 matrices."""
    source = torch.rand(2**28, device="cuda")
    target = torch.empty_like(source)
    copy = median_ms(lambda: target.copy_(source), 2)
    matrix = torch.rand(8192, 8192, device="cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    product = median_ms(lambda: torch.mm(matrix, matrix), 2)
    return {"bytes_a_second": 2 * source.nbytes / copy * 1e3, "flops_a_second": 2 * 8192**3 / product * 1e3}


def reached_pixels(faces: int, size: int, batch: int, reach_px: float) -> float:
    """Pairs of a face and a pixel within reach: every triangle's area, grown by the reach."""
    points, triangles = on_screen(faces, batch, size)
    corners = points[:, triangles, :2]
    sides = np.roll(corners, -1, -2) - corners
    area = np.abs(sides[..., 0, 0] * sides[..., 1, 1] - sides[..., 0, 1] * sides[..., 1, 0]) / 2
    around = np.linalg.norm(sides, axis=-1).sum(-1)
    return float((area + around * reach_px + np.pi * reach_px**2).sum())


def mesh_work(name: str, faces: int, size: int, batch: int, backward: bool) -> tuple[float, float]:
    """Operations, and bytes that must move: vertices and image of every image, faces once; backwards their gradients too."""
    image, vertices = 4 * batch * size**2, 12 * batch * (faces // 2 + 2)
    moved = 12 * faces + vertices + image * (5 if name == "hard" else 1)  # hard: face, depth and barycentrics
    if backward:
        moved += 2 * image + vertices
    times = 3 if backward else 1
    if "coverage" in name:
        return times * batch * faces * FLOPS_A_FACE, moved
    reach = SOFT_REACH * size if name == "soft" else 0.0
    return times * FLOPS_A_PAIR[name] * reached_pixels(faces, size, batch, reach), moved


def voxel_work(name: str, batch: int, backward: bool) -> tuple[float, float]:
    side, pixels, samples = (
        (RAYS["side"], RAYS["size"] ** 2, RAYS["samples"]) if name == "rays" else (MAX_SIDE, MAX_SIDE**2, MAX_SIDE)
    )
    times = 3 if backward and name == "rays" else 1  # of the maximum only one neighbourhood a pixel has a gradient
    moved = 4 * batch * (side**3 + pixels) * (2 if backward else 1)
    return times * batch * pixels * samples * FLOPS_A_SAMPLE, moved


def measure_case(case: Case, work: tuple[float, float], backward: bool, limits: dict, seconds: float) -> dict:
    run = case.forward_backward if backward else case.forward
    ms = median_ms(run, seconds)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    mib = (torch.cuda.max_memory_allocated() - before) / 2**20
    busy = device_ms(run)
    flops_ms, bytes_ms = 1e3 * work[0] / limits["flops_a_second"], 1e3 * work[1] / limits["bytes_a_second"]
    bound = "arithmetic" if flops_ms > bytes_ms else "memory"
    found = {"ms": ms, "device_ms": busy, "least_ms": max(flops_ms, bytes_ms), "mib": mib}
    share = (
        round(found["least_ms"] / busy, 4) if busy else None
    )  # without the profiler's counters nothing is seen at work
    return {key: round(value, 4) for key, value in found.items()} | {"bound": bound, "share": share}


def measure_grid(limits: dict, end: float, seconds: float) -> tuple[list[dict], list[str]]:
    """Rows of one operator at one cell, grids first; and the cells for which no time was left."""
    rows, left_out = [], []
    for name in VOXEL_OPERATORS:
        for batch in (1, 8, 32):
            case = voxel_case(name, batch, device="cuda")
            for backward in (False, True):
                found = measure_case(case, voxel_work(name, batch, backward), backward, limits, seconds)
                rows.append({"operator": name, "what": _words(backward), "batch": batch, **found})
    for batch in (1, 8, 32):
        for faces in LEVELS:
            for size in (64, 128, 256):
                if time.perf_counter() > end:
                    left_out.append(f"{faces} faces, {size} px, batch {batch}")
                    continue
                rows += measure_cell((faces, size, batch), limits, seconds)
    return rows, left_out


def measure_cell(cell: tuple[int, int, int], limits: dict, seconds: float) -> list[dict]:
    rows = []
    where = dict(zip(("faces", "size", "batch"), cell, strict=True))
    for name in (name for name in operators("triton") if name in MESH_OPERATORS):
        case = mesh_case(name, *cell, device="cuda")
        for backward in (False, True)[: 1 if name == "hard" else 2]:
            found = measure_case(case, mesh_work(name, *cell, backward), backward, limits, seconds)
            rows.append({"operator": name, "what": _words(backward), **where, **found})
    print(
        *cell,
        "|",
        ", ".join(f"{r['operator']} {r['what']} {r['ms']:.3f} ({r['device_ms']:.3f})" for r in rows),
        flush=True,
    )
    return rows


def _words(backward: bool) -> str:
    return "f+b" if backward else "forward"


def against_twins(seconds: float) -> list[dict]:
    """f+b (hard: forward) of kernel and twin on the device; and of one mesh for all images and several."""
    rows = []
    for name in operators("triton"):
        voxels = name in VOXEL_OPERATORS
        make = voxel_case if voxels else mesh_case
        cell = (8,) if voxels else DENSE_CELL
        cases = {"kernel": make(name, *cell, device="cuda"), "twin": make(name, *cell, device="cuda", backend="torch")}
        if not voxels:
            cases["several_meshes"] = mesh_case(name, *cell, device="cuda", several=True)
        row: dict = {"operator": name}
        for words, case in cases.items():
            row[f"{words}_ms"] = round(median_ms(case.forward if name == "hard" else case.forward_backward, seconds), 4)
        rows.append(row | {"times_faster": round(row["twin_ms"] / row["kernel_ms"], 1)})
    return rows


def rendering_rate(device: str, size: int, seconds: float, images: int = IMAGES) -> dict:
    """Training images a second, without compression: drawn on the device, and by the kernels on all of the CPU's threads.

    `images_per_s` has the random draws, by one thread of Python's, and the copy to the device in it; `drawing_per_s` the copy
    alone. Images stay on the device.
    """
    models = [prepare(mesh) for mesh in meshes_of_5k()]
    models, seeds = [models[i % len(models)] for i in range(images)], [(0, i) for i in range(images)]
    settings = RenderSettings((size, size), augment=AugmentSettings(jpeg=0.0))
    draws = sample_draws(models, seeds, settings)
    row: dict = {"size": size, "batch": images}
    for words, run in {
        "cpu_images_per_s": lambda: render_batch(models, seeds, settings),
        "draws_per_s": lambda: sample_draws(models, seeds, settings),
        "drawing_per_s": lambda: draw_views(draws, device),
        "images_per_s": lambda: draw_views(sample_draws(models, seeds, settings), device),
    }.items():
        row[words] = round(images / median_seconds(run, device, seconds), 1)
    return row | {"times_faster": round(row["images_per_s"] / row["cpu_images_per_s"], 2)}


def median_seconds(run: Callable[[], object], device: str, seconds: float) -> float:
    """Of a call, by the clock: what the CPU does before the device starts counts too."""
    run()
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or (len(times) < RUNS and time.perf_counter() < end):
        begin = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=400, help="after which no further cell of the grid is begun")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return
    if "triton" not in kernels.available():
        raise SystemExit("there is a CUDA device, but no Triton: install it")
    end = time.perf_counter() + options.seconds
    major, minor = torch.cuda.get_device_capability()
    record: dict = {
        "device": f"{torch.cuda.get_device_name()}, compute capability {major}.{minor}",
        "versions": {"torch": torch.__version__, "cuda": torch.version.cuda},
    }

    def keep(**found) -> None:
        """Print and write at once: a run that is cut short leaves what it has."""
        record.update(found)
        print(json.dumps(found), flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(record, indent=1) + "\n")

    keep(limits=device_limits())
    keep(differences=differences_of("triton", "cuda", 8))
    keep(differences_several_meshes=differences_of("triton", "cuda", 8, several=True))
    keep(against_twins=against_twins(0.5))
    keep(rendering=[rendering_rate("cuda", size, 2) for size in (64, 224)])
    rows, left_out = measure_grid(record["limits"], end, 0.15)
    keep(grid=rows, left_out=left_out)


if __name__ == "__main__":
    main()
