"""Progress of many photos on stderr: a bar with the time left on a terminal, plain lines elsewhere."""

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from monoform.batch.runner import Job, Outcome


class Progress:
    """One line a photo, and on a terminal a bar below them."""

    def __init__(self, total: int, *, quiet: bool, debug: bool) -> None:
        self.total, self.quiet, self.debug = total, quiet, debug
        self.ended = 0
        terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.bar = _make_bar() if terminal and total > 1 and not quiet else None

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
            self.bar.add_task("photos", total=self.total)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def begin(self, job: "Job") -> None:
        """Tell which photo is being worked on."""
        if self.bar:
            self.bar.update(self.bar.task_ids[0], description=printable(job.photo.name)[:40].replace("[", "("))

    def end(self, outcome: "Outcome") -> None:
        """Tell how it went; failures are told even when quiet."""
        self.ended += 1
        if outcome.status == "failed" or not self.quiet:
            self._print(f"[{self.ended}/{self.total}] {summary(outcome)}")
        if outcome.trace and self.debug:
            self._print(outcome.trace)
        if self.bar:
            self.bar.advance(self.bar.task_ids[0])

    def _print(self, text: str) -> None:
        if self.bar:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


def _make_bar() -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def summary(outcome: "Outcome") -> str:
    """An outcome on one line."""
    name = printable(str(outcome.job.photo))
    if outcome.status == "failed":
        error = printable(outcome.error)
        return f"failed: {error}" if name in error else f"failed: {name}: {error}"
    best, doubt = outcome.record["poses"][0], ""
    if outcome.record["ambiguous"]:
        doubt = f", ambiguous: {outcome.record['ambiguity'] or 'other'}"
    again = "unchanged, " if outcome.status == "skipped" else ""
    fit = "not measured" if best["iou"] is None else f"{best['iou']:.3f}"
    return f"{name}: {again}{outcome.record['mesh']['name']}, IoU {fit}{doubt} ({outcome.seconds:.1f} s)"


def printable(text: str) -> str:
    """The text without line breaks, escapes and half characters that a file name may hold."""
    return "".join(character if character.isprintable() else "?" for character in text)
