"""Callbacks for Keras: stop at thresholds, report to the Job, resume after a kill."""
# pyright: reportAttributeAccessIssue=false, reportUntypedBaseClass=false
# pyright: reportOptionalMemberAccess=false, reportArgumentType=false
# (Keras sets `model` before it calls)

from __future__ import annotations

import io
import json
import logging
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from aiqc_core.stages.train.backends import process_state
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.keras.backend import (
    keras,  # imported there, with its settings
)
from aiqc_core.stages.train.hooks import checkpoint, cutoff, observer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

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
        current = observer.active()
        is_last = epoch + 1 >= (self.params or {}).get("epochs", math.inf)
        if current is not None and current.epoch(self._history, is_last=is_last):
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
        self._state: _State | None = None
        self._train_function: Callable[..., Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Read the state that was kept, and let the model compute nothing until it is reached."""
        del logs
        self._kept, self._history, self._state = checkpoint.active(), [], None
        data = None if self._kept is None else self._kept.read()
        if data is None:
            return
        state = _unpack(self.model, data)
        if state is None:
            logger.warning("The checkpoint is of another training: this one starts over.")
            return
        self._state, self._train_function = state, self.model.train_function
        self.model.train_function = _skipping(self.model)
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
                pairs = zip(_variables(self.model), self._state.arrays, strict=True)
                for variable, value in pairs:
                    variable.assign(value)
                process_state.restore_generators(self._state.generators)
                self._state = None
        elif self._kept is not None and self._kept.due():
            self._kept.write(_pack(self.model, self._history))


class TrainingCallback:
    """The callbacks of `aiqc_core.utils.tensorflow`."""

    MetricCutoff = MetricCutoff
    Progress = Progress
    Resume = Resume


class _State(NamedTuple):
    """An unfinished training: the scores of its epochs, its variables in order, its generators."""

    history: list[dict[str, float]]
    arrays: list[NDArray[Any]]
    generators: dict[str, Any]


def _pack(model: keras.Model, history: Sequence[dict[str, float]]) -> bytes:
    """Return the variables of a model and its optimizer, the generators and the history."""
    floats = [{name: float(value) for name, value in epoch.items()} for epoch in history]
    state = json.dumps({"history": floats, **process_state.generators()}).encode()
    named = enumerate(map(as_array, _variables(model)))
    arrays: dict[str, Any] = {f"variable_{i}": array for i, array in named}
    buffer = io.BytesIO()
    np.savez(buffer, said=np.frombuffer(state, dtype=np.uint8), **arrays)
    return buffer.getvalue()


def _unpack(model: keras.Model, data: bytes) -> _State | None:
    """Read what `_pack` wrote; None where it is of a model with other variables."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        state = json.loads(stored["said"].tobytes())
        arrays = [stored[f"variable_{i}"] for i in range(len(stored.files) - 1)]
    if [v.shape for v in arrays] != [tuple(v.shape) for v in _variables(model)]:
        return None
    return _State(state.pop("history"), arrays, state)


def _skipping(model: keras.Model) -> Callable[[Iterator[Any]], dict[str, float]]:
    """Return a train function that takes its batches and learns nothing from them.

    The first is scored, as callbacks ask the model for metrics that it makes when it is first
    called; the scores themselves are dropped.
    """
    pending = type(model).train_step is keras.Model.train_step

    def skip(iterator: Iterator[Any]) -> dict[str, float]:
        nonlocal pending
        for _ in range(model.steps_per_execution):
            batch = next(iterator)
            if pending:
                model.test_on_batch(*keras.utils.unpack_x_y_sample_weight(batch))
                pending = False
        return {}

    return skip


def _variables(model: keras.Model) -> list[Any]:
    """Return all variables that training changes, those of generators (dropout) included."""
    optimizer = model.optimizer
    if not optimizer.built:
        optimizer.build(model.trainable_variables)
    return [*model.variables, *optimizer.variables]
