"""Metrics against scikit-learn where it defines them, NaN with a reason where it does not."""

from __future__ import annotations

import math
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from aiqc_core.stages.evaluate.metrics import aggregate, classification, regression

CLASSIFICATION = ["accuracy", "f1", "precision", "recall", "roc_auc"]


def drawn(seed: int, samples: int, classes: int) -> tuple[Any, Any, Any]:
    """Return a truth with every class, predictions, and probabilities of each class."""
    generator = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(classes), generator.integers(0, classes, samples - classes)])
    probabilities = generator.dirichlet(np.ones(classes), samples)
    return truth, probabilities.argmax(axis=1), probabilities


@given(st.integers(0, 10**6), st.integers(2, 40))
def test_binary_scores_are_those_of_scikit_learn(seed: int, samples: int) -> None:
    truth, predicted, probabilities = drawn(seed, samples, 2)
    scores = classification(truth, predicted, probabilities[:, 1], 2, binary=True).values
    zero = {"zero_division": 0}
    assert scores == {
        "accuracy": sk.accuracy_score(truth, predicted),
        "f1": sk.f1_score(truth, predicted, **zero),
        "precision": sk.precision_score(truth, predicted, **zero),
        "recall": sk.recall_score(truth, predicted, **zero),
        "roc_auc": sk.roc_auc_score(truth, probabilities[:, 1]),
    }
    assert all(type(value) is float for value in scores.values())


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(6, 40))
def test_multi_scores_are_those_of_scikit_learn(seed: int, classes: int, samples: int) -> None:
    truth, predicted, probabilities = drawn(seed, samples, classes)
    scores = classification(truth, predicted, probabilities, classes, binary=False).values
    options = {"zero_division": 0, "average": "weighted"}
    area = (
        sk.roc_auc_score(truth, probabilities[:, 1])
        if classes == 2
        else sk.roc_auc_score(truth, probabilities, multi_class="ovr", average="weighted")
    )
    assert scores == pytest.approx({
        "accuracy": sk.accuracy_score(truth, predicted),
        "f1": sk.f1_score(truth, predicted, **options),
        "precision": sk.precision_score(truth, predicted, **options),
        "recall": sk.recall_score(truth, predicted, **options),
        "roc_auc": area,
    }, abs=1e-12)  # fmt: skip


def test_precision_is_the_share_of_right_ones_among_those_called_positive() -> None:
    """By hand: 3 called positive, 2 of them rightly; 4 are positive."""
    truth, predicted = np.array([1, 1, 1, 1, 0, 0]), np.array([1, 1, 0, 0, 1, 0])
    values = classification(truth, predicted, None, 2, binary=True).values
    assert values["precision"] == 2 / 3
    assert values["recall"] == 2 / 4
    assert values["f1"] == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5))
    assert values["accuracy"] == 3 / 6


def test_a_class_never_predicted_counts_as_zero_without_a_warning() -> None:
    """B56: warnings are errors here."""
    zeros = np.zeros(3, dtype=int)
    scores = classification(zeros, zeros, np.full(3, 0.1), 2, binary=True)
    assert (scores.values["precision"], scores.values["recall"]) == (0.0, 0.0)
    assert scores.values["accuracy"] == 1.0
    assert "never predicted" in scores.notes["precision"]


@pytest.mark.parametrize("binary", [True, False])
def test_an_absent_class_makes_the_area_nan_with_a_reason(*, binary: bool) -> None:
    truth = np.array([0, 0, 0])
    probabilities = np.array([0.1, 0.2, 0.3])
    given_ = probabilities if binary else np.column_stack([1 - probabilities, probabilities])
    scores = classification(truth, truth, given_, 2, binary=binary)
    assert math.isnan(scores.values["roc_auc"])
    assert "classes [1] have no sample" in scores.notes["roc_auc"]


def test_probabilities_that_are_nan_or_missing_make_the_area_nan_with_a_reason() -> None:
    truth = np.array([0, 1])
    nan = classification(truth, truth, np.array([math.nan, 0.5]), 2, binary=True)
    assert math.isnan(nan.values["roc_auc"])
    assert "not finite" in nan.notes["roc_auc"]
    none = classification(truth, truth, None, 2, binary=True)
    assert "no probabilities" in none.notes["roc_auc"]
    assert sorted(none.values) == CLASSIFICATION


def test_multi_probabilities_need_not_sum_to_one() -> None:
    truth = np.array([0, 1, 2, 0])
    probabilities = np.array([[0.9, 0.8, 0.1], [0.5, 0.6, 0.2], [0.1, 0.9, 0.3], [0.2, 0.1, 0.2]])
    scores = classification(truth, truth, probabilities, 3, binary=False)
    by_hand = [sk.roc_auc_score(truth == c, probabilities[:, c]) for c in range(3)]
    assert scores.values["roc_auc"] == pytest.approx(np.average(by_hand, weights=[2, 1, 1]))


@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 3))
def test_regression_scores_are_those_of_scikit_learn(seed: int, samples: int, width: int) -> None:
    generator = np.random.default_rng(seed)
    truth = generator.normal(3, 2, (samples, width))
    predicted = truth + generator.normal(0, 1, (samples, width))
    scores = regression(truth, predicted)
    assert scores.notes == {}
    assert scores.values == pytest.approx({
        "explained_variance": sk.explained_variance_score(truth, predicted),
        "mae": sk.mean_absolute_error(truth, predicted),
        "mse": sk.mean_squared_error(truth, predicted),
        "r2": sk.r2_score(truth, predicted),
        "rmse": math.sqrt(sk.mean_squared_error(truth, predicted)),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("truth", "predicted", "reason"),
    [([3.0], [9.0], "one sample"), ([2.0, 2.0], [2.0, 2.0], "constant")],
)
def test_one_row_or_a_constant_target_explains_nothing(
    truth: list[float], predicted: list[float], reason: str
) -> None:
    """B55: scikit-learn gives 1.0 for the explained variance of one wrong prediction."""
    scores = regression(np.array(truth), np.array(predicted))
    assert math.isnan(scores.values["r2"])
    assert math.isnan(scores.values["explained_variance"])
    assert reason in scores.notes["r2"]
    assert reason in scores.notes["explained_variance"]
    assert scores.values["mse"] == (truth[0] - predicted[0]) ** 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_predictions_that_are_not_finite_give_nan_with_a_reason(bad: float) -> None:
    scores = regression(np.array([1.0, 2.0]), np.array([1.0, bad]))
    assert all(math.isnan(value) for value in scores.values.values())
    assert set(scores.notes) == set(scores.values)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_aggregates_are_those_of_the_statistics_module(values: list[float]) -> None:
    by_split = {str(i): {"loss": value, "r2": 1.0} for i, value in enumerate(values)}
    found = aggregate(by_split)
    assert found["loss"] == {
        "mean": pytest.approx(sum(values) / len(values), abs=1e-6),
        "median": statistics.median(values),
        "pstdev": pytest.approx(np.std(values), abs=1e-6),
        "minimum": min(values),
        "maximum": max(values),
    }
    assert found["r2"]["pstdev"] == 0.0


def test_an_aggregate_leaves_no_nan_out() -> None:
    found = aggregate({"train": {"a": 1.0, "b": 1.0}, "test": {"a": math.nan, "b": math.inf}})
    assert all(math.isnan(value) for value in found["a"].values())
    assert found["b"]["maximum"] == math.inf
    assert math.isnan(found["b"]["pstdev"])
