"""monoform train: a method from images, voxels and masks."""

import os
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from monoform.cli.options import (
    BAD_INPUT,
    ENVIRONMENT,
    INTERRUPTED,
    OK,
    TERMINATED,
    USAGE,
    Common,
    OutputFolder,
    UsageError,
    print_json,
    use_threads,
)
from monoform.cli.progress import printable
from monoform.cli.train_sets import Scale, categories_in, drawn_settings, sets_of
from monoform.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monoform.interfaces import Stage
    from monoform.training import TrainReport, TrainSettings

SECONDS_TO_TELL = 20.0
"""How much later than the other processes of torchrun the first may find out what is wrong."""
MethodName = Literal["self_consistency", "reprojection", "raster_pose"]


@dataclass(frozen=True)
class Images:
    """What is learnt from: folders of images, or images drawn of procedural shapes into RUN/data."""

    data: Path | None = None
    """Folder to train on: a data set that `monoform data synth` or `convert` wrote, of which the split train is taken, or an
    image set of `save_images`; without it images are drawn."""
    val: Path | None = None
    """Folder to validate on, likewise, its split val; goes with --data and may be the same data set."""
    natural: Path | None = None
    """Folder of natural images with masks, for a method that learns from them: cut-outs, a data set, or an image set."""
    categories: str = ""
    """Categories separated by commas; without it those of --data, or the method's."""
    shapes: int = 0
    """Shapes a category to draw, a quarter as many more for validation; 0 goes by --scale."""
    views: int = 0
    """Images a shape to draw; 0 goes by --scale."""


@dataclass(frozen=True)
class Schedule:
    """When is what done, and when does it stop."""

    checkpoint_every: int = 500
    """Steps between checkpoints; 0: only at the end of a stage."""
    validate_every: int = 500
    """Steps between validations; 0: only at the end of a stage."""
    log_every: int = 10
    """Steps between lines of the log."""
    clip_norm: float = 0.0
    """Norm that a longer gradient is shortened to; 0 for none."""
    max_bad_steps: int = 25
    """Steps in a row that may fail for NaN or infinity before the training stops."""


