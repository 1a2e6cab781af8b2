"""Drift: whether new rows still look like those that a model learned from.

Each column gets the population stability index (Siddiqi 2006, "Credit Risk Scorecards", chapter 9:
below 0.1 no shift, above 0.25 a shift) and a test that both samples come from one distribution:
Kolmogorov-Smirnov for numbers (Hodges 1958), Pearson's χ² for categories. The index gives the
verdict, since with many rows a test finds differences that do not matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pandas.api import types

from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate.checks import FAILED, PASSED, WARNING, Finding

if TYPE_CHECKING:
    import pandas as pd

    from aiqc_core.stages.preprocess.values import Array

BINS = 10
MODERATE, MAJOR = 0.1, 0.25
# A share of nothing would make the index infinite: half a row of the smaller sample is assumed.
HALF_A_ROW = 0.5
CONTINUOUS_FROM = 20  # fewer distinct numbers than this are counted as categories


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """The drift of one column; statistic and p-value are NaN where the test is undefined."""

    column: str
    psi: float  # population stability index, ≥ 0
    test: str  # `'Kolmogorov-Smirnov'` or `'chi-squared'`
    statistic: float
    p_value: float
    missing_before: float  # share of blanks in the training rows
    missing_now: float  # share of blanks in the new rows

    @property
    def verdict(self) -> str:
        """`'passed'`, `'warning'` from 0.1, `'failed'` above 0.25."""
        return FAILED if self.psi > MAJOR else WARNING if self.psi >= MODERATE else PASSED


def psi(before: Array, now: Array) -> float:
    """Return the population stability index of counts in the same bins.

    Σ (qᵢ - pᵢ) ln(qᵢ / pᵢ), p the shares before and q those now; symmetric, 0 for equal shares.
    """
    floor = HALF_A_ROW / max(min(before.sum(), now.sum()), 1)
    p = np.maximum(before / max(before.sum(), 1), floor)
    q = np.maximum(now / max(now.sum(), 1), floor)
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def compare(before: pd.DataFrame, now: pd.DataFrame) -> list[ColumnDrift]:
    """Compare the columns of training rows with those of new rows, in any order.

    Blanks are a bin of their own. Numbers with 20 or more distinct values are cut at the deciles
    of `before`; columns with fewer are counted by value.

    Returns:
        One entry a column, the largest drift first.

    Raises:
        SelectionError: a column is missing, or there are no rows.
    """
    missing = [name for name in before.columns if name not in now.columns]
    if missing or not len(before) or not len(now):
        rows = f"drift needs rows on both sides; there are {len(before)} and {len(now)}."
        raise SelectionError(f"now: columns {missing} are missing." if missing else rows)
    drifts = [_column(str(name), before[name], now[name]) for name in before.columns]
    return sorted(drifts, key=lambda drift: (-drift.psi, drift.column))


def verdict(drifts: list[ColumnDrift]) -> Finding:
    """Return the verdict on all columns: the worst of them, named."""
    moved = [drift for drift in drifts if drift.verdict != PASSED]
    rows: list[dict[str, Any]] = [
        {
            "column": d.column, "PSI": d.psi, "test": d.test, "statistic": d.statistic,
            "p": d.p_value, "blank before": d.missing_before, "blank now": d.missing_now,
        }
        for d in drifts
    ]  # fmt: skip
    facts = {"drifted_columns": len(moved), "largest_psi": drifts[0].psi, "columns": rows}
    if not moved:
        return Finding(PASSED, f"None of {len(drifts)} columns moved (PSI below 0.1).", facts)
    worst: Any = moved[0].verdict
    named = ", ".join(f"{d.column} (PSI {d.psi:.2f})" for d in moved[:5])
    summary = f"{len(moved)} of {len(drifts)} columns moved against the training rows: {named}."
    return Finding(worst, summary, facts)


def _column(name: str, before: Any, now: Any) -> ColumnDrift:
    blank = float(before.isna().mean()), float(now.isna().mean())
    known = before.dropna(), now.dropna()
    numeric = all(types.is_numeric_dtype(s) and not types.is_bool_dtype(s) for s in known)
    continuous = numeric and known[0].nunique() >= CONTINUOUS_FROM
    test = "Kolmogorov-Smirnov" if continuous else "chi-squared"
    counts, found = (_numbers if continuous else _categories)(*known)
    statistic, p_value = (math.nan, math.nan) if found is None else map(float, found)
    blanks = np.array([[before.isna().sum()], [now.isna().sum()]])
    with_blanks = np.hstack([counts, blanks]) if blanks.any() else counts
    return ColumnDrift(name, psi(*with_blanks), test, statistic, p_value, *blank)


def _numbers(before: pd.Series, now: pd.Series) -> tuple[Array, Any]:
    """Return counts by bin, and statistic and p-value of the test."""
    from scipy import stats

    a, b = before.to_numpy(dtype=float), now.to_numpy(dtype=float)
    edges = np.unique(np.quantile(a, np.linspace(0, 1, BINS + 1)[1:-1]))
    counts = np.array([
        np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        for values in (a, b)
    ])  # fmt: skip
    return counts, stats.ks_2samp(a, b)[:2] if len(b) else None


def _categories(before: pd.Series, now: pd.Series) -> tuple[Array, Any]:
    """Return counts by category, and statistic and p-value of the test."""
    from scipy import stats

    texts = [series.astype(str) for series in (before, now)]
    values = sorted(set(texts[0]) | set(texts[1]))
    counts = np.array([
        series.value_counts().reindex(values, fill_value=0).to_numpy() for series in texts
    ])  # fmt: skip
    if len(values) < 2 or not all(counts.sum(axis=1)):  # noqa: PLR2004 - nothing to tell apart
        return counts, None
    return counts, stats.chi2_contingency(counts, correction=False)[:2]
