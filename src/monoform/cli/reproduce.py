"""monoform reproduce: a paper's table or figure again, ours beside theirs."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from monoform.cli.options import (
    INTERRUPTED,
    OK,
    TERMINATED,
    Common,
    OutputFolder,
    UsageError,
    print_json,
    use_threads,
)
from monoform.cli.progress import printable

PaperName = Literal["liao2019", "zhu2017", "palazzi2018"]


@dataclass(frozen=True)
class Reproduce:
    """Draw data, train and measure, and write a paper's table beside our numbers to OUT as Markdown, JSON and a picture.

    Sets and trainings stay in OUT and are not made twice; a run that was interrupted goes on.
    """

    paper: tyro.conf.Positional[PaperName]
    """liao2019: tables 1 to 4. zhu2017: table 2, and 3 and 4 for 3D and 2D AP before and after fine-tuning. palazzi2018:
    tables 1 and 2, and figure 6."""
    table: int | None = None
    """The table's number."""
    scale: Literal["smoke", "laptop", "paper"] = "laptop"
    """smoke: seconds; laptop: small networks, for two cores; paper: the paper's size and data."""
    out: OutputFolder = Path("out/reproduce")
    """Folder for tables, sets and trainings."""
    figure: int | None = None
    """The figure's number, instead of a table's."""
    categories: str = ""
    """Categories, of palazzi2018 classes, separated by commas; without it the paper's."""
    seeds: str = "0"
    """Seeds separated by commas: one training each, and their mean; zhu2017's baselines with the first alone."""
    models: Path | None = None
    """Folder of real models with a manifest.json: its train split joins the training set, its test split is reported apart."""
    photos: Path | None = None
    """Folder of photos for backgrounds, for zhu2017 and palazzi2018; without it procedural scenery."""
    natural: Path | None = None
    """Folder of photos with masks and a manifest.json, for zhu2017: a test set of its own, for the 2D AP."""
    data: Path | None = None
    """Folder of the paper's own data for --scale paper: ShapeNetCore.v1 and, for liao2019, ptn, for zhu2017 coco, PASCAL3D+
    and sun; for palazzi2018 ShapeNetCore.v2."""
    device: str = "auto"
    """auto (CUDA where there is one, else the CPU), cpu, cuda, cuda:N or mps."""
    precision: Literal["float32", "mixed"] = "float32"
    """Of the trainings; mixed: float16 on CUDA, bfloat16 on the CPU."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Reproduce) -> int:
    """Reproduce; the exit code."""
    seeds = _seeds(config.seeds)
    if config.data is not None and config.scale != "paper":
        raise UsageError("--data goes with --scale paper; the other scales draw procedural shapes")
    what, number = _asked(config)
    use_threads(config.common.threads)
    from monoform.cli.train_progress import TrainProgress
    from monoform.reproduction import Stopped, markdown, reproduce

    def tell(line: str) -> None:
        if not config.common.quiet:
            print(printable(line), file=sys.stderr, flush=True)

    categories = tuple(config.categories.split(",")) if config.categories else ()
    folders = {"models": config.models, "photos": config.photos, "natural": config.natural, "data": config.data}
    try:
        with TrainProgress(quiet=config.common.quiet) as progress:
            report = reproduce(
                config.paper, number, config.scale, config.out, what=what, categories=categories, seeds=seeds, **folders,
                device=config.device, precision=config.precision, tell=tell, listener=progress,
            )  # fmt: skip
    except Stopped as stop:
        print(f"monoform: {stop}", file=sys.stderr)
        return {"interrupted": INTERRUPTED, "terminated": TERMINATED}[stop.status]
    if config.common.json:
        print_json(report.record())
    elif not config.common.quiet:
        print(markdown(report), end="")
        print(f"\nwritten to {printable(str(config.out / report.name))}.md, .json")
    return OK


def _asked(config: Reproduce) -> tuple[Literal["table", "figure"], int]:
    if config.table is not None and config.figure is None:
        return "table", config.table
    if config.figure is not None and config.table is None:
        return "figure", config.figure
    raise UsageError("give either --table or --figure, with its number")


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise UsageError(f"--seeds {text}: give whole numbers separated by commas, such as 0,1,2") from error
