"""Intervals against distributions that are known, and what cannot have one."""

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
from aiqc_core.stages.evaluate import bootstrap, metrics
from aiqc_core.stages.evaluate.bootstrap import Units, grouped, intervals, runs


def found(
    score: Any, samples: int, values: dict[str, float], **options: Any
) -> dict[str, bootstrap.Interval]:
    """Return the intervals by metric."""
    chosen: dict[str, Any] = {"units": Units(), "level": 0.95, "resamples": 1000, "seed": 1}
    return {i.metric: i for i in intervals(score, samples, values, **(chosen | options))}


def accuracy_of(right: int, samples: int) -> Any:
    """Return the scores of a classification with so many right answers."""
    truth = np.arange(samples) % 2
    predicted = np.where(np.arange(samples) < right, truth, 1 - truth)
    return metrics.classification_scorer(truth, predicted, None, 2, binary=True)


@pytest.mark.parametrize(("right", "level"), [(80, 0.95), (50, 0.9), (97, 0.5)])
def test_of_an_accuracy_it_runs_between_quantiles_of_the_binomial(
    right: int, level: float
) -> None:
    """A resample of n answers has Binomial(n, accuracy) right ones: no simulation needed."""
    interval = found(
        accuracy_of(right, 100), 100, {"accuracy": right / 100}, level=level, resamples=20_000
    )["accuracy"]
    expected = stats.binom(100, right / 100).ppf([(1 - level) / 2, (1 + level) / 2]) / 100
    assert (interval.low, interval.high) == pytest.approx(tuple(expected), abs=0.0101)
    assert (interval.resamples, interval.undefined, interval.note) == (20_000, 0, None)


def test_of_a_mean_error_it_is_what_scipy_draws() -> None:
    errors = np.random.default_rng(3).gamma(2.0, size=60)
    score = metrics.regression_scorer(np.zeros(60), errors)
    interval = found(score, 60, {"mae": float(errors.mean())}, resamples=9999)["mae"]
    draws: Any = stats.bootstrap(
        (errors,), np.mean, method="percentile", n_resamples=9999,
        rng=np.random.default_rng(5),
    )  # fmt: skip
    limits = draws.confidence_interval
    assert (interval.low, interval.high) == pytest.approx((limits.low, limits.high), rel=0.01)


def test_it_holds_the_truth_as_often_as_its_level_says() -> None:
    """Two hundred samples of a known mean error; nine in ten intervals hold it."""
    generator = np.random.default_rng(0)
    held = 0
    for index in range(200):
        errors = generator.normal(5.0, 1.0, 50)
        score = metrics.regression_scorer(np.zeros(50), errors)
        values = {"mae": float(errors.mean())}
        interval = found(score, 50, values, level=0.9, resamples=400, seed=index)["mae"]
        held += interval.low <= 5.0 <= interval.high
    assert held / 200 == pytest.approx(0.9, abs=0.06)


def test_groups_are_drawn_whole_and_widen_the_interval() -> None:
    """Ten patients of ten equal rows are ten observations, not a hundred."""
    patients = np.repeat(np.arange(10), 10)
    drawn = bootstrap.weights(grouped(patients, "patient"), 100, 50, np.random.default_rng(0))
    assert all(
        (drawn[:, patients == p] == drawn[:, patients == p][:, :1]).all() for p in range(10)
    )
    assert (drawn.sum(axis=1) == 100).all()
    score = metrics.regression_scorer(np.zeros(100), np.repeat(np.arange(10.0), 10))
    alone = found(score, 100, {"mae": 4.5})["mae"]
    together = found(score, 100, {"mae": 4.5}, units=grouped(patients, "patient"))["mae"]
    # The error of a mean grows by the square root of the rows in a group.
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(
        math.sqrt(10), rel=0.2
    )


@given(st.integers(1, 40), st.integers(1, 12))
def test_runs_are_neighbours_that_wrap_around(samples: int, length: int) -> None:
    units = Units("runs", run_length=length)
    drawn = bootstrap.weights(units, samples, 30, np.random.default_rng(1))
    assert drawn.shape == (30, samples)
    assert (drawn.sum(axis=1) == samples).all()
    # Each sample is as likely as any other, the first and the last too.
    many = bootstrap.weights(units, samples, 3000, np.random.default_rng(1)).mean(axis=0)
    assert many == pytest.approx(np.ones(samples), abs=0.35)


