from __future__ import annotations

import math
import warnings
from collections import Counter
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aiqc_core.errors import SplitError
from aiqc_core.stages.split import stratify


def letters(text: str) -> stratify.Strata:
    return stratify.strata(np.array(list(text)))


@given(
    st.integers(2, 300),
    st.none() | st.decimals("0.01", "0.99", places=2),
    st.none() | st.decimals("0.01", "0.99", places=2),
    st.integers(0, 2**40),
)
def test_splits_are_a_sorted_partition_with_the_sizes_asked_for(
    n: int, test: object, validation: object, seed: int
) -> None:
    sizes = {"test": test, "validation": validation}
    wanted = {k: math.ceil(n * Fraction(str(v))) for k, v in sizes.items() if v is not None}
    assume(sum(wanted.values()) < n)
    shares = {f"size_{k}": None if v is None else float(str(v)) for k, v in sizes.items()}
    cut = stratify.split(n, **shares, seed=seed)  # type: ignore[arg-type]
    order = [k for k in ("train", "validation", "test") if k == "train" or k in wanted]
    assert list(cut) == order
    assert {k: len(cut[k]) for k in wanted} == wanted
    assert sorted(np.concatenate(list(cut.values())).tolist()) == list(range(n))
    assert all((np.diff(rows) > 0).all() and rows.dtype == np.int64 for rows in cut.values())
    again = stratify.split(n, **shares, seed=seed)  # type: ignore[arg-type]
    assert all(np.array_equal(cut[k], again[k]) for k in cut)


def test_another_seed_draws_other_samples() -> None:
    one, other = (stratify.split(100, size_test=0.3, seed=s)["test"] for s in (1, 2))
    assert not np.array_equal(one, other)


@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=5),
    st.sampled_from([0.1, 0.2, 1 / 3, 0.5]),
    st.sampled_from([None, 0.1, 0.25]),
    st.integers(0, 99),
)
def test_each_class_gives_its_share_and_train_lacks_none(
    counts: list[int], test: float, validation: float | None, seed: int
) -> None:
    codes = np.repeat(np.arange(len(counts)), counts)
    n = len(codes)
    assume(min(math.ceil(n * s) for s in (test, validation) if s) >= len(counts))
    assume(n - math.ceil(n * test) - math.ceil(n * (validation or 0)) >= 2 * len(counts))
    cut = stratify.split(
        n, strata=stratify.strata(codes), size_test=test, size_validation=validation, seed=seed
    )
    held = Counter(codes[cut["test"]].tolist())
    # A rare class gives less than its share, for train needs it; the others fill its place.
    slack = 1 if min(counts) > 6 else len(counts)
    for code, count in enumerate(counts):
        assert abs(held[code] - count * len(cut["test"]) / n) < slack or count <= 6
    assert set(codes[cut["train"]].tolist()) == set(range(len(counts)))


def test_a_rare_class_may_be_absent_from_test_and_is_named() -> None:
    rare = letters("a" * 18 + "b" * 2)
    for seed in range(20):
        cut = stratify.split(20, strata=rare, size_test=0.2, seed=seed)
        assert stratify.absent(rare, cut) == [("test", "b")]


def test_train_keeps_a_member_of_each_class_however_large_the_test() -> None:
    strata = letters("a" * 17 + "bbb")
    for seed in range(20):
        cut = stratify.split(20, strata=strata, size_test=0.5, size_validation=0.3, seed=seed)
        assert not [pair for pair in stratify.absent(strata, cut) if pair[0] == "train"]


@pytest.mark.parametrize(
    ("label", "sizes", "message"),
    [
        ("aaabbc", {"size_test": 0.33}, r"'c' has 1; each needs at least 2"),
        (
            "a" * 18 + "bb",
            {"size_test": 0.2, "size_validation": 0.2},
            r"size_test/size_validation: class 'b' has 2; each needs at least 3",
        ),
        ("aabbcc", {"size_test": 0.2}, r"test would have 2 of 6 samples, fewer than the 3"),
        ("aabbcc", {"size_test": 0.7}, r"train would have 1 of 6 samples, fewer than the 3"),
        ("abcdefghi", {"size_test": 0.5}, r"'e' has 1 \(and 4 more classes\)"),
    ],
)
def test_too_few_members_of_a_class_are_named(
    label: str, sizes: dict[str, float], message: str
) -> None:
    with pytest.raises(SplitError, match=message):
        stratify.split(len(label), strata=letters(label), **sizes, seed=0)


