"""monoform train: a method from images, voxels and masks."""

import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from monoform.cli.options import (
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

if TYPE_CHECKING:
    from monoform.interfaces import ImageSet
    from monoform.training import TrainReport

MethodName = Literal["self_consistency", "reprojection"]
Scale = Literal["smoke", "laptop", "paper"]
SHAPES_AND_VIEWS: dict[Scale, tuple[int, int]] = {"smoke": (8, 2), "laptop": (400, 5), "paper": (1000, 24)}
"""How many shapes a category and images a shape are drawn where no data is given."""
VALIDATION_SEED = 100_000
"""Seed of the first validation shape; the training shapes have those from 0."""


@dataclass(frozen=True)
class Images:
    """What is learnt from: folders of image sets, or images drawn of procedural shapes into RUN/data."""

    data: Path | None = None
    """Folder of an image set to train on, as `save_images` writes it; without it images are drawn."""
    val: Path | None = None
    """Folder of the image set to validate on; goes with --data."""
    natural: Path | None = None
    """Folder of an image set of natural images with masks, for a method that learns from them."""
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
    """smoke: seconds, to see that it runs; laptop: two cores, a quarter of an hour a category; paper: the paper's own size."""
    images: tyro.conf.OmitArgPrefixes[Images] = field(default_factory=Images)
    schedule: tyro.conf.OmitArgPrefixes[Schedule] = field(default_factory=Schedule)
    resume: bool = False
    """Go on where the run in RUN has stopped."""
    device: str = "auto"
    """auto (CUDA where there is one, else the CPU), cpu, cuda, cuda:N or mps."""
    precision: Literal["float32", "mixed"] = "float32"
    """mixed computes in 16 bits what bears it; on CUDA only."""
    seed: int = 0
    """Same seed and options, same run."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Train) -> int:
    """Train; the exit code."""
    _check(config)
    use_threads(config.common.threads)
    try:
        chosen = _method_config(config)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else OK if stop.code is None else USAGE
    from monoform.checkpoints import describe_method
    from monoform.cli.train_progress import TrainProgress
    from monoform.training import TrainSettings, train
    from monoform.training.processes import choose_device

    choose_device(config.device)
    training, validation, natural = _image_sets(config, chosen)
    settings = TrainSettings(
        device=config.device,
        precision=config.precision,
        seed=config.seed,
        threads=config.common.threads,
        resume=config.resume,
        **asdict(config.schedule),
    )
    method = chosen.build()
    made_by = {"train": training.made_by, "val": validation.made_by, "natural": natural and natural.made_by}
    describe = {**describe_method(config.method, chosen), "data": made_by}
    stages = method.stages(training, validation, natural)
    with TrainProgress(quiet=config.common.quiet) as progress:
        report = train(stages, config.out, settings, model=method, describe=describe, listener=progress)
    return _tell(report, config)


def _check(config: Train) -> None:
    images = config.images
    if (images.data is None) != (images.val is None):
        raise UsageError("--data and --val go together: give one image set to train on and another to validate on")
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
        return tuple(images.categories.split(","))
    if images.data is None:
        return ()
    from monoform.data.image_sets import load_images

    return tuple(sorted(set(load_images(images.data, verify=False).categories)))


def _image_sets(config: Train, chosen: Any) -> "tuple[ImageSet, ImageSet, ImageSet | None]":
    """To train on, to validate on, and natural images."""
    from monoform.data.image_sets import load_images

    images = config.images
    natural = None if images.natural is None else load_images(images.natural)
    if images.data is None or images.val is None:
        return *_drawn_sets(config, chosen), natural
    found = [load_images(images.data), load_images(images.val)]
    if images.categories:
        found = [_only(one, chosen.categories) for one in found]
    return found[0], found[1], natural


def _only(images: "ImageSet", categories: tuple[str, ...]) -> "ImageSet":
    from functools import reduce

    from monoform.data.image_sets import join, of_category

    return reduce(join, [of_category(images, category) for category in categories])


def _drawn_sets(config: Train, chosen: Any) -> "tuple[ImageSet, ImageSet]":
    """Images of procedural shapes, kept in RUN/data under a name made of what was asked for."""
    import hashlib
    import json
    import os

    from monoform.data.image_sets import load_images, save_images

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("several processes cannot draw one set: make it first and give --data and --val")
    usual_shapes, usual_views = SHAPES_AND_VIEWS[config.scale]
    shapes, views = config.images.shapes or usual_shapes, config.images.views or usual_views
    sets = []
    for name, count, first in (("train", shapes, 0), ("val", max(1, shapes // 4), VALIDATION_SEED)):
        asked = {"method": config.method, "categories": chosen.categories, "size": chosen.image_size, "shapes": count,
                 "views": views, "seed": config.seed}  # fmt: skip
        key = hashlib.sha256(json.dumps(asked).encode("ascii")).hexdigest()[:12]
        folder = config.out / "data" / f"{name}-{key}"
        if not folder.is_dir():
            if not config.common.quiet:
                print(f"drawing {count * len(chosen.categories)} shapes for {name}", file=sys.stderr, flush=True)
            folder.parent.mkdir(parents=True, exist_ok=True)
            save_images(_draw(config, chosen, count, views, first), folder)
        sets.append(load_images(folder))
    return sets[0], sets[1]


def _draw(config: Train, chosen: Any, count: int, views: int, first_seed: int) -> "ImageSet":
    """Images of each category as the method's paper has them."""
    from monoform.data.image_sets import render_turntable, render_weak, shapes_for

    entries, ids, categories = [], [], []
    for category in chosen.categories:
        recipes, names = shapes_for(category, count, first_seed)
        entries, ids, categories = entries + recipes, ids + names, categories + [category] * count
    size, seed = chosen.image_size, config.seed
    if config.method == "self_consistency":
        return render_turntable(entries, categories, ids, size=size, views=views, seed=seed, side=chosen.voxel_side)
    return render_weak(entries, categories, ids, size=size, views=views, seed=seed)


def _tell(report: "TrainReport", config: Train) -> int:
    """Say how it ended; the exit code."""
    import os

    if os.environ.get("RANK", "0") == "0":
        if config.common.json:
            model = None if report.model is None else str(report.model)
            print_json({**asdict(report), "stages": [asdict(stage) for stage in report.stages], "model": model})
        elif report.model is not None and not config.common.quiet:
            print(f"{report.steps} steps; the model is in {printable(str(report.model))}")
        if report.model is None:
            print(f"monoform: {report.status}; saved after {report.steps} steps, --resume goes on", file=sys.stderr)
    return {"trained": OK, "interrupted": INTERRUPTED, "terminated": TERMINATED}[report.status]
