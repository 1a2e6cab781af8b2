"""Ask NVIDIA's driver for its devices, by NVML; without a driver there are none."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger(__name__)

MEBIBYTE = 2**20
LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Listed:
    """A device as the driver lists it, in the order of the PCI bus."""

    index: int
    uuid: str
    name: str
    memory_mb: float


@lru_cache(maxsize=1)
def driver() -> Any:
    """Return the module `pynvml`, ready for use, or None without a driver that answers."""
    try:
        import pynvml  # noqa: PLC0415 - only where devices are asked for
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        if error.args == (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,):
            return None
        logger.warning(
            "NVIDIA's driver is installed and does not answer (%s), so no GPU is used. See what "
            "nvidia-smi says; after an upgrade of the driver restart the machine.",
            error,
        )
        return None
    return pynvml


@lru_cache(maxsize=1)
def listed() -> tuple[Listed, ...]:
    """Return the devices of this machine that answer; none without a driver."""
    nvml = driver()
    if nvml is None:
        return ()
    found: list[Listed] = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle).total / MEBIBYTE
            uuid, name = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
            found.append(Listed(index, _text(uuid), _text(name), memory))
        except nvml.NVMLError as error:
            logger.warning("cuda:%d is left out, as it does not answer: %s", index, error)
    return tuple(found)


def fault(uuid: str | None) -> str | None:
    """Return why a device does not answer any more; None when it does, or nobody can tell."""
    nvml = driver()
    if nvml is None or uuid is None:
        return None
    try:
        nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByUUID(uuid))
    except nvml.NVMLError as error:
        return f"NVML: {error}"
    return None


@contextmanager
def watched(uuid: str | None) -> Generator[dict[str, float]]:
    """Measure a device twice a second within the block.

    Yields:
        A dictionary that has, after the block, `utilisation_percent`, the mean, and
        `peak_memory_mb`, the most memory (MiB) of the device that this process held; where the
        driver names no processes, as in a container, what all held. Else it is empty.
    """
    seen: dict[str, float] = {}
    if driver() is None or uuid is None:
        yield seen
        return
    ended, looks = threading.Event(), list[tuple[float, float]]()
    arguments = (uuid, ended, looks)
    thread = threading.Thread(target=_watch, args=arguments, name="aiqc-device", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        if looks:
            seen["utilisation_percent"] = round(fmean(use for use, _ in looks), 1)
            seen["peak_memory_mb"] = max(memory for _, memory in looks)


def _watch(uuid: str, ended: threading.Event, looks: list[tuple[float, float]]) -> None:
    nvml = driver()
    try:
        handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
        while True:
            use = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
            looks.append((use, _held(nvml, handle) / MEBIBYTE))
            if ended.wait(LOOK_SECONDS):
                return
    except nvml.NVMLError as error:  # a slice of a device has no utilisation
        logger.debug("The use of %s cannot be measured: %s", uuid, error)


def _held(nvml: Any, handle: Any) -> float:
    """Return the bytes of a device that this process holds, or else all that are held."""
    processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    own = [each.usedGpuMemory or 0 for each in processes if each.pid == os.getpid()]
    return max(own, default=0) or nvml.nvmlDeviceGetMemoryInfo(handle).used


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
