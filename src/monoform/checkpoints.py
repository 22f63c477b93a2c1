"""Trained methods on disk: a folder of weights whose record names the method and its config.

A run's model/ and its checkpoints are such folders, so that all of them can be loaded here.
"""

import difflib
import os
import types
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from torch import nn

from monoform.errors import InputError, SchemaError
from monoform.files.atomic import printable_name
from monoform.files.weights import MANIFEST, load_weights, save_weights
from monoform.interfaces import Method
from monoform.training.processes import choose_device
from monoform.training.saving import (
    CHECKPOINTS,
    MODEL,
    TRAINING,
    folder_of,
    listed,
    load_model,
    model_arrays,
    read_position,
)

MODEL_FOLDER = "model"


@dataclass(frozen=True)
class Weights:
    """Which weights were taken of those that a folder offers."""

    folder: Path
    """Where they lie."""
    record: dict[str, Any]
    """What is remembered of them: method, config, data, and of a run's own what it has seen."""
    finished: bool
    """False where a run's folder was given whose training has not ended."""

    def __str__(self) -> str:
        """In words, for a message."""
        place = printable_name(self.folder)
        if TRAINING not in self.record:
            return place
        at = read_position(self.folder)
        when = f"{place}, a checkpoint after step {at.step} of the stage {at.name} ({at.total} steps in all)"
        return when if self.finished else f"{when}; the run is not finished"


def describe_method(name: str, config: Any) -> dict[str, Any]:
    """What a record must hold for `load_method`: the method's name in METHODS and its config."""
    return {"method": name, "config": asdict(config)}


def save_method(method: Method, name: str, folder: str | os.PathLike[str]) -> None:
    """Write a method's weights and config to a folder, atomically. name: its key in METHODS. Raises WriteError."""
    save_weights(folder, {MODEL: model_arrays(as_module(method))}, describe_method(name, method.config))


def load_method(folder: str | os.PathLike[str], device: str = "cpu") -> Method:
    """The method in a folder of weights or in a run's folder, on `device`, in evaluation mode; see `load_with_weights`."""
    return load_with_weights(folder, device)[0]


def load_with_weights(folder: str | os.PathLike[str], device: str = "cpu") -> tuple[Method, Weights]:
    """The method in a folder of weights or in a run's folder, on `device`, in evaluation mode, and which weights it has.

    Of a run, its model/ if it has finished, else the checkpoint with the best score, else the last; a checkpoint that cannot
    be read is warned of, and the one before is taken. Raises InputError for what cannot be read or does not fit (unknown
    method or field of the config, the nearest named; a field of a wrong type; differing weights, all listed).
    """
    target = choose_device(device)
    path = Path(folder)
    if (path / MANIFEST).is_file() or not (path / CHECKPOINTS).is_dir():
        return _load(path, str(target), finished=True)
    if (path / MODEL_FOLDER / MANIFEST).is_file():
        return _load(path / MODEL_FOLDER, str(target), finished=True)
    for total in reversed(listed(path)):
        try:
            best = read_position(folder_of(path, total)).best_total
            return _load(folder_of(path, total if best is None else best), str(target), finished=False)
        except InputError as error:
            warnings.warn(f"{error}; taking the checkpoint before", stacklevel=2)
    raise InputError(f"{printable_name(path)}: has no model and no checkpoint that can be read; train it first")


def _load(folder: Path, device: str, *, finished: bool) -> tuple[Method, Weights]:
    files, record = load_weights(folder)
    if MODEL not in files or "method" not in record or not isinstance(record.get("config"), dict):
        raise SchemaError(f"{printable_name(folder)}: weights of no method (method, config or {MODEL} is missing)")
    config = read_config(record["method"], record["config"], printable_name(folder))
    method = config.build()
    load_model(method, files[MODEL], printable_name(folder))
    return method.to(device).eval(), Weights(folder, record, finished)


def as_module(method: Method) -> nn.Module:
    """A method as what it is beside."""
    if not isinstance(method, nn.Module):
        raise TypeError(f"a method is an nn.Module, not {type(method).__name__}")
    return method


# --- configs -----------------------------------------------------------------------------------------------------


def read_config(method: str, values: Mapping[str, Any], where: str) -> Any:
    """The config of a method from plain JSON values. Raises InputError that names the field and the nearest valid one."""
    from monoform.methods import METHODS

    if method not in METHODS:
        raise InputError(f"{where}: no method '{method}'; {_nearest(method, list(METHODS))}")
    return config_from(METHODS[method], values, where)


def config_from(kind: type, values: Mapping[str, Any], where: str) -> Any:
    """A frozen dataclass from plain JSON values: names checked, types checked, lists made tuples; the rest has its defaults."""
    names = [field.name for field in fields(kind)]
    hints = typing.get_type_hints(kind)
    read = {}
    for name, value in values.items():
        if name not in names:
            raise InputError(f"{where}: the config has no field '{name}'; {_nearest(name, names)}")
        try:
            read[name] = _as_type(value, hints[name])
        except TypeError as error:
            raise InputError(f"{where}: config field {name} = {value!r} is not {error}; mend it") from error
    return kind(**read)


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"there are {', '.join(names)}"


def _as_type(value: Any, hint: Any) -> Any:
    """The value as the annotated type; TypeError with what is wanted. Integers pass for floats, bool for nothing else."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if any(type(value) is type(choice) and value == choice for choice in arguments):
            return value
        raise TypeError(f"one of {', '.join(map(repr, arguments))}")
    if origin in (types.UnionType, typing.Union):
        for choice in arguments:
            try:
                return _as_type(value, choice)
            except TypeError:
                continue
        raise TypeError(f"of type {hint}")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError("a list")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(value):
            raise TypeError(f"a list of {len(kinds)}")
        return tuple(_as_type(item, kind) for item, kind in zip(value, kinds, strict=True))
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is not (type(None) if hint is None else hint):
        raise TypeError(f"of type {getattr(hint, '__name__', hint)}")
    return value
