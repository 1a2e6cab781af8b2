"""From codes to the label's own values, and what cannot be a prediction."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, OrdinalEncoder

from aiqc_core.errors import TrainingError
from aiqc_core.stages.evaluate.decode import (
    checked_classes,
    refuse_other_codes,
    to_classes,
    to_ordinal,
)


@given(st.lists(st.sampled_from(["c", "a", "b", "d"]), min_size=1, max_size=20))
@example(["b", "a"])
def test_every_coding_of_a_label_gives_the_position_among_sorted_classes(
    values: list[str],
) -> None:
    values = [*values, "a", "b"]  # one class is no classification
    column = np.array(values)[:, None]
    classes = sorted(set(values))
    expected = [classes.index(value) for value in values]
    for coder in (OrdinalEncoder(), OneHotEncoder(sparse_output=False), LabelBinarizer()):
        encoded = np.asarray(coder.fit_transform(column))
        refuse_other_codes(encoded, len(classes))
        assert to_ordinal(encoded).tolist() == expected
    assert to_classes(np.array(expected), classes).tolist() == values


@pytest.mark.parametrize(
    "encoded",
    [[[-1], [1]], [[0.5], [1]], [[0], [2]], [[1, 1], [0, 1]], [[0, 0], [0, 1]], [[1, 0, 0]]],
)
def test_a_coding_that_tells_no_class_is_refused(encoded: list[list[float]]) -> None:
    with pytest.raises(TrainingError, match=r"neither one-hot nor the codes 0…1 of its 2"):
        refuse_other_codes(np.array(encoded), 2)


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (("no", "yes"), "U"),
        ((0, 1), "i"),
        ((np.int64(3), np.int64(5)), None),
        ((False, True), "b"),
        ((1, "one"), "O"),
        ((dt.date(2020, 1, 1), dt.date(2021, 1, 1)), "O"),
    ],
)
def test_classes_come_back_as_they_are(classes: tuple[Any, ...], kind: str | None) -> None:
    decoded = to_classes(np.array([1, 0, 1]), classes)
    assert decoded.tolist() == [classes[1], classes[0], classes[1]]
    assert kind is None or decoded.dtype.kind == kind


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("dtype", [np.int32, np.float32, bool])
def test_predictions_of_any_whole_type_are_ordinal(shape: tuple[int, ...], dtype: Any) -> None:
    given_ = np.array([0, 1, 1]).reshape(shape).astype(dtype)
    predicted, probabilities = checked_classes(given_, given_ * 0.5, 2, binary=True)
    assert predicted.tolist() == [0, 1, 1]
    assert predicted.dtype == np.int64
    assert probabilities is not None
    assert probabilities.tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("predicted", "probabilities", "reported"),
    [
        ([[0, 1], [1, 0]], None, "never one-hot"),
        ([0, 2], None, "not ordinal classes 0…1"),
        ([0, -1], None, "not ordinal"),
        ([0, 0.5], None, "not ordinal"),
        ([0, math.nan], None, "not ordinal"),
        ([0, 1], [0.5, 1.5], r"\[0.5, 1.5\], not in \[0, 1\]"),
        ([0, 1], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], r"shape \(2, 3\); give \(samples,\)"),
    ],
)
def test_what_cannot_be_a_prediction_is_refused(
    predicted: Any, probabilities: Any, reported: str
) -> None:
    with pytest.raises(TrainingError, match=reported):
        checked_classes(np.array(predicted), probabilities, 2, binary=True)


def test_multi_probabilities_need_a_column_a_class() -> None:
    wide = np.full((2, 3), 1 / 3)
    assert checked_classes(np.array([0, 2]), wide, 3, binary=False)[1] is not None
    with pytest.raises(TrainingError, match=r"shape \(2, 2\); give \(samples, 3\)"):
        checked_classes(np.array([0, 2]), wide[:, :2], 3, binary=False)


def test_probabilities_of_a_diverged_model_stay_nan() -> None:
    found = checked_classes(np.array([0, 0]), np.array([math.nan, 0.5]), 2, binary=True)[1]
    assert found is not None
    assert math.isnan(found[0])
