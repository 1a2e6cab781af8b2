"""Train once more, and compare the model with the stored one; in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core.stages.train import compare, run
from aiqc_core.stages.train.backends.weights import weights_of

if TYPE_CHECKING:
    from aiqc_core.stages.train.compare import Comparison
    from aiqc_core.stages.train.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Stored:
    """The results of the first training.

    Attributes:
        model: its model as `Backend.save` gave it.
        history: `{metric: [value an epoch]}`.
        predictions: `{"predictions": {split: array}, "probabilities": {split: array} or None}`.
    """

    model: bytes
    history: dict[str, list[float]]
    predictions: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Retrained:
    """The second training compared with the first; None of all but `failure` where it failed.

    Attributes:
        failure: why it could not be trained; None where it was.
        versions: of the libraries that trained now.
        seconds: by phase.
        epochs: then and now, of the longest metric.
        device: see `JobOutcome`.
    """

    failure: str | None
    weights: Comparison | None = None
    history: Comparison | None = None
    predictions: Comparison | None = None
    versions: dict[str, str] | None = None
    seconds: dict[str, float] | None = None
    epochs: tuple[int, int] = (0, 0)
    device: dict[str, Any] | None = None


def train_again(spec: JobSpec, stored: Stored, tolerance: float) -> Retrained:
    """Train by `spec`, whose checkpoint is None, and compare; `tolerance` as in `compare`."""
    outcome = run.run(spec)
    if outcome.failure is not None or outcome.model is None:
        return Retrained(outcome.failure.message if outcome.failure else "it gave no model")
    predictions = {"predictions": outcome.predictions, "probabilities": outcome.probabilities}
    then, now = (weights_of(spec.library, data) for data in (stored.model, outcome.model))
    histories = stored.history, outcome.history
    before, after = (max(map(len, each.values()), default=0) for each in histories)
    return Retrained(
        failure=None,
        weights=compare.compare(then, now, tolerance=tolerance),
        history=compare.compare(*histories, tolerance=tolerance),
        predictions=compare.compare(stored.predictions, predictions, tolerance=tolerance),
        versions=outcome.versions,
        seconds=outcome.seconds,
        epochs=(before, after),
        device=outcome.device,
    )
