"""Structs and arrays in MATLAB files of version 5 to 7.2, with every size in them checked before it is believed.

SciPy's reader, which checks less, ends the whole process on some damaged structs. MathWorks, "MAT-File Format", 2019.
"""

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from monoform.data.readers.layout import need_file
from monoform.errors import InputError, NumericError

_LARGEST_FILE, _LARGEST_INFLATED = 1 << 27, 1 << 29
_DEEPEST = 32
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHARACTERS, _FIRST_NUMBERS, _LAST_NUMBERS = 1, 2, 4, 6, 15
_COMPLEX = 0x0800
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
    16: "u1",
    17: "u2",
}
_MEND = "unpack the set again"


def read_mat(path: Path, key: str, mend: str) -> Any:
    """A variable: a struct as a dict, struct arrays and cells as lists, text as str, numbers as arrays (2-D and more).

    Raises InputError for a damaged file, one of version 7.3, and one without the variable.
    """
    if need_file(path, mend).stat().st_size > _LARGEST_FILE:
        raise InputError(f"{path}: over the limit of {_LARGEST_FILE:,} bytes; {_MEND}")
    try:
        return _find(path.read_bytes(), key)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (OSError, ValueError, TypeError, LookupError, OverflowError, zlib.error) as error:
        cause = f"{type(error).__name__}: {error}".split("\n")[0][:100]
        raise InputError(f"{path}: damaged or not a MATLAB file ({cause}); {_MEND}") from error


def mat_array(path: Path, key: str, mend: str) -> np.ndarray:
    """A variable that is an array of finite numbers, float64, MATLAB's own order of indices. Raises as `read_mat`."""
    values = read_mat(path, key, mend)
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path}: '{key}' holds text or structs, not numbers; {_MEND}")
    if not np.isfinite(values).all():
        raise NumericError(f"{path}: '{key}' holds NaN or infinity; {_MEND}")
    return values.astype(np.float64)


def structs(value: object) -> list[dict[str, Any]]:
    """The elements of a struct array, which is a dict when it has one and an array when it has none."""
    entries = [value] if isinstance(value, dict) else value if isinstance(value, list) else []
    return [entry for entry in entries if isinstance(entry, dict)]


def _find(data: bytes, key: str) -> Any:
    if data[:4] == b"\x89HDF" or b"MATLAB 7.3" in data[:64]:
        raise InputError("a MATLAB 7.3 file, which is not read; save it again in MATLAB with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise InputError(f"not a MATLAB file of version 5 to 7.2; {_MEND}")
    left = _LARGEST_INFLATED
    # All at once, so that a file that breaks off behind the variable is found out too.
    for kind, body in list(_elements(memoryview(data)[_HEADER:], order)):
        if kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            inflated = inflater.decompress(body, max(left, 1))  # 0 would be no limit
            left -= len(inflated)
            if not inflater.eof:
                raise ValueError("a packed variable breaks off, or is too large")
            kind, body = next(_elements(memoryview(inflated), order), (0, body))
        if kind == _MATRIX and _head(body, order)[2] == key:
            return _value(body, order, 0)
    raise InputError(f"holds no variable '{key}'; {_MEND}")


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of the elements that lie one behind the other; short ones share their tag's eight bytes."""
    byte_order = "little" if order == "<" else "big"
    at = 0
    while at + 8 <= len(data):
        first, size = (int.from_bytes(data[at + k : at + k + 4], byte_order) for k in (0, 4))
        start, end = at + 8, at + 8 + size
        if first >> 16:
            first, size = first & 0xFFFF, first >> 16
            start, end = at + 4, at + 4 + size
            if size > 4:
                raise ValueError("a short element of more than four bytes")
        if end > len(data):
            raise ValueError("an element is longer than what is left of the file")
        yield first, data[start:end]
        at = end if first == _COMPRESSED else at + 8 * max(1, -(-(end - at) // 8))


def _numbers(element: tuple[int, memoryview], order: str) -> np.ndarray:
    kind, body = element
    dtype = np.dtype(order + _TYPES[kind])
    return np.frombuffer(body, dtype, len(body) // dtype.itemsize)


def _head(body: memoryview, order: str) -> tuple[int, tuple[int, ...], str, Iterator[tuple[int, memoryview]]]:
    """Flags with the class in their lowest byte, shape, name, and the elements that follow."""
    parts = _elements(body, order)
    try:
        flags = int(_numbers(next(parts), order)[0])
        shape = tuple(int(side) for side in _numbers(next(parts), order))
        name = bytes(next(parts)[1]).decode("latin-1")
    except StopIteration:
        raise ValueError("an array breaks off") from None
    if min(shape, default=-1) < 0:
        raise ValueError("an array of negative size")
    return flags, shape, name, parts


def _value(body: memoryview, order: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError("structs nested too deeply")
    if not len(body):
        return np.zeros((0, 0))
    flags, shape, _, parts = _head(body, order)
    kind, count = flags & 0xFF, math.prod(shape)
    if kind == _STRUCT:
        return _struct(parts, count, order, depth)
    if kind == _CELL:
        return [_child(parts, order, depth) for _ in range(_checked(count, body))]
    if (kind != _CHARACTERS and not _FIRST_NUMBERS <= kind <= _LAST_NUMBERS) or flags & _COMPLEX:
        raise ValueError(f"an array of class {kind}")
    values = _numbers(next(parts, (1, body[:0])), order)
    if kind == _CHARACTERS:
        return "".join(map(chr, values[: _checked(count, body)].tolist()))
    if len(values) != count:
        raise ValueError("an array of another size than it claims")
    return values.reshape(shape, order="F")


def _struct(parts: Iterator[tuple[int, memoryview]], count: int, order: str, depth: int) -> Any:
    try:
        length = int(_numbers(next(parts), order)[0])
        packed = bytes(next(parts)[1])
    except StopIteration:
        raise ValueError("a struct breaks off") from None
    if length < 1:
        raise ValueError("field names without a length")
    names = [packed[k : k + length].split(b"\0")[0].decode("latin-1") for k in range(0, len(packed), length)]
    # A struct without fields would cost nothing in the file and may still claim any number of elements.
    rows = [{name: _child(parts, order, depth) for name in names} for _ in range(count if names else 0)]
    return rows[0] if len(rows) == 1 else rows


def _child(parts: Iterator[tuple[int, memoryview]], order: str, depth: int) -> Any:
    kind, body = next(parts, (0, memoryview(b"")))
    if kind != _MATRIX:
        raise ValueError("a struct or cell breaks off")
    return _value(body, order, depth + 1)


def _checked(count: int, body: memoryview) -> int:
    if count > len(body):
        raise ValueError("an array of more elements than bytes")
    return count
