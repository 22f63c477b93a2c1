"""How fast do the papers' systems learn at laptop size, what does a step's time go into, and how much memory does it take?

    python benchmarks/learning.py [--quick] [--steps 100] [--method NAME]

Every method of METHODS with its LAPTOP settings (VARIANTS of them), on the images that `monoform train --scale laptop` draws;
natural images are the training images without their truth. Each stage trains through `training.train` for some steps, the
first WARM of which are not counted, in a process of its own for every system and each of RUNS. Clocks are put around
the library from here; a thread of its own draws the batches beside the steps. Writes results/learning.json.
"""

import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
from machine import describe_machine
from torch import Tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from monoform.checkpoints import describe_method
from monoform.cli.options import Common
from monoform.cli.train import Images, Train
from monoform.cli.train_sets import sets_of
from monoform.interfaces import ImageSet, Stage
from monoform.methods import METHODS
from monoform.projection.kernels.threads import set_threads
from monoform.reproduction.runs import without_truth
from monoform.training import Precision, TrainSettings, train
from monoform.training.updates import Updater

OUT = Path(__file__).parent / "results" / "learning.json"
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "self_consistency": {"": {}, "without pose": {"pose": "none"}},
    "reprojection": {
        system: {"system": system, "categories": ("chair",)}
        for system in ("p-TL", "p-3D-VAE-GAN", "coupled-3D-VAE-GAN")
    },
}
"""Of a method, by name, what they change in LAPTOP; a method that is not here runs as LAPTOP has it."""
RUNS = ((1, "float32"), (1, "mixed"), (2, "float32"))
"""Threads and precision; mixed is bfloat16 on the CPU."""
WARM = 10
NETWORKS, PROJECTION, GRADIENTS, OPTIMISER, WAITING, REST = PARTS = (
    "networks", "projection", "gradients", "optimiser", "waiting", "rest",
)  # fmt: skip
"""What the main thread's time goes into: modules' forward passes; functions of `monoform.projection`, forward; back from the
loss; the rest of an update; until the batch is there; losses, the loop and all else."""


# --- clocks --------------------------------------------------------------------------------------------------------


class Clock:
    """The main thread's time by parts; a part within another is not counted to that."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(PARTS, 0.0)
        self.inside = [REST]
        self.since = time.perf_counter()

    def _book(self) -> None:
        now = time.perf_counter()
        self.spent[self.inside[-1]] += now - self.since
        self.since = now

    def enter(self, part: str) -> None:
        self._book()
        self.inside.append(part)

    def leave(self) -> None:
        self._book()
        self.inside.pop()

    def take(self) -> dict[str, float]:
        """Seconds since the last call."""
        self._book()
        spent, self.spent = self.spent, dict.fromkeys(PARTS, 0.0)
        return spent

    def around(self, function: Callable, part: str) -> Callable:
        """The function, its time on the main thread counted."""

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return function(*arguments, **named)
            self.enter(part)
            try:
                return function(*arguments, **named)
            finally:
                self.leave()

        return timed

    def watch_library(self) -> None:
        """Put clocks around modules, projections as the methods have imported them, and updates."""
        register_module_forward_pre_hook(lambda module, inputs: self.enter(NETWORKS))
        register_module_forward_hook(lambda module, inputs, output: self.leave(), always_call=True)
        for name, module in list(sys.modules.items()):
            if name.startswith("monoform.methods"):
                for key, value in list(vars(module).items()):
                    if callable(value) and getattr(value, "__module__", "").startswith("monoform.projection"):
                        setattr(module, key, self.around(value, PROJECTION))
        Tensor.backward = self.around(Tensor.backward, GRADIENTS)  # type: ignore[method-assign]
        Updater.__call__ = self.around(Updater.__call__, OPTIMISER)  # type: ignore[method-assign]
        Queue.get = self.around(Queue.get, WAITING)  # type: ignore[method-assign]


class Timed:
    """A stage of a few steps that times its draws."""

    def __init__(self, stage: Stage, steps: int) -> None:
        self.stage, self.steps = stage, min(steps, stage.steps)
        self.drawing: list[float] = []
        self.samples = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stage, name)

    def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        begin = time.perf_counter()
        batch = self.stage.batch(rng)
        self.drawing.append(time.perf_counter() - begin)
        self.samples = max(len(tensor) for tensor in batch.values())
        return batch


class Watch:
    """A listener that keeps what each step of each stage took."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.steps: dict[str, list[dict[str, float]]] = {}

    def begin(self, stage: str, steps: int, done: int) -> None:
        self.steps[stage] = []
        self.clock.take()

    def step(self, stage: str, done: int, values: Mapping[str, float] | None) -> None:
        self.steps[stage].append(self.clock.take())

    def validated(self, stage: str, done: int, scores: Mapping[str, float], best: bool) -> None:
        pass

    def warn(self, text: str) -> None:
        print(text, file=sys.stderr)


