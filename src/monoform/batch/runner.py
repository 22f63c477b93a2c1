"""All photos, one after the other: what is done already is skipped, what fails is recorded, and the rest goes on.

``out/results.jsonl`` gets one line an input, at once, so that an interrupted run keeps what it has; ``out/run.json``
tells how the run was made. The kernels use all cores within one photo, so photos are not run side by side.
"""

import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol

from monoform.errors import InputError, MissingExtraError, SchemaError
from monoform.files.atomic import write_atomic
from monoform.results import load_result, plain, write_json

LIBRARIES = ("numpy", "scipy", "numba", "pillow", "trimesh", "scikit-image")
Kind = Literal["", "input", "environment", "internal"]


@dataclass(frozen=True)
class Job:
    """One input and the folder of its result."""

    photo: Path
    mask: Path | None
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    status: Literal["ok", "skipped", "failed"]
    record: dict[str, Any] = field(default_factory=dict)
    """The content of result.json; empty when failed."""
    error: str = ""
    kind: Kind = ""
    """Whose fault a failure is: the input's, the environment's, or ours."""
    trace: str = ""
    """The traceback of a failure."""
    seconds: float = 0.0

    def line(self) -> dict[str, Any]:
        """The outcome as a line of results.jsonl."""
        best = self.record["poses"][0] if self.record else {}
        return {
            "input": str(self.job.photo),
            "status": self.status,
            "folder": self.job.folder.name,
            "error": self.error or None,
            "kind": self.kind or None,
            "mesh": self.record["mesh"]["name"] if self.record else None,
            "iou": best.get("iou"),
            "contour_px": best.get("contour_px"),
            "ambiguous": self.record.get("ambiguous"),
            "warnings": self.record.get("warnings", []),
            "seconds": round(self.seconds, 3),
        }


class Listener(Protocol):
    """Whoever shows the progress."""

    def begin(self, job: Job) -> None:
        """A job starts."""
        ...

    def end(self, outcome: Outcome) -> None:
        """It has ended, one way or another."""
        ...


def run(
    jobs: Sequence[Job],
    work: Callable[[Job, str], dict[str, Any]],
    content_hash: Callable[[Job], str],
    out: Path,
    listener: Listener,
    *,
    resume: bool,
) -> list[Outcome]:
    """Run `work(job, content hash)` for every job; returns the outcomes in order. An interrupt ends the run at once."""
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "results.jsonl", b"")
    outcomes = []
    for job in jobs:
        listener.begin(job)
        outcome = _run_one(job, work, content_hash, resume)
        _append_line(out / "results.jsonl", outcome.line())
        outcomes.append(outcome)
        listener.end(outcome)
    return outcomes


def _run_one(
    job: Job, work: Callable[[Job, str], dict[str, Any]], content_hash: Callable[[Job], str], resume: bool
) -> Outcome:
    start = time.perf_counter()
    try:
        key = content_hash(job)
        done = _finished(job.folder, key) if resume else None
        status, record = ("skipped", done) if done else ("ok", work(job, key))
        return Outcome(job, status, record, seconds=time.perf_counter() - start)
    except Exception as error:
        kind = kind_of(error)
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        text = f"{type(error).__name__}: {text}" if kind == "internal" else text
        return Outcome(job, "failed", {}, text, kind, traceback.format_exc(), time.perf_counter() - start)


def kind_of(error: BaseException) -> Kind:
    """Whose fault an error is."""
    if isinstance(error, InputError):
        return "input"
    return "environment" if isinstance(error, MissingExtraError | OSError | MemoryError) else "internal"


def _finished(folder: Path, key: str) -> dict[str, Any] | None:
    """The record of a folder that was made from the same content, else None."""
    try:
        record = load_result(folder)
    except SchemaError:
        return None
    return record if record["content_sha256"] == key else None


def _append_line(path: Path, value: dict[str, Any]) -> None:
    """One write a line: an interrupt leaves whole lines."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, (json.dumps(plain(value), allow_nan=False) + "\n").encode("ascii"))
    finally:
        os.close(descriptor)


def write_run(
    out: Path,
    config: dict[str, Any],
    outcomes: Sequence[Outcome],
    seconds: float,
    started: datetime,
    warnings: Sequence[str] = (),
) -> None:
    """run.json: how the run was made and how it went; the place for dates and times, which differ from run to run."""
    counts = {status: sum(o.status == status for o in outcomes) for status in ("ok", "skipped", "failed")}
    write_json(
        out / "run.json",
        {
            "command_line": sys.argv,
            "config": config,
            "monoform_version": metadata.version("monoform"),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "libraries": {name: metadata.version(name) for name in LIBRARIES},
            "started": started.astimezone(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
            "counts": counts,
            "warnings": list(warnings),
        },
    )
