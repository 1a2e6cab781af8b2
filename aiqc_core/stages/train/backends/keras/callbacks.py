"""Callbacks for Keras: stop at thresholds, report to the Job, resume after a kill."""
# pyright: reportAttributeAccessIssue=false, reportUntypedBaseClass=false
# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# (Keras sets `model` before it calls)

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

from aiqc_core.stages.train.backends.keras import state as tensorflow_state
from aiqc_core.stages.train.backends.keras.backend import (
    keras,  # imported there, with its settings
)
from aiqc_core.stages.train.hooks import checkpoint, cutoff, observer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

logger = logging.getLogger(__name__)


class MetricCutoff(keras.callbacks.Callback):
    """Stop a training when all thresholds hold at the end of an epoch.

    Args:
        thresholds: dicts `{metric, cutoff, above_or_below}`: `above` holds from the cutoff up,
            `below` from it down; `metric` is a name in the history, such as `val_accuracy`.

    Raises:
        ValueError: impossible thresholds; after the first epoch, an unknown metric.
    """

    def __init__(self, thresholds: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self.thresholds = cutoff.thresholds(thresholds)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Stop where all thresholds hold."""
        del epoch
        if cutoff.all_hold(self.thresholds, logs or {}):
            self.model.stop_training = True


class Progress(keras.callbacks.Callback):
    """Report every epoch to the log and to the pruner of the Job; outside of a Job, do nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._history: dict[str, list[float]] = {}

    def on_train_begin(self, logs: Any = None) -> None:
        """Begin without a history, whatever was trained before."""
        del logs
        self._history = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Stop where the pruner says so."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        watching = observer.active()
        is_last = epoch + 1 >= (self.params or {}).get("epochs", math.inf)
        if watching is not None and watching.epoch(self._history, is_last=is_last):
            self.model.stop_training = True


class Resume(keras.callbacks.Callback):
    """Write the checkpoint of a Job, and go on from it after a kill; outside of a Job, do nothing.

    Put it first in `callbacks`. After a kill, the epochs that were done are replayed: the data is
    shuffled as before, but nothing is computed, and the other callbacks get the recorded scores.
    Then the weights, the optimizer and the generators are restored, so that the result is that of
    an uninterrupted run. Replaying needs `shuffle=True` or `False`, not steps of a generator that
    cannot be read twice; `EarlyStopping(restore_best_weights=True)` may find its best weights
    only among the epochs after the kill.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: checkpoint.Checkpoint | None = None
        self._history: list[dict[str, float]] = []
        self._state: tensorflow_state.State | None = None
        self._train_function: Callable[..., Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Read the state that was kept, and let the model compute nothing until it is reached."""
        del logs
        self._kept, self._history, self._state = checkpoint.active(), [], None
        data = None if self._kept is None else self._kept.read()
        if data is None:
            return
        state = tensorflow_state.unpack(self.model, data)
        if state is None:
            logger.warning("The checkpoint is of another training: this one starts over.")
            return
        self._state, self._train_function = state, self.model.train_function
        self.model.train_function = tensorflow_state.skipping(self.model)
        self.model.evaluate = lambda **_: {}
        self.model.get_metrics_result = dict

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Replay the scores of an epoch that was done, or keep the state of one that is new."""
        del epoch
        scores = {} if logs is None else logs
        if self._state is not None:
            scores.clear()  # the very dict that the callbacks after this one get
            scores.update(self._state.history[len(self._history)])
        self._history.append(dict(scores))
        if self._state is not None:
            if len(self._history) == len(self._state.history):
                self.model.train_function = self._train_function
                del self.model.evaluate, self.model.get_metrics_result  # the class's own again
                tensorflow_state.restore(self.model, self._state)
                self._state = None
        elif self._kept is not None and self._kept.due():
            self._kept.write(tensorflow_state.pack(self.model, self._history))


class TrainingCallback:
    """The callbacks of `aiqc_core.utils.tensorflow`."""

    MetricCutoff = MetricCutoff
    Progress = Progress
    Resume = Resume
