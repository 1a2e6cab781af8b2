"""New rows as samples: any run of them is what the whole would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess import encode, new_rows, pipeline, samples, window

LINEAR = {"method": "linear", "limit_direction": "both"}


def setup(
    count: int, *, windows: window.Windows | None = None, seed: int = 0
) -> tuple[pd.DataFrame, samples.FeatureRecipe]:
    """Two columns with blanks, filled and scaled."""
    frame = pd.DataFrame(np.random.default_rng(seed).normal(size=(count, 2)), columns=["a", "b"])
    frame.loc[1::5, "a"] = np.nan
    step = pipeline.EncoderStep(("a",), encode.checked(StandardScaler()), "2D_multiColumn", False)
    fill = samples.FillStep(("a",), LINEAR, process_separately=True)
    plan = pipeline.FeaturePlan(("a", "b"), (step,))
    return frame, samples.FeatureRecipe(plan, (fill,), windows)


@given(st.integers(12, 40), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.data())
def test_any_run_of_windows_is_part_of_the_whole(
    count: int,
    size: int,
    shift: int,
    record_shifted: Any,
    data: Any,
) -> None:
    """Whether the rows are new or trained in two overlapping splits."""
    rule = window.plan(count, size, shift, record_shifted)
    frame, recipe = setup(count, windows=rule)
    half = np.arange(rule.count) % 3 == 0
    splits = {"train": np.flatnonzero(~half), "test": np.flatnonzero(half)}
    splits = {split: p for split, p in splits.items() if len(p)}
    trained = samples.prepare(frame, recipe, splits)
    as_then = new_rows.prepare(
        frame, recipe, trained.fitted, rule.count, new_rows.Trained(splits, rule),
        forecasts=record_shifted,
    )  # fmt: skip
    start = data.draw(st.integers(0, rule.count - 1))
    stop = data.draw(st.integers(start + 1, rule.count + 3))
    for target in (False, True):
        whole = np.empty((rule.count, size, 2))
        for split, positions in splits.items():
            whole[positions] = trained.samples(split, shifted=target and record_shifted)
        np.testing.assert_array_equal(as_then.batch(start, stop, target=target), whole[start:stop])
    new = new_rows.prepare(frame, recipe, trained.fitted, rule.count)
    np.testing.assert_array_equal(
        new.batch(start, stop), new.batch(0, rule.count)[start : min(stop, rule.count)]
    )


@given(st.integers(1, 9), st.integers(8, 30))
def test_batches_put_together_are_all_samples(size: int, count: int) -> None:
    frame, recipe = setup(count)
    fitted = samples.prepare(frame, recipe, {"train": np.arange(count)}).fitted
    feature = new_rows.prepare(frame, recipe, fitted, count)
    batches = new_rows.Batches([feature], size)
    found = batches.checked([(2,)])
    for walk in (found, batches):
        parts = [part for (part,) in walk]
        assert all(len(part) <= size for part in parts)
        np.testing.assert_array_equal(np.concatenate(parts), feature.batch(0, count))


def test_samples_of_another_shape_are_refused_before_they_are_predicted() -> None:
    frame, recipe = setup(8)
    fitted = samples.prepare(frame, recipe, {"train": np.arange(8)}).fitted
    batches = new_rows.Batches([new_rows.prepare(frame, recipe, fitted, 8)], 4)
    with pytest.raises(PreprocessError, match=r"shapes \[\(2,\)\]; .* trained on \[\(3,\)\]"):
        batches.checked([(3,)])


def test_rows_of_a_trained_table_that_no_split_had_are_filled_beside_train() -> None:
    """As a split of its own would have been."""
    frame, recipe = setup(20)
    splits = {"train": np.arange(0, 20, 2), "test": np.array([1, 5, 9])}
    fitted = samples.prepare(frame, recipe, splits).fitted
    then = new_rows.prepare(frame, recipe, fitted, 20, new_rows.Trained(splits))
    rest = np.setdiff1d(np.arange(20), np.concatenate(list(splits.values())))
    expected = samples.prepare(frame, recipe, {"train": splits["train"], "rest": rest})
    np.testing.assert_array_equal(then.batch(0, 20)[rest], expected.samples("rest"))


def test_a_batch_is_as_large_as_memory_allows() -> None:
    assert new_rows.size_of_batches([(1,)]) == 12 * 4096
    assert new_rows.size_of_batches([(3, 32, 32)]) * 3 * 32 * 32 * 8 <= 2**25
    assert new_rows.size_of_batches([(3, 4000, 4000)]) == 1
