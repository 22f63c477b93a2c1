"""Batches drawn ahead in a thread, each with a generator of its own, so that a step's batch is the same after a resume."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from torch import Tensor

Batch = Mapping[str, Tensor]
AHEAD = 2
"""Batches drawn before they are asked for."""


@contextlib.contextmanager
def drawn_ahead(
    draw: Callable[[np.random.Generator], Batch], seed: int, stage: int, rank: int, steps: range
) -> Iterator[Iterator[Batch]]:
    """The batches of `steps`, in order; step k's is ``draw(np.random.default_rng([seed, stage, k, rank]))``.

    One thread draws, two batches ahead; what it raises is raised where the batch would have come. Leaving the context ends it.
    """
    ready: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
    left = threading.Event()

    def put(item: Batch | BaseException) -> None:
        while not left.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def work() -> None:
        try:
            for number in steps:
                put(draw(np.random.default_rng([seed, stage, number, rank])))
                if left.is_set():
                    return
        # Also SystemExit of a draw: a thread would swallow it, and training would wait for ever.
        except BaseException as error:
            put(error)

    def take() -> Iterator[Batch]:
        for _ in steps:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    worker = threading.Thread(target=work, name="monoform-batches", daemon=True)
    worker.start()
    try:
        yield take()
    finally:
        left.set()
        worker.join()
