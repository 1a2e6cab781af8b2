"""Leases of device slots, held by locks of the kernel across all processes of a user on a host.

A lease is a lock (flock) on a file in the folder for temporary files. The worker inherits it, and
the kernel frees it when the worker is gone in any way, SIGKILL included: nothing has to be tidied
up, and no slot is ever lost. The files stay; what they hold is the process id of the last holder.

A slot of a device that several share locks the device's file with others and its own file alone;
a whole device is its file locked alone, so that both kinds exclude each other between runs whose
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

from aiqc_core.config import SLOT_VARIABLE
from aiqc_core.devices import devices
from aiqc_core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiqc_core.devices.devices import Device, Slot

logger = logging.getLogger(__name__)

TELL_SECONDS = 60.0  # between two lines that say what is waited for
_LOOK_SECONDS = 0.2
_kept: list[Lease] = []  # of this process itself, until it ends


class Lease:
    """A device slot that nobody else has as long as the files are open, here or in a child."""

    def __init__(self, slot: Slot, descriptors: tuple[int, ...]) -> None:
        self.slot = slot
        self.descriptors: tuple[int, ...] = descriptors

    @property
    def device(self) -> Device:
        """Of which device the slot is."""
        return self.slot.device

    def environment(self) -> dict[str, str]:
        """Return the variables of the worker that inherits the lease."""
        files = ",".join(map(str, self.descriptors))
        return devices.environment(self.slot) | {SLOT_VARIABLE: files}

    def hand_to(self, pid: int) -> None:
        """Leave the lease to a child that has inherited it, and note who that is."""
        self.note(pid)
        self.close()

    def note(self, pid: int) -> None:
        """Note who holds it, for those who wait."""
        for descriptor in self.descriptors[-1:]:
            with suppress(OSError):
                os.pwrite(descriptor, f"{pid:<12}".encode(), 0)

    def close(self) -> None:
        """Let go of it here."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()


def take(slot: Slot, *, whole: bool = False) -> Lease | None:
    """Lease a slot, or return None when another process has it.

    Args:
        slot: which one.
        whole: lease its whole device, which nobody may have a slot of.

    Raises:
        TrainingError: the folder of the locks is another user's.
    """
    shared = devices.per_device() > 1 and not whole
    device = _locked(_path(slot.device), fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    if device is None or not shared:
        return None if device is None else Lease(slot, (device,))
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
    told: list[str] = []
    for slot in slots:
        paths = (_path(slot.device, slot.index), _path(slot.device))
        pids = [pid for path in paths if (pid := _last_holder(path)) is not None]
        told.append(f"{slot.device.label} (process {pids[0]})" if pids else slot.device.label)
    return ", ".join(dict.fromkeys(told))


def lease_for_this_process() -> None:
    """See to it that this process has a device of its own before it trains, for all its life.

    Nothing is done in a worker, which was given its device, and where training is on the CPU.
    Else it waits for a free slot, saying so in the log. Frameworks must not have used a device
    yet: they look at the variables once.

    Raises:
        TrainingError: a setting is malformed.
    """
    slots = devices.slots()
    if not slots:
        os.environ.update(devices.environment_without_slots())
        return
    told_at = 0.0
    while (lease := take_any(slots)) is None:
        if not told_at or time.monotonic() - told_at > TELL_SECONDS:
            logger.warning("Waiting for a device slot: %s", holders(slots))
            told_at = time.monotonic()
        time.sleep(_LOOK_SECONDS)
    lease.note(os.getpid())
    _kept.append(lease)
    os.environ.update(devices.environment(lease.slot))
    logger.info("This process trains on %s.", lease.device)


def _locked(path: Path, kind: int) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
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
