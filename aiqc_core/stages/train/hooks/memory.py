"""The memory of this process: its peak during a training, and errors that mean it ran out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from aiqc_core import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

MEBIBYTE = 2**20
# By name, so that no framework is imported for it: those of Python, torch and TensorFlow.
ERRORS = {"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"}
WORDS = ("out of memory", "can't allocate memory", "oom when allocating")


def reset_peak() -> None:
    """Start the kernel's high-water mark anew, so that it is this Job's; Linux only."""
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
    """Say whether an error, or one that it was raised from, tells that memory ran out.

    On the host and on a device: `MemoryError`, `torch.cuda.OutOfMemoryError`, TensorFlow's
    `ResourceExhaustedError`, and a `RuntimeError` that says so (CUDA, MPS, torch's CPU allocator).
    """
    return any(_says_so(each) for each in _with_causes(error))


def _says_so(error: BaseException) -> bool:
    text = frames.message_of(error).lower()
    named = bool({kind.__name__ for kind in type(error).__mro__} & ERRORS)
    return named or (isinstance(error, RuntimeError) and any(words in text for words in WORDS))


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        yield cause
        seen.add(id(cause))
        cause = cause.__cause__
