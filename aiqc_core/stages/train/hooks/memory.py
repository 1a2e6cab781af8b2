"""The memory of this process: its peak during a training, and errors that mean it ran out."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil

from aiqc_core import frames

logger = logging.getLogger(__name__)

MEBIBYTE = 2**20
# Of Python, torch and TensorFlow, by name, so that no framework is imported.
ERRORS = {"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"}
WORDS = ("out of memory", "can't allocate memory", "oom when allocating")


def reset_peak() -> None:
    """Reset the kernel's high-water mark, so that it is this Job's; Linux only."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        logger.debug("The peak of memory cannot be reset here; the present use is recorded.")


def peak_mb() -> float:
    """Return the most memory (MiB) that was resident since `reset_peak`; else the present use."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return psutil.Process().memory_info().rss / MEBIBYTE


def ran_out(error: BaseException) -> bool:
    """Say whether an error, or one that it was raised from, means that memory ran out.

    That is of the host or of a device: one of `ERRORS`, or a `RuntimeError` with one of `WORDS`.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        text = frames.message_of(cause).lower()
        named = ERRORS & {kind.__name__ for kind in type(cause).__mro__}
        if named or (isinstance(cause, RuntimeError) and any(words in text for words in WORDS)):
            return True
        seen.add(id(cause))
        cause = cause.__cause__
    return False
