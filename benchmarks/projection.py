"""How fast, how large and how right are the silhouette operators, against their twins, a C reference and other renderers?

    python benchmarks/projection.py [--quick]

Times are medians with the camera's projection included; f+b adds the gradient to the vertices in camera space. The mesh is a
bumpy sphere that fills 70 % of the image, closed, and the same open and inconsistently wound (open coverage). Grids: rays of
48x48 pixels and 64 samples through 32^3 cells, turn and maximum at 30^3, f+b to grid and pose. The C reference (SoftRas'
algorithm, compiled here with gcc) is used where it lies beside the repository: shortest times of interleaved single-threaded
runs of the kernels alone, so that a busy machine changes their ratio little.
"""

import argparse
import json
import time
from pathlib import Path

import align_time
import plot_projection
import rivals
import torch
from machine import describe_machine
from projection_goals import judge
from projection_memory import measure_memory
from projection_scenes import LEVELS, MESH_OPERATORS, measure, mesh_case
from projection_twins import compare_with_c, differences, measure_voxels, times_faster

RESULT = Path(__file__).parent / "results" / "projection.json"
QUICK = [(1280, 64, 1), (1280, 64, 8), (1280, 64, 32), (1280, 128, 1), (1280, 128, 8), (1280, 256, 1), (1280, 256, 8)]
QUICK += [(5120, 64, 8), (20480, 64, 8)]
FULL = [(faces, size, batch) for faces in LEVELS for size in (64, 128, 256) for batch in (1, 8, 32)]


def measure_cell(faces: int, size: int, batch: int, seconds: float) -> dict:
    found: dict = {"faces": faces, "size": size, "batch": batch}
    for name in MESH_OPERATORS:
        case = mesh_case(name, faces, size, batch)
        found[name] = measure(case.forward, seconds)
        if name != "hard":
            found[f"{name} f+b"] = measure(case.forward_backward, seconds)
    return found


def measure_grid(quick: bool, seconds: float) -> list[dict]:
    cells = []
    for where in QUICK if quick else FULL:
        cell = measure_cell(*where, seconds)
        times = [f"{name} {found['ms']:.3f}" for name, found in cell.items() if isinstance(found, dict)]
        print(*where, "|", ", ".join(times), flush=True)
        cells.append(cell)
    return cells


def measure_hypothesis(times: int) -> float | str:
    """Milliseconds of a pose hypothesis of the global search; it is measured on real meshes."""
    if not align_time.scenes.SHARED.exists():
        return "not measured: no meshes beside the repository"
    return 1e3 * align_time.hypothesis(times)["median_s"]


def report(record: dict) -> None:
    for name, powers in record["growth"].items():
        print(f"growth of {name}: time ~", ", ".join(f"{axis}^{power:.2f}" for axis, power in powers.items()))
    for line in record["to_reach"]:
        verdict = {True: "reached", False: "FALLS SHORT", None: "not compared"}[line["passed"]]
        print(f"{verdict}: {line['what']}: {line['found']} ({line['to_reach']})")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few sizes, shorter runs: about two minutes")
    parser.add_argument("--out", type=Path, default=RESULT, help="the growth plot is drawn only for the default")
    options = parser.parse_args()
    quick, seconds = options.quick, 0.1 if options.quick else 0.7
    machine = describe_machine()
    case, backends = ((1280, 128, 8), ["numba"]) if quick else ((5120, 256, 32), ["numba", "torch"])
    alone = {
        "cells": lambda: measure_grid(quick, seconds),
        "soft_over_c": lambda: compare_with_c(4 * seconds),
        "hypothesis_ms": lambda: measure_hypothesis(3 if quick else 7),
        "voxels": lambda: measure_voxels(seconds, machine["threads"]),
    }
    with_torch = {
        "differences": lambda: differences(1 if quick else 4),
        "times_faster": lambda: times_faster(("hard", "soft", "coverage") if quick else MESH_OPERATORS, seconds),
        "memory": lambda: measure_memory(*case, backends),
        "rivals": lambda: rivals.compare(seconds, quick),
    }
    record: dict = {"machine": machine, "quick": quick}
    # Waiting threads of PyTorch would take the cores from the kernels' own.
    for threads, steps in ((1, alone), (machine["threads"], with_torch)):
        torch.set_num_threads(threads)
        for name, step in steps.items():
            start = time.perf_counter()
            record[name] = step()
            rows = record[name] if isinstance(record[name], list) else [record[name]]
            print(f"{name}, {time.perf_counter() - start:.0f} s", flush=True)
            if name != "cells":
                print(*(f"  {json.dumps(row)}" for row in rows), sep="\n", flush=True)
    record["growth"] = plot_projection.growth(record["cells"])
    record["to_reach"] = judge(record)
    report(record)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    if options.out == RESULT:
        plot_projection.draw(record["cells"])


if __name__ == "__main__":
    main()
