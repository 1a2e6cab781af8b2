"""Predict in one call: from values of any form to a table of predictions."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import SelectionError
from aiqc_core.orm.inference import infer, row_forms
from aiqc_core.orm.inference.infer import record_inference
from aiqc_core.orm.inference.inputs import Input, as_label, take_as
from aiqc_core.orm.samples import new_data, schema_match
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.label import Label
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.orm.tables.window import Window
from aiqc_core.stages.preprocess import naming
from aiqc_core.stages.train.scoring import SplitScores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.stages.train.trained_model import Evaluator

TABLE_AXES = 2


def predict(
    predictor: Predictor,
    features: Any,
    label: Any = None,
    *,
    store: bool = False,
    carry: bool = False,
) -> Any:
    """Predict new data in one call, with the preprocessing that training fitted.

    Columns are matched by name in any order, and unknown ones are left out; an array has its
    columns in the order of training. Rows that an interpolater fills are filled among
    themselves, in their order. Data is read batch by batch: one row or a million.

    Args:
        features: a DataFrame, an array, the path of a file or folder, or a Dataset; a list of
            them for a Predictor of several Features, in their order. Of a table also a dict, a
            Series or a list for one row, a dict of lists, a list or an iterator of rows for
            several, a tensor, or a table of Arrow; of a sequence one sample,
            `(rows, columns)`; of images one, as Pillow, a file or an array, or a list of such.
            Where training had a Window, rows: each window of them is a sample, and the last
            ends with the last row, so that a forecast of what comes next is the last one.
        label: the truth, when it is known: a DataFrame, a Series, an array, a list, a dict, a
            value for one row, or a path.
        store: whether data and Prediction are written to the store.
        carry: whether the table ends with the columns of `features` that are neither features
            nor label, such as an id, so that rows can be joined without their index. A name
            that is taken gets a number; a window has the value of its last row. The files of
            `predict_<experiment>` are this table.

    Returns:
        A DataFrame under the index of `features`, with the predictions in a column named as
        the label (as the feature's columns without a label, `prediction` where a label is
        one-hot), and for a classification `probability_<class>` of each class.
        `frame.attrs["metrics"]` holds the metrics, where they can be measured, and
        `frame.attrs["positive"]` the one of two classes that precision, recall and f1 are of.
        An array `(samples, …, columns)` in the original units where that is no table: windows
        `(windows, size_window, columns)`, sequences `(samples, rows, columns)`, images
        `(samples, channels, rows, columns)`.
        With `store` the Prediction, whose Splitset holds the new data.

    Raises:
        SelectionError: columns are missing or incompatible, or windows, rows or channels
            differ; the message lists all of them.
        PreprocessError: a category or class that training did not see, by column and value,
            or blanks.
    """
    given, truth = matched(predictor, features, label)
    offers = [each.offer for each in given]
    scores, notes = infer.predicted(predictor, offers, truth and truth.offer)
    if store:
        return _stored(predictor, given, truth, scores, notes)
    index = given[0].index if offers[0].windows is None else None
    return as_table(predictor, scores, notes, index, offers if carry else [])


def matched(
    predictor: Predictor, features: Any, label: Any = None
) -> tuple[list[Input], Input | None]:
    """Return the inputs in the order of the Predictor's Features, or refuse them."""
    trained = predictor.job.queue.splitset
    known = trained.features
    listed = row_forms.of_each(features, known)
    if len(listed) != len(known):
        raise SelectionError(
            f"features: {len(listed)} given; the Predictor takes {len(known)}, in the order of "
            f"its Features {[row.id for row in known]}. Give a list of them."
        )
    given = [
        take_as(f"features[{i}]", value, old)
        for i, (value, old) in enumerate(zip(listed, known, strict=True))
    ]
    truth = None if label is None else take_as("label", as_label(label, trained.label), None)
    offers = [each.offer for each in given]
    schema_match.match(trained, offers, truth and truth.offer, arguments=("features", "label"))
    rows, labels = given[0].index, getattr(label, "index", None)
    if rows is None or not isinstance(labels, pd.Index):
        return given, truth
    if not rows.equals(labels) and set(rows) == set(labels):
        warnings.warn(
            "label: its index holds the rows of features in another order, and they are paired by "
            "position. Give label.loc[features.index] to pair them by index.",
            stacklevel=3,
        )
    return given, truth


