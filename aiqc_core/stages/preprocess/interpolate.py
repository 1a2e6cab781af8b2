"""Fill the blanks of floating columns along time, by `pandas.DataFrame.interpolate`.

The default method, `spline` of order 1, is a *smoothing* spline: it follows the trend and need
not go through the known points. `linear` goes through them.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess.columns import Selection, select
from aiqc_core.stages.preprocess.interpolate_kwargs import DEFAULTS, checked_kwargs, least_points

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from aiqc_core.stages.preprocess.values import Array, Floats, Ints

__all__ = ["DEFAULTS", "checked_kwargs", "fill_splits", "fill_tables", "matching"]

logger = logging.getLogger(__name__)

FLOATING = ("float16", "float32", "float64", "Float32", "Float64")
UNSETTLED = "There is an approximation"  # the end of FITPACK's warning of a smoothing spline
TABLE_DIMENSIONS = 3  # samples, rows, columns


def matching(
    available: Mapping[str, str],
    *,
    dtypes: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    taken: Collection[str] = (),
) -> Selection:
    """Match floating columns as `columns.select`; without a filter, all that are not taken.

    Raises:
        SelectionError: as `columns.select`.
        PreprocessError: a filter that names a column that is not floating, or no floating column.
    """
    if dtypes is None and columns is None:
        columns = [
            name for name, dtype in available.items() if dtype in FLOATING and name not in taken
        ]
        if not columns:
            raise PreprocessError(
                f"columns: none is left to interpolate; earlier interpolaters took "
                f"{sorted(taken)}, there are {dict(available)}, and only floating ones "
                f"{FLOATING} are interpolated."
            )
    selection = select(available, dtypes=dtypes, columns=columns, taken=taken)
    _refuse_other_dtypes({name: available[name] for name in selection.matching})
    return selection


def fill_splits(
    frame: pd.DataFrame,
    splits: Mapping[str, Sequence[int] | Ints],
    columns: Sequence[str],
    kwargs: Mapping[str, Any],
    *,
    process_separately: bool,
) -> dict[str, pd.DataFrame]:
    """Fill columns so that nothing outside the training split changes a training value.

    A row's position is its place on the x axis: a blank nearer to a known row gets nearer to its
    value. (`linear` is thus the `index` of pandas; its `linear` takes rows as equally spaced.)

    Args:
        frame: all rows, in the order of their positions.
        splits: positions by split; the first is the one that trains. A row may be in several, as
            with windows that overlap, and then has its training value in each.
        columns: floating columns.
        kwargs: as `checked_kwargs` returns them.
        process_separately: whether training rows are filled among themselves, and each other
            split with the filled training rows beside it. Otherwise all rows are filled at once.

    Returns:
        The rows of each split in the order of its positions, with a default index; columns that
        are not filled stay as they are.

    Raises:
        PreprocessError: too few known points, infinite ones, or blanks left.

    >>> frame = pd.DataFrame({"a": [0.0, np.nan, 9.0, np.nan, 4.0]})
    >>> splits = {"train": [4, 1, 0], "test": [2, 3]}
    >>> filled = fill_splits(frame, splits, ["a"], {"method": "linear"}, process_separately=True)
    >>> filled["train"]["a"].tolist(), filled["test"]["a"].tolist()
    ([4.0, 1.0, 0.0], [9.0, 6.5])
    """
    _refuse_other_dtypes({name: str(frame[name].dtype) for name in columns})
    rows = {split: _positions(split, given, len(frame)) for split, given in splits.items()}
    pieces = {split: frame.iloc[taken].reset_index(drop=True) for split, taken in rows.items()}
    fill = _each_separately if process_separately else _all_at_once
    for name in columns:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for split, whole in fill(name, values, rows, kwargs):
            filled = whole[rows[split]]
            _refuse_left(name, filled, kwargs, lambda _, split=split: f"split {split!r}")
            pieces[split][name] = pd.Series(filled).astype(frame[name].dtype)
    return pieces


def fill_tables(
    array: Array,
    column_positions: Sequence[int],
    kwargs: Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
) -> Array:
    """Fill columns of each 2D table by itself: a sample of a sequence, a channel of an image.

    `array` is `(samples, …, rows, columns)`, floating, and is copied. Messages call the columns by
    their names, if given. Splits do not matter, as no table sees another one.

    Raises:
        PreprocessError: another dtype, or a table with too few known points, infinite ones, or
            blanks left.
    """
    if array.ndim < TABLE_DIMENSIONS or array.dtype.kind != "f":
        raise PreprocessError(
            f"array: {array.dtype} of shape {array.shape}; only floating arrays "
            "(samples, …, rows, columns) are interpolated."
        )
    result = np.array(array, order="C")
    tables = result.reshape(-1, *array.shape[-2:])
    for position in column_positions:
        series = tables[:, :, position]
        gaps = np.flatnonzero(np.isnan(series).any(axis=1))
        if not gaps.size:
            continue

        def where(i: int, gaps: Ints = gaps) -> str:
            return f"table {[int(k) for k in np.unravel_index(gaps[i], array.shape[:-2])]}"

        name = str(position) if names is None else names[position]
        known = series[gaps].T.astype(np.float64)
        filled = _fill(name, known, np.arange(len(known)), kwargs, where)
        _refuse_left(name, filled, kwargs, where)
        tables[gaps, :, position] = filled.T
    return result


def _each_separately(
    name: str, values: Floats, rows: Mapping[str, Ints], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, Floats]]:
    """Yield the whole column for each split, with the rows of this split filled."""
    first, *others = rows
    train = np.unique(rows[first])
    taught = _fill_rows(name, values, train, kwargs, f"split {first!r}")
    yield first, taught
    for split in others:
        both = np.union1d(train, rows[split])
        place = f"split {split!r}, train rows beside it"
        yield split, _fill_rows(name, taught, both, kwargs, place)


def _all_at_once(
    name: str, values: Floats, rows: Mapping[str, Ints], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, Floats]]:
    filled = _fill_rows(name, values, np.arange(len(values)), kwargs, "all rows")
    yield from ((split, filled) for split in rows)


def _fill_rows(
    name: str, values: Floats, positions: Ints, kwargs: Mapping[str, Any], place: str
) -> Floats:
    """Return a column with the rows at some positions filled, from one another."""
    filled = values.copy()
    series = values[positions, np.newaxis]
    if np.isnan(series).any():
        filled[positions] = _fill(name, series, positions, kwargs, lambda _: place)[:, 0]
    return filled


def _fill(
    name: str,
    series: Floats,
    positions: Ints,
    kwargs: Mapping[str, Any],
    where: Callable[[int], str],
) -> Floats:
    """Fill each series of `(positions, series)` by itself; each has a blank."""
    method = kwargs.get("method", "linear")
    least = least_points(kwargs)
    known = (~np.isnan(series)).sum(axis=0)
    few = np.flatnonzero(known < least)
    if few.size:
        raise PreprocessError(
            f"column {name!r}: {known[few[0]]} known points in {where(int(few[0]))}; method "
            f"{method!r} needs {least}. Use 'linear', leave the column out, or drop such rows."
        )
    infinite = np.isinf(series).sum(axis=0)
    if infinite.any():
        raise PreprocessError(
            f"column {name!r}: {infinite.sum()} infinite values in "
            f"{where(int(np.argmax(infinite > 0)))}; no curve goes through "
            "them. Replace them before the Dataset is registered."
        )
    by_position: dict[str, Any] = {**kwargs, "method": "index" if method == "linear" else method}
    try:
        with _warn_by_name(name, method, where(0)):
            filled = pd.DataFrame(series, index=positions).interpolate(**by_position)
    except Exception as error:  # FITPACK's has no narrower base
        raise PreprocessError(
            f"column {name!r}: method {method!r} does not fit {where(0)}: {error}. Use 'linear'."
        ) from error
    return filled.to_numpy()


@contextmanager
def _warn_by_name(name: str, method: str, place: str) -> Generator[None]:
    """Log once, by column, that FITPACK could not smooth a spline as asked."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    others = [warning for warning in caught if UNSETTLED not in str(warning.message)]
    for warning in others:
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if len(others) < len(caught):
        logger.warning(
            "column %r: method %r did not reach the smoothness asked for in %s, and the nearest "
            "curve was taken. Use 'linear', or another s or order in interpolate_kwargs.",
            name, method, place,
        )  # fmt: skip


