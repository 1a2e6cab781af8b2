"""The best against the second: the corrected t by hand, and where nothing can be decided."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate.compare import Candidate, best_two, corrected_t

# Two classifiers on five folds, by hand: differences 3, 1, 2, 2, 4 hundredths.
LEFT = [0.93, 0.90, 0.92, 0.91, 0.95]
RIGHT = [0.90, 0.89, 0.90, 0.89, 0.91]


def folds(values: list[float]) -> dict[int, list[float]]:
    """Return scores of one repeat a fold."""
    return {index: [value] for index, value in enumerate(values)}


def compared(*scores: Any, **options: Any) -> Any:
    """Compare combinations named a, b, c… by accuracy."""
    candidates = [Candidate(name, s) for name, s in zip("abc", scores, strict=False)]
    chosen: dict[str, Any] = {"metric": "accuracy", "split": "fold_validation", "test_share": 0.25}
    return best_two(candidates, **(chosen | options))


def test_the_statistic_is_that_of_nadeau_and_bengio_worked_by_hand() -> None:
    """Mean 0.024, S² = 0.00013; (1/5 + 1/4) S² = 0.0000585; t = 0.024 / 0.0076485."""
    found = compared(folds(RIGHT), folds(LEFT))
    assert (found.best, found.second, found.folds, found.df) == ("b", "a", 5, 4)
    assert found.difference == pytest.approx(0.024)
    assert found.standard_error == pytest.approx(math.sqrt(0.0000585))
    assert found.t == pytest.approx(3.13786, abs=1e-5)
    # The quantile 0.975 of t with 4 degrees of freedom is 2.77645 in every table.
    assert found.high - found.difference == pytest.approx(2.77645 * found.standard_error, rel=1e-5)
    assert found.p_value == pytest.approx(2 * stats.t.sf(3.13786, 4), rel=1e-4)
    assert found.is_better is True
    assert found.verdict.startswith("b beats a: accuracy differs by +0.024 (95% interval +0.00")
    assert "over 5 folds, p = 0.03" in found.verdict


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=12).filter(lambda v: np.ptp(v) > 0.01))
def test_without_correction_it_is_the_paired_t_test_and_the_correction_only_widens(
    differences: list[float],
) -> None:
    values = np.array(differences)
    plain = corrected_t(values, test_share=0.0, level=0.9)
    expected: Any = stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(0.9)
    assert plain.t == pytest.approx(expected.statistic)
    assert plain.p_value == pytest.approx(expected.pvalue)
    assert (plain.low, plain.high) == pytest.approx((interval.low, interval.high))
    wider = corrected_t(values, test_share=0.25, level=0.9)
    assert wider.standard_error > plain.standard_error
    assert wider.p_value >= plain.p_value


def test_repeats_of_a_fold_count_as_one_look_at_its_rows() -> None:
    """Five repeats that agree would shrink the error of a naive test; here they change nothing."""
    many = [{f: s * 5 for f, s in folds(v).items()} for v in (LEFT, RIGHT)]
    one, five = compared(folds(LEFT), folds(RIGHT)), compared(*many)
    assert (five.df, five.folds, five.best) == (one.df, one.folds, one.best)
    assert (five.t, five.p_value) == pytest.approx((one.t, one.p_value))


def test_of_an_error_the_lowest_is_best() -> None:
    found = compared(folds([0.2, 0.3, 0.4]), folds([0.1, 0.25, 0.2]), metric="mse_decoded")
    assert found.best == "b"
    assert found.difference == pytest.approx(-0.35 / 3)


def test_a_lead_that_may_be_chance_is_called_so() -> None:
    found = compared(folds([0.9, 0.7, 0.8]), folds([0.8, 0.8, 0.75]))
    assert found.is_better is False
    assert "a leads b, which may be chance" in found.verdict
    assert found.low < 0 < found.high


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ([], "nothing is trained"),
        ([folds(LEFT)], "only a is trained"),
        ([{0: [0.9, 0.8]}, {0: [0.7, 0.6]}], r"1 shared fold\(s\).*fold_count=5"),
        ([{0: [0.9], 1: [0.9]}, {2: [0.7], 3: [0.6]}], r"0 shared fold\(s\)"),
        ([folds([0.9, 0.8]), folds([0.7, 0.6])], "the same, 0.2, in all 2 folds"),
        ([folds([3e9, 1e9 + 1]), folds([3e9 - 0.1, 1e9 + 0.9])], "the same, 0.0999999, in all 2"),
        ([folds([0.9, 0.8]), folds([0.9, 0.8])], "the same, 0, in all 2 folds"),
        ([folds([0.9, 0.8, 0.7]), folds([math.nan, 0.8, 0.7])], r"not finite.*in 1 fold\(s\)"),
    ],
)
def test_what_cannot_be_decided_says_why(scores: list[Any], reason: str) -> None:
    found = compared(*scores)
    assert found.is_better is None
    assert math.isnan(found.p_value)
    assert found.verdict.startswith("Cannot tell because ")
    assert re.search(reason, found.verdict)


def test_a_combination_with_a_nan_is_never_the_best() -> None:
    found = compared(folds([math.nan, 1.0, 1.0]), folds(LEFT[:3]), folds(RIGHT[:3]))
    assert (found.best, found.second) == ("b", "c")


def test_a_combination_that_lacks_folds_is_behind_those_that_have_all() -> None:
    """A pruner stopped it after the easy fold."""
    found = compared({4: [0.99]}, folds(LEFT), folds(RIGHT))
    assert (found.best, found.second) == ("b", "c")


def test_equal_models_are_seldom_called_different() -> None:
    """Simulated: folds of one data set share rows, so differences correlate by n_test/n_total.

    The uncorrected test calls chance a difference far more often than it says.
    """
    generator = np.random.default_rng(0)
    rows, count = 2000, 5
    shared, own = math.sqrt(0.2), math.sqrt(0.8)
    draws = shared * generator.normal(size=(rows, 1)) + own * generator.normal(size=(rows, count))
    naive = [corrected_t(d, test_share=0.0).p_value < 0.05 for d in draws]
    corrected = [corrected_t(d, test_share=0.25).p_value < 0.05 for d in draws]
    assert np.mean(naive) > 0.1
    assert np.mean(corrected) == pytest.approx(0.05, abs=0.02)


@pytest.mark.parametrize("level", [0, 1, 95])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(SelectionError, match=r"level: .*between 0 and 1"):
        compared(folds(LEFT), folds(RIGHT), level=level)
