"""Files and folders that are complete or not there, whatever fails in between."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from monoform.files import atomic
from monoform.files.atomic import WriteError, make_folder, remove_folder, remove_unfinished, write_atomic, write_folder


class FaultyFile:
    """A binary file that breaks at byte `limit` with the given error number."""

    def __init__(self, file, limit: int, number: int):
        self.file, self.left, self.number = file, limit, number

    def write(self, data: bytes) -> int:
        if len(data) > self.left:
            self.file.write(data[: self.left])
            raise OSError(self.number, os.strerror(self.number))
        self.left -= len(data)
        return self.file.write(data)

    def flush(self):
        self.file.flush()

    def fileno(self) -> int:
        return self.file.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def break_writes(monkeypatch, limit: int, number: int):
    opened = os.fdopen
    monkeypatch.setattr(atomic.os, "fdopen", lambda fd, mode: FaultyFile(opened(fd, mode), limit, number))


def test_bytes_and_writers_give_the_same_file(tmp_path):
    write_atomic(tmp_path / "a", b"abc")
    write_atomic(str(tmp_path / "b"), lambda file: [file.write(b"a"), file.write(b"bc")])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"abc"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_file_gets_the_usual_mode_and_the_temporary_one_a_private_mode(tmp_path):
    seen = []

    def look(file):
        (temporary,) = tmp_path.iterdir()
        seen.append(stat.S_IMODE(temporary.stat().st_mode))
        file.write(b"x")

    write_atomic(tmp_path / "a", look)
    (tmp_path / "b").write_bytes(b"x")
    assert seen == [0o600]
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("limit", [0, 1, 7, 99])
def test_a_disk_that_fails_at_any_byte_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch, limit, number):
    (tmp_path / "a").write_bytes(b"old")
    break_writes(monkeypatch, limit, number)
    with pytest.raises(WriteError, match=r"cannot write .*a: ") as caught:
        write_atomic(tmp_path / "a", b"n" * 100)
    assert caught.value.errno == number
    assert isinstance(caught.value, OSError)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("failing", ["fsync", "chmod", "replace"])
def test_a_failure_after_writing_leaves_the_old_file(tmp_path, monkeypatch, failing):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(atomic.os, failing, refuse)
    with pytest.raises(WriteError):
        write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def interrupt(file):
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "a", interrupt)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_a_real_size_limit_is_one_typed_error(tmp_path):
    code = (
        "import resource, signal, sys; from monoform.files.atomic import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(sys.argv[1], bytes(100_000))\n"
        "except WriteError: sys.exit(3)\n"
    )
    target = tmp_path / "a"
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == 3
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_process_killed_between_writing_and_renaming_leaves_the_old_file(tmp_path):
    code = (
        "import os, signal, sys; from monoform.files import atomic\n"
        "atomic.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.write_atomic(sys.argv[1], b'new')\n"
    )
    (tmp_path / "a").write_bytes(b"old")
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False).returncode == -9
    assert (tmp_path / "a").read_bytes() == b"old"
    write_atomic(tmp_path / "a", b"newer")  # what the killed process left behind is not in the way
    assert (tmp_path / "a").read_bytes() == b"newer"


def test_a_link_in_the_place_is_replaced_and_its_target_untouched(tmp_path):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "a").symlink_to(tmp_path / "precious")
    write_atomic(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"


def test_names_of_255_bytes_and_of_any_character_work(tmp_path):
    for name in ("x" * 255, "a b\n\N{GRINNING FACE}.png", "é" * 127):
        write_atomic(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"


@pytest.mark.parametrize(
    ("place", "mend"),
    [
        ("none/a", "make its folder first"),
        ("file/a", "is a file"),
        ("folder", "a folder of that name"),
        ("y" * 256, "shorter"),
    ],
)
def test_an_impossible_place_is_one_line_with_a_mend(tmp_path, place, mend):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match=mend) as caught:
        write_atomic(tmp_path / place, b"x")
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_read_only_folder_is_a_write_error(tmp_path, monkeypatch):
    def refuse(**_):  # root may write anywhere, so the refusal is made
        raise PermissionError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(atomic.tempfile, "mkstemp", refuse)
    with pytest.raises(WriteError, match="read-only file system; choose another folder"):
        write_atomic(tmp_path / "a", b"x")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission_is_a_write_error(tmp_path):
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    with pytest.raises(WriteError):
        write_atomic(folder / "a", b"x")


def test_a_printed_name_has_no_line_break(tmp_path):
    with pytest.raises(WriteError) as caught:
        write_atomic(Path(tmp_path, "no\nfolder", "a"), b"x")
    assert "\n" not in str(caught.value)


# --- folders -----------------------------------------------------------------------------------------------------

OLD, NEW = {"a": b"old"}, {"a": b"new", "b": b"n" * 5000}


def contents(folder: Path) -> dict[str, bytes]:
    """Name to bytes of the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_has_its_files_and_the_usual_modes(tmp_path):
    write_folder(str(tmp_path / "set"), {"a": b"new", "b": lambda file: file.write(b"n" * 5000)})
    assert contents(tmp_path / "set") == NEW
    write_folder(tmp_path / "empty", {})
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "a").write_bytes(b"")
    assert (tmp_path / "set").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "set" / "b").stat().st_mode == (tmp_path / "plain" / "a").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["empty", "plain", "set"]


