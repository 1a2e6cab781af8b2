"""Find columns that reveal a label without learning: its copies, recodings and codes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd
from pandas.api import types

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Codes = NDArray[np.int64]

MOST_ROWS = 10_000  # they refute most columns; only the others are looked at in all rows
CHANCE = 2.0  # orders of magnitude by which chance has to be excluded, over all columns together
FEW_ROWS = 5  # in so few a straight line may be chance
ROWS_IN_ORDER = 20
EXACT = 1e-6  # of a column's range: float32 keeps 7 digits
ROWS_A_VALUE = 5  # a whole number that is this frequent is a code
FEW_PLACES, FEWEST, MOST_VALUES, MOST_PLACES = 64, 50, 2**22, 200  # see `places`

EQUAL, RECODED, PART = "has its values", "is the label in other values", "follows from it"
LINE, ORDER = "is a linear function of it", "has its order"
CODE, BLANK = "decides it, value by value", "is blank for some of its values and for no other"
NO_GROUPS = "is the label: a class would be in one split only. Name another column."
CERTAIN = (EQUAL, RECODED, PART, BLANK)  # the others may be the relation that a model should learn


class Answer(TypedDict):
    """A column that reveals the label, the way how, and the number of rows that have both."""

    column: str
    how: str
    rows: int


def find(table: pd.DataFrame, label: pd.DataFrame) -> list[Answer]:
    """Find the columns of a table that reveal a label.

    A column reveals the label where, in each row that has both values,

    - the label decides its value: a copy under another name or dtype, a part of a one-hot
      recoding, a coarser class, or (of numbers) a straight line or another order-preserving
      function of a continuous label;
    - its value decides the label, and values repeat: the code of something that has one label;
    - it is blank in all rows of some classes, and in no row of the others.

    Chance is excluded by the number of arrangements of the values over the rows. Columns without
    repeated values (ids, measurements) and measurements that a threshold separates do not count.

    Table and label have one row per sample; several columns of a label are one-hot.
    """
    if len(table) < FEW_ROWS or not table.shape[1]:
        return []
    whole = _one_column(label)
    step = -(-len(table) // MOST_ROWS)
    names = list(_answers(table.iloc[::step], whole.iloc[::step]))
    if step == 1 or not names:
        return names
    return list(_answers(table.loc[:, [answer["column"] for answer in names]], whole))


def places(values: NDArray[Any], label: pd.DataFrame) -> list[int]:
    """Return the places of `(samples, places)` numbers that may reveal the label, for `find`.

    Of many places, one pass over at most `MOST_VALUES` values, or over `FEWEST` samples where
    these are more, leaves out those that rows refute.
    """
    if values.shape[1] <= FEW_PLACES:
        return list(range(values.shape[1]))
    truth = _one_column(label).iloc[:, 0]
    known = np.flatnonzero(truth.notna())
    classes = _codes(truth.iloc[known])
    step = -(-len(values) // max(MOST_VALUES // values.shape[1], FEWEST))
    some = np.argsort(classes, kind="stable")[::step]  # in the order of classes
    starts = np.flatnonzero(np.diff(classes[some], prepend=-1))
    is_number = types.is_numeric_dtype(truth.dtype)
    numbers: Any = _numbers(truth.iloc[known[some]]) if is_number else []
    rising = np.argsort(numbers, kind="stable")
    found: list[int] = []
    width = max(MOST_VALUES // max(len(some), 1), 1)
    for start in range(0, values.shape[1], width):
        block = values[known[some], start : start + width].astype(float)
        likely = np.zeros(block.shape[1], dtype=bool)
        if len(starts) * 2 <= len(some):
            likely |= _is_decided(block, starts) | _is_decided(1.0 * np.isnan(block), starts)
        if is_number and len(some):
            ordered = block[rising]
            with np.errstate(invalid="ignore"):  # of infinite ones
                noise = EXACT * (np.fmax.reduce(ordered) - np.fmin.reduce(ordered))
                steps = np.diff(ordered, axis=0)
            likely |= (steps < -noise).any(axis=0) != (steps > noise).any(axis=0)
        found += (start + np.flatnonzero(likely)).tolist()
    return found[:MOST_PLACES]


def _is_decided(block: NDArray[np.float64], starts: Codes) -> NDArray[np.bool_]:
    """Mark columns that have one value in each part of the rows, and several in all."""
    low, high = np.fmin.reduceat(block, starts), np.fmax.reduceat(block, starts)
    return ~(low != high).any(axis=0, where=~np.isnan(low)) & (
        np.fmin.reduce(low) < np.fmax.reduce(high)
    )


def _one_column(label: pd.DataFrame) -> pd.DataFrame:
    if len(label.columns) == 1:
        return label
    return pd.DataFrame({"label": label.to_numpy(dtype=float).argmax(axis=1)})


def _answers(table: pd.DataFrame, label: pd.DataFrame) -> Iterator[Answer]:
    truth = label.iloc[:, 0]
    classes = _codes(truth)
    numbers = _numbers(truth) if types.is_numeric_dtype(truth.dtype) else None
    least = CHANCE + math.log10(table.shape[1])
    coded = [_codes(column) for _, column in table.items()]
    distinct = len(pd.DataFrame(dict(enumerate(coded))).drop_duplicates())
    for codes, (name, column) in zip(coded, table.items(), strict=True):
        how, rows = _by_codes(codes, classes, column, least, distinct)
        if how is None and numbers is not None:
            how, rows = _by_numbers(column, numbers, least)
        if how is None:
            how, rows = _by_blanks(codes, classes, least)
        if how is not None:
            yield Answer(column=str(name), how=how, rows=rows)


def _codes(column: pd.Series) -> Codes:
    """Return the number of each value, -1 where there is none."""
    try:
        return pd.factorize(column)[0].astype(np.int64)
    except TypeError:  # lists and the like
        return pd.factorize(column.astype(str))[0].astype(np.int64)


def _by_codes(
    codes: Codes, classes: Codes, column: pd.Series, least: float, distinct: int
) -> tuple[str | None, int]:
    """Say how values and classes decide each other, if they do."""
    both = (codes >= 0) & (classes >= 0)
    rows = int(both.sum())
    if rows * 2 < len(codes):
        return None, rows
    mine, theirs = _dense(codes[both]), _dense(classes[both])
    values, labels = int(mine.max()) + 1, int(theirs.max()) + 1
    if values == 1 or labels == 1:
        return None, rows
    pairs = len(pd.unique(mine * labels + theirs))
    if pairs == labels and _against_chance(mine, theirs) >= least:
        return (RECODED if values == labels else PART), rows
    if pairs == values and _against_chance(theirs, mine) >= least:
        # Where whole rows repeat, each value does, and proves nothing.
        comes_again = values * 2 <= distinct or values * ROWS_A_VALUE <= rows
        is_code = comes_again and not _is_parted(column.loc[both], theirs, values)
        return (CODE if is_code else None), rows
    return None, rows


def _dense(values: NDArray[Any]) -> Codes:
    """Return the rank of each value, equal ones without gaps between ranks."""
    return pd.factorize(values, sort=True)[0].astype(np.int64)


def _against_chance(values: Codes, blocks: Codes) -> float:
    """Return by how many orders of magnitude chance is excluded that each block has one value.

    It compares the arrangements of the values over the rows with those over the blocks.
    """
    _, first = np.unique(blocks, return_index=True)
    return _arrangements(values) - _arrangements(values[first])


def _arrangements(values: Codes) -> float:
    """Return the logarithm (base 10) of the number of orders of the values."""
    sizes, times = np.unique(np.bincount(values), return_counts=True)
    within = sum(n * math.lgamma(size + 1) for size, n in zip(sizes, times, strict=True))
    return (math.lgamma(len(values) + 1) - within) / math.log(10)


def _is_parted(column: pd.Series, classes: Codes, values: int) -> bool:
    """Say whether numbers decide the label by thresholds, and are not frequent whole numbers."""
    numbers = _numbers(column)
    if numbers is None or types.is_bool_dtype(column.dtype):
        return False
    ordered = classes[np.argsort(numbers, kind="stable")]
    is_parted = np.count_nonzero(np.diff(ordered)) == ordered.max()
    is_whole = bool((numbers == np.round(numbers)).all())
    return bool(is_parted) and not (is_whole and len(numbers) >= ROWS_A_VALUE * values)


def _numbers(column: pd.Series) -> NDArray[np.float64] | None:
    """Return a column of numbers, of texts of numbers, or of times as floats; else None."""
    if types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype):
        return np.where(column.isna(), np.nan, column.astype("int64").astype(float))
    if types.is_bool_dtype(column.dtype) or types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    found: Any = pd.to_numeric(column.astype(object), errors="coerce")
    is_text = bool((found.isna() & column.notna()).any())
    return None if is_text else np.asarray(found, dtype=float)


def _by_numbers(
    column: pd.Series, label: NDArray[np.float64], least: float
) -> tuple[str | None, int]:
    """Say whether numbers are an order-preserving function of a continuous label."""
    mine = _numbers(column)
    if mine is None:
        return None, 0
    with np.errstate(over="ignore"):  # what is infinite in float32 is refused before a training
        both = np.isfinite(np.float32(mine)) & np.isfinite(np.float32(label))
    rows = int(both.sum())
    mine, truth = mine[both], label[both]
    if rows * 2 < len(both) or rows < FEW_ROWS or not np.ptp(mine) or not np.ptp(truth):
        return None, rows
    if len(np.unique(truth)) >= FEW_ROWS:
        centred, other = mine - mine.mean(), truth - truth.mean()
        slope = (centred @ other) / (other @ other)
        if np.abs(centred - slope * other).max() <= EXACT * np.ptp(mine):
            is_equal = np.allclose(mine, truth, rtol=EXACT, atol=EXACT * float(np.ptp(truth)))
            return (EQUAL if is_equal else LINE), rows
    if rows < ROWS_IN_ORDER or _is_sorted(mine):  # both may only follow the time
        return None, rows
    order = np.argsort(truth, kind="stable")
    ranks = _dense(mine)
    varies = np.diff(ranks[order])[np.diff(truth[order]) == 0].any()  # among equal labels
    keeps_order = not varies and _is_sorted(ranks[order])
    return (ORDER if keeps_order and _arrangements(ranks) >= least else None), rows


def _is_sorted(values: NDArray[Any]) -> bool:
    steps = np.diff(values)
    return bool((steps >= 0).all() or (steps <= 0).all())


def _by_blanks(codes: Codes, classes: Codes, least: float) -> tuple[str | None, int]:
    """Say whether a column is blank in all rows of some classes and in none of the others."""
    known = classes >= 0
    blank, theirs = (codes[known] < 0).astype(np.int64), _dense(classes[known])
    if not len(theirs) or blank.min() == blank.max():
        return None, len(theirs)
    labels = int(theirs.max()) + 1
    is_decided = len(pd.unique(blank * labels + theirs)) == labels
    is_found = is_decided and _against_chance(blank, theirs) >= least
    return (BLANK if is_found else None), len(theirs)
