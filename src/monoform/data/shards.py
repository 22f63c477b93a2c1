"""WebDataset shards: tar files in which the files of one sample stand together and share their name up to the first dot.

Plain tar (POSIX ustar) with every header field fixed, so that equal samples give equal bytes.
WebDataset's format: https://github.com/webdataset/webdataset.
"""

import io
import tarfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from monoform.errors import InputError
from monoform.files.atomic import write_atomic

_MEND = "write the set again"


def write_shard(path: Path, samples: Iterable[tuple[str, Mapping[str, bytes]]]) -> None:
    """Write samples, (key, name to content) each, as members ``<key>.<name>``; atomically."""

    def write(file: BinaryIO) -> None:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for key, files in samples:
                for name, data in files.items():
                    archive.addfile(_header(f"{key}.{name}", len(data)), io.BytesIO(data))

    write_atomic(path, write)


def _header(name: str, size: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size, 0o644, 0
    header.uid = header.gid = 0
    header.uname = header.gname = ""
    return header


def read_sample(path: Path, key: str) -> dict[str, bytes]:
    """The files of one sample by name. Raises InputError if the shard cannot be read or has no such key."""
    try:
        state = path.stat()
        members = _index(path, state.st_size, state.st_mtime_ns).get(key)
        if members is None:
            raise InputError(f"{path}: no sample '{key}' in this shard; {_MEND}")
        with path.open("rb") as file:
            return {name: _read(file, path, *place) for name, place in members.items()}
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); {_MEND}") from error


@lru_cache(maxsize=64)
def _index(path: Path, size: int, mtime_ns: int) -> dict[str, dict[str, tuple[int, int]]]:
    """Key to name to (offset, length) of a shard; size and time make a rewritten file another entry of the cache."""
    found: dict[str, dict[str, tuple[int, int]]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, dot, name = member.name.partition(".")
                if member.isreg() and dot:
                    found.setdefault(key, {})[name] = (member.offset_data, member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(f"{path}: damaged or not a tar file ({error}); {_MEND}") from error
    return found


def _read(file: BinaryIO, path: Path, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) != length:
        raise InputError(f"{path}: breaks off in the middle of a sample; {_MEND}")
    return data
