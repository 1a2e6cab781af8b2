from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from aiqc_core.errors import SplitError
from aiqc_core.stages.split import stratify
from aiqc_core.stages.split.ordered import fold_groups, fold_in_order, split_groups, split_in_order

SIZES = st.none() | st.sampled_from([0.1, 0.2, 0.25])


@given(st.integers(40, 200), SIZES, SIZES, st.integers(0, 4))
def test_splits_follow_each_other_with_the_gap_between(
    n: int, test: float | None, validation: float | None, gap: int
) -> None:
    cut = split_in_order(n, size_test=test, size_validation=validation, gap=gap)
    drawn = stratify.split(n, size_test=test, size_validation=validation, seed=0)
    assert list(cut) == list(drawn)
    expected_start = 0
    for name, rows in cut.items():
        assert rows.tolist() == list(range(expected_start, expected_start + len(rows)))
        if name != "train":
            assert len(rows) == len(drawn[name])
        expected_start += len(rows) + gap
    assert expected_start - gap == n


def test_a_gap_that_leaves_nothing_to_train_is_refused() -> None:
    assert split_in_order(10, size_test=0.5, gap=4)["train"].tolist() == [0]
    with pytest.raises(SplitError, match=r"size_test=0.5.*gap=5: of 10 samples none is left"):
        split_in_order(10, size_test=0.5, gap=5)


@pytest.mark.parametrize("gap", [-1, 1.0, True, None, "1"])
def test_a_gap_that_is_no_whole_number_is_refused(gap: Any) -> None:
    with pytest.raises(SplitError, match=r"gap: .*whole number of at least 0"):
        split_in_order(10, size_test=0.2, gap=gap)
    with pytest.raises(SplitError, match=r"gap: .*whole number of at least 0"):
        fold_in_order(np.arange(10), fold_count=2, gap=gap)


@given(st.integers(2, 6), st.integers(0, 4), st.integers(0, 30), st.integers(0, 9))
def test_folds_in_order_equal_those_of_scikit_learn(
    fold_count: int, gap: int, more: int, first: int
) -> None:
    train = np.arange(first, first + (fold_count + 1) * (gap + 1) + more)
    expected = list(TimeSeriesSplit(n_splits=fold_count, gap=gap).split(train))
    found = fold_in_order(train, fold_count=fold_count, gap=gap)
    assert len(found) == fold_count
    for (past, left_out), (past_of_theirs, theirs) in zip(found, expected, strict=True):
        assert past.tolist() == train[past_of_theirs].tolist()
        assert left_out.tolist() == train[theirs].tolist()


def test_a_fold_with_no_past_is_refused() -> None:
    with pytest.raises(SplitError, match=r"gap=3.*first fold has 3 before.*takes them all"):
        fold_in_order(np.arange(9), fold_count=2, gap=3)


@pytest.mark.parametrize("count", [1, 0, True, 2.0, None])
def test_fewer_than_two_folds_are_refused(count: Any) -> None:
    with pytest.raises(SplitError, match=r"fold_count: .*at least 2"):
        fold_in_order(np.arange(9), fold_count=count)
    with pytest.raises(SplitError, match=r"fold_count: .*at least 2"):
        fold_groups(np.arange(9), np.arange(9), fold_count=count, seed=0)


def test_more_folds_than_there_is_to_leave_out_are_refused() -> None:
    with pytest.raises(SplitError, match=r"4 folds of 4 training samples in order; give at most"):
        fold_in_order(np.arange(4), fold_count=4)
    with pytest.raises(SplitError, match=r"3 folds of 2 groups .*at most 2"):
        fold_groups(np.arange(3), list("aabb"), fold_count=3, seed=0)


GROUPS = st.lists(st.integers(0, 12), min_size=6, max_size=80).filter(lambda g: len(set(g)) > 3)


