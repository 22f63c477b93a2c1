"""The papers' tables again: ours beside theirs, with the data, training and choices behind every number.

reproduce("liao2019", 2, "laptop", Path("out"))
"""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from monoform.errors import InputError
from monoform.files.images import save_png
from monoform.reproduction import liao2019, zhu2017
from monoform.reproduction.runs import Stopped, Tell, Workshop
from monoform.reproduction.tables import Report, describe_machine, markdown, write_report
from monoform.training import Listener

__all__ = ["PAPERS", "Report", "Stopped", "markdown", "reproduce", "write_report"]

PAPERS: dict[str, ModuleType] = {"liao2019": liao2019, "zhu2017": zhu2017}


def reproduce(
    paper: str,
    table: int,
    scale: str,
    out: Path,
    *,
    categories: Sequence[str] = (),
    seeds: Sequence[int] = (0,),
    models: Path | None = None,
    photos: Path | None = None,
    natural: Path | None = None,
    data: Path | None = None,
    device: str = "auto",
    tell: Tell = lambda line: None,
    listener: Listener | None = None,
) -> Report:
    """Draw and train what is missing, measure, and write ``<paper>-table-<n>-<scale>`` as .md, .json and .png to `out`.

    scale: 'smoke' (seconds, the numbers mean nothing), 'laptop' (about a quarter of an hour a category and system on two
    cores) or 'paper' (its own configuration and, in the folder `data`, its own data). categories: () for the paper's. seeds:
    one training each. models: a folder of real models with a manifest. Of Zhu 2017 alone, photos: backgrounds; natural: photos
    with masks and a manifest, to test on.
    Sets and runs are kept in out/sets and out/runs: the same call goes on where it was stopped and computes nothing twice.
    tell: takes lines about what is being done. listener: is told of every step of a training.
    Raises InputError for what there is not, Stopped when a signal ends a training.
    """
    if paper not in PAPERS:
        raise InputError(f"no paper '{paper}'; give {' or '.join(PAPERS)}")
    module = PAPERS[paper]
    if table not in module.PRINTED:
        raise InputError(f"{paper} has no table {table} to reproduce; give {', '.join(map(str, module.PRINTED))}")
    if scale not in module.SCALES:
        raise InputError(f"no scale '{scale}'; give {', '.join(module.SCALES)}")
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise InputError(f"seeds {list(seeds)}; give one or more that differ, 0 or above")
    if paper != "zhu2017" and (photos is not None or natural is not None):
        raise InputError(f"{paper} has rendered images before white; photos and natural images go with zhu2017")
    repeated = next((one for one in categories if list(categories).count(one) > 1), None)
    if repeated is not None:
        raise InputError(f"the category '{repeated}' is given twice; give each once, or its images count double")
    folders = {"models": models, "data": data}
    folders |= {"photos": photos, "natural": natural} if paper == "zhu2017" else {}
    chosen = tuple(categories) or module.CATEGORIES
    task = module.Task(scale, chosen, tuple(seeds), **folders)
    shop = Workshop(Path(out), device, tell, listener, {}, {})
    rows, protocol = module.rows_of(table, task, shop)
    printed = module.PRINTED[table]
    notes = tuple(filter(None, (printed.note, _scale_note(scale))))
    report = Report(
        paper, module.REFERENCE, table, printed.title, scale, (*chosen, *module.COLUMNS), tuple(rows), protocol,
        shop.sets, shop.runs, notes, describe_machine(device),
    )  # fmt: skip
    write_report(report, Path(out))
    picture = module.figure(table, task, shop)
    if picture is not None:
        save_png(picture, Path(out) / f"{report.name}.png")
    return report


def _scale_note(scale: str) -> str:
    return {
        "smoke": "Smoke scale: a few steps on a few shapes, to see that everything runs. The numbers say nothing.",
        "laptop": "Laptop scale: procedural shapes and a small network, trained for minutes. Compare the rows with each "
        "other, not their height with the paper's.",
        "paper": "",
    }[scale]
