"""Find the devices that models train on, once, and the slots that workers lease of them.

A process that trains sees its one device, or none: the variables that `environment` gives are set
before a framework is imported, which is the only moment at which frameworks heed them.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile

from aiqc_core.config import OWN_VARIABLE, settings
from aiqc_core.devices import nvml
from aiqc_core.errors import TrainingError

DEVICES_VARIABLE = "AIQC_DEVICES"
VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"  # heeded: what it does not name is not used
_CUDA = re.compile(r"cuda:(\d+|(?:GPU|MIG)-[\w/-]+)")
_VISIBLE = re.compile(r"\d+|(?:GPU|MIG)-[\w/-]+")


@dataclass(frozen=True, slots=True)
class Device:
    """A device, or the CPU.

    Attributes:
        label: `cuda:0`, `mps` or `cpu`.
        visible: what `CUDA_VISIBLE_DEVICES` says so that this one alone is seen.
        name: of its make; None, as the next two, where no driver gives it.
        uuid: that no other device has.
        memory_mb: in MiB.
    """

    label: str
    visible: str = ""
    name: str | None = None
    uuid: str | None = None
    memory_mb: float | None = None

    def __str__(self) -> str:
        known = ", ".join(part for part in (self.name, self.uuid) if part)
        return f"{self.label} ({known})" if known else self.label


CPU, MPS = Device("cpu"), Device("mps")


@dataclass(frozen=True, slots=True)
class Slot:
    """A share of a device, for one worker at a time."""

    device: Device
    index: int


def found() -> tuple[Device, ...]:
    """Return the devices that may be used: those of CUDA, else that of MPS, else the CPU.

    The driver is asked once a process.

    Raises:
        TrainingError: `AIQC_DEVICES` is malformed, or names a device that is not there or that
            `CUDA_VISIBLE_DEVICES` hides.
    """
    return _found(settings.devices, os.environ.get(VISIBLE_VARIABLE))


def slots() -> tuple[Slot, ...]:
    """Return the slots that workers lease, one of each device before the second of any.

    There are none where training is on the CPU, and none in a process that has its device already.
    A Mac's device has slots only where `AIQC_DEVICES` names it: models are trained on it only when
    their functions say so, and it would hold up the others.

    Raises:
        TrainingError: a setting is malformed.
    """
    if OWN_VARIABLE in os.environ or settings.gpus_per_job == 0:
        return ()
    leased = [d for d in found() if d.visible or (settings.devices != "auto" and d is MPS)]
    return tuple(
        Slot(device, index) for index in range(settings.slots_per_device) for device in leased
    )


def environment(slot: Slot | None) -> dict[str, str]:
    """Return the variables of a worker that has a slot, or sees no device; set before imports."""
    device = CPU if slot is None else slot.device
    own = {OWN_VARIABLE: device.label, DEVICES_VARIABLE: device.label}
    if device is MPS:
        return own | {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}  # what MPS lacks is done by the CPU
    if not device.visible:
        return own | {VISIBLE_VARIABLE: ""}
    return own | {
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # the numbers of nvidia-smi, not the fastest first
        VISIBLE_VARIABLE: device.visible,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",  # else TensorFlow takes all memory at once
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # cuBLAS gives equal sums for equal seeds
    }


def environment_without_slots() -> dict[str, str]:
    """Return the variables of workers where there are no slots; as a rule none."""
    if OWN_VARIABLE in os.environ:
        return {}
    if settings.gpus_per_job == 0 or settings.devices == "cpu":
        return environment(None)
    return {"PYTORCH_ENABLE_MPS_FALLBACK": "1"} if found() == (MPS,) else {}


def own() -> Device:
    """Return the device that this process trains on: what it was given, else the CPU."""
    label = os.environ.get(OWN_VARIABLE, CPU.label)
    if label == CPU.label:
        return CPU
    return next((device for device in found() if device.label == label), Device(label))


def is_mac_with_device() -> bool:
    """Say whether this is a Mac of Apple's own processors; torch is not asked, nor imported."""
    return sys.platform == "darwin" and platform.machine() == "arm64"


@lru_cache(maxsize=64)
def _found(setting: str, visible: str | None) -> tuple[Device, ...]:
    if setting == "cpu":
        return (CPU,)
    if setting != "auto":
        return _named(setting, visible)
    chosen = _visible(visible)
    if chosen is None:
        cuda = [_device(str(listed.index)) for listed in nvml.listed()]
    else:
        cuda = [_device(entry) for entry in chosen if nvml.listed() and _is_there(entry)]
    if cuda:
        return tuple(dict.fromkeys(cuda))
    return (MPS,) if is_mac_with_device() else (CPU,)


def _named(setting: str, visible: str | None) -> tuple[Device, ...]:
    chosen, devices = _visible(visible), list[Device]()
    seen = None if chosen is None else [_device(each) for each in chosen]
    for entry in (part.strip() for part in setting.split(",")):
        if entry == "mps" and is_mac_with_device():
            devices.append(MPS)
            continue
        if (match := _CUDA.fullmatch(entry)) is None:
            raise TrainingError(
                f"{DEVICES_VARIABLE}={setting!r}: {entry!r} is no device here. Give auto, cpu, or "
                "devices such as cuda:0,cuda:1 (mps on a Mac)."
            )
        device = _device(match[1])
        if nvml.listed() and not _is_there(match[1]):
            there = ", ".join(f"cuda:{listed.index}" for listed in nvml.listed())
            raise TrainingError(
                f"{DEVICES_VARIABLE}={setting!r}: there is no {entry} on this machine, which has "
                f"{there}. Name those, or leave the variable out for all."
            )
        if seen is not None and device not in seen:
            raise TrainingError(
                f"{DEVICES_VARIABLE}={setting!r}: {VISIBLE_VARIABLE}={visible!r} hides {entry}. "
                "Name it there too, or leave one of the two variables out."
            )
        devices.append(device)
    if len(set(devices)) < len(devices):
        raise TrainingError(
            f"{DEVICES_VARIABLE}={setting!r} names a device twice. For several workers on one "
            "set AIQC_SLOTS_PER_DEVICE."
        )
    return tuple(devices)


def _visible(value: str | None) -> list[str] | None:
    """Read `CUDA_VISIBLE_DEVICES` as CUDA does: what follows an invalid entry is not seen."""
    if value is None:
        return None
    return list(takewhile(_VISIBLE.fullmatch, map(str.strip, value.split(","))))


def _is_there(entry: str) -> bool:
    return entry.startswith("MIG-") or any(_means(entry, listed) for listed in nvml.listed())


def _means(entry: str, listed: nvml.Listed) -> bool:
    if entry.isdecimal():
        return int(entry) == listed.index
    return listed.uuid.startswith(entry)  # CUDA takes the beginning of a UUID too


def _device(entry: str) -> Device:
    """Return a device by its number or UUID, with what the driver says of it."""
    for listed in nvml.listed():
        if _means(entry, listed):
            number = str(listed.index)
            return Device(f"cuda:{number}", number, listed.name, listed.uuid, listed.memory_mb)
    return Device(f"cuda:{entry}", entry)