def test_only_a_folder_is_replaced_and_only_when_asked(tmp_path):
    write_folder(tmp_path / "set", OLD)
    (tmp_path / "file").write_bytes(b"precious")
    (tmp_path / "nowhere").symlink_to("gone")
    for name, replace in (("set", False), ("file", False), ("file", True), ("nowhere", True)):
        with pytest.raises(WriteError, match="choose another name, or remove what is there"):
            write_folder(tmp_path / name, NEW, replace=replace)
    assert contents(tmp_path / "set") == OLD
    write_folder(tmp_path / "set", NEW, replace=True)
    assert contents(tmp_path / "set") == NEW
    (tmp_path / "link").symlink_to("set")
    write_folder(tmp_path / "link", OLD, replace=True)
    assert not (tmp_path / "link").is_symlink()
    assert contents(tmp_path / "set") == NEW
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "nowhere", "set"]


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(("failing", "call"), [("fsync", 1), ("fsync", 2), ("rename", 1), ("rename", 2)])
def test_a_folder_that_fails_leaves_what_was_there(tmp_path, monkeypatch, failing, call, replace):
    """A flush of a folder may be refused, as not every system can."""
    if replace:
        write_folder(tmp_path / "set", OLD)
    calls, real = iter(range(1, 99)), getattr(os, failing)

    def refuse(*arguments):
        if next(calls) == call:
            raise OSError(errno.EIO, "Input/output error")
        real(*arguments)

    monkeypatch.setattr(atomic.os, failing, refuse)
    if failing == "rename" and call == 2 and not replace:
        write_folder(tmp_path / "set", NEW)
        assert contents(tmp_path / "set") == NEW
    else:
        with pytest.raises(WriteError, match="input/output error"):
            write_folder(tmp_path / "set", NEW, replace=replace)
        assert os.listdir(tmp_path) == ["set"] * replace
        assert not replace or contents(tmp_path / "set") == OLD


def test_an_older_folder_that_cannot_be_put_back_is_kept_aside(tmp_path, monkeypatch):
    write_folder(tmp_path / "set", OLD)
    calls, real = iter(range(1, 99)), os.rename

    def refuse(*arguments):
        if next(calls) > 1:
            raise OSError(errno.EIO, "Input/output error")
        real(*arguments)

    monkeypatch.setattr(atomic.os, "rename", refuse)
    with pytest.raises(WriteError):
        write_folder(tmp_path / "set", NEW, replace=True)
    (left,) = tmp_path.iterdir()
    assert contents(left / "old") == OLD


def test_a_writer_that_raises_leaves_no_folder(tmp_path):
    for error in (KeyboardInterrupt, ValueError):

        def fail(file, error=error):
            file.write(b"half")
            raise error

        with pytest.raises(error):
            write_folder(tmp_path / "set", {"a": b"x", "b": fail})
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX resource limits")
def test_a_full_disk_names_the_file_and_leaves_the_old_folder(tmp_path):
    code = (
        "import resource, signal, sys; from monoform.files.atomic import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_folder(sys.argv[1], {'a': b'new', 'b': bytes(100_000)}, replace=True)\n"
        "except WriteError as error: sys.exit(str(error))\n"
    )
    write_folder(tmp_path / "set", OLD)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "set")], check=False, capture_output=True, text=True
    )
    assert f"cannot write {tmp_path / 'set' / 'b'}: file too large" in done.stderr
    assert contents(tmp_path / "set") == OLD
    assert os.listdir(tmp_path) == ["set"]


KILLED = """
import os, signal, sys
from monoform.files import atomic
left = int(sys.argv[2])
def dying(real):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call
for name in ("fsync", "rename", "mkdir", "close", "open", "unlink", "rmdir"):
    setattr(os, name, dying(getattr(os, name)))
atomic.write_folder(sys.argv[1], {"a": b"new", "b": b"n" * 5000}, replace=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("old", [{}, OLD])
def test_killed_at_any_call_there_is_the_old_folder_or_none_or_the_new(tmp_path, old):
    states = []
    for calls in range(99):
        root = tmp_path / str(calls)
        root.mkdir()
        if old:
            write_folder(root / "set", old)
        done = subprocess.run([sys.executable, "-c", KILLED, str(root / "set"), str(calls)], check=False)
        found = contents(root / "set") if (root / "set").exists() else {}
        assert found in (old, {}, NEW)
        states.append(found)
        remove_unfinished(root)
        assert os.listdir(root) == ["set"] * bool(found)
        if done.returncode == 0:
            break
        assert done.returncode == -9
    assert states[0] == old
    assert states[-1] == NEW
    # Nothing of that name only between the two renames.
    assert not old or states.count({}) == 1
    assert len(states) > 6


def test_a_folder_is_removed_and_a_missing_one_is_no_error(tmp_path):
    write_folder(tmp_path / "set", NEW)
    remove_folder(tmp_path / "set")
    remove_folder(tmp_path / "set")
    remove_folder(tmp_path / "none" / "set")
    assert os.listdir(tmp_path) == []


def test_what_is_unfinished_is_removed_and_nothing_else(tmp_path):
    for name in (".monoform-abc.tmp", ".monoform-mine", "set"):
        (tmp_path / name).mkdir()
    (tmp_path / ".monoform-link.tmp").symlink_to("set")
    remove_unfinished(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".monoform-link.tmp", ".monoform-mine", "set"]


def test_folders_are_made_or_refused_in_one_line(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WriteError, match="a part of its folder is a file"):
        make_folder(tmp_path / "file" / "b")
    with pytest.raises(WriteError, match=r"make its folder first"):
        write_folder(tmp_path / "none" / "set", NEW)
