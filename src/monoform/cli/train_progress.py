"""Progress of a training on stderr: a bar with the time left on a terminal, a line now and then elsewhere."""

import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from monoform.cli.data_progress import SECONDS_BETWEEN_LINES, _duration
from monoform.cli.progress import _make_bar, printable


class TrainProgress:
    """Shows steps, losses and scores; warnings also when quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.steps = self.at_start = 0
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

    def begin(self, stage: str, steps: int, done: int) -> None:
        """A stage starts, or goes on after `done` steps."""
        self.steps, self.at_start, self.started = steps, done, time.monotonic()
        if self.bar:
            for task in self.bar.task_ids:
                self.bar.remove_task(task)
            self.bar.add_task(stage, total=steps, completed=done)
        self._tell(f"{stage}: going on after step {done} of {steps}" if done else f"{stage}: {steps} steps")

    def step(self, stage: str, done: int, values: Mapping[str, float] | None) -> None:
        """A step has ended; its values where they were logged."""
        if self.bar:
            shown = f"{stage} {_listing(values)}"[:60] if values else None
            self.bar.update(self.bar.task_ids[-1], completed=done, description=shown)
        elif values and time.monotonic() - self.told > SECONDS_BETWEEN_LINES:
            self.told = time.monotonic()
            left = (self.steps - done) * (self.told - self.started) / (done - self.at_start)
            self._tell(f"[{done}/{self.steps}] {stage}, {_listing(values)}, {_duration(left)} left")

    def validated(self, stage: str, done: int, scores: Mapping[str, float], best: bool) -> None:
        """A validation has ended; whether its score is the best so far."""
        self._tell(
            f"[{done}/{self.steps}] {stage}, validation: {_listing(scores)}{', the best so far' if best else ''}"
        )

    def warn(self, text: str) -> None:
        """Told also when quiet."""
        self._print(f"monoform: {printable(text)}")

    def _tell(self, text: str) -> None:
        if not self.quiet:
            self._print(text)

    def _print(self, text: str) -> None:
        if self.bar:
            self.bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)


def _listing(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items() if name != "skipped" or value)
