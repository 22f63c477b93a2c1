"""Checkpoints of a run: what is in them, which are kept, and which one a run goes on from.

    checkpoints/step-00001500/   after 1500 steps in all stages together
        model.safetensors        the model's state_dict
        optimizers.safetensors   the stage's optimisers' states
        record.json              what is trained (`describe`), and `Position` under "training"

Kept are the last two, the best of the stage, and the end of every stage, as the next stage is built from those very weights.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from monoform.errors import InputError, NumericError, SchemaError
from monoform.files.atomic import printable_name, remove_folder
from monoform.files.weights import Arrays, fit_arrays, load_record, load_weights, save_weights

CHECKPOINTS = "checkpoints"
MODEL, OPTIMIZERS = "model", "optimizers"
TRAINING = "training"
KEPT = 2
"""Latest checkpoints that are kept: the second is there should the first not be readable."""


@dataclass
class Position:
    """How far a run has come, and what it must remember to go on as if it had never stopped; plain JSON."""

    stage: int = 0
    name: str = ""
    step: int = 0
    """Steps done in the stage."""
    total: int = 0
    """Steps done in all stages."""
    ends: list[int] = field(default_factory=list)
    """`total` at the end of every finished stage."""
    skipped: int = 0
    """Steps of the stage left out for NaN or infinity."""
    bad_in_a_row: int = 0
    scores: dict[str, float | None] = field(default_factory=dict)
    """Of the last validation; None for what was not finite."""
    best_score: float | None = None
    best_scores: dict[str, float | None] = field(default_factory=dict)
    """Of the validation with the best score."""
    best_step: int | None = None
    """Step of the stage."""
    best_total: int | None = None
    scaler: dict[str, Any] = field(default_factory=dict)
    """State of the mixed precision's GradScaler."""
    log_sizes: dict[str, int] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)
    """StageReports of the finished stages."""


def folder_of(run: Path, total: int) -> Path:
    """The folder of the checkpoint after `total` steps."""
    return run / CHECKPOINTS / f"step-{total:08d}"


def listed(run: Path) -> list[int]:
    """Steps of the checkpoints that have a name, readable or not, in order."""
    names = [path.name for path in (run / CHECKPOINTS).glob("step-*")] if (run / CHECKPOINTS).is_dir() else []
    return sorted(int(name[5:]) for name in names if re.fullmatch(r"step-\d{8,}", name))


def save_checkpoint(
    run: Path, model: nn.Module, optimizers: Mapping[str, Optimizer], position: Position, describe: Mapping[str, Any]
) -> None:
    """Write a checkpoint, then remove those that are no longer needed. Raises NumericError for weights that are not finite."""
    arrays = model_arrays(model)
    wrong = next((name for name, array in arrays.items() if not np.isfinite(array).all()), None)
    if wrong is not None:
        raise NumericError(
            f"stage {position.name}, step {position.step}: the weights {wrong} are not finite; "
            "go on from the checkpoint before with a lower learning rate or --clip-norm"
        )
    states, groups = optimizer_arrays(optimizers)
    record = {**describe, TRAINING: {**asdict(position), OPTIMIZERS: groups}}
    save_weights(folder_of(run, position.total), {MODEL: arrays, OPTIMIZERS: states}, record)
    needed = {*listed(run)[-KEPT:], *position.ends, position.total, position.best_total}
    for total in listed(run):
        if total not in needed:
            remove_folder(folder_of(run, total))


def find_position(run: Path, warn: Callable[[str], None]) -> Position | None:
    """The latest checkpoint that can be read; None where there is none at all.

    One that cannot be read is told, set aside under the name damaged-..., and the one before is taken. Raises InputError, and
    moves nothing, if none of them can be read.
    """
    totals = listed(run)
    for total in reversed(totals):
        try:
            load_weights(folder_of(run, total))
            position = read_position(folder_of(run, total))
        except InputError as error:
            warn(f"{error} -- GOING BACK to the checkpoint before")
            continue
        for later in (one for one in totals if one > total):
            _set_aside(folder_of(run, later))
        return position
    if totals:
        raise InputError(
            f"{printable_name(run / CHECKPOINTS)}: no checkpoint can be read; train again in another folder"
        )
    return None


def _set_aside(folder: Path) -> None:
    """Rename, not remove: what a disk could not give now it may give another time."""
    aside = folder.with_name(folder.name.replace("step", "damaged"))
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)


def read_position(folder: Path) -> Position:
    """Where the run stood when it wrote a checkpoint."""
    training = load_record(folder).get(TRAINING)
    try:
        return Position(**{name: value for name, value in dict(training or {}).items() if name != OPTIMIZERS})
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{printable_name(folder)}: not a checkpoint of a training; use another") from error


def load_checkpoint(folder: Path, model: nn.Module, optimizers: Mapping[str, Optimizer]) -> None:
    """Put a checkpoint's weights into the model and its states into the optimisers."""
    files, record = load_weights(folder)
    where = printable_name(folder)
    load_model(model, files[MODEL], where)
    groups = record[TRAINING][OPTIMIZERS]
    if groups.keys() != optimizers.keys():
        raise InputError(
            f"{where}: has the optimisers {sorted(groups)}, the stage {sorted(optimizers)}; train it again"
        )
    for name, optimizer in optimizers.items():
        _load_optimizer(optimizer, name, files[OPTIMIZERS], groups[name], where)


# --- weights and states as arrays --------------------------------------------------------------------------------


def model_arrays(model: nn.Module) -> Arrays:
    """The model's state_dict as arrays on the CPU."""
    return {name: _array(tensor) for name, tensor in model.state_dict().items()}


def load_model(model: nn.Module, arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Put arrays into the model. Raises InputError with all differences if they are not this model's."""
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    fitting = fit_arrays(arrays, shapes, where)
    model.load_state_dict({name: torch.tensor(array) for name, array in fitting.items()})


def optimizer_arrays(optimizers: Mapping[str, Optimizer]) -> tuple[Arrays, dict[str, Any]]:
    """The tensors of the optimisers' states as arrays ``<optimizer>/<parameter's number>/<name>``, and all else as JSON."""
    arrays: Arrays = {}
    records: dict[str, Any] = {}
    for name, optimizer in optimizers.items():
        state = optimizer.state_dict()
        plain: dict[str, dict[str, Any]] = {}
        for number, values in state["state"].items():
            arrays |= {f"{name}/{number}/{key}": _array(v) for key, v in values.items() if isinstance(v, Tensor)}
            plain[str(number)] = {key: v for key, v in values.items() if not isinstance(v, Tensor)}
        records[name] = {"groups": [_plain_group(group) for group in state["param_groups"]], "state": plain}
    return arrays, records


def _plain_group(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value.item() if isinstance(value, Tensor) else value for key, value in group.items()}


def _load_optimizer(optimizer: Optimizer, name: str, arrays: Arrays, record: dict[str, Any], where: str) -> None:
    state: dict[int, dict[str, Any]] = {int(number): dict(values) for number, values in record["state"].items()}
    for key, array in arrays.items():
        owner, number, entry = key.rsplit("/", 2)
        if owner == name:
            state[int(number)][entry] = torch.tensor(array)
    # JSON has lists only; Adam's betas are a pair.
    groups = [
        {key: tuple(v) if isinstance(v, list) and key != "params" else v for key, v in group.items()}
        for group in record["groups"]
    ]
    try:
        optimizer.load_state_dict({"state": state, "param_groups": groups})
    except (ValueError, KeyError) as error:
        raise InputError(f"{where}: its optimiser {name} does not fit the stage's ({error}); train it again") from error


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
