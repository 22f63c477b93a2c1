"""What the commands share: common options, parsing of short texts, exit codes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

OK, INTERNAL, USAGE, ENVIRONMENT, BAD_INPUT, SOME_FAILED = 0, 1, 2, 3, 4, 5
INTERRUPTED, TERMINATED = 130, 143

OutputFolder = Annotated[Path, tyro.conf.arg(aliases=["-o"])]


class UsageError(Exception):
    """An option that cannot be understood, or that does not go with another (exit code 2)."""


@dataclass(frozen=True)
class Common:
    """Options of every command that computes."""

    json: bool = False
    """Print the result as JSON on stdout, one line an input, and nothing else there."""
    quiet: bool = False
    """Print nothing but errors."""
    debug: bool = False
    """Show the traceback of an error."""
    threads: int = 0
    """Threads of the kernels; 0 takes all cores."""
    print_config: bool = False
    """Print the options as JSON and stop."""


def numbers(text: str, count: int, option: str, shape: str) -> tuple[float, ...]:
    """`count` finite numbers separated by commas."""
    import math

    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        values = ()
    if len(values) != count or not all(map(math.isfinite, values)):
        raise UsageError(f"{option} {text}: give {shape}")
    return values


def use_threads(count: int) -> None:
    """Set the kernels' threads."""
    if count < 0:
        raise UsageError(f"--threads {count}: give 0 for all cores, or a number of threads")
    from monoform.projection.kernels.threads import set_threads

    set_threads(count)


def print_json(value: object, *, indent: int | None = None) -> None:
    """A value as JSON on stdout: ASCII only and never NaN."""
    import json

    from monoform.results import plain

    print(json.dumps(plain(value), indent=indent, allow_nan=False), flush=True)
