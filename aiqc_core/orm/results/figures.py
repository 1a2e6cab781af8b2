"""Draw figures of a Queue, a Predictor and a Prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core import counts
from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.orm.results import frames, intervals
from aiqc_core.orm.training.measure import Measure
from aiqc_core.stages.evaluate.ranking import OF_POSITIVE, leading_metric
from aiqc_core.stages.plots import (
    calibration,
    confidence,
    confusion_matrix,
    curves,
    display,
    feature_importance,
    learning_curve,
    performance,
    theme,
    thresholds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import plotly.graph_objects as go

    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.orm.tables.predictor import Predictor
    from aiqc_core.orm.tables.queue import Queue
    from aiqc_core.orm.tables.splitset import Splitset

BINARY, MULTI, REGRESSION = AnalysisType
ENCODED = "encoded units"
WITH_UNITS = ("loss", "mae", "mse", "rmse")


def plot_performance(
    queue: Queue,
    call_display: bool = True,
    max_loss: float | None = None,
    min_score: float | None = None,
    score_type: str | None = None,
    height: int | None = None,
) -> go.Figure | None:
    """Plot loss against score of every model, a point for each split.

    Args:
        call_display: display the figure, else return it.
        max_loss: leave out models of which a split has a higher loss, or NaN.
        min_score: leave out models of which a split has a worse score (a lower one; of an
            error, such as mse, a higher one), or NaN.
        score_type: a metric; by default that of the Queue. Where that is the loss, which the
            other axis shows already, it is accuracy, or r2 for a regression.
        height: in pixels; 560 by default.

    Raises:
        TrainingError: nothing is trained yet.
        SelectionError: an unknown metric, or no model is left.
    """
    rows = frames.trained(queue)
    if not rows:
        raise TrainingError(frames.untrained(queue))
    models = [
        {
            "predictor_id": row["predictor_id"],
            "about": _about(queue, row["hyperparameters"], row["fold_index"], row["repeat_index"]),
            "metrics": row["metrics"],
            "reasons": row["metric_notes"],
        }
        for row in rows
    ]
    chosen = score_type or Measure.of_queue(queue).metric
    if score_type is None and chosen == "loss":  # the other axis shows it
        chosen = leading_metric(queue.algorithm.analysis_type)
    found = performance.data(models, chosen, max_loss=max_loss, min_score=min_score)
    shown = len({point["predictor_id"] for point in found["points"]})
    about = f"{named(queue)} · {shown} of {len(models)} models{_of_positive(queue, chosen)}"
    units: dict[str, str] = dict.fromkeys(WITH_UNITS, ENCODED) if _computes_encoded(queue) else {}
    return _present(performance.figure(found, about, height=height, units=units), call_display)


def plot_learning_curve(
    predictor: Predictor, skip_head: bool = True, call_display: bool = True
) -> list[go.Figure] | None:
    """Plot the history over the epochs, a figure for each train-evaluation pair of metrics.

    Args:
        skip_head: leave out the first 15 % of the epochs, whose losses hide the rest.
        call_display: display the figures, else return a list of them.

    Raises:
        TrainingError: the training returned no history.
    """
    if not predictor.history:
        raise TrainingError(
            f"Predictor {predictor.id} has no history: its fn_train returned none. Return "
            "(history, model), with a list of values by epoch for each metric."
        )
    about = about_predictor(predictor)
    unit = ENCODED if _computes_encoded(predictor.job.queue) else None
    drawn = [
        learning_curve.figure(pair, about, unit=unit if pair["metric"] in WITH_UNITS else None)
        for pair in learning_curve.data(predictor.history, skip_head=bool(skip_head))
    ]
    return _present(drawn, call_display)


def plot_feature_importance(
    prediction: Prediction,
    call_display: bool = True,
    top_n: int | None = 10,
    height: int | None = None,
    margin_left: int | None = None,
) -> list[go.Figure] | None:
    """Plot the importance of the columns, a figure for each Feature.

    Args:
        call_display: display the figures, else return a list of them.
        top_n: how many columns; all where there are fewer, or for None.
        height: in pixels; by default as high as the columns need.
        margin_left: pixels for the columns' names; by default as wide as the longest.

    Raises:
        TrainingError: no importance was calculated.
        SelectionError: `top_n` below 1.
    """
    if top_n is not None:
        counts.whole("top_n", top_n, least=1)
    measured = intervals.measured_importance(prediction)
    about = about_predictor(prediction.predictor)
    drawn = [
        feature_importance.figure(
            feature_importance.data(columns, top_n=top_n),
            f"{about} · Feature {feature_id}",
            height=height,
            margin_left=margin_left,
        )
        for feature_id, columns in measured.items()
    ]
    return _present(drawn, call_display)


def plot_roc_curve(prediction: Prediction, call_display: bool = True) -> go.Figure | None:
    """Plot the receiver operating curves of every split, of several classes a line each.

    Args:
        call_display: display the figure, else return it.

    Raises:
        SelectionError: a regression, or no split has a curve.
    """
    return _present(_curves(prediction, curves.ROC, "a ROC curve"), call_display)


def plot_precision_recall(prediction: Prediction, call_display: bool = True) -> go.Figure | None:
    """Plot precision over recall of every split, of several classes a line each.

    Args:
        call_display: display the figure, else return it.

    Raises:
        SelectionError: a regression, or no split has a curve.
    """
    drawn = _curves(prediction, curves.PRECISION_RECALL, "a precision-recall curve")
    return _present(drawn, call_display)


def plot_confusion_matrix(
    prediction: Prediction, call_display: bool = True
) -> list[go.Figure] | None:
    """Plot the confusion matrix of each split: rows true, columns predicted.

    Classes stand in the order of the label coder's codes: sorted, unless the coder was given
    an order of its own, such as `OrdinalEncoder(categories=[["low", "mid", "high"]])`.

    Args:
        call_display: display the figures, else return a list of them.

    Raises:
        SelectionError: a regression, or no split has a label.
    """
    matrices = confusion_matrix.data(
        _labelled_plot_data(prediction, "a confusion matrix"), class_names(prediction)
    )
    about = about_predictor(prediction.predictor)
    return _present([confusion_matrix.figure(each, about) for each in matrices], call_display)


def plot_confidence(
    prediction: Prediction,
    prediction_index: int = 0,
    height: int = 175,
    call_display: bool = True,
    split_name: str | None = None,
) -> go.Figure | None:
    """Plot the probability of each class for one sample.

    Args:
        prediction_index: which sample of the split, from 0.
        height: in pixels.
        call_display: display the figure, else return it.
        split_name: which split; by default the first of `probabilities`.

    Raises:
        SelectionError: a regression, no such split, or the index is out of range.
        TrainingError: the model gives no probabilities.
    """
    _refuse_regression(prediction, "the confidence of a class")
    probabilities = prediction.probabilities
    if not probabilities:
        message = f"Prediction {prediction.id} has no probabilities; its fn_predict gives none."
        raise TrainingError(message)
    split = _known_split(split_name, list(probabilities), next(iter(probabilities)))
    count, index = len(probabilities[split]), prediction_index
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < count:
        raise SelectionError(
            f"prediction_index: {index!r}; split {split!r} has {count} samples, from 0 to "
            f"{count - 1}."
        )
    found = confidence.data(
        probabilities[split][index],
        class_names(prediction),
        str(prediction.predictions[split][index]),
        _true_class(prediction, split, index),
    )
    about = f"{split} sample {index} · {about_predictor(prediction.predictor)}"
    return _present(confidence.figure(found, about, height=height), call_display)


def calibrations(prediction: Prediction) -> go.Figure:
    """Return predicted beside observed probabilities of every split, of two classes."""
    found = calibration.data(_binary_plot_data(prediction, "calibration"))
    _refuse_no_curve(prediction, found)
    positive = str(prediction.predictor.positive_class)
    return calibration.figure(found, _about_curves(prediction), positive=positive)


def threshold_curves(prediction: Prediction, split_name: str | None = None) -> go.Figure:
    """Return what each threshold would do on a split, by default the one that judges training.

    Raises:
        SelectionError: not of two classes, or no such split.
    """
    found = thresholds.data(_binary_plot_data(prediction, "thresholds"))
    _refuse_no_curve(prediction, found)
    judged_on = _splitset(prediction).judged_on
    default = judged_on if judged_on in found else next(iter(found))
    split = _known_split(split_name or None, list(found), default)
    about, positive = _about_curves(prediction), str(prediction.predictor.positive_class)
    inclusive = class_names(prediction).index(positive) == 0
    return thresholds.figure(
        found[split], about, split=split, positive=positive, inclusive=inclusive
    )


def class_names(prediction: Prediction) -> list[str]:
    """Return the label's own classes as text, by the codes that its fitted coder gave them."""
    return [str(value) for value in prediction.predictor.classes or ()]


