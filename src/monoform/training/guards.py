"""What keeps a run safe from outside: a lock on its folder, and signals that save before they end it."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from monoform.files.atomic import printable_name
from monoform.training.records import INTERRUPTED, TERMINATED, Reason, TrainingEnvironmentError

ECHO_SECONDS = 2.0
"""torchrun passes a terminal's Ctrl-C on to processes that have got it themselves: within this time both are one."""
_NAMES: dict[int, Reason] = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


class StopFlag:
    """Says why to stop after this step: '' (go on), 'interrupted' or 'terminated'."""

    def __init__(self) -> None:
        self.reason: Reason = ""
        self.raised_at = 0.0


@contextlib.contextmanager
def caught_signals(echo_seconds: float = 0.0) -> Iterator[StopFlag]:
    """SIGINT and SIGTERM raise the flag; the second ends the process at once (130 or 143).

    echo_seconds: how soon after the first another signal is taken for the same one. Outside the main thread, where Python
    delivers no signals, the flag stays down.
    """
    flag = StopFlag()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if not flag.reason:
            flag.reason, flag.raised_at = _NAMES[number], time.monotonic()
        elif time.monotonic() - flag.raised_at >= echo_seconds:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            sys.exit(143)

    before = {number: signal.signal(number, handle) for number in _NAMES}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def locked(run: Path) -> Iterator[None]:
    """Hold the folder's lock. The system lets go of it when the process dies, so that a dead one never keeps the folder.

    Raises TrainingEnvironmentError if another process holds it.
    """
    with open(run / "lock", "a+b") as file:
        if not _try_lock(file):
            file.seek(0)
            holder = file.read(200).decode("utf-8", "replace").strip() or "another process"
            raise TrainingEnvironmentError(
                f"{printable_name(run)}: {holder} is training there; wait for it, or choose another folder"
            )
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        file.flush()
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        file.seek(1 << 30)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
