"""Recognise errors that mean that a device is gone, or that a process cannot use it any more.

A worker sends what a training notes here to its pool with the answer: the pool sets the slots of a
lost device aside, and replaces a worker that cannot go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiqc_core import frames
from aiqc_core.devices import devices, nvml

# Parts of the texts of CUDA's errors, as torch and TensorFlow pass them on, in lower case.
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
    """What a worker sends its pool beside the answer.

    Attributes:
        lost: why its device is gone.
        spoilt: whether the process has to be replaced.
    """

    lost: str | None = None
    spoilt: bool = False


_note = Note()


def take_note() -> Note:
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
    """Return the reason where an error, or the driver, says that this process's device is gone."""
    device = devices.own()
    if not device.visible:
        return None
    reason = _text_with(LOST, error) or nvml.fault(device.uuid)
    return reason and f"the device {device} is lost: {reason}. {REMEDY}"


def is_spoilt(error: BaseException) -> bool:
    """Say whether an error leaves this process unable to use its device."""
    return bool(devices.own().visible and _text_with(SPOILT, error))


def _text_with(parts: tuple[str, ...], error: BaseException) -> str | None:
    """Return the text of a CUDA error with one of these parts: of the error or of its causes."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        text = frames.message_of(cause).partition("\n")[0]
        if "cuda" in text.lower() and any(part in text.lower() for part in parts):
            return text
        cause = cause.__cause__
    return None