def about_predictor(predictor: Predictor) -> str:
    """Return which Predictor it is, of which Fold and combination."""
    job = predictor.job
    fold = None if job.fold is None else job.fold.idx
    about = _about(job.queue, job.hyperparameters, fold, predictor.repeat_index)
    return f"Predictor {predictor.id} · {about}".rstrip(" ·")


def _present(drawn: Any, call_display: bool) -> Any:
    """Display a figure or a list of them and return None; without `call_display` return it."""
    if not call_display:
        return drawn
    display.show(drawn if isinstance(drawn, list) else [drawn])
    return None


def _curves(prediction: Prediction, kind: curves.Kind, figure: str) -> go.Figure:
    """Draw the curves of every split and class."""
    found = kind.data(_labelled_plot_data(prediction, figure), class_names(prediction))
    _refuse_no_curve(prediction, found)
    return kind.figure(found, _about_curves(prediction), shown=_splitset(prediction).judged_on)


def _known_split(asked: str | None, known: list[str], default: str) -> str:
    if asked is not None and asked not in known:
        raise SelectionError(f"split_name: {asked!r} is none of {known}.")
    return default if asked is None else asked


def _about_curves(prediction: Prediction) -> str:
    """Return which Predictor it is, and of two classes which one is positive."""
    predictor = prediction.predictor
    return f"{about_predictor(predictor)}{_of_positive(predictor.job.queue)}"


