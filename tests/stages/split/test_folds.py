from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import SplitError
from aiqc_core.stages.split.folds import fold
from aiqc_core.stages.split.stratify import strata


@given(
    st.lists(st.integers(5, 20), min_size=1, max_size=4), st.integers(2, 5), st.integers(0, 2**40)
)
def test_folds_partition_train_and_share_every_class_evenly(
    counts: list[int], fold_count: int, seed: int
) -> None:
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train = np.arange(3, 3 + len(codes))
    labels = strata(np.concatenate([[0, 0, 0], codes]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = fold(train, fold_count=fold_count, strata=labels, seed=seed)
        again = fold(train, fold_count=fold_count, strata=labels, seed=seed)
    assert len(parts) == fold_count
    assert sorted(np.concatenate([left for _, left in parts]).tolist()) == train.tolist()
    for (kept, left), (kept_again, _) in zip(parts, again, strict=True):
        assert sorted([*kept, *left]) == train.tolist()
        assert (np.diff(kept) > 0).all()
        assert (np.diff(left) > 0).all()
        assert np.array_equal(kept, kept_again)
    sizes = [len(left) for _, left in parts]
    assert max(sizes) - min(sizes) <= 1
    for code in range(len(counts)):
        held = [int((labels.codes[left] == code).sum()) for _, left in parts]
        assert max(held) - min(held) <= 1


def test_a_remainder_is_reported() -> None:
    with pytest.warns(
        UserWarning, match="11 training samples do not divide by 10; 1 of the folds"
    ):
        parts = fold(np.arange(11), fold_count=10, seed=0)
    assert sorted(len(left) for _, left in parts) == [1] * 9 + [2]


@pytest.mark.parametrize("count", [1, 0, -1, True, 2.0, "3", None])
def test_fewer_than_two_folds_are_refused(count: object) -> None:
    with pytest.raises(SplitError, match=r"fold_count: .*at least 2"):
        fold(np.arange(10), fold_count=count, seed=0)  # type: ignore[arg-type]


def test_more_folds_than_samples_are_refused() -> None:
    with pytest.raises(SplitError, match=r"5 folds of 4 training samples.*at most 4"):
        fold(np.arange(4), fold_count=5, seed=0)


def test_a_class_smaller_than_the_folds_is_named() -> None:
    labels = strata(np.array(list("a" * 7 + "bb")))
    with pytest.raises(SplitError, match=r"fold_count=3: class 'b' has 2; each needs at least 3"):
        fold(np.arange(9), fold_count=3, strata=labels, seed=0)
    only_a = fold(np.arange(6), fold_count=3, strata=labels, seed=0)
    assert [len(left) for _, left in only_a] == [2, 2, 2]
