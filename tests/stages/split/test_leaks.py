from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from aiqc_core.errors import SplitError
from aiqc_core.stages.preprocess import window
from aiqc_core.stages.split import leaks, ordered, stratify


def shared_by_hand(windows: window.Windows, one: Any, other: Any) -> set[int]:
    """Rows, past and future, that two splits have in common."""
    lists = [windows.unshifted, *([windows.shifted] if windows.shifted else [])]
    first, second = (
        {row for rows in lists for i in cut for row in rows[i]} for cut in (one, other)
    )
    return first & second


def test_sliding_windows_shuffled_into_splits_are_reported() -> None:
    """B57."""
    windows = window.plan(30, 5, 1)
    splits = stratify.split(windows.count, size_test=0.3, seed=7)
    shared = leaks.shared_rows(windows, splits)
    expected = shared_by_hand(windows, splits["train"], splits["test"])
    train_rows = windows.rows(splits["train"], shifted=None)
    assert expected
    assert shared == {"test": {"rows": len(expected), "share": len(expected) / len(train_rows)}}


def test_a_scaler_taught_on_rows_of_train_windows_sees_no_other_row() -> None:
    """B57."""
    values = np.random.default_rng(0).normal(size=(30, 2))
    windows = window.plan(30, 5, 1)
    splits = ordered.split_in_order(windows.count, size_test=0.3, gap=leaks.least_gap(windows))
    train = {row for idx in splits["train"] for row in windows.unshifted[idx]}
    scaler = StandardScaler().fit(values[windows.rows(splits["train"], shifted=False)])
    assert np.allclose(scaler.mean_, [values[sorted(train), column].mean() for column in (0, 1)])
    changed = values.copy()
    changed[[row for row in range(30) if row not in train]] = 1e6
    again = StandardScaler().fit(changed[windows.rows(splits["train"], shifted=False)])
    assert again.mean_.tolist() == scaler.mean_.tolist()


@given(
    size=st.integers(1, 9),
    shift=st.integers(1, 5),
    shifted=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_split_is_compared_with_train(
    *, size: int, shift: int, shifted: bool, seed: int
) -> None:
    windows = window.plan(60, size, shift, record_shifted=shifted)
    splits = stratify.split(windows.count, size_test=0.2, size_validation=0.2, seed=seed)
    shared = leaks.shared_rows(windows, splits)
    assert list(shared) == ["validation", "test"]
    for name, reported in shared.items():
        assert reported["rows"] == len(shared_by_hand(windows, splits["train"], splits[name]))


@given(
    size=st.integers(1, 9),
    shift=st.integers(1, 9),
    shifted=st.booleans(),
    spare=st.integers(0, 3),
)
def test_the_least_gap_leaves_no_row_in_common_and_one_less_does(
    *, size: int, shift: int, shifted: bool, spare: int
) -> None:
    windows = window.plan(200, size, shift, record_shifted=shifted)
    gap = leaks.least_gap(windows)
    assert gap <= size + shift
    splits = ordered.split_in_order(windows.count, size_test=0.1, gap=gap + spare)
    assert leaks.shared_rows(windows, splits) == {"test": {"rows": 0, "share": 0.0}}
    if gap:
        closer = ordered.split_in_order(windows.count, size_test=0.1, gap=gap - 1)
        assert leaks.shared_rows(windows, closer)["test"]["rows"] > 0


def test_inputs_alone_can_be_compared() -> None:
    windows = window.plan(10, 2, 2)
    splits = {"train": np.array([0]), "test": np.array([1])}
    assert leaks.shared_rows(windows, splits, shifted=False)["test"]["rows"] == 0
    assert leaks.shared_rows(windows, splits)["test"] == {"rows": 2, "share": 0.5}


@given(
    st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.5, np.nan, np.inf]), min_size=2, max_size=2)),
    st.lists(st.lists(st.sampled_from([0.0, -0.0, 1.5, np.nan, np.inf]), min_size=2, max_size=2)),
)
def test_near_duplicates_equal_a_written_loop(
    train: list[list[float]], test: list[list[float]]
) -> None:
    values = np.array([*train, *test], dtype=float).reshape(-1, 2)
    splits = {"train": np.arange(len(train)), "test": np.arange(len(train), len(values))}
    expected = sum(
        any(np.array_equal(row, known, equal_nan=True) for known in np.array(train))
        for row in np.array(test)
    )
    assert leaks.near_duplicates(values, splits) == {"test": expected}


def test_noise_below_the_rounding_is_no_difference() -> None:
    values = np.array([[1.0, 2.0], [1.0 + 4e-7, 2.0], [1.0 + 6e-7, 2.0], [2.0, 1.0]])
    splits = {"train": np.array([0]), "validation": np.array([1, 2]), "test": np.array([3])}
    assert leaks.near_duplicates(values, splits) == {"validation": 1, "test": 0}
    assert leaks.near_duplicates(values, splits, decimals=3) == {"validation": 2, "test": 0}


def test_numbers_too_large_to_round_stay_apart() -> None:
    values = np.array([[1e305], [2e305], [1e305]])
    splits = {"train": np.array([0]), "test": np.array([1, 2])}
    assert leaks.near_duplicates(values, splits) == {"test": 1}
    whole = np.array([[2**53], [2**53 + 1]])
    assert leaks.near_duplicates(whole, {"train": [0], "test": [1]}) == {"test": 0}  # type: ignore[dict-item]


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int64", "bool"])
def test_all_axes_and_numeric_dtypes_count(dtype: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, (40, 2, 2)).astype(dtype)
    rows = [tuple(row.ravel().tolist()) for row in values]
    splits = {"train": np.arange(8), "test": np.arange(8, 40)}
    expected = sum(row in rows[:8] for row in rows[8:])
    assert 0 < expected < 32
    assert leaks.near_duplicates(values, splits) == {"test": expected}


def test_rows_are_hashed_alike_in_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 3, (50, 2)).astype(float)
    splits = {"train": np.arange(5), "test": np.arange(5, 50)}
    whole = leaks.near_duplicates(values, splits)
    monkeypatch.setattr(leaks, "BLOCK_VALUES", 7)
    assert leaks.near_duplicates(values, splits) == whole


@pytest.mark.parametrize("values", [np.array([["a"]]), np.array([[1j]]), np.array([[None]])])
def test_values_that_are_no_real_numbers_are_refused(values: Any) -> None:
    with pytest.raises(SplitError, match=r"values: dtype .*real numbers"):
        leaks.near_duplicates(values, {"train": np.array([0])})


@pytest.mark.parametrize("decimals", [-1, 16, 1.5, True])
def test_decimals_that_cannot_be_are_refused(decimals: Any) -> None:
    with pytest.raises(SplitError, match=r"decimals: .*0 to 15"):
        leaks.near_duplicates(np.zeros((1, 1)), {"train": np.array([0])}, decimals=decimals)
