"""How many training images a second are rendered, with and without worker processes, and what a loader holds in memory.

    python benchmarks/rendering.py [--quick]

Meshes of about 5,000 faces; all of RenderSettings' defaults (light, textures, occluders in 25 % of the images, blur in 30 %,
colour shifts and noise in all, JPEG in 20 %) before procedural scenery. Writes results/rendering.json.
"""

import argparse
import json
import re
import resource
import time
from pathlib import Path

import numpy as np
from machine import describe_machine
from torch.utils.data import DataLoader

from monoform.data.procedural.shapes import make_shape
from monoform.data.rendering import ModelLibrary, Recipe, RenderedViews, RenderSettings
from monoform.meshes import Mesh, icosphere

OUT = Path(__file__).parent / "results" / "rendering.json"
BATCH, REPEATS = 64, 5
GOALS = {64: 1000.0, 224: 250.0}


def meshes_of_5k() -> list[Mesh]:
    """Dented balls of 5,120 faces, coloured."""
    meshes = []
    for seed in range(16):
        ball, rng = icosphere(4), np.random.default_rng(seed)
        waves = rng.normal(size=(4, 3)) * 3.0
        radius = 1.0 + 0.12 * np.sin(ball.vertices @ waves.T + rng.uniform(0, 6, 4)).sum(axis=1, keepdims=True)
        colours = (127.5 * (1.0 + ball.vertices)).astype(np.uint8)
        meshes.append(Mesh(ball.vertices * radius * rng.uniform(0.4, 1.0, 3), ball.faces, colours))
    return meshes


def cpu_seconds() -> float:
    """Of this process and of the workers that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def rate(size: int, workers: int, images: int) -> dict:
    """Images a second, median of repeats, and CPU time an image over all of them.

    A first round, in which kernels load and workers start, is not timed; of the CPU time it is a part.
    """
    views = RenderedViews(ModelLibrary(meshes_of_5k()), RenderSettings((size, size)), length=images)
    views.__getitems__(range(min(images, 16)))
    starts = range(0, images, BATCH)
    loader = DataLoader(
        views, BATCH, num_workers=workers, multiprocessing_context="fork" if workers else None,
        persistent_workers=workers > 0,
    )  # fmt: skip
    rates, cpu = [], cpu_seconds()
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        if workers:
            count = sum(len(batch["image"]) for batch in loader)
        else:
            count = sum(len(views.__getitems__(range(s, min(s + BATCH, images)))) for s in starts)
        rates.append(count / (time.perf_counter() - begin))
    del loader  # ends the workers, whose CPU time counts only then
    cpu_ms = 1000.0 * (cpu_seconds() - cpu) / (images * (REPEATS + 1))
    median = float(np.median(rates[1:]))
    row = {"size": size, "workers": workers, "images": images, "images_per_s": round(median, 1), "goal": GOALS[size]}
    runs = [round(value, 1) for value in rates[1:]]
    return {**row, "reached": median >= GOALS[size], "cpu_ms_per_image": round(cpu_ms, 2), "runs": runs}


def resident_mib() -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def memory(shapes: int, capacity: int) -> dict | str:
    """What a library of procedural shapes holds after all were shown once."""
    if not Path("/proc/self/status").exists():
        return "not measured: read from Linux's /proc"
    categories = ("car", "chair", "table", "aeroplane")
    recipes = [Recipe(categories[seed % 4], seed) for seed in range(shapes)]
    make_shape("car", 0)
    library = ModelLibrary(recipes, capacity=capacity)
    views = RenderedViews(library, RenderSettings((32, 32)))
    before, grown = resident_mib(), []
    for start in range(0, shapes, BATCH):
        views.__getitems__(range(start, min(start + BATCH, shapes)))
        grown.append(resident_mib() - before)
    return {"shapes": shapes, "held": library.held, "mib_after_half": round(grown[len(grown) // 2], 1),
            "mib_at_end": round(grown[-1], 1), "mib_at_most": round(max(grown), 1)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images; nothing is written")
    quick = parser.parse_args().quick
    rows = [rate(size, workers, 128 if quick else 2048 * 64 // size) for size in GOALS for workers in (0, 2)]
    result = {"rates": rows, "memory": memory(200 if quick else 10_000, 256), "machine": describe_machine()}
    print(json.dumps(result, indent=1))
    if not quick:
        OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