@pytest.mark.parametrize(
    ("n", "test", "validation"),
    [(10, 0.999, None), (10, 0.5, 0.5), (10, 0.7, 0.3), (3, 0.5, 0.3), (1, 0.1, None)],
)
def test_an_empty_train_is_refused(n: int, test: float, validation: float | None) -> None:
    with pytest.raises(SplitError, match=f"of {n} samples, .* leave none to train"):
        stratify.split(n, size_test=test, size_validation=validation, seed=0)


@pytest.mark.parametrize("size", [0, 0.0, 1.0, -0.1, 2, True, float("nan"), "0.2"])
def test_a_size_that_is_no_share_is_refused(size: object) -> None:
    with pytest.raises(SplitError, match=r"size_validation: .*between 0 and 1"):
        stratify.split(10, size_validation=size, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 1.5, True, None])
def test_a_seed_that_is_no_whole_number_is_refused(seed: object) -> None:
    with pytest.raises(SplitError, match="seed: "):
        stratify.split(10, size_test=0.2, seed=seed)  # type: ignore[arg-type]


def test_without_sizes_all_samples_train() -> None:
    assert {k: v.tolist() for k, v in stratify.split(3, seed=0).items()} == {"train": [0, 1, 2]}


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (np.array(["b", "a"], dtype=object), ("a", "b")),
        (pd.array(["b", "a"], dtype="str"), ("a", "b")),
        (np.array([True, False]), ("False", "True")),
        (np.array([True, False], dtype=object), ("False", "True")),
        (np.array([7, -2]), ("-2", "7")),
        (np.array([[7], [-2]]), ("-2", "7")),
    ],
)
def test_classes_are_strata_in_sorted_order(values: np.ndarray, names: tuple[str, str]) -> None:
    strata = stratify.strata(values)
    assert strata.names == names
    assert strata.codes.tolist() == [1, 0]
    assert strata.bin_count is None


def test_one_hot_rows_count_as_their_column() -> None:
    hot = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    strata = stratify.strata(hot, names=["x", "y", "z"])
    assert strata.codes.tolist() == [1, 2, 0]
    assert strata.names == ("x", "y", "z")
    assert stratify.strata(hot).names == ("0", "1", "2")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(2, 6))
def test_floats_are_cut_by_the_rule_of_qcut(values: list[float], bins: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        strata = stratify.strata(np.array(values), bin_count=bins)
    oracle = pd.qcut(np.array(values), bins, labels=False, duplicates="drop")
    ranks = {code: i for i, code in enumerate(sorted(set(np.nan_to_num(oracle).tolist())))}
    assert strata.codes.tolist() == [ranks[c] for c in np.nan_to_num(oracle).tolist()]
    assert strata.bin_count == len(strata.names) == len(ranks)


def test_whole_numbers_are_cut_into_quantiles_when_asked() -> None:
    strata = stratify.strata(np.arange(8), bin_count=4)
    assert strata.codes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert strata.bin_count == 4
    assert stratify.strata(np.arange(9.0)).bin_count == 3


@pytest.mark.parametrize(
    ("values", "found"), [([5.0] * 6, 1), ([0.0] * 8 + [1.0, 2.0], 1), ([0.0, 0.0, 0.0, 1.0], 2)]
)
def test_fewer_quantiles_than_asked_are_reported(values: list[float], found: int) -> None:
    asked = 4 if found > 1 else 3
    with pytest.warns(UserWarning, match=f"{asked} quantiles asked for, the values allow {found}"):
        strata = stratify.strata(np.array(values), bin_count=asked)
    assert strata.bin_count == found


@pytest.mark.parametrize(
    "values", [np.array([1.0, np.nan]), np.array(["a", None], dtype=object), np.array([1, pd.NA])]
)
def test_a_missing_label_is_named_by_row(values: np.ndarray) -> None:
    with pytest.raises(SplitError, match=r"missing in 1 rows, the first are \[1\]"):
        stratify.strata(values)
    infinite = [np.inf if pd.isna(value) else 1.5 for value in values]
    with pytest.raises(SplitError, match=r"infinite in 1 rows, the first are \[1\]"):
        stratify.strata(np.array(infinite))


@pytest.mark.parametrize("bins", [1, 0, True, 2.5])
def test_a_bin_count_that_cannot_be_is_refused(bins: object) -> None:
    with pytest.raises(SplitError, match=r"bin_count: .*at least 2"):
        stratify.strata(np.arange(4.0), bin_count=bins)  # type: ignore[arg-type]
    with pytest.raises(
        SplitError, match="bin_count: 3 quantiles of a label that holds no numbers"
    ):
        stratify.strata(np.array(["a", "b"]), bin_count=3)
