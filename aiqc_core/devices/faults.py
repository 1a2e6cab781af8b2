"""Errors that tell that a device is gone, or that a process cannot use it any more.

What a training notes here, the worker process tells its pool with the answer: the pool sets the
slot of a lost device aside, and replaces a worker that a fault has spoilt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiqc_core import frames
from aiqc_core.devices import devices, nvml

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of the texts of CUDA's errors, as torch and TensorFlow pass them on, in small letters.
LOST = (
    "no cuda-capable device",
    "cuda_error_no_device",
    "device not found",
    "devices are unavailable",
    "device is unavailable",
    "device unavailable",
    "uncorrectable ecc",
    "ecc_uncorrectable",
    "uncorrectable nvlink",
    "unknown error",
    "cuda_error_unknown",
    "gpu is lost",
    "fallen off the bus",
    "hardware stack error",
)
# The device is well, but every later call of this process fails.
SPOILT = ("device-side assert", "illegal memory access", "illegal instruction", "launch failure")
REMEDY = (
    "See what nvidia-smi says of it; reset or replace it, or leave it out by AIQC_DEVICES, and "
    "run again: what is recorded is not trained twice."
)


@dataclass(slots=True)
class Note:
    """What a worker tells its pool beside the answer.

    Attributes:
        lost: why its device is gone.
        spoilt: whether the process has to be replaced.
    """

    lost: str | None = None
    spoilt: bool = False


_note = Note()


def taken() -> Note:
    """Return what was noted since the last call."""
    global _note
    note, _note = _note, Note()
    return note


def note_lost(reason: str) -> None:
    """Note that this process's device is gone."""
    _note.lost, _note.spoilt = reason, True


def note_spoilt() -> None:
    """Note that this process is to be replaced, as memory of the device may be held or faulty."""
    _note.spoilt = True


def loss(error: BaseException) -> str | None:
    """Return the reason where an error tells that this process's device is gone, else None.

    What the driver says counts too: a device that does not answer it is gone, whatever the error.
    """
    device = devices.own()
    if not device.visible:
        return None
    text = next((t for t in _texts(error) if "cuda" in t.lower() and _has(t, LOST)), None)
    reason = text or nvml.fault(device.uuid)
    return reason and f"the device {device} is lost: {reason}. {REMEDY}"


def is_spoilt(error: BaseException) -> bool:
    """Say whether an error leaves this process unable to use its device."""
    on_device = bool(devices.own().visible)
    return on_device and any("cuda" in t.lower() and _has(t, SPOILT) for t in _texts(error))


def _has(text: str, words: tuple[str, ...]) -> bool:
    return any(word in text.lower() for word in words)


def _texts(error: BaseException) -> Iterator[str]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield frames.message_of(cause).partition("\n")[0]
        cause = cause.__cause__
