"""Which device slots the workers of one pool may have."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from aiqc_core.devices import devices, leases, nvml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.devices.devices import Device, Slot
    from aiqc_core.devices.leases import Lease
    from aiqc_core.workers.handle import On

logger = logging.getLogger(__name__)


class Places:
    """The slots of a pool, without those whose device was lost.

    The supervisor's thread alone changes it.

    Args:
        slots: that there are at the start; none where training is on the CPU.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        self._lost: dict[Device, str] = {}
        self._drained: Device | None = None  # kept free of others, for a task that needs it whole
        self._told_at: float | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables of workers that have no device."""
        return devices.environment(None) if self.slots else devices.environment_without_slots()

    @property
    def left(self) -> list[Slot]:
        """The slots whose devices are well."""
        return [slot for slot in self.slots if slot.device not in self._lost]

    def lease(self, on: On) -> Lease | None:
        """Lease a slot, or with `on="device"` a whole device; None while others hold them."""
        if on == "device":
            whole = next((slot for slot in self.left if slot.device == self._drained), None)
            lease = None if whole is None else leases.take(whole, whole=True)
        else:
            lease = leases.take_any(s for s in self.left if s.device != self._drained)
        if lease is None:
            self._tell()
        else:
            self._told_at = None
            logger.info("A worker has leased %s, slot %d.", lease.device, lease.slot.index)
        return lease

    def drain(self, *, on: bool) -> None:
        """Keep one device free of tasks that share, while one waits that needs it whole."""
        if not on:
            self._drained = None
        elif self._drained is None or self._drained in self._lost:
            self._drained = next((slot.device for slot in reversed(self.left)), None)

    def may_go_on(self, lease: Lease | None, on: On) -> bool:
        """Say whether the worker with this lease may take another task."""
        if lease is None:
            return True
        is_free = on == "device" or lease.device != self._drained
        return is_free and lease.device not in self._lost

    def give_up(self, device: Device, reason: str) -> None:
        """Set a device's slots aside for as long as the pool lives."""
        if device not in self._lost:
            self._lost[device] = reason
            logger.error(
                "%s is set aside for the rest of this run; %d device slots are left. %s",
                device.label, len(self.left), reason,
            )  # fmt: skip

    def look_at(self, device: Device) -> str:
        """After a worker's death, set its device aside where the driver says that it is gone.

        Returns:
            What to add to the reason of the death; empty where the device is well.
        """
        fault = nvml.fault(device.uuid)
        if fault is None:
            return ""
        self.give_up(device, fault)
        return f" Its device {device} is lost: {fault}."

    def none_left(self) -> str:
        """Return the error of a task that no device is left for."""
        lost = " ".join(f"{device.label}: {reason}" for device, reason in self._lost.items())
        return (
            f"No device is left to train on. {lost} Run again when one is back, or with "
            f"{devices.DEVICES_VARIABLE}=cpu."
        )

    def _tell(self) -> None:
        now = time.monotonic()
        if self._told_at is None or now - self._told_at > leases.TELL_SECONDS:
            self._told_at = now
            logger.warning("Waiting for a device slot: %s", leases.holders(self.left))
