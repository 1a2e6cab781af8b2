"""Champion against challenger on the same samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_squared_error

from aiqc_core.errors import SelectionError
from aiqc_core.stages.evaluate import metrics
from aiqc_core.stages.evaluate.bootstrap import contest

RNG = np.random.default_rng(1)
TRUTH = RNG.integers(0, 2, 200)


def said(right: float) -> np.ndarray:
    """Return answers of which this share is right."""
    wrong = RNG.random(len(TRUTH)) >= right
    return np.where(wrong, 1 - TRUTH, TRUTH)


def score(predicted: np.ndarray) -> metrics.Scorer:
    """Return the scorer of binary answers."""
    return metrics.classification_scorer(TRUTH, predicted, None, 2, binary=True)


def test_the_interval_is_that_of_a_written_loop_over_pairs() -> None:
    a, b = said(0.8), said(0.9)
    found = contest(score(a), score(b), len(TRUTH), "accuracy", resamples=2000, seed=4)
    assert found.champion == pytest.approx(accuracy_score(TRUTH, a))
    assert found.gain == pytest.approx(accuracy_score(TRUTH, b) - accuracy_score(TRUTH, a))
    rng, gains = np.random.default_rng(9), []
    for _ in range(2000):
        i = rng.integers(0, len(TRUTH), len(TRUTH))
        gains.append(accuracy_score(TRUTH[i], b[i]) - accuracy_score(TRUTH[i], a[i]))
    low, high = np.quantile(gains, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.015)
    assert found.high == pytest.approx(high, abs=0.015)


def test_a_surely_worse_challenger_is_red_and_a_better_one_green() -> None:
    good, bad = score(said(0.95)), score(said(0.6))
    worse = contest(good, bad, len(TRUTH), "accuracy")
    assert worse.finding().verdict == "failed"
    assert "surely worse" in worse.finding().summary
    better = contest(bad, good, len(TRUTH), "accuracy")
    assert better.finding().verdict == "passed"
    assert "surely better" in better.finding().summary


def test_equal_models_have_no_gain_and_pass() -> None:
    same = score(said(0.8))
    found = contest(same, same, len(TRUTH), "accuracy")
    assert (found.gain, found.low, found.high) == (0, 0, 0)
    assert found.finding().verdict == "passed"


def test_of_errors_less_is_better() -> None:
    truth = RNG.normal(size=(100, 1))
    near, far = truth + 0.1, truth + 1.0
    scores = [metrics.regression_scorer(truth, p) for p in (far, near)]
    found = contest(scores[0], scores[1], 100, "mse")
    assert found.gain == pytest.approx(
        mean_squared_error(truth, far) - mean_squared_error(truth, near)
    )
    assert found.low > 0


def test_too_few_samples_cannot_tell() -> None:
    truth = np.array([0, 1, 1])
    few = metrics.classification_scorer(truth, truth, None, 2, binary=True)
    found = contest(few, few, 3, "accuracy")
    assert math.isnan(found.low)
    assert found.finding().verdict == "warning"


def test_an_unknown_metric_lists_those_there_are() -> None:
    with pytest.raises(SelectionError, match=r"metric: 'r2'; a contest has \['accuracy'"):
        contest(score(TRUTH), score(TRUTH), len(TRUTH), "r2")
