"""The arguments of `Queue.run_jobs`, checked before anything is written."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core import config, counts
from aiqc_core.devices import devices
from aiqc_core.stages.train.search import pruning

if TYPE_CHECKING:
    from aiqc_core.stages.train.search.pruning import Pruner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How a Queue is run; see `Queue.run_jobs`.

    Attributes:
        on_devices: whether workers lease device slots, which limit their number.
        retries_memory: whether to retry what ran out of a device's memory on a whole device.
    """

    workers: int = 1
    on_devices: bool = False
    retries_memory: bool = False
    raise_on_error: bool = True
    progress: bool = True
    time_limit: float | None = None
    checkpoint_seconds: float | None = None
    stack: bool = False
    pruner: Pruner | None = None
    captured_pruner: bytes | None = None

    @classmethod
    def checked(cls, *, workers: Any = None, pruner: Any = None, **given: Any) -> Options:
        """Return the options, before anything is written.

        Raises:
            TrainingError: one is out of range; the message says what is allowed.
        """
        if workers is not None:
            workers = counts.whole("workers", workers, least=1)
        _refuse_seconds("time_limit", given.get("time_limit"), zero=False)
        _refuse_seconds("checkpoint_seconds", given.get("checkpoint_seconds"), zero=True)
        for name in ("stack", "progress", "raise_on_error"):
            counts.flag(name, given.get(name, True))
        slots = len(devices.slots())
        if slots and workers and workers > slots:
            logger.info("workers: %d are wanted, and there are %d device slots.", workers, slots)
        return cls(
            workers=min(workers or slots, slots) if slots else workers or 1,
            on_devices=slots > 0,
            retries_memory=config.settings.oom_retry,
            pruner=pruner,
            captured_pruner=None if pruner is None else pruning.capture(pruner),
            **given,
        )

    @property
    def pooled(self) -> bool:
        """Whether to train in other processes: a time limit and a leased device need one."""
        return self.workers > 1 or self.time_limit is not None or self.on_devices


def _refuse_seconds(name: str, given: Any, *, zero: bool) -> None:
    if given is not None:
        least = "of at least 0" if zero else "above 0"
        wanted = f"a number of seconds {least}, or None"
        counts.real(name, given, lambda s: 0 < s < math.inf or (zero and s == 0), wanted)
