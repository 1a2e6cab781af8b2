"""The one metric by which models are ranked where nobody chose another, and which way is up."""

from __future__ import annotations

from typing import Any

OF_POSITIVE = frozenset({"f1", "precision", "recall"})
ERRORS = frozenset({"loss", "mae", "mse", "rmse"})


def leading_metric(analysis_type: str) -> str:
    """Return `'r2'` for regressions and `'accuracy'` for classifications; higher is better."""
    return "r2" if analysis_type == "regression" else "accuracy"


def told(metric: str, positive: Any) -> str:
    """Return what a metric is called: with the positive class, where it is of that alone.

    >>> told("recall", "fraud"), told("accuracy", "fraud"), told("recall", None)
    ("recall of 'fraud'", 'accuracy', 'recall')
    """
    return metric if positive is None or metric not in OF_POSITIVE else f"{metric} of {positive!r}"


def lower_is_better(metric: str) -> bool:
    """Say whether a metric counts errors, so that the best model has the least of it.

    >>> lower_is_better("mse_decoded"), lower_is_better("r2")
    (True, False)
    """
    return metric.removesuffix("_decoded") in ERRORS
