"""One pool of threads, shared by all kernels.

The kernels are serial and release the GIL; a batch of images, or the rows of one image, is split over this pool. Numba's own
parallel loops are not used: their OpenMP layer kills forked processes and their own layer aborts under two Python threads.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_count = 0


def _forget_pool() -> None:
    """A forked child inherits the pool but not its threads: start afresh there."""
    global _lock, _pool
    _lock = threading.Lock()
    _pool = None


os.register_at_fork(after_in_child=_forget_pool)


def get_threads() -> int:
    """Number of threads the kernels may use: what `set_threads` said, else the cores this process may run on."""
    if _count:
        return _count
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(count: int) -> None:
    """Let the kernels use `count` threads; 0 means all cores. Results do not depend on it."""
    global _count, _pool
    if count < 0:
        raise ValueError(f"a number of threads is 0 (all cores) or more, not {count}")
    with _lock:
        _pool, _count = None, count  # a pool still at work ends by itself once nobody holds it


def _get_pool() -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, get_threads() - 1), thread_name_prefix="monoform-kernel")
        return _pool


def run(tasks: Sequence[Callable[[], T]]) -> list[T]:
    """What the tasks return, in order, once all have ended; the calling thread takes the first. Raises a task's error."""
    if len(tasks) <= 1 or get_threads() == 1:
        return [task() for task in tasks]
    pool = _get_pool()
    others = [pool.submit(task) for task in tasks[1:]]
    try:
        mine = tasks[0]()
    finally:
        wait(others)
    return [mine, *(other.result() for other in others)]


def spans(count: int) -> list[tuple[int, int]]:
    """Cut range(count) into at most `get_threads()` contiguous (start, stop) of nearly equal length."""
    parts = max(1, min(get_threads(), count))
    return [(count * i // parts, count * (i + 1) // parts) for i in range(parts)]
