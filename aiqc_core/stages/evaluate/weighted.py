"""Metrics of many resamples at once.

Each function returns a function of `weights`, `(resamples, samples)`, how often each sample was
drawn. That gives `{metric: (resamples,)}`, equal to `metrics` of samples repeated so often; NaN
where a metric is undefined. The other arguments are those of `metrics`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from scipy import sparse

    from aiqc_core.stages.preprocess.values import Array, Floats, Ints

    Metrics = Callable[[Floats], dict[str, Floats]]

NAN = np.nan
BINARY = 2


def classification(
    truth: Ints,
    predicted: Ints,
    probabilities: Floats | None,
    class_count: int,
    *,
    binary: bool,
    positive: int = 1,
) -> Metrics:
    """Return the function of weights that scores a classification."""
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
        averaged = {
            name: values[:, positive] if binary else (values * support).sum(axis=1) / total
            for name, values in by_class.items()
        }
        averaged["accuracy"] = hits.sum(axis=1) / total
        if probabilities is not None:
            areas = _areas(weights, truth, probabilities, support)
            averaged["roc_auc"] = np.where((support > 0).all(axis=1), areas, NAN)
        return averaged

    return score


def log_loss(truth: Ints, probabilities: Floats) -> Metrics:
    """Return the function of weights that gives the cross-entropy of probabilities."""
    if probabilities.ndim == 1:
        probabilities = np.column_stack([1 - probabilities, probabilities])
    of_true = probabilities[np.arange(len(truth)), truth]
    each = -np.log(np.clip(of_true, np.finfo(float).eps, 1.0))

    def score(weights: Floats) -> dict[str, Floats]:
        return {"log_loss": weights @ each / weights.sum(axis=1)}

    return score


def regression(truth: Floats, predicted: Floats) -> Metrics:
    """Return the function of weights that scores a regression."""
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


def _one_hot(codes: Ints, values: Floats, class_count: int) -> sparse.csr_array:
    from scipy import sparse

    rows = np.arange(len(codes))
    return sparse.csr_array((values, (rows, codes)), shape=(len(codes), class_count))


def _ratio(part: Floats, whole: Floats, otherwise: float) -> Floats:
    return np.divide(part, whole, out=np.full(part.shape, otherwise), where=whole > 0)


def _areas(weights: Floats, truth: Ints, probabilities: Floats, support: Floats) -> Floats:
    if probabilities.ndim == 1:
        return area(weights, truth == 1, probabilities)
    if probabilities.shape[1] == BINARY:
        return area(weights, truth == 1, probabilities[:, 1])
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
