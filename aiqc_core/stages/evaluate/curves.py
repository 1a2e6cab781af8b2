"""The data of a classification's plots, as plain lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.evaluate import calibration

if TYPE_CHECKING:
    from aiqc_core.stages.preprocess.values import Floats, Ints

MOST_POINTS = 2000


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

    classes = list(range(class_count))
    matrix = metrics.confusion_matrix(truth, predicted, labels=classes)
    data: dict[str, Any] = {
        "confusion_matrix": matrix.tolist(),
        "roc_curve": {},
        "precision_recall": {},
    }
    if probabilities is None or not np.isfinite(probabilities).all():
        return data
    if probabilities.ndim == 1:
        data |= _of_positive(truth, probabilities, positive)
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


def _of_positive(truth: Ints, probabilities: Floats, positive: int) -> dict[str, Any]:
    """Return calibration and thresholds of the positive class."""
    hit, both = (truth == positive).astype(np.int64), 0 < truth.sum() < len(truth)
    share = probabilities if positive else 1 - probabilities
    held = calibration.thresholds(hit, share, from_it=not positive) if both else {}
    return {"calibration": calibration.calibration(hit, share), "thresholds": held}


def _curve(**axes: Floats) -> dict[str, Any]:
    """Return the points of a curve, thinned where it is long, with both its ends."""
    count = len(next(iter(axes.values())))
    if count <= MOST_POINTS:
        return {name: values.tolist() for name, values in axes.items()}
    kept = np.linspace(0, count - 1, MOST_POINTS).round().astype(int)
    return {name: values[kept].tolist() for name, values in axes.items()} | {"thinned_from": count}
