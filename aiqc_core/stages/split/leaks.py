"""Measure what splits share and should not: rows, equal samples, contradicting labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core import counts
from aiqc_core.errors import SplitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.window import Windows

DECIMALS = 6  # more than noise of computing, less than measurements differ
COUNTED_ROWS, COUNTED_COLUMNS = 10_000, 100  # for the estimate of chance
MOST_DECIMALS = 15  # of a float64
BLOCK_VALUES = 2**16  # values hashed at once: they stay in a processor's cache
OFTEN = 5  # rows per value, on average, of a column of few values
EXACT = 2.0**52  # from here on a float64 holds no fraction that could be rounded


class SharedRows(TypedDict):
    """The rows that train shares with another split, also as a share of train's rows."""

    rows: int
    share: float


def shared_rows(
    windows: Windows, splits: Mapping[str, NDArray[np.int64]], *, shifted: bool | None = None
) -> dict[str, SharedRows]:
    """Count the rows that the windows of train share with those of each other split.

    Splits are positions of windows; the first one is train. For `shifted` see `Windows.rows`:
    inputs and targets together by default.

    Raises:
        SelectionError: a position that no window has.
    """
    rows = {name: windows.rows(positions, shifted=shifted) for name, positions in splits.items()}
    train, *others = rows
    shared = {
        name: len(np.intersect1d(rows[train], rows[name], assume_unique=True)) for name in others
    }
    total = max(len(rows[train]), 1)
    return {name: SharedRows(rows=count, share=count / total) for name, count in shared.items()}


