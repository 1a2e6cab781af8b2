"""Prediction in one call: from values of any form to a table of what the Predictor says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import SelectionError
from aiqc_core.orm import forms, inference, matching
from aiqc_core.orm.database import metastore
from aiqc_core.orm.feature import Feature
from aiqc_core.orm.given import Given, as_label, take_as
from aiqc_core.orm.label import Label
from aiqc_core.orm.splitset import Splitset
from aiqc_core.orm.window import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.prediction import Prediction
    from aiqc_core.orm.predictor import Predictor
    from aiqc_core.train.judging import Judge
    from aiqc_core.train.scoring import SplitScores

TABLE_AXES = 2


def predict(predictor: Predictor, features: Any, label: Any, *, store: bool) -> Any:
    """Predict values; see `Predictor.predict`."""
    given, truth = matched(predictor, features, label)
    scores, notes = _scored(predictor, given, truth)
    if store:
        return _stored(predictor, given, truth, scores, notes)
    index = given[0].index if given[0].offer.windows is None else None
    return as_table(predictor, scores, notes, index)


def matched(
    predictor: Predictor, features: Any, label: Any = None
) -> tuple[list[Given], Given | None]:
    """Return values in the places of what the Predictor was trained on, or refuse them."""
    trained = predictor.job.queue.splitset
    known = trained.features
    listed = forms.of_each(features, known)
    if len(listed) != len(known):
        message = (
            f"features: {len(listed)} given; the Predictor takes {len(known)}, in the order of "
            f"its Features {[row.id for row in known]}. Give a list of them."
        )
        raise SelectionError(message)
    given = [
        take_as(f"features[{i}]", value, old)
        for i, (value, old) in enumerate(zip(listed, known, strict=True))
    ]
    truth = None if label is None else take_as("label", as_label(label, trained.label), None)
    offers = [each.offer for each in given]
    matching.match(trained, offers, truth and truth.offer, arguments=("features", "label"))
    return given, truth


def scores_of(predictor: Predictor, features: Any, judge: Judge | None = None) -> SplitScores:
    """Return what the Predictor says of values, without a label."""
    given, _ = matched(predictor, features)
    return _scored(predictor, given, None, judge)[0]


def as_table(
    predictor: Predictor, scores: SplitScores, notes: dict[str, str], index: pd.Index | None
) -> Any:
    """Return predictions as a DataFrame, or as an array where they are no table."""
    said = scores.predictions
    if said.ndim > TABLE_AXES:
        return said
    splitset = predictor.job.queue.splitset
    names = splitset.features[0].columns if splitset.label is None else splitset.label.columns
    table = said.reshape(len(said), -1)
    named = names if len(names) == table.shape[1] else ["prediction"]
    columns = {name: table[:, i] for i, name in enumerate(named)}
    frame = pd.DataFrame(columns | _sure(predictor, scores), index=index)
    frame.attrs = {"metrics": scores.values, "metric_notes": notes}
    return frame


def class_probabilities(scores: SplitScores) -> Any:
    """Return `(samples, classes)` of a classification, of two classes too."""
    given: Any = scores.probabilities
    return np.column_stack([1 - given, given]) if given.ndim == 1 else given


def _sure(predictor: Predictor, scores: SplitScores) -> dict[str, Any]:
    if scores.probabilities is None:
        return {}
    classes = predictor.fitted_preprocessing.label.classes
    shares = class_probabilities(scores)
    return {f"probability_{name}": shares[:, i] for i, name in enumerate(classes)}


def _scored(
    predictor: Predictor, given: Sequence[Given], truth: Given | None, judge: Judge | None = None
) -> tuple[SplitScores, dict[str, str]]:
    offers = [each.offer for each in given]
    return inference.predicted(predictor, offers, truth and truth.offer, judge)


def _stored(
    predictor: Predictor,
    given: Sequence[Given],
    truth: Given | None,
    scores: SplitScores,
    notes: dict[str, str],
) -> Prediction:
    """Write the values with what was predicted of them: all of it, or nothing."""
    trained = predictor.job.queue.splitset
    with metastore.atomic():
        feature_ids: list[int] = []
        for each, old in zip(given, trained.features, strict=True):
            feature = Feature.from_dataset(each.register().id, include_columns=old.columns)
            if (rule := each.offer.windows) is not None:
                Window.from_feature(feature.id, rule.size_window, rule.size_shift, False)
            feature_ids.append(feature.id)
        label_id = None
        if truth is not None:
            columns = list(truth.offer.dtypes)
            label_id = Label.from_dataset(truth.register().id, columns).id
        splitset = Splitset.make(feature_ids, label_id, predictor_id=predictor.id)
        table = type(predictor).predictions.rel_model
        return table.record_inference(splitset, scores, notes, force=False)
