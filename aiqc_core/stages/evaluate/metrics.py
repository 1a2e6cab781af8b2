"""Metrics of predictions, unrounded; NaN with a reason where undefined."""

from __future__ import annotations

import math
import statistics
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiqc_core.stages.preprocess.values import Floats, Ints

NAN = math.nan
BINARY = 2


@dataclass(frozen=True, slots=True)
class Scores:
    """`{metric: value}` of one split, and `{metric: reason}` for NaN and conventional values."""

    values: dict[str, float]
    notes: dict[str, str] = field(default_factory=dict)


def classification(
    truth: Ints,
    predicted: Ints,
    probabilities: Floats | None,
    class_count: int,
    *,
    binary: bool,
    positive: int = 1,
    names: Sequence[Any] | None = None,
) -> Scores:
    """Score a classification.

    Args:
        truth: ordinal classes, `(samples,)`.
        predicted: ordinal classes, `(samples,)`.
        probabilities: binary `(samples,)` of class 1, multi `(samples, classes)`.
        class_count: how many classes there are, absent ones included.
        binary: of the positive class alone; else over classes, weighted by their samples.
        positive: the code of the positive one of two classes; ROC AUC does not depend on it.
        names: the names of the classes in notes, by code; the codes by default.

    Returns:
        `accuracy, f1, precision, recall, roc_auc`. Precision, recall and f1 are 0 where their
        denominator is 0, as scikit-learn's `zero_division=0`. ROC AUC of several classes is one
        against the rest, weighted; it is NaN where a class is absent.
    """
    from sklearn import metrics

    average = "binary" if binary else "weighted"
    options: dict[str, Any] = {"average": average, "zero_division": 0, "pos_label": positive}
    if not binary:
        options["labels"] = list(range(class_count))
    values = {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "f1": float(metrics.f1_score(truth, predicted, **options)),
        "precision": float(metrics.precision_score(truth, predicted, **options)),
        "recall": float(metrics.recall_score(truth, predicted, **options)),
    }
    named = list(range(class_count) if names is None else names)
    area, reason = _roc_auc(truth, probabilities, named, binary=binary)
    notes = {"roc_auc": reason} if reason else {}
    if missed := _absent(predicted, named):
        notes["precision"] = f"classes {missed} are never predicted: their precision counts as 0"
    return Scores(values | {"roc_auc": area}, notes)


def regression(truth: Floats, predicted: Floats) -> Scores:
    """Score a regression in its own units; both are `(samples, columns)` or `(samples,)`.

    Returns:
        `explained_variance, mae, mse, r2, rmse`, means over columns. r2 and explained variance are
        NaN for one sample or a constant target.
    """
    names = ("explained_variance", "mae", "mse", "r2", "rmse")
    truth, predicted = truth.reshape(len(truth), -1), predicted.reshape(len(predicted), -1)
    if not np.isfinite(predicted).all():
        reason = "predictions are not finite"
        return Scores(dict.fromkeys(names, NAN), dict.fromkeys(names, reason))
    errors = predicted - truth
    mse = float(np.mean(errors**2))
    values = {"mae": float(np.mean(np.abs(errors))), "mse": mse, "rmse": math.sqrt(mse)}
    if reason := _no_variance(truth):
        undefined = ("explained_variance", "r2")
        return Scores(values | dict.fromkeys(undefined, NAN), dict.fromkeys(undefined, reason))
    from sklearn import metrics

    values["explained_variance"] = float(metrics.explained_variance_score(truth, predicted))
    return Scores(values | {"r2": float(metrics.r2_score(truth, predicted))})


def aggregate(by_split: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean, median, pstdev, minimum and maximum of each metric over the splits.

    All are NaN when one split's value is NaN: without it they would look better than they are.
    """
    names = list(dict.fromkeys(name for values in by_split.values() for name in values))
    return {
        name: _statistics([values[name] for values in by_split.values() if name in values])
        for name in names
    }


def _statistics(values: list[float]) -> dict[str, float]:
    names = ("mean", "median", "pstdev", "minimum", "maximum")
    if any(math.isnan(value) for value in values):
        return dict.fromkeys(names, NAN)
    spread = NAN if any(math.isinf(value) for value in values) else statistics.pstdev(values)
    middles = statistics.fmean(values), statistics.median(values)
    return dict(zip(names, (*middles, spread, min(values), max(values)), strict=True))


def _roc_auc(
    truth: Ints, probabilities: Floats | None, named: list[Any], *, binary: bool
) -> tuple[float, str | None]:
    if probabilities is None:
        return NAN, "the model gives no probabilities"
    if not np.isfinite(probabilities).all():
        return NAN, "probabilities are not finite"
    class_count = len(named)
    if absent := _absent(truth, named):
        return NAN, f"classes {absent} have no sample in this split"
    from sklearn import metrics
    from sklearn.exceptions import UndefinedMetricWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        if binary or class_count == BINARY:
            score = probabilities if binary else probabilities[:, 1]
            return float(metrics.roc_auc_score(truth, score)), None
        areas = [
            metrics.roc_auc_score(truth == c, probabilities[:, c]) for c in range(class_count)
        ]
    return float(np.average(areas, weights=np.bincount(truth, minlength=class_count))), None


def _absent(codes: Ints, named: list[Any]) -> list[Any]:
    """Return the classes with no such code."""
    present = set(codes.tolist())
    return [name for code, name in enumerate(named) if code not in present]


def _no_variance(truth: Floats) -> str | None:
    if len(truth) == 1:
        return "one sample has no variance to explain"
    if (np.ptp(truth, axis=0) == 0).any():
        return "the target is constant in this split"
    return None
