"""Draw figures of data, regressions and forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import SelectionError
from aiqc_core.orm.results import intervals
from aiqc_core.orm.results.figures import about_predictor, named, refuse_other_analysis
from aiqc_core.orm.samples import cache as samples_cache
from aiqc_core.stages.evaluate import decode
from aiqc_core.stages.plots import forecast, interpolation, predicted_true, split_sizes, windows
from aiqc_core.stages.preprocess import samples
from aiqc_core.storage import cache

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.orm.tables.splitset import Fold, Splitset

ORIGINAL = "original units"


def splits(splitset: Splitset) -> go.Figure:
    """Draw how many samples are in each split and Fold."""
    sizes = {split: len(rows) for split, rows in splitset.positions().items()}
    folds = [
        {split: len(rows) for split, rows in fold.positions().items()}
        for fold in splitset.ordered_folds
    ]
    return split_sizes.figure(split_sizes.data(sizes, folds), named(splitset))


def window_layout(feature: Feature) -> go.Figure:
    """Draw how the windows of a Feature lie over its rows.

    Raises:
        SelectionError: it has no Window.
    """
    for row in feature.windows:
        return windows.figure(windows.data(row.rule()), f"Feature {feature.id}")
    raise SelectionError(f"Feature {feature.id} has no Window; make one with Window.from_feature.")


def filled_column(
    splitset: Splitset, column: str, *, feature_idx: int = 0, sample: int = 0
) -> go.Figure:
    """Draw a column of a Feature before and after its blanks were filled.

    Args:
        splitset: has the splits that are filled, a table's as `process_separately` says.
        feature_idx: which of the Splitset's Features.
        sample: which sample of a sequence; a table is one.

    Raises:
        SelectionError: no such column or sample, an image, or nothing fills the column.
    """
    feature = splitset.features[feature_idx]
    recipe = feature.recipe()
    fills = [fill for fill in recipe.fills if column in fill.columns]
    if not fills:
        known = [c for fill in recipe.fills for c in fill.columns]
        message = f"column: {column!r} is none that Feature {feature.id} fills: {known}."
        raise SelectionError(message)
    before, after = _before_and_after(splitset, feature, column, sample)
    method = fills[0].kwargs.get("method", "linear")
    of_sample = "" if feature.dataset.typ == "tabular" else f" · sample {sample}"
    about = f"Feature {feature.id}{of_sample} · method={method}"
    return interpolation.figure(interpolation.data(before, after), about, column=column)


def predicted_and_true(prediction: Prediction, column_idx: int = 0) -> go.Figure:
    """Draw predicted beside true values of every split of a regression.

    Raises:
        SelectionError: a classification, or no such column.
    """
    true, columns = _truth(prediction, "predicted and true values", column_idx)
    stored = prediction.predictions
    predicted = {s: np.reshape(stored[s], v.shape)[..., column_idx] for s, v in true.items()}
    pairs = predicted_true.data({s: v[..., column_idx] for s, v in true.items()}, predicted)
    measured = {split: prediction.metrics[split] for split in true}
    is_encoded = any("r2_decoded" in values for values in measured.values())
    key = "r2_decoded" if is_encoded else "r2"
    return predicted_true.figure(
        pairs,
        about_predictor(prediction.predictor),
        name=columns[column_idx],
        unit=ORIGINAL if is_encoded else None,
        scores={split: values[key] for split, values in measured.items()}
        if len(columns) == 1
        else None,
    )


def forecasts(
    prediction: Prediction, split_names: list[str] | None = None, column_idx: int = 0
) -> go.Figure:
    """Draw the forecast of each window beside what came, in original units.

    Args:
        prediction: of a model that learned the future windows of its Feature.
        split_names: by default all but the one that trained.

    Raises:
        SelectionError: it forecasts no windows, or no such split or column.
    """
    splitset = prediction.predictor.job.queue.splitset
    rules = [row.rule() for row in splitset.features[0].windows]
    if splitset.label is not None or not rules or not rules[0].record_shifted:
        raise SelectionError(
            f"Prediction {prediction.id} forecasts no windows; that needs a Splitset without a "
            "Label, of a Feature with a Window."
        )
    true, columns = _truth(prediction, "a forecast", column_idx)
    chosen = split_names or [s for s in true if s != splitset.key_train] or list(true)
    unknown = [split for split in chosen if split not in true]
    if unknown:
        raise SelectionError(f"split_names: {unknown} are none of {list(true)}.")
    rule = rules[0]
    positions = (prediction.predictor.job.fold or splitset).positions()
    predicted = prediction.predictions
    series = forecast.data(
        {s: [rule.start(int(i), shifted=True) for i in positions[s]] for s in chosen},
        {s: true[s][..., column_idx] for s in chosen},
        {s: np.asarray(predicted[s])[..., column_idx] for s in chosen},
        size_shift=rule.size_shift,
    )
    return forecast.figure(
        series,
        about_predictor(prediction.predictor),
        column=columns[column_idx],
        unit=ORIGINAL,
        horizon=min(rule.size_shift, rule.size_window),
    )


def _truth(
    prediction: Prediction, figure: str, column_idx: int
) -> tuple[dict[str, NDArray[Any]], list[str]]:
    """Return the truth of each split in original units, and the names of its columns."""
    splitset = prediction.predictor.job.queue.splitset
    needs, instead = f"{figure} need a regression", "prediction.plot_confusion_matrix()"
    refuse_other_analysis(prediction, (AnalysisType.REGRESSION,), needs, instead)
    fitted = intervals.spec_of(prediction.predictor).label
    true = {
        split: decode.to_units(fitted, np.asarray(values, dtype=np.float64))
        for split, values in _encoded_truth(prediction).items()
    }
    columns = list((splitset.label or splitset.features[0]).columns)
    if not 0 <= column_idx < len(columns):
        message = f"column_idx: {column_idx!r}; the columns are {dict(enumerate(columns))}."
        raise SelectionError(message)
    return true, columns


def _encoded_truth(prediction: Prediction) -> dict[str, Any]:
    """Return the label of each split as the model saw it, or of the new samples."""
    new: Splitset | None = prediction.splitset
    if new is None:
        samples_of = intervals.spec_of(prediction.predictor).samples
        return {split: cache.load(samples_of[split], "label") for split in prediction.predictions}
    if new.label is None and new.supervision == "supervised":
        raise SelectionError(f"Prediction {prediction.id}: its samples came without a label.")
    (split,) = prediction.predictions
    return {split: new.fetch_cache(split, "label")}


def _before_and_after(
    splitset: Splitset, feature: Feature, column: str, sample: int
) -> tuple[Any, Any]:
    values, recipe = samples_cache.values_of(feature, {}), feature.recipe()
    if isinstance(values, pd.DataFrame):
        cut: Fold | Splitset = splitset.parts()[0] or splitset
        positions = cut.positions()
        rule = recipe.windows
        rows = positions if rule is None else {s: rule.rows(p) for s, p in positions.items()}
        filled = samples.fill_rows(values, recipe.fills, rows)
        return values[column], samples.with_filled(values, rows, filled)[column]
    if values.ndim != 3:  # noqa: PLR2004 - samples, steps, columns
        message = f"Feature {feature.id} is {feature.dataset.typ}: it has no series to draw."
        raise SelectionError(message)
    if not 0 <= sample < len(values):
        raise SelectionError(f"sample: {sample!r}; there are {len(values)}, from 0.")
    one, idx = values[sample : sample + 1], feature.columns.index(column)
    return one[0, :, idx], samples.trial_rows(one, feature.columns, recipe.fills)[column]