def _of_positive(queue: Queue, metric: str | None = None) -> str:
    """Say which class is positive, where that decides the metric."""
    positive = queue.positive_class
    if positive is None or metric not in {None, *OF_POSITIVE}:
        return ""
    return f" · positive: {theme.shorten(str(positive), theme.LABEL_CHARACTERS)}"


def _labelled_plot_data(prediction: Prediction, figure: str) -> dict[str, Any]:
    """Return the plot data of the splits that have a label."""
    _refuse_regression(prediction, figure)
    found = {split: data for split, data in (prediction.plot_data or {}).items() if data}
    if not found:
        raise SelectionError(
            f"Prediction {prediction.id}: no split has a label to compare with, so there is no "
            f"{figure.removeprefix('a ')}."
        )
    return found


def _refuse_regression(prediction: Prediction, figure: str) -> None:
    instead = (
        "queue.plot_performance(), predictor.plot_learning_curve() or "
        "prediction.plot_feature_importance()"
    )
    refuse_other_analysis(prediction, (BINARY, MULTI), f"{figure} needs classes", instead)


def refuse_other_analysis(
    prediction: Prediction, types: Sequence[str], needs: str, instead: str
) -> None:
    """Refuse a figure of another analysis, and name those to draw `instead`."""
    algorithm = prediction.predictor.job.queue.algorithm
    kind = algorithm.analysis_type
    if kind not in types:
        shown = "a regression" if kind == REGRESSION else kind
        raise SelectionError(
            f"Prediction {prediction.id}: {needs}, but Algorithm {algorithm.id} is {shown}. Draw "
            f"{instead}."
        )


def _binary_plot_data(prediction: Prediction, figure: str) -> dict[str, Any]:
    plot_data = _labelled_plot_data(prediction, figure)
    instead = "prediction.plot_roc_curve()"
    refuse_other_analysis(prediction, (BINARY,), f"{figure} needs two classes", instead)
    return plot_data


def _refuse_no_curve(prediction: Prediction, curves: Any) -> None:
    if not curves:
        raise SelectionError(
            f"Prediction {prediction.id}: no split has a curve. One needs finite probabilities, "
            "and samples both of a class and of others; see prediction.metric_notes."
        )


def _true_class(prediction: Prediction, split: str, index: int) -> str | None:
    """Return the class of one sample; None where its label is not known."""
    new: Splitset | None = prediction.splitset
    cut = new or prediction.predictor.job.fold or _splitset(prediction)
    label = (new or _splitset(prediction)).label
    if label is None:
        return None
    row = label.to_arr(samples=[int(cut.positions()[split][index])])[0]
    return label.columns[int(np.argmax(row))] if label.column_count > 1 else str(row[0])


def _splitset(prediction: Prediction) -> Splitset:
    return prediction.predictor.job.queue.splitset


def _computes_encoded(queue: Queue) -> bool:
    """Say whether the loss is in other units than the label's own."""
    if queue.algorithm.analysis_type != REGRESSION:
        return False
    label = queue.splitset.label
    if label is None:
        return bool(queue.splitset.features[0].ordered_coders())
    return label.step() is not None


def named(row: Any) -> str:
    """Return what titles call a row."""
    return f"{type(row).__name__} {row.id}" + (f" {row.name!r}" if row.name else "")


def _about(queue: Queue, hyperparameters: dict[str, Any], fold: int | None, repeat: int) -> str:
    parts = [] if fold is None else [f"fold {fold}"]
    parts += [f"repeat {repeat}"] if queue.repeat_count > 1 else []
    parts += [", ".join(f"{name}={value}" for name, value in hyperparameters.items())]
    return " · ".join(parts).rstrip(" ·")