def scores_of(
    predictor: Predictor, features: Any, evaluator: Evaluator | None = None
) -> SplitScores:
    """Return the scores of values, without a label."""
    given, _ = matched(predictor, features)
    return infer.predicted(predictor, [each.offer for each in given], None, evaluator)[0]


def table_of(prediction: Prediction) -> Any:
    """Return a Prediction of new data as `Predictor.predict` does with `carry`."""
    (split,) = prediction.predictions
    shares = (prediction.probabilities or {}).get(split)
    splitset: Any = prediction.splitset
    scores = SplitScores(
        prediction.predictions[split], shares, prediction.metrics[split],
        prediction.metric_notes.get(split, {}), None,
    )  # fmt: skip
    offers = [
        replace(new_data.of_row(row), dtypes=row.dataset.get_dtypes())
        for row in {row.dataset_id: row for row in splitset.features}.values()
    ]
    return as_table(prediction.predictor, scores, scores.notes, None, beside=offers)


def as_table(
    predictor: Predictor,
    scores: SplitScores,
    notes: dict[str, str],
    index: pd.Index | None,
    beside: Sequence[new_data.Offer] = (),
) -> Any:
    """Return predictions as a DataFrame, or as an array where they are no table.

    `beside` is what the samples were read from, to carry the columns that are neither features nor
    label; see `Predictor.predict`.
    """
    values = scores.predictions
    if values.ndim > TABLE_AXES:
        return values
    table = values.reshape(len(values), -1)
    names = _names(predictor, table.shape[1])
    columns = {name: table[:, i] for i, name in enumerate(names)}
    if scores.probabilities is not None:
        shares = class_probabilities(scores)
        classes = enumerate(predictor.classes or ())
        columns |= {f"probability_{name}": shares[:, i] for i, name in classes}
    for name, values in _carried(predictor, beside):
        (free,) = naming.unique([name], taken=columns)
        columns[free] = values
    frame = pd.DataFrame(columns, index=index)
    frame.attrs = {"metrics": scores.values, "metric_notes": notes}
    if scores.probabilities is not None and predictor.positive_class is not None:
        frame.attrs["positive"] = predictor.positive_class
    return frame


def _names(predictor: Predictor, width: int) -> list[str]:
    """Return the names of predicted columns: those of the label, or of the only Feature."""
    splitset = predictor.job.queue.splitset
    names = splitset.features[0].columns if splitset.label is None else splitset.label.columns
    if len(names) == width:
        return names
    return ["prediction"] if width == 1 else [f"prediction_{i}" for i in range(width)]


def _carried(
    predictor: Predictor, beside: Sequence[new_data.Offer]
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns that are neither features nor label; a window has its last row's."""
    trained = predictor.job.queue.splitset
    known = {name for row in trained.features for name in row.columns}
    known |= set() if trained.label is None else set(trained.label.columns)
    for offer in beside:
        names = [name for name in offer.dtypes if name not in known]
        if offer.typ != "tabular" or not names:
            continue
        rows = offer.load(names)
        if (windows := offer.windows) is not None:
            last = [windows.start(i) + windows.size_window - 1 for i in range(windows.count)]
            rows = rows.iloc[last]
        for name in names:
            yield name, rows[name].array


def class_probabilities(scores: SplitScores) -> Any:
    """Return probabilities `(samples, classes)`, also for two classes."""
    given: Any = scores.probabilities
    return np.column_stack([1 - given, given]) if given.ndim == 1 else given


def _stored(
    predictor: Predictor,
    given: Sequence[Input],
    truth: Input | None,
    scores: SplitScores,
    notes: dict[str, str],
) -> Prediction:
    """Write the values with their Prediction, all or nothing."""
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
        return record_inference(splitset, scores, notes, force=False)
