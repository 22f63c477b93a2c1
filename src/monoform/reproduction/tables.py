"""A paper's table or figure beside our own numbers, as Markdown and as JSON, with all that decided them."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from monoform.evaluate import Cell
from monoform.files.atomic import write_atomic
from monoform.results import write_json

PAPER = "paper, other data"
"""Source of a printed number: it was measured on the paper's own images and is no target of ours to the digit."""


@dataclass(frozen=True)
class Printed:
    """A row of a table as the paper prints it."""

    system: str
    values: tuple[float | None, ...]
    """In the order of the table's categories; None where the paper has no number."""


@dataclass(frozen=True)
class PrintedTable:
    """A table as the paper prints it."""

    title: str
    categories: tuple[str, ...]
    rows: tuple[Printed, ...]
    note: str = ""
    """What must be known to compare."""


@dataclass(frozen=True)
class Row:
    """A row of the report."""

    label: str
    source: str
    """PAPER, or the set on which it was measured here."""
    values: Mapping[str, Cell | float | None]
    """By column; a Cell has its interval."""
    digits: int = 3


@dataclass(frozen=True, eq=False)
class Report:
    """A reproduced table, or the numbers of a figure."""

    paper: str
    """'liao2019'."""
    reference: str
    table: int
    """Its number; of a figure, the figure's."""
    title: str
    scale: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    protocol: dict[str, Any]
    """Every choice of the evaluation."""
    data: dict[str, Any]
    """Of every set: how it was made, images and objects."""
    runs: dict[str, Any]
    """Of every trained system: configuration, steps, hours, device."""
    notes: tuple[str, ...] = ()
    machine: dict[str, Any] = field(default_factory=dict)
    what: Literal["table", "figure"] = "table"

    @property
    def name(self) -> str:
        """Stem of the report's files."""
        return f"{self.paper}-{self.what}-{self.table}-{self.scale}"

    def record(self) -> dict[str, Any]:
        """All of it as plain values."""
        rows = [
            {"label": row.label, "source": row.source, "values": {c: _plain(v) for c, v in row.values.items()}}
            for row in self.rows
        ]
        return {
            "paper": self.paper, "reference": self.reference, self.what: self.table, "title": self.title,
            "scale": self.scale, "columns": list(self.columns), "rows": rows, "protocol": self.protocol,
            "data": self.data, "runs": self.runs, "notes": list(self.notes), "machine": self.machine,
        }  # fmt: skip


def printed_rows(table: PrintedTable) -> list[Row]:
    """The paper's own rows for a report."""
    return [Row(row.system, PAPER, dict(zip(table.categories, row.values, strict=True))) for row in table.rows]


def measured_rows(label: str, source: str, by_seed: Mapping[int, Mapping[str, Cell]], digits: int = 3) -> list[Row]:
    """A row for every seed and, of several, one with their mean."""
    if len(by_seed) == 1:
        return [Row(label, source, cells, digits) for cells in by_seed.values()]
    rows = [Row(f"{label}, seed {seed}", source, cells, digits) for seed, cells in by_seed.items()]
    columns = next(iter(by_seed.values()))
    means = {column: sum(cells[column].value for cells in by_seed.values()) / len(by_seed) for column in columns}
    return [*rows, Row(f"{label}, mean of {len(by_seed)} seeds", source, means, digits)]


def markdown(report: Report) -> str:
    """The report as a page."""
    lines = [
        f"# {report.reference}: {report.what} {report.table}, {report.title}",
        "",
        f"Scale `{report.scale}`. Rows marked *{PAPER}* are cited, not measured here. Our values have, in brackets, the "
        f"{100 * report.protocol.get('level', 0.95):.0f} % interval of a bootstrap over objects ('resampled' in the protocol).",
        "",
        _line(["", "measured on", *report.columns]),
        _line(["---"] * (2 + len(report.columns))),
    ]
    for row in report.rows:
        source = f"*{row.source}*" if row.source == PAPER else row.source
        lines.append(_line([row.label, source, *(_text(row.values.get(c), row.digits) for c in report.columns)]))
    lines += ["", *(f"- {note}" for note in report.notes)]
    for title, content in (("Protocol", report.protocol), ("Machine", report.machine)):
        lines += ["", f"## {title}", "", _line(["choice", "value"]), _line(["---", "---"])]
        lines += [_line([name, f"`{_short(value)}`"]) for name, value in content.items()]
    lines += ["", "## Data", "", _line(["set", "images", "objects"]), _line(["---"] * 3)]
    lines += [_line([name, str(made["images"]), str(made["objects"])]) for name, made in report.data.items()]
    lines += ["", "## Training", "", _line(["run", "steps", "hours", "device"]), _line(["---"] * 4)]
    lines += [
        _line([name, str(run["steps"]), f"{run['hours']:.3f}", run["device"]]) for name, run in report.runs.items()
    ]
    return "\n".join(lines) + "\n"


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write ``<name>.md`` and ``<name>.json`` into the folder, each atomically; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    page, record = folder / f"{report.name}.md", folder / f"{report.name}.json"
    write_json(record, report.record())
    write_atomic(page, markdown(report).encode())
    return [page, record]


def describe_machine(device: str) -> dict[str, Any]:
    """What the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    versions = {name: metadata.version(name) for name in ("monoform", "torch", "numpy", "scipy")}
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(), "cores": os.cpu_count(),
        "device": device, "python": platform.python_version(), **versions,
    }  # fmt: skip


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _text(value: Cell | float | None, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, Cell):
        return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"
    return f"{value:.{digits}f}"


def _plain(value: Cell | float | None) -> dict[str, Any] | float | None:
    return vars(value) if isinstance(value, Cell) else value


def _short(value: Any) -> str:
    text = json.dumps(value, default=str) if isinstance(value, dict | list | tuple) else str(value)
    return (text if len(text) <= 160 else f"{text[:157]}...").replace("|", "/")
