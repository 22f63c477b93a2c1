"""The papers' tables again: ours beside theirs, with the data, training and choices behind every number.

reproduce("liao2019", 2, "laptop", Path("out"))
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Literal

from monoform.errors import InputError
from monoform.files.images import save_png
from monoform.reproduction import liao2019, palazzi2018, zhu2017
from monoform.reproduction.runs import Stopped, Tell, Workshop
from monoform.reproduction.tables import PrintedTable, Report, describe_machine, markdown, write_report
from monoform.training import Listener, Precision

__all__ = ["PAPERS", "Report", "Stopped", "markdown", "reproduce", "write_report"]

PAPERS: dict[str, ModuleType] = {"liao2019": liao2019, "zhu2017": zhu2017, "palazzi2018": palazzi2018}
_WITH_FIGURES: dict[str, ModuleType] = {"palazzi2018": palazzi2018}
_BACKGROUNDS, _NATURAL = ("zhu2017", "palazzi2018"), ("zhu2017",)
"""The papers whose images have photos behind the object, and those that are tested on photos with masks."""


def reproduce(
    paper: str,
    number: int,
    scale: str,
    out: Path,
    *,
    what: Literal["table", "figure"] = "table",
    categories: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    models: Path | None = None,
    photos: Path | None = None,
    natural: Path | None = None,
    data: Path | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    tell: Tell = lambda line: None,
    listener: Listener | None = None,
) -> Report:
    """Draw and train what is missing, measure, and write ``<paper>-<what>-<number>-<scale>`` as .md, .json and .png to `out`.

    number: of a table, or of a figure whose curves are told as rows (palazzi2018's 6).
    scale: 'smoke' (seconds, the numbers mean nothing), 'laptop' (small networks, for two cores) or 'paper' (its own
    configuration and, in the folder `data`, its own data). categories: () for the paper's. seeds: one training each; of the
    coupled baselines and the autoencoders in zhu2017's table 2 with the first alone.
    models: a folder of real models with a manifest. photos: backgrounds, of zhu2017 and palazzi2018; natural: photos with
    masks and a manifest to test on, of zhu2017.
    Sets and runs are kept in out/sets and out/runs: the same call goes on where it was stopped and computes nothing twice.
    precision: of the trainings, 'float32' or 'mixed'; measurements are float32.
    tell: takes lines about what is being done. listener: is told of every step of a training.
    Raises InputError for what there is not, Stopped when a signal ends a training.
    """
    _check(paper, what, number, scale, categories, seeds)
    _refuse_folders(paper, photos, natural)
    module, printed = PAPERS[paper], _offered(paper, what)[number]
    folders = {"models": models, "data": data}
    folders |= {"photos": photos} if paper in _BACKGROUNDS else {}
    folders |= {"natural": natural} if paper in _NATURAL else {}
    chosen = tuple(categories) or module.CATEGORIES
    task = module.Task(scale, chosen, tuple(seeds), **folders)
    shop = Workshop(Path(out), device, precision, tell, listener, {}, {})
    rows_of, drawn = (
        (module.rows_of, module.figure) if what == "table" else (module.figure_rows_of, module.drawn_figure)
    )
    rows, protocol = rows_of(number, task, shop)
    notes = tuple(filter(None, (printed.note, _scale_note(scale))))
    report = Report(
        paper, module.REFERENCE, number, printed.title, scale, (*chosen, *module.COLUMNS), tuple(rows), protocol,
        shop.sets, shop.runs, notes, describe_machine(device), what,
    )  # fmt: skip
    write_report(report, Path(out))
    picture = drawn(number, task, shop)
    if picture is not None:
        save_png(picture, Path(out) / f"{report.name}.png")
    return report


def _offered(paper: str, what: Literal["table", "figure"]) -> Mapping[int, PrintedTable]:
    """What can be reproduced of a paper, by its number."""
    if what == "table":
        return PAPERS[paper].PRINTED
    return _WITH_FIGURES[paper].FIGURES if paper in _WITH_FIGURES else {}


def _check(
    paper: str,
    what: Literal["table", "figure"],
    number: int,
    scale: str,
    categories: Sequence[str],
    seeds: Sequence[int],
) -> None:
    """Raise InputError for what there is not."""
    if paper not in PAPERS:
        raise InputError(f"no paper '{paper}'; give {' or '.join(PAPERS)}")
    module, offered = PAPERS[paper], _offered(paper, what)
    if number not in offered:
        there = f"give {', '.join(map(str, offered))}" if offered else "give a table"
        raise InputError(f"{paper} has no {what} {number} to reproduce; {there}")
    if scale not in module.SCALES:
        raise InputError(f"no scale '{scale}'; give {', '.join(module.SCALES)}")
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InputError(f"seeds {list(seeds)}; give one or more that differ, 0 or above")
    repeated = next((one for one in categories if list(categories).count(one) > 1), None)
    if repeated is not None:
        raise InputError(f"the category '{repeated}' is given twice; give each once, or its images count double")


def _refuse_folders(paper: str, photos: Path | None, natural: Path | None) -> None:
    """Raise InputError for folders that the paper has no use for."""
    if photos is not None and paper not in _BACKGROUNDS:
        raise InputError(f"{paper} has rendered images before white; photos go with {' or '.join(_BACKGROUNDS)}")
    if natural is not None and paper not in _NATURAL:
        raise InputError(f"{paper} is tested on rendered images; natural images go with {' or '.join(_NATURAL)}")


def _scale_note(scale: str) -> str:
    return {
        "smoke": "Smoke scale: a few steps on a few shapes, to see that everything runs. The numbers say nothing.",
        "laptop": "Laptop scale: procedural shapes and a small network, trained for minutes. Compare the rows with each "
        "other, not their height with the paper's.",
        "paper": "",
    }[scale]
