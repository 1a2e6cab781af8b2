"""The data of a classification's plots, as plain lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from aiqc_core.stages.preprocess.values import Floats, Ints

MOST_POINTS = 2000
BIN_COUNT = 10
HALF = 0.5
MOST_THRESHOLDS = 200


def plot_data(
    truth: Ints, predicted: Ints, probabilities: Floats | None, class_count: int, positive: int = 1
) -> dict[str, Any]:
    """Return the confusion matrix, and ROC and precision-recall curves where they are defined.

    Arguments are those of `metrics.classification`.

    Returns:
        `confusion_matrix`: classes × classes, rows true, columns predicted.
        `roc_curve`, `precision_recall`: `{class: {x name: […], y name: […]}}`, of two classes only
        the positive one; a class that is absent, or alone, has none. Longer curves keep 2000
        points, evenly, and have `thinned_from`.
        `calibration`, `thresholds`: with two classes, for the positive one, see `calibration`;
        thresholds are empty where a class is absent.
    """
    from sklearn import metrics

    matrix = metrics.confusion_matrix(truth, predicted, labels=list(range(class_count))).tolist()
    data: dict[str, Any] = {"confusion_matrix": matrix, "roc_curve": {}, "precision_recall": {}}
    if probabilities is None or not np.isfinite(probabilities).all():
        return data
    if probabilities.ndim == 1:
        hit, both = (truth == positive).astype(np.int64), 0 < truth.sum() < len(truth)
        share = probabilities if positive else 1 - probabilities
        data["calibration"] = calibration(hit, share)
        data["thresholds"] = thresholds(hit, share, from_it=not positive) if both else {}
    # A curve depends on the order alone, and the opposite numbers reverse it without rounding.
    order = probabilities if positive else -probabilities
    scores = {positive: order} if order.ndim == 1 else dict(enumerate(probabilities.T))
    for code, score in scores.items():
        is_class = truth == code
        if not is_class.any() or is_class.all():
            continue
        fpr, tpr, _ = metrics.roc_curve(is_class, score)
        precision, recall, _ = metrics.precision_recall_curve(is_class, score)
        data["roc_curve"][code] = _curve(fpr=fpr, tpr=tpr)
        data["precision_recall"][code] = _curve(precision=precision, recall=recall)
    return data


def _curve(**axes: Floats) -> dict[str, Any]:
    """Return the points of a curve, thinned where it is long, with both its ends."""
    count = len(next(iter(axes.values())))
    if count <= MOST_POINTS:
        return {name: values.tolist() for name, values in axes.items()}
    kept = np.linspace(0, count - 1, MOST_POINTS).round().astype(int)
    return {name: values[kept].tolist() for name, values in axes.items()} | {"thinned_from": count}


def calibration(truth: Ints, probabilities: Floats) -> dict[str, Any]:
    """Return predicted probabilities beside observed shares, in ten bins of equal width.

    Sources: bins and expected calibration error, Guo et al. (2017), "On Calibration of Modern
    Neural Networks", equation 3, here for the positive class; Brier score, Brier (1950).

    `truth` is 1 for the positive class, else 0; both are `(samples,)`, probabilities finite.

    Returns:
        `predicted` (mean probability), `observed` (share of the positive class) and `counts`
        (samples) of each bin that holds a sample, and `brier_score`, `expected_calibration_error`.
    """
    edges = np.linspace(0, 1, BIN_COUNT + 1)[1:-1]
    bins = np.digitize(probabilities, edges, right=True)  # a bin has its upper edge, as in Guo
    counts = np.bincount(bins, minlength=BIN_COUNT)
    held = counts > 0
    predicted = np.bincount(bins, probabilities, BIN_COUNT)[held] / counts[held]
    observed = np.bincount(bins, truth, BIN_COUNT)[held] / counts[held]
    gaps = np.abs(predicted - observed)
    return {
        "predicted": predicted.tolist(),
        "observed": observed.tolist(),
        "counts": counts[held].tolist(),
        "brier_score": float(np.mean((probabilities - truth) ** 2)),
        "expected_calibration_error": float(np.average(gaps, weights=counts[held])),
    }


def thresholds(
    truth: Ints, probabilities: Floats, *, from_it: bool = False
) -> dict[str, list[float]]:
    """Return what precision and recall would be at other thresholds of the probability.

    A sample is called positive where p > threshold, so that the row of 0.5, which is always there,
    holds the metrics of the split. A ratio with denominator 0 is 0, as in the metrics.

    Arguments are those of `calibration`, with both classes present. `from_it` calls a sample
    positive where p = threshold too, as for a positive class of code 0.

    Returns:
        `threshold, precision, recall, f1, specificity`, rising; at most 200 rows: 0, 0.5 and
        distinct probabilities, evenly chosen.
    """
    distinct = np.unique(probabilities)[:-1]  # beyond the highest none is called positive
    room = MOST_THRESHOLDS - 2
    if len(distinct) > room:
        distinct = distinct[np.linspace(0, len(distinct) - 1, room).round().astype(int)]
    steps = np.unique([0.0, HALF, *distinct])
    positive = np.sort(probabilities[truth == 1])
    negative = np.sort(probabilities[truth == 0])
    side = "left" if from_it else "right"
    hits = len(positive) - np.searchsorted(positive, steps, side=side)
    alarms = len(negative) - np.searchsorted(negative, steps, side=side)
    called = hits + alarms
    table = {
        "threshold": steps,
        "precision": hits / np.maximum(called, 1),
        "recall": hits / len(positive),
        "f1": 2 * hits / (called + len(positive)),
        "specificity": 1 - alarms / len(negative),
    }
    return {name: values.tolist() for name, values in table.items()}
