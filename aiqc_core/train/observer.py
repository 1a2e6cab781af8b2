"""Who looks on while a model trains: the log, and the pruner that may stop it early."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    History = Mapping[str, list[float]]
    Pruner = Callable[[dict[str, list[float]], list[dict[str, list[float]]]], Any]

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 1.0


class Observer:
    """Hears of every epoch of one training.

    Args:
        name: of the training, for the log.
        pruner: `pruner(history, rivals)` returns True to stop the training here.
        rivals: the histories of the trainings that are recorded already.
    """

    def __init__(
        self, name: str, pruner: Pruner | None = None, rivals: Sequence[History] = ()
    ) -> None:
        """Prepare; the first line is logged when a second has passed."""
        self.name = name
        self.pruned = False
        self._pruner = pruner
        self._rivals = rivals
        self._logged = time.monotonic()

    def epoch(self, history: History) -> bool:
        """Log a finished epoch, at most once a second, and ask the pruner.

        Args:
            history: `{name: one value an epoch}` up to now.

        Returns:
            Whether the training is to stop now.

        Raises:
            TrainingError: the pruner returned something else than True or False.
        """
        now = time.monotonic()
        if now - self._logged >= SECONDS_BETWEEN_LINES:
            self._logged = now
            logger.info("%s: %s", self.name, _line(history))
        if self._pruner is not None and not self.pruned:
            # Copies: what the pruner does to them must not change what is recorded.
            rivals = [_copied(rival) for rival in self._rivals]
            self.pruned = _verdict(self._pruner(_copied(history), rivals))
            if self.pruned:
                logger.info("%s: stopped by the pruner after %s", self.name, _line(history))
        return self.pruned


def _copied(history: History) -> dict[str, list[float]]:
    return {name: list(values) for name, values in history.items()}


def _verdict(given: Any) -> bool:
    if not isinstance(given, bool | np.bool_):
        message = f"pruner: returned {given!r}; return True to stop the training, else False."
        raise TrainingError(message)
    return bool(given)


def _line(history: History) -> str:
    epochs = max((len(values) for values in history.values()), default=0)
    latest = (f"{name} {values[-1]:.6g}" for name, values in history.items() if values)
    return f"epoch {epochs}: {', '.join(latest)}"


_active: ContextVar[Observer | None] = ContextVar("observer", default=None)


def active() -> Observer | None:
    """Return the observer of the training that runs here; None outside of a Job."""
    return _active.get()


@contextmanager
def opened(observer: Observer) -> Generator[None]:
    """Make an observer the active one inside a `with` block."""
    token = _active.set(observer)
    try:
        yield
    finally:
        _active.reset(token)
