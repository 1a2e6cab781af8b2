"""One training done again, its model held against the stored one; in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core.stages.train import compare, run
from aiqc_core.stages.train.backends.weights import weights_of

if TYPE_CHECKING:
    from aiqc_core.stages.train.compare import Likeness
    from aiqc_core.stages.train.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Stored:
    """What the first training left.

    Attributes:
        model: its model as `Backend.save` gave it.
        history: `{metric: [value an epoch]}`.
        predictions: `{"predictions": {split: array}, "probabilities": {split: array} or None}`.
    """

    model: bytes
    history: dict[str, list[float]]
    predictions: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Again:
    """What the second training gave, against the first.

    Attributes:
        failure: why it could not be trained; None where it was.
        weights: of the model, None where it failed, as what follows.
        history: of the epochs.
        predictions: of every split.
        versions: of the libraries that trained now.
        seconds: by phase.
        epochs: then and now, of the longest metric.
        device: see `JobOutcome`.
    """

    failure: str | None
    weights: Likeness | None = None
    history: Likeness | None = None
    predictions: Likeness | None = None
    versions: dict[str, str] | None = None
    seconds: dict[str, float] | None = None
    epochs: tuple[int, int] = (0, 0)
    device: dict[str, Any] | None = None


def train_again(spec: JobSpec, stored: Stored, tolerance: float) -> Again:
    """Train and compare.

    Args:
        spec: of the training, its checkpoint None.
        stored: what the first training left.
        tolerance: see `likeness.compare`.
    """
    outcome = run.run(spec)
    if outcome.failure is not None or outcome.model is None:
        return Again(outcome.failure.message if outcome.failure else "it gave no model")
    said = {"predictions": outcome.predictions, "probabilities": outcome.probabilities}
    then, now = (weights_of(spec.library, data) for data in (stored.model, outcome.model))
    return Again(
        failure=None,
        weights=compare.compare(then, now, tolerance=tolerance),
        history=compare.compare(stored.history, outcome.history, tolerance=tolerance),
        predictions=compare.compare(stored.predictions, said, tolerance=tolerance),
        versions=outcome.versions,
        seconds=outcome.seconds,
        epochs=(_epochs(stored.history), _epochs(outcome.history)),
        device=outcome.device,
    )


def _epochs(history: dict[str, list[float]]) -> int:
    return max(map(len, history.values()), default=0)
