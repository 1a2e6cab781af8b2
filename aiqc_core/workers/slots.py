"""Which device slots the workers of one pool may have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiqc_core.devices import devices, leases, nvml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.devices.devices import Device, Slot
    from aiqc_core.devices.leases import Lease
    from aiqc_core.workers.handle import On

logger = logging.getLogger(__name__)


class PoolSlots:
    """The slots of a pool, none where training is on the CPU, without those of lost devices.

    The supervisor's thread alone changes it.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.all = tuple(slots)
        self._lost: dict[Device, str] = {}
        self._drained: Device | None = None  # kept free of others, for a task that needs it whole
        self._waiting = leases.WaitLog()

    @property
    def environment(self) -> dict[str, str]:
        """The variables of workers that have no device."""
        return devices.environment(None) if self.all else devices.environment_without_slots()

    @property
    def left(self) -> list[Slot]:
        """The slots of devices that are not lost."""
        return [slot for slot in self.all if slot.device not in self._lost]

    def lease(self, on: On) -> Lease | None:
        """Lease a slot, or with `on="device"` a whole device; None while others hold them."""
        if on == "device":
            whole = next((slot for slot in self.left if slot.device == self._drained), None)
            lease = None if whole is None else leases.take(whole, whole=True)
        else:
            lease = leases.take_any(s for s in self.left if s.device != self._drained)
        if lease is None:
            self._waiting.log(self.left)
        else:
            self._waiting = leases.WaitLog()
            logger.info("A worker has leased %s, slot %d.", lease.device, lease.slot.index)
        return lease

    def drain(self, *, on: bool) -> None:
        """Keep one device free of tasks that share, while one waits that needs it whole."""
        if not on:
            self._drained = None
        elif self._drained is None or self._drained in self._lost:
            self._drained = next((slot.device for slot in reversed(self.left)), None)

    def may_continue(self, lease: Lease | None, on: On) -> bool:
        """Say whether the worker with this lease may take another task."""
        if lease is None:
            return True
        is_free = on == "device" or lease.device != self._drained
        return is_free and lease.device not in self._lost

    def set_aside(self, device: Device, reason: str) -> None:
        """Use a device's slots no more for as long as the pool lives."""
        if device not in self._lost:
            self._lost[device] = reason
            logger.error(
                "%s is set aside for the rest of this run; %d device slots are left. %s",
                device.label, len(self.left), reason,
            )  # fmt: skip

    def check(self, device: Device) -> str:
        """Set a device aside if the driver says that it is gone; return a sentence on it."""
        fault = nvml.fault(device.uuid)
        if fault is None:
            return ""
        self.set_aside(device, fault)
        return f" Its device {device} is lost: {fault}."

    def none_left(self) -> str:
        """Return the error of a task that no device is left for."""
        lost = " ".join(f"{device.label}: {reason}" for device, reason in self._lost.items())
        return (
            f"No device is left to train on. {lost} Run again when one is back, or with "
            f"{devices.DEVICES_VARIABLE}=cpu."
        )
