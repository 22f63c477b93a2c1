"""run.json, which says what is trained and how, and what is refused before anything is made or trained."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from monoform.errors import InputError
from monoform.files.atomic import printable_name, write_atomic
from monoform.training.guards import locked
from monoform.training.processes import choose_device
from monoform.training.records import TrainSettings, check_settings
from monoform.training.saving import listed
from monoform.training.updates import AUTOCAST_DTYPES

RUN_FILE = "run.json"
_SETTINGS = ("seed", "precision", "clip_norm", "log_every", "validate_every")
"""Those that decide what a run leaves."""
LONGEST = 80
"""Characters of a value in a message."""


def check_device(settings: TrainSettings) -> torch.device:
    """The device to train on. Raises InputError for settings that cannot be meant, TrainingEnvironmentError without it."""
    check_settings(settings)
    device = choose_device(settings.device)
    if settings.precision == "mixed" and device.type not in AUTOCAST_DTYPES:
        raise InputError(f"precision mixed: needs {' or '.join(AUTOCAST_DTYPES)}, not {device.type}; choose float32")
    return device


def check_start(run: Path, settings: TrainSettings, describe: Mapping[str, Any]) -> None:
    """Raise what `train` would raise at once, so that a command can refuse before it makes its images.

    describe: what is trained, as far as it is known by now; what it leaves out is not compared.
    """
    check_device(settings)
    # All of torchrun's processes look, or the others would wait for one that has refused.
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    match_run(run, _content(settings, json.loads(json.dumps(describe)), processes), resume=settings.resume)
    # The others would meet the lock of the first.
    if os.environ.get("RANK", "0") == "0" and (run / "lock").is_file():
        with locked(run):
            pass


def write_run_file(run: Path, settings: TrainSettings, describe: Mapping[str, Any], processes: int) -> None:
    """Write what is trained; raise InputError if the folder holds a run and that of other options, or not to go on with."""
    content = _content(settings, describe, processes)
    match_run(run, content, resume=settings.resume)
    write_atomic(run / RUN_FILE, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("ascii"))


def match_run(run: Path, content: Mapping[str, Any], *, resume: bool) -> None:
    """Raise InputError if the folder holds a run that is not to be gone on with, or whose run.json has not this content."""
    file = run / RUN_FILE
    if not listed(run):
        return
    if not resume:
        raise InputError(f"{printable_name(run)}: holds a run already; go on with --resume, or choose another folder")
    if file.exists():
        try:
            before = json.loads(file.read_bytes())
            difference = first_difference({name: before.get(name) for name in content}, content, "")
        except (ValueError, AttributeError) as error:
            raise InputError(f"{printable_name(file)}: not JSON ({error}); train again in another folder") from error
        if difference:
            raise InputError(f"{printable_name(file)}: {difference}; go on with the same options, or in another folder")


def first_difference(before: Any, now: Any, name: str) -> str:
    """The first value that two plain JSON values do not share, in words; '' if they are equal."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        parts = [first_difference(before.get(key), now.get(key), f"{name}.{key}") for key in {**before, **now}]
        return next((part for part in parts if part), "")
    return "" if before == now else f"the run was begun with {name.lstrip('.')} = {_brief(before)}, not {_brief(now)}"


def _brief(value: Any) -> str:
    """What two sets have seen is a long text."""
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _content(settings: TrainSettings, describe: Mapping[str, Any], processes: int) -> dict[str, Any]:
    values = {name: getattr(settings, name) for name in _SETTINGS}
    return {**describe, "settings": {**values, "processes": processes}}