def _refuse_left(
    name: str, filled: Floats, kwargs: Mapping[str, Any], where: Callable[[int], str]
) -> None:
    blank = np.isnan(filled)
    if blank.any():
        series = int(np.flatnonzero(np.atleast_2d(blank.T).any(axis=1))[0])
        raise PreprocessError(
            f"column {name!r}: {int(blank.sum())} of {filled.size} values are still missing in "
            f"{where(series)} after method {kwargs.get('method', 'linear')!r}, interpolate_kwargs "
            f"{dict(kwargs)}. Fill both ends with limit_direction='both', lift limit and "
            "limit_area, or use 'linear' or 'spline', which go past the known points."
        )


def _positions(split: str, given: Sequence[int] | Ints, count: int) -> Ints:
    positions = np.asarray(given, dtype=np.int64)
    outside = positions[(positions < 0) | (positions >= count)]
    if outside.size:
        raise PreprocessError(
            f"splits: {split!r} has position {outside[0]}; there are {count} rows, from 0."
        )
    return positions


def _refuse_other_dtypes(dtypes: Mapping[str, str]) -> None:
    others = {name: dtype for name, dtype in dtypes.items() if dtype not in FLOATING}
    if others:
        raise PreprocessError(
            f"columns {others} are not floating, and only {FLOATING} are interpolated. Leave them "
            "out of the filter, or register the Dataset with retype."
        )
