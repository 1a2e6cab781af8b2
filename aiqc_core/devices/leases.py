"""Lease device slots by locks of the kernel, across all processes of a user on a host.

A lease is a lock (flock) on a file in the folder for temporary files. The worker inherits it, and
the kernel frees it when the worker ends in any way, SIGKILL included. The files stay, with the
process id of the last holder.

A slot of a shared device locks the device's file shared and its own file exclusively; a whole
device locks the device's file exclusively. So runs exclude each other also where their
`AIQC_SLOTS_PER_DEVICE` differ.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from aiqc_core.config import SLOT_VARIABLE, settings
from aiqc_core.devices import devices
from aiqc_core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiqc_core.devices.devices import Device, Slot

logger = logging.getLogger(__name__)

LOG_SECONDS = 60.0  # between two lines that say what is waited for
_LOOK_SECONDS = 0.2
_kept: list[Lease] = []  # of this process itself, until it ends


class Lease:
    """A device slot that nobody else has as long as the files are open, here or in a child."""

    def __init__(self, slot: Slot, descriptors: tuple[int, ...]) -> None:
        self.slot, self.device = slot, slot.device
        self.descriptors: tuple[int, ...] = descriptors

    def environment(self) -> dict[str, str]:
        """Return the variables of the worker that inherits the lease."""
        files = ",".join(map(str, self.descriptors))
        return devices.environment(self.slot) | {SLOT_VARIABLE: files}

    def note(self, pid: int) -> None:
        """Write the process id of the holder into its file, for those who wait."""
        for descriptor in self.descriptors[-1:]:
            with suppress(OSError):
                os.pwrite(descriptor, f"{pid:<12}".encode(), 0)

    def close(self) -> None:
        """Close its files in this process."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()


def take(slot: Slot, *, whole: bool = False) -> Lease | None:
    """Lease a slot, or with `whole` its whole device; None while another process has it.

    Raises:
        TrainingError: the folder of the locks is another user's.
    """
    shared = settings.slots_per_device > 1 and not whole
    device = _locked(_path(slot.device), fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    if device is None:
        return None
    if not shared:
        return Lease(slot, (device,))
    own = _locked(_path(slot.device, slot.index), fcntl.LOCK_EX)
    if own is None:
        os.close(device)
        return None
    return Lease(slot, (device, own))


def take_any(slots: Iterable[Slot]) -> Lease | None:
    """Lease the first slot that is free."""
    return next((lease for slot in slots if (lease := take(slot)) is not None), None)


def holders(slots: Iterable[Slot]) -> str:
    """Return which devices are waited for and which processes hold them, for people."""
    held: dict[str, None] = {}
    for slot in slots:
        paths = (_path(slot.device, slot.index), _path(slot.device))
        pid = next((pid for path in paths if (pid := _last_holder(path)) is not None), None)
        held[slot.device.label + ("" if pid is None else f" (process {pid})")] = None
    return ", ".join(held)


class WaitLog:
    """Says in the log which slots are waited for, at once and then every `LOG_SECONDS`."""

    def __init__(self) -> None:
        self._logged_at: float | None = None

    def log(self, slots: Iterable[Slot]) -> None:
        """Log the holders of the slots, unless that was done a moment ago."""
        now = time.monotonic()
        if self._logged_at is None or now - self._logged_at > LOG_SECONDS:
            self._logged_at = now
            logger.warning("Waiting for a device slot: %s", holders(slots))


def lease_for_this_process() -> None:
    """Lease a device for this process until it ends; wait for a free slot, as the log says.

    Does nothing in a worker, which has its device, and where training is on the CPU. Call it
    before a framework uses a device: frameworks read the variables once.

    Raises:
        TrainingError: a setting is malformed.
    """
    slots = devices.slots()
    if not slots:
        os.environ.update(devices.environment_without_slots())
        return
    waiting = WaitLog()
    while (lease := take_any(slots)) is None:
        waiting.log(slots)
        time.sleep(_LOOK_SECONDS)
    lease.note(os.getpid())
    _kept.append(lease)
    os.environ.update(devices.environment(lease.slot))
    logger.info("This process trains on %s.", lease.device)


def _locked(path: Path, kind: int) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _path(device: Device, index: int | None = None) -> Path:
    name = re.sub(r"[^\w-]", "-", device.uuid or device.label)
    return _folder() / (f"{name}.lock" if index is None else f"{name}.{index}.lock")


def _folder() -> Path:
    """Return the folder of the locks, which belongs to this user alone."""
    folder = Path(tempfile.gettempdir()) / f"aiqc-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise TrainingError(
            f"{folder}: belongs to user {found.st_uid}, so it cannot hold the locks of device "
            "slots. Delete it, or set TMPDIR elsewhere."
        )
    return folder


def _last_holder(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