@given(GROUPS, SIZES, SIZES, st.integers(0, 2**40))
def test_no_group_is_in_two_splits_and_all_rows_are_in_one(
    groups: list[int], test: float | None, validation: float | None, seed: int
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cut = split_groups(groups, size_test=test, size_validation=validation, seed=seed)
    sizes = {"train": 1, "validation": validation, "test": test}
    assert list(cut) == [name for name, size in sizes.items() if size is not None]
    assert sorted(np.concatenate(list(cut.values())).tolist()) == list(range(len(groups)))
    held = [{groups[row] for row in rows} for rows in cut.values()]
    assert all(held)
    assert sum(map(len, held)) == len(set(groups))
    assert all((np.diff(rows) > 0).all() for rows in cut.values())


@given(GROUPS, st.integers(0, 2**40), st.randoms())
def test_the_order_of_rows_changes_no_groups_split(
    groups: list[int], seed: int, random: Any
) -> None:
    shuffled = random.sample(groups, len(groups))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = split_groups(groups, size_test=0.3, seed=seed)
        other = split_groups(shuffled, size_test=0.3, seed=seed)
    assert {groups[row] for row in one["test"]} == {shuffled[row] for row in other["test"]}


def test_many_small_groups_give_the_sizes_asked_for() -> None:
    groups = np.repeat(np.arange(300), 3)
    cut = split_groups(groups, size_test=0.2, size_validation=0.1, seed=1)
    assert {name: len(rows) for name, rows in cut.items()} == {
        "train": 630,
        "validation": 90,
        "test": 180,
    }
    assert not np.array_equal(cut["test"], split_groups(groups, size_test=0.2, seed=2)["test"])


def test_a_size_that_whole_groups_cannot_give_is_reported() -> None:
    with pytest.warns(
        UserWarning, match="size_test: 10 of 100 samples asked for; whole groups gi"
    ):
        cut = split_groups(np.repeat(["a", "b"], 50), size_test=0.1, seed=0)
    assert [len(rows) for rows in cut.values()] == [50, 50]


def test_fewer_groups_than_splits_are_refused() -> None:
    with pytest.raises(SplitError, match="2 groups for 3 splits"):
        split_groups(list("aab") * 5, size_test=0.2, size_validation=0.2, seed=0)


@pytest.mark.parametrize("column", [["a", None, "b"], [1.0, np.nan, 2.0], pd.array([1, None, 2])])
def test_a_missing_group_is_refused_with_its_row(column: Any) -> None:
    with pytest.raises(SplitError, match=r"missing in 1 rows, the first are \[1\]"):
        split_groups(column, size_test=0.3, seed=0)
    with pytest.raises(SplitError, match=r"missing in 1 rows, the first are \[1\]"):
        fold_groups(np.array([0, 2]), column, fold_count=2, seed=0)


@given(GROUPS, st.integers(2, 4), st.integers(0, 2**40), st.data())
def test_folds_of_groups_partition_train_and_share_no_group(
    groups: list[int], fold_count: int, seed: int, data: st.DataObject
) -> None:
    spare = data.draw(st.integers(0, len(groups) - 1))
    train = np.array([row for row in range(len(groups)) if row != spare])
    inside = {groups[row] for row in train}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if len(inside) < fold_count:
            return
        parts = fold_groups(train, groups, fold_count=fold_count, seed=seed)
    assert len(parts) == fold_count
    assert sorted(np.concatenate([left for _, left in parts]).tolist()) == train.tolist()
    for kept, left in parts:
        assert sorted([*kept, *left]) == train.tolist()
        assert not {groups[row] for row in kept} & {groups[row] for row in left}
        assert len(left)
    biggest = max(groups.count(group) for group in inside)
    sizes = [len(left) for _, left in parts]
    assert max(sizes) - min(sizes) <= biggest


def test_uneven_folds_of_groups_are_reported() -> None:
    with pytest.warns(UserWarning, match="2 folds of 1 to 9 of 10 training samples"):
        fold_groups(np.arange(10), list("a" * 9 + "b"), fold_count=2, seed=0)
