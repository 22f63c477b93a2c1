"""Folders of weights: safetensors files of named arrays, a record as JSON, and a manifest with the SHA-256 of each.

    model.safetensors    one file or several, named by the caller
    record.json          what the caller wants remembered, plain JSON
    manifest.json        schema version, and size and SHA-256 of every other file; written last

A folder is written beside its place and renamed into it, so one that has a name is complete. It is read only after its
hashes agree, as a flipped bit in a weight is otherwise silent. Formats that can run code when opened (pickle, .pt) are
refused. Format: https://huggingface.co/docs/safetensors.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monoform.errors import InputError, NumericError, SchemaError
from monoform.files.atomic import make_folder, printable_name, write_folder

SCHEMA_VERSION = 1
FORMAT = "monoform weights"
MANIFEST = "manifest.json"
RECORD = "record.json"
SUFFIX = ".safetensors"
MAX_JSON_BYTES = 64_000_000
LISTED = 6
"""Names that a message lists of each kind of difference."""

Arrays = dict[str, np.ndarray]

_PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".tar", ".bin", ".joblib")
_MEND = "use another checkpoint, or write it again"


# --- writing -----------------------------------------------------------------------------------------------------


def save_weights(
    folder: str | os.PathLike[str], files: Mapping[str, Mapping[str, np.ndarray]], record: Mapping[str, Any]
) -> None:
    """Write arrays and a record to `folder`, completely or not at all; an older folder of weights there is replaced.

    files: file name without suffix -> array name -> array; numbers of any shape, also empty. record: plain JSON without NaN.
    Raises WriteError if the system refuses, InputError if something else stands at `folder`; it is then as it was. A process
    killed at any moment leaves no half-written folder of that name; in the moment of replacing an older one, none at all.
    """
    target = Path(folder)
    if target.exists() and not (target / MANIFEST).is_file():
        raise InputError(f"{printable_name(target)}: is there and no folder of weights; choose another name")
    contents = {name + SUFFIX: encode(arrays) for name, arrays in files.items()} | {RECORD: _json_bytes(record)}
    hashes = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in contents.items()}
    manifest = _json_bytes({"format": FORMAT, "schema_version": SCHEMA_VERSION, "files": hashes})
    make_folder(target.parent)
    write_folder(target, {**contents, MANIFEST: manifest}, replace=True)


def encode(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Named arrays as the bytes of a safetensors file."""
    from safetensors.numpy import save

    return save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def _json_bytes(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode("ascii")


# --- reading -----------------------------------------------------------------------------------------------------


def load_weights(folder: str | os.PathLike[str]) -> tuple[dict[str, Arrays], dict[str, Any]]:
    """The arrays of a folder, file name without suffix -> array name -> array (read-only), and its record.

    Raises InputError if the folder is missing, unfinished, from a newer version, incomplete, or if any file differs from what
    was written, and NumericError if a value is not finite. Nothing is handed out before all is checked.
    """
    path = Path(folder)
    contents = {name: _read_checked(path / name, **entry) for name, entry in _manifest(path).items()}
    if RECORD not in contents:
        raise SchemaError(f"{printable_name(path / MANIFEST)}: lists no {RECORD}; {_MEND}")
    record = _parse_json(contents.pop(RECORD), path / RECORD)
    files = {name.removesuffix(SUFFIX): _decode(data, path / name) for name, data in contents.items()}
    return files, record


def load_record(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """The record alone, checked as `load_weights` does; the arrays are not read."""
    path = Path(folder)
    entry = _manifest(path).get(RECORD)
    if entry is None:
        raise SchemaError(f"{printable_name(path / MANIFEST)}: lists no {RECORD}; {_MEND}")
    return _parse_json(_read_checked(path / RECORD, **entry), path / RECORD)


def _manifest(path: Path) -> dict[str, dict[str, Any]]:
    """The checked entries of a folder's manifest: file name -> size and hash."""
    name = printable_name(path)
    if path.suffix.lower() in _PICKLES or (path.is_file() and _looks_pickled(path)):
        raise InputError(f"{name}: a pickle can run code when it is opened and is never read; save it as safetensors")
    if not path.is_dir():
        reason = "is a file" if path.exists() else "no such folder"
        raise InputError(f"{name}: {reason}; give the folder with {MANIFEST} that monoform wrote")
    if not (path / MANIFEST).is_file():
        found = next((file.name for file in sorted(path.iterdir()) if file.suffix.lower() in _PICKLES), None)
        hint = f" ({printable_name(found)} is a pickle, which is never read)" if found else ""
        raise InputError(f"{name}: no {MANIFEST}, so not finished, or no folder of weights{hint}; {_MEND}")
    manifest = _parse_json(_read(path / MANIFEST), path / MANIFEST)
    version, entries = manifest.get("schema_version"), manifest.get("files")
    if manifest.get("format") != FORMAT or not isinstance(version, int) or not isinstance(entries, dict):
        raise SchemaError(f"{printable_name(path / MANIFEST)}: not a manifest of weights; {_MEND}")
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"{name}: weights of version {version}, this monoform reads {SCHEMA_VERSION}; update monoform"
        )
    if not all(_is_entry(file, entry) for file, entry in entries.items()):
        raise SchemaError(f"{printable_name(path / MANIFEST)}: damaged or changed; {_MEND}")
    return entries


def _is_entry(file: str, entry: object) -> bool:
    plain = file == RECORD or (file.endswith(SUFFIX) and not file.startswith(".") and not set(file) & set("/\\:\0"))
    return (
        plain
        and isinstance(entry, dict)
        and entry.keys() == {"bytes", "sha256"}
        and type(entry["bytes"]) is int
        and isinstance(entry["sha256"], str)
    )


def _looks_pickled(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = file.read(4)
        return start.startswith(b"PK") or start[:1] == b"\x80"
    return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{printable_name(path)}: missing; {_MEND}") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(f"{printable_name(path)}: cannot be read ({reason}); {_MEND}") from error


def _read_checked(path: Path, bytes: int, sha256: str) -> bytes:
    data = _read(path)
    if len(data) < bytes:
        reason = "is empty" if not data else f"breaks off after {len(data)} of {bytes} bytes"
        raise InputError(f"{printable_name(path)}: {reason}; {_MEND}")
    if len(data) != bytes or hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{printable_name(path)}: damaged or changed, its SHA-256 is not the manifest's; {_MEND}")
    return data


def _parse_json(data: bytes, path: Path) -> dict[str, Any]:
    try:
        if len(data) > MAX_JSON_BYTES:
            raise ValueError("too long")
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{printable_name(path)}: not JSON ({' '.join(str(error).split())}); {_MEND}") from error
    if not isinstance(value, dict):
        raise SchemaError(f"{printable_name(path)}: not a JSON object; {_MEND}")
    return value


def _decode(data: bytes, path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{printable_name(path)}: no safetensors file of plain numbers ({error}); {_MEND}") from error
    wrong = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if wrong:
        raise NumericError(f"{printable_name(path)}: NaN or infinity in {_some(wrong)}; use an earlier checkpoint")
    return arrays


# --- fitting -----------------------------------------------------------------------------------------------------


def fit_arrays(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], where: str) -> Arrays:
    """The arrays under the names that a model has, if names and shapes agree; the prefix ``module.`` is taken off.

    shapes: the model's array names and their shapes. Raises InputError with all differences at once.
    """
    found = dict(arrays)
    if all(name.startswith("module.") for name in found) and not any(name.startswith("module.") for name in shapes):
        found = {name.removeprefix("module."): array for name, array in found.items()}
    missing = [f"{name} {shapes[name]}" for name in shapes if name not in found]
    extra = [f"{name} {found[name].shape}" for name in found if name not in shapes]
    other = [
        f"{name} {found[name].shape}, the model has {shapes[name]}"
        for name in shapes
        if name in found and found[name].shape != tuple(shapes[name])
    ]
    kinds = (("missing", missing), ("not the model's", extra), ("of another shape", other))
    table = "; ".join(f"{len(names)} {kind}: {_some(names)}" for kind, names in kinds if names)
    if table:
        raise InputError(
            f"{where}: does not fit the model ({table}); build the model with the options it was saved with"
        )
    return found


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"
