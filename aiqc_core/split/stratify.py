"""Cutting samples into train, validation and test, each with its share of every class."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from aiqc_core.errors import SplitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

DEFAULT_BINS = 3
SHOWN = 5
ROUNDING = 1e-9  # 0.2 of 15 samples is 3, though 15 * 0.2 is a hair more


@dataclass(frozen=True, slots=True)
class Strata:
    """The stratum of each sample.

    Attributes:
        codes: `(samples,)`, from 0.
        names: the class or the bin of each code.
        bin_count: how many quantiles there really are; None for classes.
    """

    codes: NDArray[np.int64]
    names: tuple[str, ...]
    bin_count: int | None


def strata(values: NDArray[Any], *, bin_count: int | None = None) -> Strata:
    """Return the strata of a label.

    Floating values are cut into quantiles by pandas' `qcut` rule; whole numbers too when
    `bin_count` is given; other values are their own strata; one-hot rows count as their column.

    Args:
        values: `(samples,)`, or one-hot `(samples, classes)`.
        bin_count: quantiles, at least 2; 3 by default.

    Raises:
        SplitError: a missing value, or a `bin_count` that cannot be.

    >>> strata(np.array(["b", "a", "b"])).codes.tolist()
    [1, 0, 1]
    >>> strata(np.arange(6.0)).codes.tolist()
    [0, 0, 1, 1, 2, 2]
    """
    if bin_count is not None and bin_count < 2:  # noqa: PLR2004 - one bin is no stratification
        raise SplitError(f"bin_count: {bin_count}; give at least 2.")
    if values.ndim > 1:
        codes = np.asarray(values).astype(float).argmax(axis=1)
        return Strata(codes.astype(np.int64), tuple(map(str, range(values.shape[1]))), None)
    column = pd.Series(values).infer_objects()
    _refuse_missing(column)
    if _is_continuous(column, bin_count):
        return _quantiles(column.to_numpy(dtype=float), bin_count or DEFAULT_BINS)
    codes, names = pd.factorize(column, sort=True)
    return Strata(codes.astype(np.int64), tuple(str(name) for name in names), None)


def split(
    n: int,
    *,
    strata: Strata | None = None,
    size_test: float | None = None,
    size_validation: float | None = None,
    seed: int,
) -> dict[str, NDArray[np.int64]]:
    """Cut `n` samples; test first, then validation, whose size is a share of the whole.

    Args:
        n: how many samples.
        strata: of each sample; without, the cut is purely random.
        size_test: share for test, in (0, 1).
        size_validation: share for validation, in (0, 1).
        seed: of the draw.

    Returns:
        `{"train", "validation", "test"}`, those asked for, as sorted positions.

    Raises:
        SplitError: a size out of range, a split that would be empty, or a class too small.

    >>> {k: len(v) for k, v in split(10, size_test=0.2, seed=0).items()}
    {'train': 8, 'test': 2}
    """
    test, validation = (
        _count(n, "size_test", size_test),
        _count(n, "size_validation", size_validation),
    )
    if n - test - validation < 1:
        raise SplitError(
            f"size_test={size_test}, size_validation={size_validation}: of {n} samples {test} and "
            f"{validation} leave none to train. Use smaller sizes or more samples."
        )
    rest, cut = np.arange(n, dtype=np.int64), {}
    for name, count in (("test", test), ("validation", validation)):
        if count:
            cuts_left = 1 if name == "validation" or not validation else 2
            rest, cut[name] = _cut(rest, count, name, strata, seed, cuts_left)
    order = ("train", "validation", "test")
    named = {"train": rest} | cut
    return {name: np.sort(named[name]) for name in order if name in named}


def absent(
    strata: Strata, splits: Mapping[str, NDArray[np.int64]]
) -> list[tuple[str, str]]:
    """Return `(split, class)` for each class that a split has no sample of.

    >>> absent(strata(np.array(["a", "b", "b"])), {"train": np.array([1, 2])})
    [('train', 'a')]
    """
    return [
        (split_name, strata.names[code])
        for split_name, rows in splits.items()
        for code in sorted(set(range(len(strata.names))) - set(strata.codes[rows].tolist()))
    ]


def _refuse_missing(column: pd.Series) -> None:
    rows = np.flatnonzero(column.isna())
    if len(rows):
        raise SplitError(
            f"label_id: the label is missing in {len(rows)} rows, the first are "
            f"{rows[:SHOWN].tolist()}. Fill them or leave them out before the split."
        )


def _is_continuous(column: pd.Series, bin_count: int | None) -> bool:
    kind = column.dtype
    if pd.api.types.is_bool_dtype(kind):
        return False
    if pd.api.types.is_float_dtype(kind):
        return True
    return pd.api.types.is_integer_dtype(kind) and bin_count is not None


def _quantiles(values: NDArray[np.float64], asked: int) -> Strata:
    codes = pd.qcut(values, q=asked, labels=False, duplicates="drop")
    codes = np.zeros(len(values), dtype=np.int64) if np.isnan(codes).all() else codes
    found = int(codes.max()) + 1
    if found < asked:
        warnings.warn(
            f"bin_count: {asked} quantiles asked for, the values allow {found}; stratified by "
            f"{found}.",
            stacklevel=4,
        )
    return Strata(codes.astype(np.int64), tuple(f"bin {i}" for i in range(found)), found)


def _count(n: int, argument: str, size: float | None) -> int:
    if size is None:
        return 0
    if isinstance(size, bool) or not 0.0 < size < 1.0:
        raise SplitError(f"{argument}: {size!r}; give a share between 0 and 1, both excluded.")
    return math.ceil(n * size - ROUNDING)


def _cut(
    rows: NDArray[np.int64], count: int, name: str, strata: Strata | None, seed: int, cuts: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    codes = None if strata is None or len(strata.names) == 1 else strata.codes[rows]
    if codes is not None and strata is not None:
        _refuse_small_classes(codes, strata, cuts + 1)
        classes = len(np.unique(codes))
        if min(count, len(rows) - count) < classes:
            raise SplitError(
                f"size_{name}: {count} of {len(rows)} samples ({len(rows) - count} left) cannot "
                f"hold each of {classes} classes. Use other sizes or more samples."
            )
    kept, cut = train_test_split(rows, test_size=count, stratify=codes, random_state=seed)
    return kept, cut


def _refuse_small_classes(codes: NDArray[np.int64], strata: Strata, needed: int) -> None:
    counts = np.bincount(codes, minlength=len(strata.names))
    small = {strata.names[c]: int(k) for c, k in enumerate(counts) if 0 < k < needed}
    if small:
        raise SplitError(
            f"size_test/size_validation: classes {small} have too few samples; each needs at "
            f"least {needed} for these cuts. Add samples, merge classes, or drop the rows."
        )
