"""Cut samples into train, validation and test, each with its share of every class."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.counts import whole
from aiqc_core.errors import SplitError
from aiqc_core.stages.split.draw import SHOWN, draw, generator, refuse_small_classes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DEFAULT_BINS = 3
LEAST_BINS = 2


@dataclass(frozen=True, slots=True)
class Strata:
    """The stratum of each sample."""

    codes: NDArray[np.int64]  # `(samples,)`, from 0
    names: tuple[str, ...]  # the class or the bin of each code
    bin_count: int | None  # the actual number of quantiles; None for classes


@dataclass(frozen=True, slots=True)
class Basis:
    """The values by which samples are stratified; the attributes are arguments of `strata`."""

    values: NDArray[Any]
    names: tuple[str, ...] | None = None
    argument: str = "label_id"


def strata(
    values: NDArray[Any],
    *,
    bin_count: int | None = None,
    names: Sequence[str] | None = None,
    argument: str = "label_id",
) -> Strata:
    """Return the strata of a label.

    Floating values are cut into quantiles by pandas' `qcut` rule, and so are whole numbers when
    `bin_count` is given. Other values are their own strata. One-hot rows count as their column.

    Args:
        values: `(samples,)`, or one-hot `(samples, classes)`.
        bin_count: number of quantiles, at least 2; 3 by default.
        names: of the columns of one-hot values; their numbers by default.
        argument: the user's argument that chose the values, for messages.

    Raises:
        SplitError: a missing value, or an impossible `bin_count`.

    >>> strata(np.arange(6.0)).codes.tolist()
    [0, 0, 1, 1, 2, 2]
    """
    if values.ndim > 1 and values.shape[1] > 1:
        _refuse_bins_of_classes(bin_count)
        codes = np.asarray(values).astype(float).argmax(axis=1)
        columns = range(values.shape[1]) if names is None else names
        return Strata(codes.astype(np.int64), tuple(map(str, columns)), None)
    column = pd.Series(values.ravel()).infer_objects()
    faults = {"missing": column.isna(), "infinite": column.isin([np.inf, -np.inf])}
    for kind, where in faults.items():
        if len(rows := np.flatnonzero(where)):
            what = "the label" if argument == "label_id" else "a sample's value"
            raise SplitError(
                f"{argument}: {what} is {kind} in {len(rows)} rows, the first are "
                f"{rows[:SHOWN].tolist()}. Fill them or leave them out before the split."
            )
    if bin_count is not None:
        whole("bin_count", bin_count, least=LEAST_BINS)
        if not types.is_any_real_numeric_dtype(column.dtype):
            _refuse_bins_of_classes(bin_count)
    if types.is_float_dtype(column.dtype) or bin_count is not None:
        return _quantiles(column.to_numpy(dtype=float), bin_count or DEFAULT_BINS)
    codes, classes = pd.factorize(column, sort=True)
    return Strata(codes.astype(np.int64), tuple(map(str, classes)), None)


def split(
    n: int,
    *,
    strata: Strata | None = None,
    size_test: float | None = None,
    size_validation: float | None = None,
    seed: int,
) -> dict[str, NDArray[np.int64]]:
    """Cut `n` samples; test first, then validation, whose size is a share of the whole.

    Each class gives its share by largest remainder, so a rare class may be absent from a small
    split (see `absent`), but never from train.

    Args:
        n: number of samples.
        strata: of each sample; without, the cut is purely random.
        size_test: share for test, in (0, 1); `ceil(n * size_test)` samples.
        size_validation: share for validation, in (0, 1); rounded up likewise.
        seed: of the draw, a whole number from 0.

    Returns:
        The sorted positions of `"train"`, and of `"validation"` and `"test"` if requested.

    Raises:
        SplitError: a size out of range, a split that would be empty, or a class too small.
    """
    sizes = {"test": size_test, "validation": size_validation}
    counts = {
        name: _count(n, f"size_{name}", size) for name, size in sizes.items() if size is not None
    }
    if n - sum(counts.values()) < 1:
        given = ", ".join(f"size_{name}={sizes[name]}" for name in counts)
        raise SplitError(
            f"{given or 'samples'}: of {n} samples, {counts} leave none to train. Use "
            "smaller sizes or more samples."
        )
    codes = np.zeros(n, dtype=np.int64)
    if strata is not None and len(strata.names) > 1:
        codes = strata.codes
        argument = "/".join(f"size_{name}" for name in counts)
        refuse_small_classes(argument, codes, strata.names, 1 + len(counts))
        classes = len(np.unique(codes))
        for name, length in {**counts, "train": n - sum(counts.values())}.items():
            if length < classes:
                raise SplitError(
                    f"{argument}: {name} would have {length} of {n} samples, fewer than the "
                    f"{classes} classes. Use other sizes, more samples, or fewer "
                    "classes (quantiles: a smaller bin_count)."
                )
    rng, rest, cut = generator(seed), np.arange(n, dtype=np.int64), {}
    for cuts_made, (name, count) in enumerate(counts.items(), start=1):
        keep = 1 + len(counts) - cuts_made  # one for train, and one for each cut to come
        rest, cut[name] = draw(rest, codes[rest], count, keep=keep, rng=rng)
    return {"train": rest} | dict(reversed(cut.items()))


def absent(strata: Strata, splits: Mapping[str, NDArray[np.int64]]) -> list[tuple[str, str]]:
    """Return `(split, class)` for each class that a split has no sample of."""
    everything = np.arange(len(strata.names))
    return [
        (name, strata.names[code])
        for name, rows in splits.items()
        for code in np.setdiff1d(everything, strata.codes[rows])
    ]


def _refuse_bins_of_classes(bin_count: int | None) -> None:
    if bin_count is not None:
        raise SplitError(
            f"bin_count: {bin_count} quantiles of a label that holds no numbers but classes; "
            "leave bin_count out, classes are strata."
        )


def _quantiles(values: NDArray[np.float64], asked: int) -> Strata:
    """Cut by `pandas.qcut`; quantiles that coincide or hold no sample fall away."""
    cut: Any = pd.qcut(values, q=asked, labels=False, duplicates="drop", retbins=True)
    bins, edges = cut
    found, codes = np.unique(np.nan_to_num(bins), return_inverse=True)  # a constant has no bin
    if len(found) < asked:
        warnings.warn(
            f"bin_count: {asked} quantiles asked for, the values allow {len(found)}; stratified "
            f"by {len(found)}.",
            stacklevel=3,
        )
    ends = [(edges[int(i)], edges[min(int(i) + 1, len(edges) - 1)]) for i in found]
    names = tuple(f"{low:.6g} to {high:.6g}" for low, high in ends)
    return Strata(codes.astype(np.int64), names, len(found))


def _count(n: int, argument: str, size: float) -> int:
    if not isinstance(size, float | np.floating) or not 0.0 < size < 1.0:
        raise SplitError(f"{argument}: {size!r}; give a share between 0 and 1, both excluded.")
    # The decimal that the user wrote: 0.07 of 100 is 7, though 0.07 * 100 is a hair more.
    return math.ceil(n * Fraction(repr(float(size))))
