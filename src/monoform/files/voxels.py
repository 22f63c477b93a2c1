"""Voxel files: binvox (binary, run lengths) and npz (any number), both ways. Every bad file is one InputError.

Grids are indexed ``[z, y, x]``. What a file claims is compared with what it holds before anything is allocated, and
nothing is ever unpickled.
"""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monoform.errors import InputError, NumericError
from monoform.files.atomic import write_atomic

LARGEST_SIDE = 512
_KEY = "voxels"
_LARGEST_FILE = 1 << 29
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, eq=False)
class VoxelFile:
    """A grid and where it stands: cell i along x, y or z has its centre at ``translate + scale * (i + 0.5) / q``."""

    grid: np.ndarray
    """(z, y, x): bool from binvox, the stored type from npz."""
    translate: np.ndarray
    """(3,) lowest corner, x y z."""
    scale: float
    """Length of the grid along its longest side, in the unit of the mesh that it came from."""


def load_voxels(path: str | Path) -> VoxelFile:
    """The grid in a .binvox or .npz file. Raises InputError with the file's name for anything else."""
    path = Path(path)
    readers = {".binvox": _read_binvox, ".npz": _read_npz}
    if path.suffix.lower() not in readers:
        raise InputError(f"{path}: '{path.suffix}' is no voxel format read here; give .binvox or .npz")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise InputError(f"over the limit of {_LARGEST_FILE:,} bytes; give a smaller grid")
        return readers[path.suffix.lower()](path.read_bytes())
    except InputError as error:
        raise type(error)(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from error
    except Exception as error:
        # zipfile, numpy and int() fail in many ways on damaged bytes; to the user they are all one.
        cause = f"{type(error).__name__}: {error}".split("\n")[0][:120]
        raise InputError(f"{path}: damaged or not a voxel file ({cause}); export it again") from error


def save_voxels(
    grid: np.ndarray, path: str | Path, *, translate: Sequence[float] = (-0.5, -0.5, -0.5), scale: float = 1.0
) -> None:
    """Write a (z, y, x) grid; the suffix says how. By default it fills the unit cube about the origin.

    binvox holds only filled or empty, so it takes a bool grid. Same grid, same bytes.
    """
    path, grid = Path(path), np.asarray(grid)
    if grid.ndim != 3 or not 1 <= max(grid.shape) <= LARGEST_SIDE or grid.size == 0:
        raise InputError(
            f"{path}: a grid of shape {grid.shape} is not written; give (z, y, x), at most {LARGEST_SIDE} a side"
        )
    match path.suffix.lower():
        case ".binvox":
            write_atomic(path, _write_binvox(grid, translate, scale))
        case ".npz":
            write_atomic(path, _write_npz(grid, translate, scale))
        case suffix:
            raise InputError(f"{path}: cannot write '{suffix}' voxels; name it .binvox or .npz")


def _check_shape(shape: Sequence[int]) -> None:
    if len(shape) != 3 or not all(1 <= side <= LARGEST_SIDE for side in shape):
        raise InputError(f"the file claims a grid of {tuple(shape)}; three sides of 1 to {LARGEST_SIDE} are read")


# --- binvox ------------------------------------------------------------------------------------------------------


def _read_binvox(data: bytes) -> VoxelFile:
    """Patrick Min's format: a text header, then pairs of bytes (value, run length) in the order x, z, y (fastest)."""
    if not data.startswith(b"#binvox"):
        raise InputError("the file does not start with #binvox; export it again")
    head, mark, body = data.partition(b"\ndata\n")
    if not mark or len(head) > 4096:
        raise InputError("the binvox header has no 'data' line; export it again")
    lines = [line.split() for line in head.decode("ascii").splitlines()]
    header = {words[0]: words[1:] for words in lines if words}
    shape = [int(word) for word in header["dim"]]
    _check_shape(shape)
    translate = np.array([float(word) for word in header.get("translate", ["0", "0", "0"])])
    scale = float(header.get("scale", ["1"])[0])
    if translate.shape != (3,) or not np.isfinite([*translate, scale]).all() or scale <= 0:
        raise InputError("the binvox header has no usable translate or scale; export it again")
    if len(body) % 2:
        raise InputError("the binvox runs are cut off in the middle of a pair; copy or export it again")
    values, lengths = np.frombuffer(body, np.uint8).reshape(-1, 2).T
    cells = int(lengths.sum(dtype=np.int64))
    if cells != np.prod(shape) or values.max(initial=0) > 1:
        raise InputError(f"the binvox runs cover {cells:,} cells of {np.prod(shape):,}; copy or export it again")
    grid = np.repeat(values.astype(bool), lengths).reshape(shape)
    return VoxelFile(np.ascontiguousarray(grid.transpose(1, 2, 0)), translate, scale)


def _write_binvox(grid: np.ndarray, translate: Sequence[float], scale: float) -> bytes:
    if grid.dtype != bool:
        raise InputError("binvox holds only filled or empty cells; compare the grid with a level first, or write .npz")
    flat = grid.transpose(2, 0, 1)
    values = flat.ravel().astype(np.uint8)
    starts = np.flatnonzero(np.diff(values, prepend=255))
    lengths = np.diff(starts, append=len(values))
    # A run length is one byte, so a long run becomes many of 255 and a rest.
    repeats = -(-lengths // 255)
    runs = np.full((repeats.sum(), 2), 255, np.uint8)
    runs[:, 0] = np.repeat(values[starts], repeats)
    runs[np.cumsum(repeats) - 1, 1] = lengths - 255 * (repeats - 1)
    header = [
        "#binvox 1",
        "dim {} {} {}".format(*flat.shape),
        "translate {!r} {!r} {!r}".format(*map(float, translate)),
    ]
    return "\n".join([*header, f"scale {float(scale)!r}", "data", ""]).encode("ascii") + runs.tobytes()


# --- npz ---------------------------------------------------------------------------------------------------------


def _read_npz(data: bytes) -> VoxelFile:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = archive.namelist()
        if len(names) > 16:
            raise InputError(f"the npz file has {len(names)} arrays; give one with '{_KEY}' only")
        key = _KEY if f"{_KEY}.npy" in names else names[0].removesuffix(".npy") if len(names) == 1 else None
        if key is None:
            raise InputError(
                f"the npz file has no array '{_KEY}' (it has {', '.join(names)[:80]}); save it under that name"
            )
        grid = _read_member(archive, f"{key}.npy")
        translate = _read_small(archive, "translate", np.full(3, -0.5))
        scale = float(_read_small(archive, "scale", np.array(1.0)).reshape(()))
    _check_shape(grid.shape)
    if not np.isfinite([*translate, scale]).all() or translate.shape != (3,) or scale <= 0:
        raise InputError("the npz file has no usable translate or scale; save it again")
    if grid.dtype.kind == "f" and not np.isfinite(grid).all():
        raise NumericError("the voxel grid holds NaN or infinity; repair it and save it again")
    return VoxelFile(grid, translate, scale)


def _read_small(archive: zipfile.ZipFile, key: str, default: np.ndarray) -> np.ndarray:
    return _read_member(archive, f"{key}.npy").astype(np.float64) if f"{key}.npy" in archive.namelist() else default


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array, after its header's shape and type have been checked against the member's size: no bomb, no pickle."""
    info = archive.getinfo(name)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise InputError(f"'{name}' is packed in an unusual way; save it again with numpy.savez_compressed")
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read_header[version](member)
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            raise InputError(f"'{name}' holds {dtype}, not numbers; save it again as numbers")
        if len(shape) == 3:
            _check_shape(shape)
        count = int(np.prod(shape, dtype=object))
        if count > LARGEST_SIDE**3 or member.tell() + count * dtype.itemsize != info.file_size:
            raise InputError(f"'{name}' claims {count:,} numbers, but has {info.file_size:,} bytes; save it again")
        values = np.frombuffer(member.read(count * dtype.itemsize), dtype, count)
    return values.reshape(shape, order="F" if fortran else "C").copy(order="C")


def _write_npz(grid: np.ndarray, translate: Sequence[float], scale: float) -> bytes:
    if grid.dtype.kind not in "biuf":
        raise InputError(f"a grid of {grid.dtype} is not written; give numbers")
    arrays = {_KEY: grid, "translate": np.array(translate, np.float64), "scale": np.array(float(scale))}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
            # A fixed date, which numpy.savez does not give, makes equal grids equal bytes.
            file.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), buffer.getvalue(), zipfile.ZIP_DEFLATED, 6)
    return archive.getvalue()
