"""Inference on registered data: a Splitset for a Predictor, and what it predicts of it."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import config, frames
from aiqc_core.errors import SelectionError, SplitError
from aiqc_core.orm.inference import batches as newdata
from aiqc_core.orm.inference import schema_match
from aiqc_core.orm.samples.split_inputs import sizes_of
from aiqc_core.orm.store import numbering
from aiqc_core.orm.store.fields import digest_of
from aiqc_core.stages.split.cut import Cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.train.scoring import SplitScores
    from aiqc_core.stages.train.trained_model import Judge

logger = logging.getLogger(__name__)
_said: set[tuple[str, int, str]] = set()

NO_LABEL = "no label was given, so nothing was scored"
DOUBTS = {"outputs", "predictions"}  # notes of a training that hold for each prediction
UNSEEN = "unseen"  # the note on values that training did not see
FUTURE = "what comes after the last window is not known, so nothing was scored"


def refuse_cut(asked: Mapping[str, Any]) -> None:
    """Refuse to cut samples that are only to be predicted.

    Raises:
        SplitError: naming the arguments.
    """
    given = sorted(name for name, value in asked.items() if value)
    if given:
        message = (
            f"predictor_id: with it all samples are predicted and none is cut; leave out {given}."
        )
        raise SplitError(message)


def refuse_training(splitset: Splitset) -> None:
    """Refuse to train on samples that are only to be predicted.

    Raises:
        SplitError: the Splitset was made for a Predictor.
    """
    if splitset.predictor_id is not None:
        message = (
            f"splitset_id: Splitset {splitset.id} holds new data for Predictor "
            f"{splitset.predictor_id} and is not cut. Make one without predictor_id to train."
        )
        raise SplitError(message)


def match(trained: Splitset, features: Sequence[Feature], label: Label | None) -> None:
    """Check that Features and a Label give what a Predictor was trained on.

    Raises:
        SelectionError: see `matching.match`.
    """
    _refuse_other_positive(trained, label)
    offers = [newdata.of_row(feature) for feature in features]
    schema_match.match(trained, offers, None if label is None else newdata.of_row(label))


def _refuse_other_positive(trained: Splitset, label: Label | None) -> None:
    own = trained.label
    chosen = None if label is None else label.positive
    if label is not None and own is not None and chosen not in {None, own.positive_class}:
        message = (
            f"label_id: the positive class of Label {label.id} is {chosen!r}, that of the "
            f"Predictor {own.positive_class!r}, which its metrics are of. Leave it out."
        )
        raise SelectionError(message)


def uncut(predictor: Predictor, samples: int) -> tuple[Cut, dict[str, Any]]:
    """Return the one split of samples to be predicted, and the columns of its Splitset."""
    trained = predictor.job.queue.splitset
    # Counted from 0, and never twice: predictions of deleted samples may lie elsewhere by name.
    names = [name for row in predictor.inference_splitsets for name in row.sizes]
    used = max((1 + int(name.rpartition("_")[2]) for name in names), default=0)
    number = numbering.next_number(f"infer of Predictor {predictor.id}", after=used) - 1
    made = Cut({f"infer_{number}": np.arange(samples)}, [], None)
    columns: dict[str, Any] = {
        "samples": type(trained).samples.store(made.splits),
        "sizes": sizes_of(made.splits, samples),
        "supervision": trained.supervision,
        "has_validation": False,
        "seed": trained.seed,
        "predictor": predictor,
        "fitted_preprocessing": digest_of(predictor, "fitted_preprocessing"),
    }
    return made, columns


def infer(splitset: Splitset, *, force: bool) -> Prediction:
    """Predict the samples of an inference Splitset; see `Splitset.infer`."""
    predictor: Predictor | None = splitset.predictor
    if predictor is None:
        message = (
            f"infer: Splitset {splitset.id} was cut to train. Make one of the new data with "
            "Splitset.make(feature_ids, predictor_id=…)."
        )
        raise SplitError(message)
    table = type(predictor).predictions.rel_model
    found = table.get_or_none(table.splitset == splitset)
    if found is not None and not force:
        logger.info("Splitset %d is predicted already: Prediction %d.", splitset.id, found.id)
        return found
    features = [newdata.of_row(feature) for feature in splitset.features]
    label = None if splitset.label is None else newdata.of_row(splitset.label)
    scores, notes = predicted(predictor, features, label)
    return table.record_inference(splitset, scores, notes, force=force)


def predicted(
    predictor: Predictor,
    features: Sequence[newdata.Offer],
    label: newdata.Offer | None,
    judge: Judge | None = None,
) -> tuple[SplitScores, dict[str, str]]:
    """Return what a Predictor says of matched data, and notes on what could not be scored.

    All of it is encoded before the model is loaded, so that what cannot be predicted is refused
    before anything is.
    """
    stored = predictor.stored()
    batches = newdata.batches(predictor, features)
    parts = batches.checked(stored.shapes)
    encoded = newdata.truth(predictor, batches, label)
    doubts = _doubts(predictor)
    with frames.noted():
        scores = stored.score(parts, encoded, judge)
    if batches.passed_over is not None:
        scores.notes[UNSEEN] = batches.passed_over
    notes = doubts | scores.notes
    if encoded is not None:
        return scores, notes
    supervised = predictor.job.queue.splitset.label is not None
    return scores, notes | {"label": NO_LABEL if supervised else FUTURE}


def _doubts(predictor: Predictor) -> dict[str, str]:
    """Return what training noted of all that the model says; a warning says it once a process."""
    found = {
        name: said
        for notes in getattr(predictor, "notes", {}).values()  # detached by an earlier version
        for name, said in notes.items()
        if name in DOUBTS
    }
    for said in found.values():
        key = config.shown_store(), predictor.id, said
        if key not in _said:
            _said.add(key)
            warnings.warn(f"Predictor {predictor.id}: {said}", stacklevel=6)
    return found
