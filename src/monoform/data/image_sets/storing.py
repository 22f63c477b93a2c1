"""Image sets on disk: a folder of .npy arrays and a record of what they are, whole or not there at all.

record.json    format, schema version, ids, categories, how it was made; size, type, shape and SHA-256 of every array
images.npy, masks.npy, R.npy, t.npy, K.npy, objects.npy, voxels.npy
"""

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from monoform.errors import InputError, SchemaError
from monoform.files.atomic import Content, printable_name, write_folder
from monoform.interfaces import ImageSet
from monoform.results import plain

FORMAT, SCHEMA_VERSION = "monoform image set", 1
RECORD = "record.json"
ARRAYS: dict[str, tuple[str, tuple[str | int, ...]]] = {
    "images": ("|u1", ("n", "s", "s", 3)),
    "masks": ("|u1", ("n", "s", "s")),
    "R": ("<f4", ("n", 3, 3)),
    "t": ("<f4", ("n", 3)),
    "K": ("<f4", ("n", 3, 3)),
    "objects": ("<i8", ("n",)),
    "voxels": ("|b1", ("m", "q", "q", "q")),
}
"""Type and shape of every array: n images of s pixels, m objects, grids of q cells (0 without voxels)."""
_LARGEST_RECORD = 1 << 28
_MEND = "make the set again"