@dataclass(frozen=True)
class Train:
    """Train a method and leave RUN: checkpoints, logs, pictures, and the trained model in RUN/model.

    Options of the method itself stand after two dashes: monoform train self_consistency -o RUN -- --width 32 --steps 4000;
    -- --help lists them. Ctrl-C saves and stops; the same command with --resume goes on.
    """

    method: tyro.conf.Positional[MethodName]
    """Which paper's system."""
    out: OutputFolder
    """Folder for the run."""
    options: tyro.conf.Positional[tuple[str, ...]] = ()
    """Options of the method, after --."""
    scale: Scale = "laptop"
    """smoke: seconds, to see that it runs; laptop: minutes a category on two cores; paper: the paper's own size."""
    images: tyro.conf.OmitArgPrefixes[Images] = field(default_factory=Images)
    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(default_factory=Schedule)
    resume: bool = False
    """Go on where the run in RUN has stopped."""
    device: str = "auto"
    """auto (CUDA where there is one, else the CPU), cpu, cuda, cuda:N or mps."""
    precision: Literal["float32", "mixed"] = "float32"
    """mixed computes in 16 bits what bears it: float16 on CUDA; bfloat16 on the CPU, faster where it multiplies such numbers
    (avx512_bf16, amx)."""
    seed: int = 0
    """Same seed and options, same run."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Train) -> int:
    """Train; the exit code."""
    try:
        job = _prepare(config)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else OK if stop.code is None else USAGE
    except (UsageError, InputError) as error:
        # torchrun's processes have the same options and files: one of a machine tells what is wrong with them. The others wait
        # to be ended with it, as torchrun would end it with them before it has told.
        if os.environ.get("LOCAL_RANK", "0") == "0":
            raise
        time.sleep(SECONDS_TO_TELL)
        return USAGE if isinstance(error, UsageError) else BAD_INPUT
    from monoform.cli.train_progress import TrainProgress
    from monoform.training import OtherProcessError, train

    try:
        with TrainProgress(quiet=config.common.quiet) as progress:
            report = train(
                job.stages, config.out, job.settings, model=job.model, describe=job.describe, listener=progress
            )
    except OtherProcessError:
        if os.environ.get("RANK", "0") == "0":
            raise
        return ENVIRONMENT
    return _tell(report, config)


@dataclass(frozen=True, eq=False)
class _Job:
    """What `train` takes."""

    stages: "Iterator[Stage]"
    settings: "TrainSettings"
    model: Any
    describe: dict[str, Any]


def _prepare(config: Train) -> _Job:
    """Refuse what can be refused, then make or open the sets."""
    _check(config)
    use_threads(config.common.threads)
    chosen = _method_config(config)
    from monoform.checkpoints import describe_method
    from monoform.data.image_sets.leakage import SEEN, seen_record
    from monoform.training import TrainSettings, check_start

    settings = TrainSettings(
        device=config.device,
        precision=config.precision,
        seed=config.seed,
        threads=config.common.threads,
        resume=config.resume,
        **asdict(config.schedule),
    )
    method = chosen.build()
    drawn = None
    if config.images.data is None:
        drawn = {role: drawn_settings(config, chosen, role) for role in ("train", "val")}
    describe = {**describe_method(config.method, chosen), "drawn": drawn}
    check_start(config.out, settings, describe)
    training, validation, natural = sets_of(config, chosen)
    sets = {"train": training, "val": validation} | ({} if natural is None else {"natural": natural})
    describe |= {"data": {role: images.made_by for role, images in sets.items()}, SEEN: seen_record(sets)}
    return _Job(method.stages(training, validation, natural), settings, method, describe)


def _check(config: Train) -> None:
    images = config.images
    if (images.data is None) != (images.val is None):
        raise UsageError("--data and --val go together: give one set to train on and another to validate on")
    if images.data is not None and (images.shapes or images.views):
        raise UsageError("--shapes and --views draw images; leave them out with --data")
    if min(images.shapes, images.views, config.seed) < 0:
        raise UsageError("--shapes, --views and --seed must be 0 or more")


def _method_config(config: Train) -> Any:
    """The method's config: of the scale, with the data's categories, the seed, and the options after ``--``."""
    from importlib import import_module

    module = import_module(f"monoform.methods.{config.method}")
    base = {"smoke": module.SMOKE, "laptop": module.LAPTOP, "paper": module.Config()}[config.scale]
    base = replace(base, seed=config.seed, categories=_categories(config.images) or base.categories)
    return tyro.cli(
        type(base),
        prog=f"monoform train {config.method} ... --",
        description=f"Options of {config.method}; the values shown are those of --scale {config.scale}.",
        default=base,
        args=list(config.options),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone),
    )


def _categories(images: Images) -> tuple[str, ...]:
    if images.categories:
        names = tuple(images.categories.split(","))
        if len(set(names)) < len(names):
            raise UsageError(f"--categories {images.categories}: names one twice; give each once")
        return names
    return () if images.data is None else categories_in(images.data)


def _tell(report: "TrainReport", config: Train) -> int:
    """Say how it ended; the exit code."""
    if os.environ.get("RANK", "0") == "0":
        if config.common.json:
            model = None if report.model is None else str(report.model)
            print_json({**asdict(report), "stages": [asdict(stage) for stage in report.stages], "model": model})
        elif report.model is not None and not config.common.quiet:
            print(f"{report.steps} steps; the model is in {printable(str(report.model))}")
        if report.model is None:
            print(f"monoform: {report.status}; saved after {report.steps} steps, --resume goes on", file=sys.stderr)
    return {"trained": OK, "interrupted": INTERRUPTED, "terminated": TERMINATED}[report.status]
