"""Files that are either complete or not there: every result is written beside its place and renamed into it."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# The umask can only be read by setting it, which is not safe once other threads make files; importing is early enough.
_UMASK = os.umask(0o077)
os.umask(_UMASK)

_MEND = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your quota on that disk",
    errno.ENOENT: "make its folder first",
    errno.ENOTDIR: "a part of its folder is a file",
    errno.EISDIR: "a folder of that name is in the way",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class WriteError(OSError):
    """A file could not be written (disk full, read-only folder): the environment's fault, exit code 3."""


def write_atomic(path: str | os.PathLike[str], data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write `data` (bytes, or a function that writes into a binary file) to `path`, completely or not at all.

    The bytes go to a temporary file of mode 0600 in the same folder, are flushed to the disk, and are renamed over
    `path`. A process killed at any moment leaves the old content of `path` or the new one, never a mixture. A symbolic
    link at `path` is replaced, not followed. Raises WriteError if the system refuses; `path` is then as it was.
    """
    target = Path(path)
    try:
        _write_beside_and_rename(target, data)
    except OSError as error:
        raise _explained(target, error) from error


def printable_name(path: str | os.PathLike[str]) -> str:
    """A path for a message of one line: escaped if it holds line breaks or other characters that cannot be shown."""
    name = os.fspath(path)
    return name if name.isprintable() else ascii(name)


def _write_beside_and_rename(target: Path, data: bytes | Callable[[BinaryIO], None]) -> None:
    # A short name of its own, because that of the target may already be as long as the file system allows.
    descriptor, temporary = tempfile.mkstemp(prefix=".monoform-", suffix=".tmp", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if callable(data):
                data(file)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(target.parent)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut, where the system can flush a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _explained(target: Path, error: OSError) -> WriteError:
    reason = (error.strerror or str(error)).lower()
    mend = _MEND.get(error.errno or 0, "choose another folder")
    explained = WriteError(f"cannot write {printable_name(target)}: {reason}; {mend}")
    explained.errno = error.errno
    return explained
