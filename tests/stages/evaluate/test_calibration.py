"""Calibration and thresholds against scikit-learn and against counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from aiqc_core.stages.evaluate.curves import calibration, plot_data, thresholds
from aiqc_core.stages.evaluate.metrics import classification

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=15)


def split(pairs: list[tuple[int, float]]) -> tuple[Any, Any]:
    """Return truth and probabilities."""
    return np.array([one for one, _ in pairs]), np.array([two for _, two in pairs])


@given(PAIRS)
def test_the_bins_are_those_of_a_loop(pairs: list[tuple[int, float]]) -> None:
    truth, probabilities = split(pairs)
    edges = np.linspace(0, 1, 11)
    expected = [
        (probabilities[inside].mean(), truth[inside].mean(), inside.sum())
        for low, high in zip([-1.0, *edges[1:-1]], edges[1:], strict=True)
        if (inside := (probabilities > low) & (probabilities <= high)).any()
    ]
    found = calibration(truth, probabilities)
    rows = list(zip(found["predicted"], found["observed"], found["counts"], strict=True))
    assert np.array(rows) == pytest.approx(np.array(expected))
    assert sum(found["counts"]) == len(pairs)
    gap = sum(count * abs(said - came) for said, came, count in expected) / len(pairs)
    assert found["expected_calibration_error"] == pytest.approx(gap)
    assert found["brier_score"] == pytest.approx(np.mean([(p - y) ** 2 for y, p in pairs]))


def test_calibration_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.uniform(size=500)
    truth = (generator.uniform(size=500) < probabilities).astype(int)
    found = calibration(truth, probabilities)
    observed, predicted = calibration_curve(truth, probabilities, n_bins=10)
    assert found["observed"] == pytest.approx(observed.tolist())
    assert found["predicted"] == pytest.approx(predicted.tolist())
    assert found["brier_score"] == pytest.approx(sk.brier_score_loss(truth, probabilities))
    # Honest probabilities, by chance off by the spread of a share over 50 samples.
    assert found["expected_calibration_error"] < 0.08


@given(PAIRS.filter(lambda pairs: len({one for one, _ in pairs}) == 2))
def test_each_threshold_is_what_scikit_learn_says_of_that_call(
    pairs: list[tuple[int, float]],
) -> None:
    truth, probabilities = split(pairs)
    table = thresholds(truth, probabilities)
    zero: Any = {"zero_division": 0}
    assert table["threshold"] == sorted(set(table["threshold"]))
    for index in {0, len(table["threshold"]) // 2, len(table["threshold"]) - 1}:
        called = (probabilities > table["threshold"][index]).astype(int)
        expected = {
            "precision": sk.precision_score(truth, called, **zero),
            "recall": sk.recall_score(truth, called, **zero),
            "f1": sk.f1_score(truth, called, **zero),
            "specificity": sk.recall_score(truth, called, pos_label=0, **zero),
        }
        assert {name: table[name][index] for name in expected} == pytest.approx(expected)


def test_the_row_of_one_half_holds_the_metrics_of_the_split() -> None:
    generator = np.random.default_rng(1)
    probabilities = np.r_[0.5, generator.uniform(size=99)]
    truth = generator.integers(0, 2, 100)
    values = classification(
        truth, (probabilities > 0.5).astype(int), probabilities, 2, binary=True
    ).values
    table = thresholds(truth, probabilities)
    row = table["threshold"].index(0.5)
    for name in ("precision", "recall", "f1"):
        assert table[name][row] == pytest.approx(values[name])


def test_many_probabilities_give_two_hundred_rows_from_end_to_end() -> None:
    """Of rare events, all far below one half, the rows lie where the probabilities are."""
    probabilities = np.random.default_rng(0).uniform(0, 0.01, size=50_000)
    table = thresholds((probabilities > 0.009).astype(int), probabilities)
    assert 190 < len(table["threshold"]) <= 200
    assert table["threshold"][1] == probabilities.min()
    assert sum(threshold < 0.01 for threshold in table["threshold"]) > 190
    assert (table["recall"][0], table["specificity"][0]) == (1.0, 0.0)
    assert max(table["f1"]) > 0.95


def test_a_split_with_one_class_has_calibration_and_no_thresholds() -> None:
    ones = np.ones(3, dtype=int)
    data = plot_data(ones, ones, np.array([0.95, 0.92, 0.2]), 2)
    assert data["thresholds"] == {}
    assert data["calibration"]["counts"] == [1, 2]
    assert data["calibration"]["observed"] == [1.0, 1.0]


def test_of_one_row_the_gap_is_its_own() -> None:
    found = calibration(np.array([1]), np.array([0.25]))
    assert found["expected_calibration_error"] == 0.75
    assert found["brier_score"] == 0.75**2


def test_several_classes_and_missing_probabilities_have_neither() -> None:
    truth = np.array([0, 1, 2])
    for probabilities, count in ((np.eye(3), 3), (None, 2), (np.array([0.1, np.nan, 0.2]), 2)):
        data = plot_data(truth % count, truth % count, probabilities, count)
        assert "thresholds" not in data
        assert "calibration" not in data


def test_a_long_curve_is_thinned_and_says_so() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 2, 40_000)
    score = (truth + generator.normal(0, 1, 40_000)) / 8 + 0.5
    data = plot_data(truth, (score > 0.5).astype(int), score.clip(0, 1), 2)
    roc, trade = data["roc_curve"][1], data["precision_recall"][1]
    assert roc["thinned_from"] > 2000
    assert len(roc["fpr"]) == len(roc["tpr"]) == len(trade["recall"]) == 2000
    assert (roc["fpr"][0], roc["tpr"][-1], trade["recall"][-1]) == (0.0, 1.0, 0.0)
    area = np.trapezoid(roc["tpr"], roc["fpr"])
    assert area == pytest.approx(sk.roc_auc_score(truth, score), abs=1e-3)
