"""The one metric by which models are ranked where nobody chose another."""

from __future__ import annotations


def leading_metric(analysis_type: str) -> str:
    """Return `'r2'` for regressions and `'accuracy'` for classifications; higher is better."""
    return "r2" if analysis_type == "regression" else "accuracy"
