"""Files and folders that are either complete or not there: each is written beside its place and renamed into it."""

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

# The umask can only be read by setting it, which is not safe once other threads make files; importing is early enough.
_UMASK = os.umask(0o077)
os.umask(_UMASK)

_PREFIX, _SUFFIX = ".monoform-", ".tmp"
_MEND = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of your quota on that disk",
    errno.ENOENT: "make its folder first",
    errno.ENOTDIR: "a part of its folder is a file",
    errno.EISDIR: "a folder of that name is in the way",
    errno.EEXIST: "choose another name, or remove what is there",
    errno.ENAMETOOLONG: "choose a shorter name",
}


Content = bytes | Callable[[BinaryIO], None]
"""Of a file: its bytes, or a function that writes them into a binary file."""


class WriteError(OSError):
    """A file could not be written (disk full, read-only folder): the environment's fault, exit code 3."""


def write_atomic(path: str | os.PathLike[str], data: Content) -> None:
    """Write `data` to `path`, completely or not at all.

    The bytes go to a temporary file of mode 0600 in the same folder, are flushed to the disk, and are renamed over
    `path`. A process killed at any moment leaves the old content of `path` or the new one, never a mixture. A symbolic
    link at `path` is replaced, not followed. Raises WriteError if the system refuses; `path` is then as it was.
    """
    target = Path(path)
    try:
        _write_beside_and_rename(target, data)
    except OSError as error:
        raise _explained(target, error) from error


def write_folder(path: str | os.PathLike[str], files: Mapping[str, Content], *, replace: bool = False) -> None:
    """Write files, name to content, to a new folder at `path`, completely or not at all. Names hold no folders.

    They go to a temporary folder beside it, are flushed to the disk, and the folder is renamed to `path`. replace: a folder
    that is there steps aside first, as the system renames no folder over another. A process killed at any moment leaves
    what was there or all of the new files; with `replace`, and in the moment between the two renames, nothing of that name.
    What it has not removed, `remove_unfinished` does. Raises WriteError if the system refuses or something else is at
    `path`, which is then as it was.
    """
    target = Path(path)
    try:
        if os.path.lexists(target) and not (replace and target.is_dir()):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        beside = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=target.parent))
        try:
            new = beside / "new"
            new.mkdir()
            for name, content in files.items():
                try:
                    with open(new / name, "xb") as file:
                        _write_through(file, content)
                except OSError as error:
                    raise _explained(target / name, error) from error
            _flush_folder(new)
            _put(new, target, beside / "old")
        finally:
            # An older folder that could not be put back is kept there: better a strange name than none.
            if target.exists() or not (beside / "old").exists():
                shutil.rmtree(beside, ignore_errors=True)
    except WriteError:
        raise
    except OSError as error:
        raise _explained(target, error) from error


def remove_folder(path: str | os.PathLike[str]) -> None:
    """Remove a folder, renamed first: one that is killed meanwhile leaves no half of it. What cannot be removed stays."""
    target = Path(path)
    with contextlib.suppress(OSError):
        aside = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_SUFFIX, dir=target.parent))
        with contextlib.suppress(OSError):
            os.rename(target, aside / "old")
        shutil.rmtree(aside, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what killed processes left of folders being written in `folder`; no other process may write there now."""
    for left in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left, ignore_errors=True)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, where they are missing. Raises WriteError if the system refuses."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _explained(Path(path), error) from error


def printable_name(path: str | os.PathLike[str]) -> str:
    """A path for a message of one line: escaped if it holds line breaks or other characters that cannot be shown."""
    name = os.fspath(path)
    return name if name.isprintable() else ascii(name)


def _write_beside_and_rename(target: Path, data: Content) -> None:
    # A short name of its own, because that of the target may already be as long as the file system allows.
    descriptor, temporary = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _write_through(file, data)
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(target.parent)


def _write_through(file: BinaryIO, content: Content) -> None:
    """Write, and flush to the disk."""
    if callable(content):
        content(file)
    else:
        file.write(content)
    file.flush()
    os.fsync(file.fileno())


def _put(new: Path, target: Path, aside: Path) -> None:
    """Rename into place, and back if that fails."""
    replaces = target.exists()
    if replaces:
        os.rename(target, aside)
    try:
        os.rename(new, target)
    except BaseException:
        if replaces:
            os.rename(aside, target)
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
