"""Drift of new rows against the rows that a model learned from."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate import drift

RNG = np.random.default_rng(3)
counts = st.lists(st.integers(0, 500), min_size=3, max_size=3).filter(lambda c: sum(c) > 5)


@given(counts, counts)
def test_the_index_is_symmetric_never_negative_and_zero_for_equal_shares(
    a: list[int], b: list[int]
) -> None:
    one, other = np.array(a), np.array(b)
    assert drift.psi(one, other) >= 0
    assert drift.psi(one, other) == pytest.approx(drift.psi(other, one))
    assert drift.psi(one, one) == pytest.approx(0)


def test_the_index_of_numbers_equals_a_written_loop_over_deciles() -> None:
    before, now = RNG.normal(size=1000), RNG.normal(0.5, 1.2, size=700)
    (found,) = drift.compare(pd.DataFrame({"x": before}), pd.DataFrame({"x": now}))
    edges = [-math.inf, *np.quantile(before, np.arange(1, 10) / 10), math.inf]
    expected = 0.0
    for low, high in pairwise(edges):
        p = sum(low <= v < high for v in before) / len(before)
        q = sum(low <= v < high for v in now) / len(now)
        expected += (q - p) * math.log(q / p)
    assert found.psi == pytest.approx(expected)
    assert found.test == "Kolmogorov-Smirnov"
    assert found.p_value == pytest.approx(stats.ks_2samp(before, now).pvalue)


def test_categories_are_tested_by_chi_squared_over_all_values_of_both() -> None:
    before = pd.DataFrame({"c": ["a"] * 60 + ["b"] * 40})
    now = pd.DataFrame({"c": ["a"] * 30 + ["b"] * 60 + ["new"] * 10})
    (found,) = drift.compare(before, now)
    table = [[60, 40, 0], [30, 60, 10]]
    assert found.test == "chi-squared"
    assert found.statistic == pytest.approx(stats.chi2_contingency(table, correction=False)[0])
    assert found.verdict == "failed"


def test_rows_of_one_distribution_pass_and_a_moved_column_is_named_first() -> None:
    before = pd.DataFrame(RNG.normal(size=(2000, 3)), columns=list("abc"))
    now = pd.DataFrame(RNG.normal(size=(2000, 3)), columns=list("cab"))
    assert drift.verdict(drift.compare(before, now)).verdict == "passed"
    finding = drift.verdict(drift.compare(before, now.assign(b=now["b"] + 3)))
    assert finding.verdict == "failed"
    assert "b (PSI" in finding.summary
    assert finding.facts["drifted_columns"] == 1


def test_blanks_that_were_not_there_before_are_drift() -> None:
    before = pd.DataFrame({"x": RNG.normal(size=500)})
    now = before.mask(np.arange(500)[:, None] < 250)
    (found,) = drift.compare(before, now)
    assert found.missing_now == 0.5
    assert found.verdict == "failed"


def test_a_constant_column_and_one_without_values_give_no_test_and_no_crash() -> None:
    before = pd.DataFrame({"x": [1.0] * 30, "y": RNG.normal(size=30)})
    now = pd.DataFrame({"x": [1.0] * 30, "y": [math.nan] * 30})
    found = {each.column: each for each in drift.compare(before, now)}
    assert found["x"].psi == pytest.approx(0)
    assert math.isnan(found["x"].p_value)
    assert found["y"].verdict == "failed"


def test_missing_columns_and_no_rows_are_refused() -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0]})
    with pytest.raises(SelectionError, match=r"columns \['x'\] are missing"):
        drift.compare(frame, pd.DataFrame({"z": [1.0]}))
    with pytest.raises(SelectionError, match="needs rows on both sides"):
        drift.compare(frame, frame.iloc[:0])
