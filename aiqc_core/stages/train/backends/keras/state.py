"""Pack an unfinished Keras training as bytes, which load without running code."""
# pyright: reportAttributeAccessIssue=false
# (pyright takes `import keras` for the file keras.py beside this one)

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.train.backends import process_state
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.keras.backend import (
    keras,  # imported there, with its settings
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class State:
    """An unfinished training.

    Attributes:
        history: the scores of each epoch that was done.
        arrays: the values of the model's and the optimizer's variables, in their order.
        generators: the states of the generators of Python and numpy.
    """

    history: list[dict[str, float]]
    arrays: list[NDArray[Any]]
    generators: dict[str, Any]


def pack(model: keras.Model, history: Sequence[dict[str, float]]) -> bytes:
    """Return the variables of a model and its optimizer, the generators and the history."""
    floats = [{name: float(value) for name, value in epoch.items()} for epoch in history]
    state = json.dumps({"history": floats, **process_state.generators()}).encode()
    arrays: dict[str, Any] = {
        f"variable_{i}": as_array(v) for i, v in enumerate(_variables(model))
    }
    buffer = io.BytesIO()
    np.savez(buffer, said=np.frombuffer(state, dtype=np.uint8), **arrays)
    return buffer.getvalue()


def unpack(model: keras.Model, data: bytes) -> State | None:
    """Read what `pack` wrote; None where it is of a model with other variables."""
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        state = json.loads(stored["said"].tobytes())
        arrays = [stored[f"variable_{i}"] for i in range(len(stored.files) - 1)]
    if [v.shape for v in arrays] != [tuple(v.shape) for v in _variables(model)]:
        return None
    return State(state.pop("history"), arrays, state)


def restore(model: keras.Model, state: State) -> None:
    """Set the variables and the generators to what they were."""
    for variable, value in zip(_variables(model), state.arrays, strict=True):
        variable.assign(value)
    process_state.restore_generators(state.generators)


def skipping(model: keras.Model) -> Callable[[Iterator[Any]], dict[str, float]]:
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
