"""Files that are complete or not there, whatever fails in between."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from monoform.files import atomic
from monoform.files.atomic import WriteError, write_atomic


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
