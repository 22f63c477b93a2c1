"""The log of a run: log.jsonl, the same as log.csv in long form, and TensorBoard's files where that is installed.

Lines hold no times, so that an interrupted run leaves the very lines of one that was not.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

JSONL, CSV = "log.jsonl", "log.csv"
CSV_HEADER = ("stage", "step", "kind", "name", "value")


class Log:
    """Adds lines, and tells how long the files are, for a checkpoint to know what it has seen of them."""

    def __init__(self, run: Path, sizes: Mapping[str, int], total: int) -> None:
        """Cut the files back to `sizes` bytes, what a checkpoint knew after `total` steps; {} begins new ones."""
        self.files = {name: open(run / name, "ab") for name in (JSONL, CSV)}  # noqa: SIM115 (closed by `close`)
        for name, file in self.files.items():
            file.truncate(min(sizes.get(name, 0), file.tell()))
            file.seek(0, io.SEEK_END)
        if not self.files[CSV].tell():
            self._add(CSV, _csv_rows([CSV_HEADER]))
        self.board = _tensorboard(run / "tensorboard", total)

    def line(
        self, stage: str, step: int, total: int, kind: Literal["train", "validation"], values: Mapping[str, float]
    ):
        """Add a line: after `step` steps of the stage, `total` in all. A value that is not finite is null in JSON."""
        shown = {name: value if math.isfinite(value) else None for name, value in values.items()}
        record = {"stage": stage, "step": step, "kind": kind, **shown}
        self._add(JSONL, (json.dumps(record, allow_nan=False) + "\n").encode("ascii"))
        self._add(CSV, _csv_rows([(stage, step, kind, name, repr(value)) for name, value in values.items()]))
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{stage}/{kind}/{name}", value, total)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file."""
        return {name: file.tell() for name, file in self.files.items()}

    def close(self) -> None:
        """Close the files."""
        for file in self.files.values():
            file.close()
        if self.board is not None:
            self.board.close()

    def _add(self, name: str, data: bytes) -> None:
        self.files[name].write(data)
        self.files[name].flush()


def _csv_rows(rows: list[tuple]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")


def _tensorboard(folder: Path, total: int):
    """TensorBoard's writer, which hides what an interrupted run has written after `total`; None if it is not installed."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=total + 1)
