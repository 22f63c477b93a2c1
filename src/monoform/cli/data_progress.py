"""Progress over the items of a set on stderr: a bar with the time left on a terminal, a line now and then elsewhere."""

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from monoform.cli.progress import _make_bar, printable

if TYPE_CHECKING:
    from monoform.data.samples import Item

SECONDS_BETWEEN_LINES = 10.0


class ItemProgress:
    """Counts items; those that cannot be used are told at once, also when quiet, as what becomes of them (`told_as`)."""

    def __init__(self, task: str, *, quiet: bool, told_as: str = "left out") -> None:
        self.task, self.quiet, self.told_as = task, quiet, told_as
        self.total = self.ended = self.at_start = 0
        self.started = self.told = time.monotonic()
        terminal = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.bar = _make_bar() if terminal and not quiet else None

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.bar:
            self.bar.stop()

    def start(self, total: int, done: int) -> None:
        """Of `total` items, `done` were there before."""
        self.total, self.ended, self.at_start = total, done, done
        if self.bar:
            self.bar.add_task(self.task, total=total, completed=done)
        if done and not self.quiet:
            self._print(f"going on: {done} of {total} items are there")

    def step(self, item: "Item", error: str) -> None:
        """An item has ended; `error` says why it cannot be used."""
        self.ended += 1
        if error:
            self._print(f"{self.told_as}: {printable(item.id)}: {printable(error)}")
        if self.bar:
            self.bar.advance(self.bar.task_ids[0])
        elif not self.quiet and time.monotonic() - self.told > SECONDS_BETWEEN_LINES:
            self.told = time.monotonic()
            rate = (self.ended - self.at_start) / (self.told - self.started)
            self._print(f"[{self.ended}/{self.total}] {self.task}, {_duration((self.total - self.ended) / rate)} left")

    def _print(self, text: str) -> None:
        if self.bar:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
