"""Metrics of predictions, unrounded: of one split, and of many resamples of it at once.

A scorer is a function of `weights`, `(resamples, samples)`, how often each sample was drawn. It
gives `{metric: (resamples,)}`, equal to the metrics of samples repeated so often; NaN where a
metric is undefined.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.analysis import AnalysisType
from aiqc_core.stages.evaluate import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aiqc_core.stages.preprocess.pipeline import FittedLabel
    from aiqc_core.stages.preprocess.samples import Target
    from aiqc_core.stages.preprocess.values import Array, Floats, Ints

    Scorer = Callable[[Floats], dict[str, Floats]]

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
        denominator is 0. ROC AUC of several classes is one against the rest, weighted; it is NaN
        where a class is absent.
    """
    score = classification_scorer(
        truth, predicted, None, class_count, binary=binary, positive=positive
    )
    values = {name: float(of[0]) for name, of in score(np.ones((1, len(truth)))).items()}
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
    if len(truth) == 1 or (np.ptp(truth, axis=0) == 0).any():
        one = "one sample has no variance to explain"
        reason = one if len(truth) == 1 else "the target is constant in this split"
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
    """Return the area and, where it is NaN, the reason."""
    if probabilities is None:
        return NAN, "the model gives no probabilities"
    if not np.isfinite(probabilities).all():
        return NAN, "probabilities are not finite"
    if absent := _absent(truth, named):
        return NAN, f"classes {absent} have no sample in this split"
    from sklearn import metrics

    if binary or len(named) == BINARY:
        score = probabilities if binary else probabilities[:, 1]
        return float(metrics.roc_auc_score(truth, score)), None
    areas = [metrics.roc_auc_score(truth == c, share) for c, share in enumerate(probabilities.T)]
    return float(np.average(areas, weights=np.bincount(truth, minlength=len(named)))), None


def _absent(codes: Ints, named: list[Any]) -> list[Any]:
    """Return the classes with no such code."""
    present = set(codes.tolist())
    return [name for code, name in enumerate(named) if code not in present]


def classification_scorer(
    truth: Ints,
    predicted: Ints,
    probabilities: Floats | None,
    class_count: int,
    *,
    binary: bool,
    positive: int = 1,
) -> Scorer:
    """Return the scorer of a classification; arguments and metrics are those of `classification`.

    Without probabilities it gives no ROC AUC.
    """
    each = np.ones(len(truth))
    true, called = (_one_hot(codes, each, class_count) for codes in (truth, predicted))
    hit = _one_hot(truth, (truth == predicted).astype(float), class_count)

    def score(weights: Floats) -> dict[str, Floats]:
        support, predictions, hits = ((part.T @ weights.T).T for part in (true, called, hit))
        by_class = {
            "f1": _ratio(2 * hits, support + predictions, 0.0),
            "precision": _ratio(hits, predictions, 0.0),
            "recall": _ratio(hits, support, 0.0),
        }
        total = weights.sum(axis=1)
        found = {"accuracy": hits.sum(axis=1) / total}
        for name, values in by_class.items():
            averaged = values[:, positive] if binary else (values * support).sum(axis=1) / total
            found[name] = averaged
        if probabilities is not None:
            areas = _areas(weights, truth, probabilities, support)
            found["roc_auc"] = np.where((support > 0).all(axis=1), areas, NAN)
        return found

    return score


def log_loss_scorer(truth: Ints, probabilities: Floats) -> Scorer:
    """Return the scorer that gives the cross-entropy of probabilities, `log_loss`."""
    if probabilities.ndim == 1:
        probabilities = np.column_stack([1 - probabilities, probabilities])
    of_true = probabilities[np.arange(len(truth)), truth]
    each = -np.log(np.clip(of_true, np.finfo(float).eps, 1.0))
    return lambda weights: {"log_loss": weights @ each / weights.sum(axis=1)}