# --- one system in a process of its own ----------------------------------------------------------------------------


def settings_of(method: str, variant: str) -> Any:
    return replace(import_module(f"monoform.methods.{method}").LAPTOP, **VARIANTS.get(method, {}).get(variant, {}))


def sets(method: str, chosen: Any, work: Path, *, quick: bool) -> tuple[ImageSet, ImageSet, ImageSet]:
    """To train on, to validate on, natural: as `monoform train` draws and keeps them."""
    images = Images(shapes=16, views=2) if quick else Images()
    training, validation, _ = sets_of(Train(method, work, images=images, common=Common(quiet=True)), chosen)  # type: ignore[arg-type]
    return training, validation, without_truth(training)


def peak_mib() -> float:
    """ru_maxrss begins at the parent's size, but that has imported no more than this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(
    method: str, variant: str, threads: int, precision: Precision, steps: int, work: Path, *, quick: bool
) -> dict:
    """Train every stage for some steps."""
    chosen = settings_of(method, variant)
    training, validation, natural = sets(method, chosen, work, quick=quick)
    set_threads(threads)
    clock, built, stages = Clock(), chosen.build(), []
    watch, before = Watch(clock), peak_mib()

    def timed() -> Iterator[Timed]:
        for stage in built.stages(training, validation, natural):
            stages.append(Timed(stage, steps))
            yield stages[-1]

    clock.watch_library()
    settings = TrainSettings(device="cpu", precision=precision, checkpoint_every=0, validate_every=0, threads=threads)
    with tempfile.TemporaryDirectory(dir=work) as run:
        report = train(
            timed(), Path(run), settings, model=built, describe=describe_method(method, chosen), listener=watch
        )
    if report.model is None:
        sys.exit(f"{report.status}: nothing to tell of a training that was stopped")
    rows = [summary(stage, watch.steps[stage.name]) for stage in stages]
    return {
        "method": method, "variant": variant, "threads": threads, "precision": precision, "images": len(training),
        "stages": rows, "before_mib": round(before, 1), "peak_mib": round(peak_mib(), 1),
    }  # fmt: skip


def summary(stage: Timed, steps: list[dict[str, float]]) -> dict:
    """Medians and tenths over the steps; shares of all their time, that of drawing beside them."""
    steps, drawing = steps[WARM:], stage.drawing[WARM:]
    lengths = np.array([sum(step.values()) for step in steps])
    low, median, high = np.quantile(lengths, [0.1, 0.5, 0.9])
    shares = {part: round(sum(step[part] for step in steps) / lengths.sum(), 4) for part in PARTS}
    return {
        "stage": stage.name, "laptop_steps": stage.stage.steps, "measured": len(steps), "samples": stage.samples,
        "steps_per_s": round(1 / median, 2), "samples_per_s": round(stage.samples / median, 1),
        "step_ms": round(1e3 * median, 2), "step_ms_tenth": round(1e3 * low, 2), "step_ms_nine_tenths": round(1e3 * high, 2),
        "shares": shares, "draw_ms": round(1e3 * float(np.median(drawing)), 2),
        "draw_share": round(sum(drawing) / lengths.sum(), 4),
    }  # fmt: skip


# --- all systems ---------------------------------------------------------------------------------------------------


def child(job: dict) -> dict:
    """What a job prints in a process of its own, whose BLAS has as many threads as torch."""
    count = str(job["threads"])
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), count)
    command = [sys.executable, __file__, "--job", json.dumps(job)]
    done = subprocess.run(command, env={**os.environ, **limits}, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def do(job: dict) -> dict:
    work = Path(job["work"])
    if job["steps"]:
        return measure(
            job["method"], job["variant"], job["threads"], job["precision"], job["steps"], work, quick=job["quick"]
        )
    sets(job["method"], settings_of(job["method"], job["variant"]), work, quick=job["quick"])
    return {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few images and steps; nothing is written")
    parser.add_argument("--steps", type=int, default=100, help="steps of a stage that are counted")
    parser.add_argument("--method", choices=METHODS, help="this one alone; nothing is written")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(do(options.job)))
        return
    rows, steps, machine = [], 3 if options.quick else options.steps, describe_machine()
    with tempfile.TemporaryDirectory() as work:
        for method in [options.method] if options.method else METHODS:
            for variant in VARIANTS.get(method, {"": {}}):
                job = {"method": method, "variant": variant, "work": work, "quick": options.quick}
                child({**job, "threads": 2, "steps": 0})  # draws, which takes memory
                for threads, precision in RUNS:
                    rows.append(child({**job, "threads": threads, "precision": precision, "steps": WARM + steps}))
                    print(json.dumps(rows[-1]), file=sys.stderr)
    result = {"systems": rows, "warm": WARM, "machine": machine}
    print(json.dumps(result, indent=1))
    if not (options.quick or options.method):
        OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
