"""Whether probabilities of two classes mean what they say, and what each threshold would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from aiqc_core.stages.preprocess.values import Floats, Ints

BIN_COUNT = 10
HALF = 0.5
MOST_THRESHOLDS = 200


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
    steps = _steps(probabilities)
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


def _steps(probabilities: Floats) -> Floats:
    distinct = np.unique(probabilities)[:-1]  # beyond the highest none is called positive
    room = MOST_THRESHOLDS - 2
    if len(distinct) > room:
        distinct = distinct[np.linspace(0, len(distinct) - 1, room).round().astype(int)]
    return np.unique([0.0, HALF, *distinct])