def regression_scorer(truth: Floats, predicted: Floats) -> Scorer:
    """Return the scorer of a regression; arguments and metrics are those of `regression`."""
    truth, predicted = truth.reshape(len(truth), -1), predicted.reshape(len(predicted), -1)
    errors = predicted - truth
    centred = truth - truth.mean(axis=0)  # a variance by squares is exact only near zero

    def score(weights: Floats) -> dict[str, Floats]:
        shares = weights / weights.sum(axis=1, keepdims=True)
        mse = shares @ errors**2
        # A resample may hold one value alone: its spread is then rounding, and no variance.
        spread = shares @ centred**2 - (shares @ centred) ** 2
        noise = len(truth) * np.finfo(float).eps * (shares @ centred**2)
        spread = np.where(spread > noise, spread, NAN)
        unexplained = mse - (shares @ errors) ** 2
        overall = mse.mean(axis=1)
        return {
            "explained_variance": (1 - unexplained / spread).mean(axis=1),
            "mae": (shares @ np.abs(errors)).mean(axis=1),
            "mse": overall,
            "r2": (1 - mse / spread).mean(axis=1),
            "rmse": np.sqrt(overall),
        }

    return score


def record_scorer(
    analysis_type: str,
    label: FittedLabel | Target,
    truth: Array,
    predictions: Array,
    probabilities: Floats | None,
) -> Scorer:
    """Return the scorer of a split from its record.

    For a label with an encoder it also gives `<metric>_decoded`, in the label's own units. `truth`
    is encoded, `(samples, …)`, and `predictions` are in the label's own values.
    """
    if analysis_type == AnalysisType.REGRESSION:
        return _record_regression(label, np.asarray(truth, dtype=np.float64), predictions)
    classes = getattr(label, "classes", None) or ()
    return classification_scorer(
        decode.to_ordinal(np.asarray(truth)),
        decode.from_classes(predictions, classes),
        probabilities,
        len(classes),
        binary=analysis_type == AnalysisType.BINARY,
        positive=getattr(label, "positive_code", 1),
    )


def _record_regression(label: FittedLabel | Target, truth: Floats, predictions: Array) -> Scorer:
    if not decode.is_encoded(label):
        return regression_scorer(truth, predictions.astype(float).reshape(truth.shape))
    original = decode.to_units(label, truth)
    predicted = predictions.reshape(original.shape)
    numbers = decode.numeric(original, predicted)
    in_units = regression_scorer(*numbers) if numbers[0].size else None
    back = decode.from_units(label, predicted)
    computed = np.full(truth.shape, np.nan) if back is None else back
    as_learned = regression_scorer(truth, computed.reshape(truth.shape))

    def score(weights: Floats) -> dict[str, Floats]:
        decoded = {} if in_units is None else in_units(weights)
        return as_learned(weights) | {f"{name}_decoded": v for name, v in decoded.items()}

    return score


def _one_hot(codes: Ints, values: Floats, class_count: int) -> Any:
    from scipy import sparse

    rows = np.arange(len(codes))
    return sparse.csr_array((values, (rows, codes)), shape=(len(codes), class_count))


def _ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0)


def _areas(weights: Floats, truth: Ints, probabilities: Floats, support: Floats) -> Floats:
    if probabilities.ndim == 1 or probabilities.shape[1] == BINARY:
        return area(weights, truth == 1, probabilities.reshape(len(truth), -1)[:, -1])
    each = [area(weights, truth == c, p) for c, p in enumerate(probabilities.T)]
    return (np.column_stack(each) * support).sum(axis=1) / support.sum(axis=1)


def area(weights: Floats, positive: Array, score: Floats) -> Floats:
    """Return the area under the ROC curve of each resample, `(resamples,)`.

    It is the chance that a positive scores above a negative, ties counting half: the
    Mann-Whitney U over the number of pairs (Hanley & McNeil 1982, Radiology 143). `positive` and
    `score` are `(samples,)`.
    """
    order = np.argsort(score, kind="stable")
    ordered, ranked = score[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    hits = np.add.reduceat(ranked * positive[order], starts, axis=1)
    rest = np.add.reduceat(ranked * ~positive[order], starts, axis=1)
    below = np.cumsum(rest, axis=1) - rest / 2
    pairs = hits.sum(axis=1) * rest.sum(axis=1)
    return _ratio((hits * below).sum(axis=1), pairs, NAN)
