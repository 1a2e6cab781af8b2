"""Observe a training: log its epochs, and ask the pruner that may stop it early."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.hooks.active import Active

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    History = Mapping[str, list[float]]
    Pruner = Callable[[dict[str, list[float]], list[dict[str, list[float]]]], Any]

logger = logging.getLogger(__name__)

PRUNER, CALLBACK = "pruner", "callback"  # what may end a training before its last epoch
SECONDS_BETWEEN_LINES = 1.0


class Observer:
    """Gets every epoch of one training.

    Args:
        name: of the training, for the log.
        pruner: `pruner(history, rivals)` returns True to stop the training here.
        rivals: the histories of the trainings that are recorded already.

    Attributes:
        pruned: whether the pruner stops it.
        stopped: what ended it with epochs to go: `'pruner'`, `'callback'` of the user's, or None.
    """

    def __init__(
        self, name: str, pruner: Pruner | None = None, rivals: Sequence[History] = ()
    ) -> None:
        self.name = name
        self.pruned = False
        self.stopped: str | None = None
        self._pruner = pruner
        self._rivals = rivals
        self._logged = time.monotonic()

    def epoch(self, history: History, *, is_last: bool = False, by_callback: bool = False) -> bool:
        """Log a finished epoch, at most once a second, and ask the pruner.

        Args:
            history: `{name: one value an epoch}` up to now.
            is_last: whether the training ends with this epoch anyhow, so that nothing is cut off.
            by_callback: whether a callback of the user's ends it here.

        Returns:
            Whether the training is to stop now.
        """
        now = time.monotonic()
        if now - self._logged >= SECONDS_BETWEEN_LINES:
            self._logged = now
            logger.info("%s: %s", self.name, _line(history))
        if self._pruner is not None and not self.pruned:
            # Copies: what the pruner does to them must not change what is recorded.
            copies = [{n: [*v] for n, v in h.items()} for h in (history, *self._rivals)]
            answer = self._pruner(copies[0], copies[1:])
            self.pruned = verdict("returned", answer, "True to stop the training, else False")
            if self.pruned:
                logger.info("%s: stopped by the pruner after %s", self.name, _line(history))
        if not self.pruned:
            self.stopped = CALLBACK if by_callback and not is_last else None
        elif not is_last:
            self.stopped = PRUNER
        return self.pruned

    def forget(self) -> None:
        """Take back every verdict, so that the training can begin again."""
        self.pruned, self.stopped = False, None


def verdict(words: str, answer: Any, wanted: str) -> bool:
    """Return what a pruner answers, which has to be True or False."""
    if not isinstance(answer, bool | np.bool_):
        raise TrainingError(f"pruner: {words} {answer!r}; return {wanted}.")
    return bool(answer)


def _line(history: History) -> str:
    epochs = max((len(values) for values in history.values()), default=0)
    latest = (f"{name} {values[-1]:.6g}" for name, values in history.items() if values)
    return f"epoch {epochs}: {', '.join(latest)}"


_current: Active[Observer] = Active("observer")
active, opened = _current.get, _current.opened


@contextmanager
def interrupts_raised() -> Generator[None]:
    """Raise a `KeyboardInterrupt` after a block in which user code caught one.

    Such a training stopped early, or goes on although a person stops the run: it is incomplete.
    """
    before, seen = signal.getsignal(signal.SIGINT), []
    is_main = threading.current_thread() is threading.main_thread() and callable(before)

    def note(number: int, frame: Any) -> Any:
        seen.append(number)
        return before(number, frame)  # type: ignore[operator] # it is called only where it can be

    if is_main:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)
        if seen and not isinstance(sys.exception(), KeyboardInterrupt):
            message = "The code of a training caught Ctrl-C; what it gave is not recorded."
            raise KeyboardInterrupt(message)
