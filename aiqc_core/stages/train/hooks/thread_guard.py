"""Refuse threads that user code leaves running: they could change the model while it is scored."""

from __future__ import annotations

import threading
import time
from concurrent.futures import thread as pools
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiqc_core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Generator

PATIENCE_SECONDS = 1.0


@contextmanager
def refuse_left_threads() -> Generator[None]:
    """Raise TrainingError for threads that start inside of the block and still run after it.

    They have a second to end. Daemon threads (progress bars, loggers) and the workers of a
    `ThreadPoolExecutor`, which stay until it is collected, are left alone.
    """
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE_SECONDS
    pooled = set(getattr(pools, "_threads_queues", ()))
    for thread in set(threading.enumerate()) - before - pooled:
        if thread.daemon:
            continue
        thread.join(max(deadline - time.monotonic(), 0))
        if thread.is_alive():
            raise TrainingError(
                f"fn_train: left the thread {thread.name!r} running, which could go on changing "
                "the model. Join it before returning, or start it with daemon=True."
            )
