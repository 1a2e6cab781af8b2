"""Metrics of weighted samples are those of the samples repeated, over every odd label."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from aiqc_core.stages.evaluate import metrics


def repeated(weights: np.ndarray, *arrays: Any) -> list[Any]:
    """Write each sample out as often as it was drawn."""
    times = np.repeat(np.arange(len(weights)), weights.astype(int))
    return [None if array is None else array[times] for array in arrays]


@st.composite
def drawings(draw: st.DrawFn, most: int = 12) -> np.ndarray:
    """Draw up to three resamples of the same samples, with at least one sample each."""
    samples = draw(st.integers(1, most))
    row = st.lists(st.integers(0, 3), min_size=samples, max_size=samples).filter(any)
    return np.array(draw(st.lists(row, min_size=1, max_size=3)), dtype=float)


@given(drawings(), st.integers(2, 4), st.booleans(), st.data())
def test_of_classes_they_are_the_metrics_of_the_samples_written_out(
    weights: np.ndarray,
    classes: int,
    binary: bool,  # noqa: FBT001 - hypothesis
    data: st.DataObject,
) -> None:
    """Absent classes, one row, ties and all: the metrics themselves are the oracle."""
    count = 2 if binary else classes
    samples = weights.shape[1]
    codes = st.lists(st.integers(0, count - 1), min_size=samples, max_size=samples)
    truth, predicted = np.array(data.draw(codes)), np.array(data.draw(codes))
    tenths = st.lists(st.integers(0, 10), min_size=samples * count, max_size=samples * count)
    probabilities = np.array(data.draw(tenths)).reshape(samples, count) / 10
    given_ = probabilities[:, 1] if binary else probabilities
    found = metrics.classification_scorer(truth, predicted, given_, count, binary=binary)(weights)
    for index, row in enumerate(weights):
        reported, said, shares = repeated(row, truth, predicted, given_)
        expected = metrics.classification(reported, said, shares, count, binary=binary).values
        assert {name: values[index] for name, values in found.items()} == pytest.approx(
            expected, nan_ok=True
        )


@given(drawings(), st.integers(1, 3), st.integers(0, 10**6), st.sampled_from([0.0, 1e6]))
def test_of_numbers_they_are_the_metrics_of_the_samples_written_out(
    weights: np.ndarray, columns: int, seed: int, offset: float
) -> None:
    """Whole numbers, so that columns are often constant in a resample; far from zero too."""
    generator = np.random.default_rng(seed)
    truth: Any = generator.integers(0, 3, (weights.shape[1], columns)) + offset
    predicted = truth + generator.normal(size=truth.shape)
    found = metrics.regression_scorer(truth, predicted)(weights)
    for index, row in enumerate(weights):
        expected = metrics.regression(*repeated(row, truth, predicted)).values
        assert {name: values[index] for name, values in found.items()} == pytest.approx(
            expected, nan_ok=True, rel=1e-5
        )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=30))
def test_an_area_counts_the_pairs_that_are_in_order(pairs: list[tuple[bool, int]]) -> None:
    positive, score = np.array([p for p, _ in pairs]), np.array([s for _, s in pairs])
    found = metrics.area(np.ones((1, len(pairs))), positive, score)[0]
    if positive.all() or not positive.any():
        assert math.isnan(found)
        return
    ahead = [
        1.0 if one > other else 0.5 if one == other else 0.0
        for one in score[positive]
        for other in score[~positive]
    ]
    assert found == pytest.approx(np.mean(ahead))
    assert found == pytest.approx(sk.roc_auc_score(positive, score))
