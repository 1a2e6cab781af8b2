"""The data of a classification's plots, as plain lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray


def plot_data(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: NDArray[np.float64] | None,
    class_count: int,
) -> dict[str, Any]:
    """Return the confusion matrix, and ROC and precision-recall curves where they are defined.

    Args:
        truth: ordinal classes, `(samples,)`.
        predicted: ordinal classes, `(samples,)`.
        probabilities: `(samples,)` of class 1, or `(samples, classes)`.
        class_count: how many classes there are.

    Returns:
        `confusion_matrix`: classes × classes, rows true, columns predicted.
        `roc_curve`, `precision_recall`: `{class: {x name: […], y name: […]}}`, for two classes of
        class 1 alone; a class that is absent, or alone, has none.
    """
    classes = list(range(class_count))
    matrix = metrics.confusion_matrix(truth, predicted, labels=classes)
    data: dict[str, Any] = {
        "confusion_matrix": matrix.tolist(),
        "roc_curve": {},
        "precision_recall": {},
    }
    if probabilities is None or not np.isfinite(probabilities).all():
        return data
    scores = {1: probabilities} if probabilities.ndim == 1 else dict(enumerate(probabilities.T))
    for code, score in scores.items():
        is_class = truth == code
        if not is_class.any() or is_class.all():
            continue
        fpr, tpr, _ = metrics.roc_curve(is_class, score)
        precision, recall, _ = metrics.precision_recall_curve(is_class, score)
        data["roc_curve"][code] = {"fpr": fpr.tolist(), "tpr": tpr.tolist()}
        data["precision_recall"][code] = {
            "precision": precision.tolist(),
            "recall": recall.tolist(),
        }
    return data
