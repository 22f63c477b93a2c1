"""What a training is asked for, and what it reports."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

from monoform.errors import InputError

Reason = Literal["", "interrupted", "terminated"]
Status = Literal["trained", "interrupted", "terminated"]
Precision = Literal["float32", "mixed"]
TRAINED: Final = "trained"
INTERRUPTED: Final = "interrupted"
TERMINATED: Final = "terminated"


class TrainingEnvironmentError(OSError):
    """A device that is not there, or a run folder in use: the environment's fault, exit code 3."""


class OtherProcessError(TrainingEnvironmentError):
    """Another of the processes that train together has failed, and tells why itself."""

    def __init__(self) -> None:
        super().__init__("another process of this training has failed; its own message tells why")


@dataclass(frozen=True)
class TrainSettings:
    """How to train, whatever is trained."""

    device: str = "auto"
    """auto (CUDA where there is one, else the CPU), cpu, cuda, cuda:N or mps."""
    precision: Precision = "float32"
    """mixed computes in 16 bits what bears it: float16 on CUDA, its losses scaled, and bfloat16 on the CPU."""
    seed: int = 0
    """Same seed, same batches and random numbers, however often the run was interrupted."""
    checkpoint_every: int = 500
    """Steps between checkpoints; 0: only at the end of a stage."""
    validate_every: int = 500
    """Steps between validations; 0: only at the end of a stage."""
    log_every: int = 10
    """Steps between lines of the log."""
    clip_norm: float = 0.0
    """Norm that an optimiser's gradient is shortened to when it is longer; 0 for none."""
    max_bad_steps: int = 25
    """Steps in a row that may fail for NaN or infinity before the training stops."""
    threads: int = 0
    """Threads of torch on the CPU; 0 leaves them as they are."""
    resume: bool = False
    """Go on where the run in the folder has stopped; without it a folder with a run is refused."""


@dataclass(frozen=True)
class StageReport:
    """What became of a stage."""

    name: str
    steps: int
    skipped: int
    """Steps left out for NaN or infinity."""
    scores: dict[str, float | None] = field(default_factory=dict)
    """Of the last validation; None for what was not finite."""
    best_step: int | None = None
    """Step of the stage, from 1, after which the score was the best; None without a score."""
    best_score: float | None = None


@dataclass(frozen=True)
class TrainReport:
    """What became of a training."""

    status: Status
    """'interrupted' (SIGINT) and 'terminated' (SIGTERM): saved, and ready to go on."""
    steps: int
    """Steps done in all stages together, those before a resume included."""
    stages: tuple[StageReport, ...]
    """Finished stages, and the one that was stopped."""
    device: str
    seconds: float
    """Of this session alone."""
    model: Path | None
    """Folder of the trained weights; None when stopped."""


class Listener(Protocol):
    """Whoever shows the progress."""

    def begin(self, stage: str, steps: int, done: int) -> None:
        """A stage starts, or goes on after `done` steps."""
        ...

    def step(self, stage: str, done: int, values: Mapping[str, float] | None) -> None:
        """A step has ended; its values where they were logged."""
        ...

    def validated(self, stage: str, done: int, scores: Mapping[str, float], best: bool) -> None:
        """A validation has ended; whether its score is the best so far."""
        ...

    def warn(self, text: str) -> None:
        """Something the user must know that does not stop the training."""
        ...


class Silence:
    """A listener that shows nothing."""

    def begin(self, stage: str, steps: int, done: int) -> None:
        """A stage starts."""

    def step(self, stage: str, done: int, values: Mapping[str, float] | None) -> None:
        """A step has ended."""

    def validated(self, stage: str, done: int, scores: Mapping[str, float], best: bool) -> None:
        """A validation has ended."""

    def warn(self, text: str) -> None:
        """Nothing is said."""


def check_settings(settings: TrainSettings) -> None:
    """Raise InputError for settings that cannot be meant."""
    counts = {
        "checkpoint_every": settings.checkpoint_every,
        "validate_every": settings.validate_every,
        "seed": settings.seed,
        "threads": settings.threads,
    }
    for name, value in counts.items():
        if value < 0:
            raise InputError(f"{name} = {value}: give 0 or more")
    if settings.precision not in get_args(Precision):
        raise InputError(f"precision '{settings.precision}': give {' or '.join(get_args(Precision))}")
    if settings.log_every < 1 or settings.max_bad_steps < 1:
        raise InputError("log_every and max_bad_steps must be 1 or more")
    if not (math.isfinite(settings.clip_norm) and settings.clip_norm >= 0):
        raise InputError(f"clip_norm = {settings.clip_norm}: give a positive number, or 0 for none")