def save_images(images: ImageSet, folder: Path) -> None:
    """Write a set to a new folder, completely or not at all.

    Raises InputError for a set whose arrays do not belong together and for a folder that is there already, WriteError if the
    system refuses.
    """
    folder = Path(folder)
    arrays = {name: np.asarray(getattr(images, name)) for name in ARRAYS}
    _check(arrays, images.object_ids, images.categories, images.voxel_kind, "the image set")
    if folder.exists() or folder.is_symlink():
        raise InputError(f"{printable_name(folder)}: is there already; choose another folder, or remove it")
    record: dict[str, Any] = {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "voxel_kind": images.voxel_kind,
        "object_ids": list(images.object_ids),
        "categories": list(images.categories),
        "made_by": images.made_by,
        "files": {},
    }
    contents: dict[str, Content] = {}
    for name, array in arrays.items():
        contents[f"{name}.npy"], record["files"][name] = _encode(array)
    text = json.dumps(plain(record), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    write_folder(folder, {**contents, RECORD: text.encode("utf-8")})


def load_images(folder: Path, *, verify: bool = True) -> ImageSet:
    """A set from its folder; the arrays are mapped from the disk, not read. verify: compare every file's SHA-256, once.

    Raises InputError for a folder that is none, is damaged or holds another file than was written, SchemaError for a record
    that is broken or of another version. Nothing is unpickled, and no array is larger than its file.
    """
    folder = Path(folder)
    record = _read_record(folder / RECORD)
    arrays = {}
    for name, (dtype, axes) in ARRAYS.items():
        path, said = folder / f"{name}.npy", record["files"][name]
        arrays[name] = _map_array(path, np.dtype(dtype), len(axes), said)
        if verify and _digest(path) != said.get("sha256"):
            raise InputError(f"{printable_name(path)}: is not the file that was written (SHA-256); {_MEND}")
    ids, categories, kind = tuple(record["object_ids"]), tuple(record["categories"]), record["voxel_kind"]
    _check(arrays, ids, categories, kind, printable_name(folder))
    return ImageSet(**arrays, object_ids=ids, categories=categories, voxel_kind=kind, made_by=record["made_by"])


def _check(
    arrays: dict[str, np.ndarray], ids: tuple[str, ...], categories: tuple[str, ...], kind: str, name: str
) -> None:
    """Raise InputError unless types and shapes are those of a set and fit each other."""
    sizes: dict[str, int] = {"m": len(ids)}
    for field, (dtype, axes) in ARRAYS.items():
        array = arrays[field]
        fits = array.dtype == np.dtype(dtype) and array.ndim == len(axes)
        # The first array that has an axis decides its length for the others.
        if not fits or any(
            length != (axis if isinstance(axis, int) else sizes.setdefault(axis, length))
            for axis, length in zip(axes, array.shape, strict=True)
        ):
            wanted = ", ".join(str(sizes.get(axis, axis)) if isinstance(axis, str) else str(axis) for axis in axes)
            raise InputError(
                f"{name}: its {field} are {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of ({wanted}); {_MEND}"
            )
    if len(categories) != len(ids):
        raise InputError(f"{name}: {len(categories)} categories for {len(ids)} objects; {_MEND}")
    objects = arrays["objects"]
    if objects.size and not (objects.min() >= 0 and objects.max() < len(ids)):
        raise InputError(f"{name}: an image shows object {objects.max()} of {len(ids)}; {_MEND}")
    if kind not in (("solid", "shell") if sizes["q"] else ("",)):
        raise InputError(f"{name}: voxels of the kind '{kind}' with {sizes['q']} cells a side; {_MEND}")


def _encode(array: np.ndarray) -> tuple[Content, dict[str, Any]]:
    """What writes an array as .npy, and its entry in the record. Nothing is copied, as the images of a set are many."""
    array, header = np.ascontiguousarray(array), io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    start, values = header.getvalue(), array.reshape(-1).view(np.uint8).data
    digest = hashlib.sha256(start)
    digest.update(values)

    def write(file: BinaryIO) -> None:
        file.write(start)
        file.write(values)

    length = len(start) + array.nbytes
    return write, {"dtype": array.dtype.str, "shape": list(array.shape), "bytes": length, "sha256": digest.hexdigest()}


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{printable_name(path)}: cannot be read ({error.strerror}); {_MEND}") from error


def _read_record(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_RECORD:
            raise SchemaError(f"{printable_name(path)}: larger than {_LARGEST_RECORD} bytes; {_MEND}")
        record = json.loads(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise InputError(
            f"{printable_name(path)}: cannot be read ({reason}); give a folder that save_images wrote"
        ) from error
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"{printable_name(path)}: no valid JSON ({str(error)[:80]}); {_MEND}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise SchemaError(
            f"{printable_name(path)}: not the record of an image set; give a folder that save_images wrote"
        )
    if record.get("schema_version") != SCHEMA_VERSION:
        raise SchemaError(
            f"{printable_name(path)}: schema version {record.get('schema_version')}, {SCHEMA_VERSION} is read here; "
            "update monoform or make the set again"
        )
    files, made_by, kind = (record.get(name) for name in ("files", "made_by", "voxel_kind"))
    texts = [record.get(name) for name in ("object_ids", "categories")]
    listed = all(isinstance(text, list) and all(isinstance(word, str) for word in text) for text in texts)
    if not listed or not isinstance(made_by, dict) or not isinstance(kind, str) or not isinstance(files, dict):
        raise SchemaError(f"{printable_name(path)}: its fields are missing or have other types; {_MEND}")
    if any(not isinstance(files.get(name), dict) for name in ARRAYS):
        raise SchemaError(f"{printable_name(path)}: does not list {', '.join(ARRAYS)}; {_MEND}")
    return record


def _map_array(path: Path, dtype: np.dtype, ndim: int, said: dict[str, Any]) -> np.ndarray:
    """The array of a file whose header, length and record agree."""
    name = printable_name(path)
    try:
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            if version != (1, 0):
                raise ValueError(f"version {version}")
            shape, fortran, found = np.lib.format.read_array_header_1_0(file)
            start, length = file.tell(), file.seek(0, os.SEEK_END)
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({(error.strerror or '').lower()}); {_MEND}") from error
    except ValueError as error:
        raise InputError(f"{name}: not a sound .npy file ({' '.join(str(error).split())[:80]}); {_MEND}") from error
    if found != dtype or fortran or len(shape) != ndim or min(shape, default=0) < 0:
        raise InputError(f"{name}: holds {found} of shape {shape}, not {dtype} with {ndim} axes in C order; {_MEND}")
    if [found.str, list(shape), length] != [said.get("dtype"), said.get("shape"), said.get("bytes")]:
        raise InputError(f"{name}: is not as the record says ({length} bytes, {found} of {shape}); {_MEND}")
    needed = start + dtype.itemsize * int(np.prod([int(axis) for axis in shape], dtype=object))
    if length != needed:
        raise InputError(f"{name}: has {length} bytes where its shape {shape} takes {needed}; {_MEND}")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.load(path, mmap_mode="r", allow_pickle=False)