def least_gap(windows: Windows) -> int:
    """Return the number of windows between ordered splits at which they share no row.

    A window covers `size_window` rows, and `size_shift` more with its target; the result is
    `ceil(rows / size_shift) - 1`, never more than `size_window + size_shift`.
    """
    reach = windows.size_window + windows.size_shift * windows.record_shifted
    return -(-reach // windows.size_shift) - 1


def near_duplicates(
    values: NDArray[Any], splits: Mapping[str, NDArray[np.int64]], *, decimals: int = DECIMALS
) -> dict[str, int]:
    """Count in each split the samples that equal one of train after rounding.

    Rows are compared by a hash of 64 bits: different ones seem equal about once in 10^19
    comparisons. Missing values equal each other, and so do 0.0 and -0.0.

    Values are numbers, `(samples, …, columns)`, rounded to `decimals`; the first split is train.

    Raises:
        SplitError: values that are no real numbers, or impossible decimals.

    >>> cut = {"train": np.array([0]), "test": np.array([1, 2])}
    >>> near_duplicates(np.array([[0.1], [0.1 + 1e-9], [0.2]]), cut)
    {'test': 1}
    """
    if values.dtype.kind not in "biuf":
        raise SplitError(
            f"values: dtype {values.dtype}; near-duplicates are sought in encoded, real numbers."
        )
    wanted, known = f"a whole number, 0 to {MOST_DECIMALS}", range(MOST_DECIMALS + 1)
    decimals = int(counts.real("decimals", decimals, known.__contains__, wanted))
    hashes = pd.Series(_row_hashes(values, decimals))
    train, *others = splits
    known = hashes.iloc[splits[train]]
    return {name: int(hashes.iloc[splits[name]].isin(known).sum()) for name in others}


class RepeatedRows(TypedDict):
    """The rows of a split that equal one of train, also as a share of the split.

    `same_label` counts those that also have the label of an equal row; None without a label.
    `trained` is the number of samples that train.
    """

    rows: int
    share: float
    same_label: int | None
    trained: int


def sample_hashes(tables: Sequence[NDArray[Any]]) -> NDArray[np.uint64]:
    """Return a hash of each sample, from its numbers in all tables, `(samples, …)` each."""
    hashes = np.zeros(len(tables[0]), dtype=np.uint64)
    for place, values in enumerate(tables, 1):
        hashes += _row_hashes(values, DECIMALS) * np.uint64(2 * place + 1)
    return hashes


def repeated_rows(
    tables: Sequence[NDArray[Any]],
    labels: NDArray[np.int64] | None,
    parts: Mapping[str, Mapping[str, NDArray[np.int64]]],
) -> dict[str, dict[str, RepeatedRows]]:
    """Count the samples of each split that have the features of a training sample.

    Equal samples are equal in all tables of numbers, `(samples, …)` each. `labels` are the
    numbers of the samples' labels, if any; `parts` are positions by fold and split, train first.
    """
    hashes = sample_hashes(tables)
    labelled = None if labels is None else hashes + _mixed((labels + 1).view(np.uint64))

    def counted(train: NDArray[np.int64], rows: NDArray[np.int64]) -> RepeatedRows:
        count = int(np.isin(hashes[rows], hashes[train]).sum())
        same = None if labelled is None else int(np.isin(labelled[rows], labelled[train]).sum())
        share = count / max(len(rows), 1)
        return RepeatedRows(rows=count, share=share, same_label=same, trained=len(train))

    return {
        part: {split: counted(train, rows) for split, rows in others}
        for part, splits in parts.items()
        for (_, train), *others in [list(splits.items())]
    }


def contradicting(hashes: NDArray[np.uint64], label: pd.DataFrame) -> dict[str, int]:
    """Count the samples with the features of another sample and not its label.

    Continuous labels differ from half a standard deviation on: less may be noise of repeated
    measurements. `hashes` are those of each sample; `label` has as many rows.

    >>> hashes = np.array([7, 7, 8], dtype=np.uint64)
    >>> contradicting(hashes, pd.DataFrame({"y": ["a", "b", "a"]}))
    {'rows': 2, 'of': 3, 'distinct': 2}
    """
    values, apart = numbered(label).astype(float), 0.0
    if len(label.columns) == 1 and types.is_float_dtype(label.dtypes.iloc[0]):
        values = label.iloc[:, 0].to_numpy(dtype=float, na_value=np.nan)
        apart = float(values[np.isfinite(values)].std()) / 2
    known, numbers = np.unique(hashes, return_inverse=True)
    low, high = np.full(len(known), np.inf), np.full(len(known), -np.inf)
    np.fmin.at(low, numbers, values)
    np.fmax.at(high, numbers, values)
    rows = int((high - low > apart)[numbers].sum())
    return {"rows": rows, "of": len(hashes), "distinct": len(known)}


def numbered(label: pd.DataFrame) -> NDArray[np.int64]:
    """Return the number of each sample's label, of one column or several."""
    return label.groupby(list(label.columns), sort=False, dropna=False).ngroup().to_numpy()


def coincidence(tables: Sequence[NDArray[Any]]) -> float:
    """Return the probability that two samples are equal by chance.

    Columns of few values are counted together, as one often follows from another (a city's
    state); the others as if they were independent. Where few columns have few values, equal rows
    are no sign of a leak.
    """
    likely = 1.0
    for values in tables:
        width = int(np.prod(values.shape[1:]))
        spread = np.linspace(0, width - 1, min(width, COUNTED_COLUMNS)).astype(int)
        some = values[:: -(-len(values) // COUNTED_ROWS)].reshape(-1, width)
        joint = np.zeros(len(some), dtype=np.int64)
        for column in bits_of(some[:, spread]).T:
            codes = pd.factorize(column)[0]
            both = pd.factorize(joint * len(codes) + codes)[0]
            if (both.max(initial=0) + 1) * OFTEN <= len(both):
                joint = both
            else:
                likely *= _equal_pairs(codes)
        likely *= _equal_pairs(joint)
    return likely


def _equal_pairs(codes: NDArray[np.int64]) -> float:
    """Return the share of pairs that have the same code."""
    sizes = np.bincount(codes).astype(float)
    return float((sizes * (sizes - 1)).sum()) / max(len(codes) * (len(codes) - 1), 1)


def bits_of(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Return the bits of numbers, rounded to `DECIMALS` digits."""
    return _rounded(values, DECIMALS).view(np.uint64)


def _row_hashes(values: NDArray[Any], decimals: int) -> NDArray[np.uint64]:
    """Return a hash of each row: the mixed bits of its values, weighted by their place."""
    width = int(np.prod(values.shape[1:]))
    weights = np.random.default_rng(0).integers(0, 2**63, width, dtype=np.uint64) * 2 + 1
    hashes = np.empty(len(values), dtype=np.uint64)
    step = max(BLOCK_VALUES // max(width, 1), 1)
    for start in range(0, len(values), step):
        block = _rounded(values[start : start + step], decimals)
        mixed = _mixed(block.view(np.uint64)).reshape(len(block), width)
        hashes[start : start + step] = (mixed * weights).sum(axis=1, dtype=np.uint64)
    return hashes


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread each value over all bits: the finisher of SplitMix64 (Steele and others, 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits


def _rounded(values: NDArray[Any], decimals: int) -> NDArray[Any]:
    """Round values so that equal numbers have equal bits; whole numbers do not change."""
    if values.dtype.kind != "f":
        return values.astype(np.uint64 if values.dtype.kind == "u" else np.int64)
    exact = values.astype(np.float64)
    with np.errstate(over="ignore"):  # numbers too large to round do not change
        np.copyto(exact, np.round(exact, decimals), where=np.abs(exact) < EXACT)
    exact += 0.0  # -0.0 becomes 0.0
    exact[np.isnan(exact)] = np.nan  # one NaN of many
    return exact
