"""Predict registered data: a Splitset that was made for a Predictor."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from aiqc_core import config, frames
from aiqc_core.errors import SplitError
from aiqc_core.orm.samples import new_data
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.tables.prediction import Prediction
from aiqc_core.stages.evaluate import metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.train.scoring import SplitScores
    from aiqc_core.stages.train.trained_model import Evaluator

logger = logging.getLogger(__name__)
_warned: set[tuple[str, int, str]] = set()

NO_LABEL = "no label was given, so nothing was scored"
DOUBTS = {"outputs", "predictions"}  # notes of a training that apply to each prediction
UNSEEN = "unseen"  # the note on values that training did not see
FUTURE = "what comes after the last window is not known, so nothing was scored"


def record_inference(
    splitset: Splitset, scores: SplitScores, notes: dict[str, str], *, force: bool
) -> Prediction:
    """Write the predictions of an inference Splitset once, or again with `force`."""
    (split,) = splitset.sizes
    measured, shares = {split: scores.values}, scores.probabilities
    pickled: dict[str, Any] = {
        "predictions": {split: scores.predictions},
        "probabilities": None if shares is None else {split: shares},
        "plot_data": {split: d} if (d := scores.plot_data) else {},
    }
    columns: dict[str, Any] = {
        "permute_count": 0,
        "metrics": measured,
        "metric_notes": {split: notes} if notes else {},
        "metrics_aggregate": metrics.aggregate(measured),
    }
    fields = Prediction._meta.fields
    for name, value in pickled.items():
        fields[name].send_ahead(value)
    with metastore.atomic():
        found = Prediction.get_or_none(Prediction.splitset == splitset)
        if found is not None and not force:
            return found
        columns |= {name: fields[name].store(value) for name, value in pickled.items()}
        if found is None:
            return Prediction.create(predictor=splitset.predictor, splitset=splitset, **columns)
        for name, value in columns.items():
            setattr(found, name, value)
        found.save()
        return found


def infer(splitset: Splitset, force: bool = False) -> Any:
    """Predict the samples with the Predictor that they were matched to, and store the result.

    New rows are filled among themselves, those of the very Dataset that trained as then.

    Args:
        force: predict again, and replace the existing Prediction.

    Returns:
        The Prediction: of the split `infer_<i>`, with metrics where a label is known.

    Raises:
        SplitError: this Splitset was made without `predictor_id`.
        PreprocessError: a category or class that training did not see, or blanks.
    """
    predictor: Predictor | None = splitset.predictor
    if predictor is None:
        raise SplitError(
            f"infer: Splitset {splitset.id} was cut to train. Make one of the new data with "
            "Splitset.make(feature_ids, predictor_id=…)."
        )
    found = Prediction.get_or_none(Prediction.splitset == splitset)
    if found is not None and not force:
        logger.info("Splitset %d is predicted already: Prediction %d.", splitset.id, found.id)
        return found
    features = [new_data.of_row(feature) for feature in splitset.features]
    label = None if splitset.label is None else new_data.of_row(splitset.label)
    scores, notes = predicted(predictor, features, label)
    return record_inference(splitset, scores, notes, force=force)


def predicted(
    predictor: Predictor,
    features: Sequence[new_data.Offer],
    label: new_data.Offer | None,
    evaluator: Evaluator | None = None,
) -> tuple[SplitScores, dict[str, str]]:
    """Return the scores of matched data, and notes on what could not be scored.

    All data is encoded before the model is loaded, so that errors come before any prediction.
    """
    stored = predictor.stored()
    batches = new_data.batches(predictor, features)
    parts = batches.checked(stored.shapes)
    encoded = new_data.truth(predictor, batches, label)
    doubts = _doubts(predictor)
    with frames.notes_on_errors():
        scores = stored.score(parts, encoded, evaluator)
    if batches.passed_over is not None:
        scores.notes[UNSEEN] = batches.passed_over
    notes = doubts | scores.notes
    if encoded is not None:
        return scores, notes
    supervised = predictor.job.queue.splitset.label is not None
    return scores, notes | {"label": NO_LABEL if supervised else FUTURE}


def _doubts(predictor: Predictor) -> dict[str, str]:
    """Return the notes of training that apply to each prediction; warn of them once a process."""
    of_splits = getattr(predictor, "notes", {}).values()  # an earlier version detached none
    found = {n: note for notes in of_splits for n, note in notes.items() if n in DOUBTS}
    for note in found.values():
        key = config.shown_store(), predictor.id, note
        if key not in _warned:
            _warned.add(key)
            warnings.warn(f"Predictor {predictor.id}: {note}", stacklevel=6)
    return found