def test_runs_of_a_slow_wave_widen_the_interval() -> None:
    errors = np.sin(np.arange(1000) / 50) + 2
    score = metrics.regression_scorer(np.zeros(1000), errors)
    values = {"mae": float(errors.mean())}
    alone = found(score, 1000, values)["mae"]
    together = found(score, 1000, values, units=runs(1000, overlap=20))["mae"]
    assert (together.high - together.low) > 3 * (alone.high - alone.low)


@pytest.mark.parametrize(
    ("samples", "overlap", "length"), [(1, 1, 1), (27, 1, 3), (27, 8, 8), (10**6, 5, 100)]
)
def test_a_run_is_the_cube_root_and_no_shorter_than_windows_overlap(
    samples: int, overlap: int, length: int
) -> None:
    assert runs(samples, overlap).run_length == length


def test_resamples_without_a_class_are_left_out_and_counted() -> None:
    """One positive in ten is missing from (9/10)^10 = 35 % of the resamples."""
    truth = np.array([1] + [0] * 9)
    share = np.linspace(0.9, 0.1, 10)
    score = metrics.classification_scorer(truth, truth, share, 2, binary=True)
    area = found(score, 10, {"roc_auc": 1.0})["roc_auc"]
    assert area.undefined / 1000 == pytest.approx(0.9**10, abs=0.05)
    assert area.resamples == 1000 - area.undefined
    assert area.note == f"undefined in {area.undefined} of 1000 resamples"
    assert (area.low, area.high) == (1.0, 1.0)


def test_what_has_no_interval_says_why() -> None:
    truth = np.arange(6.0)
    predicted = truth + np.array([1, 0, 1, 0, 1, 1])
    score = metrics.regression_scorer(truth, predicted)
    values = metrics.regression(truth, predicted).values
    odd = found(score, 6, values | {"loss": 0.3, "r2": 0.2, "mse": math.nan})
    for name, reported in {
        "loss": "needs the model's outputs",
        "r2": "cannot be computed again",
        "mse": "not finite in the split itself",
    }.items():
        assert math.isnan(odd[name].low)
        assert re.search(reported, str(odd[name].note))
    assert odd["mae"].low < odd["mae"].value < odd["mae"].high


@pytest.mark.parametrize(
    ("samples", "units"),
    [(1, Units()), (4, grouped(np.array(["a"] * 4), "g")), (3, runs(3, overlap=5))],
)
def test_one_unit_alone_has_no_interval(samples: int, units: Units) -> None:
    """A resample of it is itself again, which would look like certainty."""
    score = metrics.regression_scorer(np.zeros(samples), np.ones(samples))
    interval = found(score, samples, {"mae": 1.0}, units=units)["mae"]
    assert math.isnan(interval.low)
    assert "nothing to draw from" in str(interval.note)


def test_predictions_that_are_not_finite_have_no_interval() -> None:
    score = metrics.regression_scorer(np.zeros(3), np.array([1.0, math.inf, math.nan]))
    assert math.isnan(found(score, 3, {"mae": math.nan})["mae"].high)


def test_a_seed_gives_the_same_interval_however_memory_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    errors = np.random.default_rng(0).gamma(2.0, size=40)
    score, values = metrics.regression_scorer(np.zeros(40), errors), {"mae": float(errors.mean())}
    whole = found(score, 40, values)
    assert found(score, 40, values) == whole
    assert found(score, 40, values, seed=2) != whole
    monkeypatch.setattr(bootstrap, "BLOCK_VALUES", 40 * 7)
    pieces = found(score, 40, values)["mae"]
    assert (pieces.low, pieces.high) == pytest.approx((whole["mae"].low, whole["mae"].high))


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"level": 95}, "level: 95; give a number between 0 and 1"),
        ({"level": True}, "level: True"),
        ({"resamples": 10}, "resamples: 10; give a whole number of at least 100"),
        ({"resamples": 500.5}, "resamples: 500.5"),
    ],
)
def test_impossible_intervals_are_refused(options: dict[str, Any], reported: str) -> None:
    with pytest.raises(SelectionError, match=reported):
        found(accuracy_of(3, 4), 4, {"accuracy": 0.75}, **options)


def test_groups_of_several_types_are_numbered_all_the_same() -> None:
    codes = grouped(np.array(["a", 1, None, "a"], dtype=object), "g").groups
    assert codes is not None
    assert codes[0] == codes[3]
    assert len(set(codes.tolist())) == 3
