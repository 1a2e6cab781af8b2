"""The data of plots: the axes, the orientation, and the points."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from aiqc_core.stages.evaluate.curves import plot_data


def test_a_confusion_matrix_has_true_classes_in_rows() -> None:
    """B30."""
    data = plot_data(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), None, 3)
    assert data["confusion_matrix"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_a_confusion_matrix_keeps_absent_classes() -> None:
    """B56."""
    zeros = np.zeros(3, dtype=int)
    assert plot_data(zeros, zeros, None, 2)["confusion_matrix"] == [[3, 0], [0, 0]]


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
def test_each_point_of_the_binary_curves_is_a_threshold_counted_by_hand(
    pairs: list[tuple[int, float]],
) -> None:
    truth = np.array([pair[0] for pair in pairs])
    score = np.array([pair[1] for pair in pairs])
    data = plot_data(truth, (score > 0.5).astype(int), score, 2)
    json.dumps(data)
    if len(set(truth.tolist())) < 2:
        assert data["roc_curve"] == {}
        return
    positives, negatives = truth.sum(), (1 - truth).sum()
    rates, trades = {(0.0, 0.0)}, {(1.0, 0.0)}
    for threshold in set(score.tolist()):
        called = score >= threshold
        hits = (called & (truth == 1)).sum()
        rates.add(((called & (truth == 0)).sum() / negatives, hits / positives))
        trades.add((hits / called.sum(), hits / positives))
    roc, trade = data["roc_curve"][1], data["precision_recall"][1]
    assert set(zip(roc["fpr"], roc["tpr"], strict=True)) <= rates
    assert set(zip(trade["precision"], trade["recall"], strict=True)) <= trades
    assert np.isclose(np.trapezoid(roc["tpr"], roc["fpr"]), sk.roc_auc_score(truth, score))


def test_several_classes_have_a_curve_each_one_against_the_rest() -> None:
    truth = np.array([0, 1, 2, 1])
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
    data = plot_data(truth, probabilities.argmax(axis=1), probabilities, 4)
    assert sorted(data["roc_curve"]) == [0, 1, 2]
    fpr, tpr, _ = sk.roc_curve(truth == 1, probabilities[:, 1])
    assert data["roc_curve"][1] == {"fpr": fpr.tolist(), "tpr": tpr.tolist()}
    assert len(data["confusion_matrix"]) == 4


def test_probabilities_that_are_nan_have_no_curve() -> None:
    truth = np.array([0, 1])
    assert plot_data(truth, truth, np.array([0.5, math.nan]), 2)["roc_curve"] == {}
