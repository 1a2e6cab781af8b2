"""Pack an unfinished training as bytes, which load without running code."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch

from aiqc_core.stages.train.backends.torch import saving
from aiqc_core.stages.train.backends.torch.process import generators, restore

if TYPE_CHECKING:
    from aiqc_core.stages.train.backends.torch.loop import Training


def pack(training: Training) -> bytes:
    """Return model, optimizer, history and the states of all generators."""
    buffer = io.BytesIO()
    state = {
        "of": _signature(training),
        "model": training.model.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "history": training.history,
        "generators": generators(),
    }
    torch.save(saving.plain(state, "the training's state", arrays=True), buffer)
    return buffer.getvalue()


def unpack(training: Training, data: bytes) -> bool:
    """Restore a training to where `pack` was called; False where the bytes are of another one.

    What a model or an optimizer keeps outside of its state dict is not restored.
    """
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if state["of"] != _signature(training):
        return False
    training.model.load_state_dict(state["model"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.history.update(state["history"])
    restore(state["generators"])
    return True


def _signature(training: Training) -> dict[str, Any]:
    """Return what distinguishes trainings that must not go on from each other's state."""
    return {
        "model": {n: list(value.shape) for n, value in training.model.state_dict().items()},
        "optimizer": type(training.optimizer).__name__,
        "samples": {
            prefix: [list(part.shape) for part in (*samples.features, samples.label)]
            for prefix, samples in training.splits.items()
        },
        "bounds": [list(bound) for bound in training.bounds],
    }
