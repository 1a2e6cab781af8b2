"""Threads that user code leaves behind: they could go on changing a model that is being judged."""

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
    """Refuse threads that were started inside of the `with` block and still run after it.

    Daemon threads (progress bars, loggers) and the workers of a `ThreadPoolExecutor`, which stay
    until it is collected, are left alone. The others have a second to end.

    Raises:
        TrainingError: a thread still runs.
    """
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + PATIENCE_SECONDS
    for thread in _ordinary(set(threading.enumerate()) - before):
        thread.join(max(deadline - time.monotonic(), 0))
        if thread.is_alive():
            raise TrainingError(
                f"fn_train: left the thread {thread.name!r} running, which could go on changing "
                "the model. Join it before returning, or start it with daemon=True."
            )


def _ordinary(threads: set[threading.Thread]) -> list[threading.Thread]:
    pooled = set(getattr(pools, "_threads_queues", ()))
    return [thread for thread in threads - pooled if not thread.daemon]
