"""What the scripts share that write a paper's results from the tables that `monoform reproduce` has left in results/."""

import json
from pathlib import Path

HERE = Path(__file__).parent
PAPERS = HERE.parent / "docs" / "papers"
PAPER = "*paper, other data*"
HEADING = "## Results"


def load(name: str) -> dict:
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def is_printed(row: dict) -> bool:
    return row["source"] == PAPER.strip("*")


def source_of(row: dict) -> str:
    return PAPER if is_printed(row) else row["source"].removesuffix(", test")


def number(value: float, label: str) -> str:
    return f"{value:.{1 if label.endswith(', degrees') else 3}f}"


def cell(row: dict, column: str) -> str:
    """A value of a report's row, and its interval if it has one."""
    found, label = row["values"].get(column), row["label"]
    if not isinstance(found, dict):
        return "" if found is None else number(found, label)
    return f"{number(found['value'], label)} [{number(found['low'], label)}, {number(found['high'], label)}]"


def head(title: str, columns: tuple[str, ...]) -> list[str]:
    return [f"{title}\n", "| | on | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]


def line(label: str, source: str, cells: list[str]) -> str:
    return f"| {label} | {source} | " + " | ".join(cells) + " |"


def objects(sets: dict, part: str) -> int:
    """Of the set whose name has this part in it."""
    return next(v for k, v in sets.items() if part in k)["objects"]


def write_results(page: Path, text: str) -> None:
    """The page with its last section, the results, replaced."""
    old = page.read_text()
    page.write_text(old[: old.index(HEADING)] + text)
