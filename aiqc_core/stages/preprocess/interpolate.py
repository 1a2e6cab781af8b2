"""Filling the blanks of floating columns along time, by `pandas.DataFrame.interpolate`.

The default method, `spline` of order 1, is a *smoothing* spline: it follows the trend and need
not go through the known points, nor on a straight line between them. `linear` goes through them.
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
    from collections.abc import Callable, Collection, Generator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "DEFAULTS",
    "checked_kwargs",
    "fill_splits",
    "fill_tables",
    "matching",
]

logger = logging.getLogger(__name__)

FLOATING = ("float16", "float32", "float64", "Float32", "Float64")
UNSETTLED = "There is an approximation"  # how FITPACK ends what it says of a smoothing spline
TABLE_DIMENSIONS = 3  # samples, rows, columns


def matching(
    available: Mapping[str, str],
    *,
    dtypes: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    taken: Collection[str] = (),
) -> Selection:
    """Match floating columns by dtype and by name; without a filter, all that are not taken.

    Args:
        available: `{column: dtype}` of the whole feature, in order.
        dtypes: dtypes of the filter.
        columns: columns of the filter, beside those of `dtypes`.
        taken: columns that earlier interpolaters took.

    Raises:
        SelectionError: as `columns.select`.
        PreprocessError: a filter that names a column that is not floating, or no floating column.

    >>> matching({"a": "float64", "b": "str", "c": "float32"}).matching
    ['a', 'c']
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
    splits: Mapping[str, Sequence[int] | NDArray[np.int64]],
    columns: Sequence[str],
    kwargs: Mapping[str, Any],
    *,
    process_separately: bool,
) -> dict[str, pd.DataFrame]:
    """Fill columns so that nothing outside the training split changes a training value.

    Rows are put in the order of their positions, and positions are where they lie: of two blanks
    in a gap of train, the one nearer to a known row comes nearer to its value. (`linear` is thus
    pandas' `index`, as pandas' `linear` takes rows for equally spaced.)

    Args:
        frame: all rows, a row's place being its position.
        splits: positions by split; the first is the one that trains. A row may be in several, as
            with windows that overlap, and then has its training value in each.
        columns: floating columns.
        kwargs: as `checked_kwargs` returns them.
        process_separately: whether training rows are filled among themselves, and each other
            split with the filled training rows beside it. Otherwise all rows are filled at once.

    Returns:
        The rows of each split in the order of its positions, with a default index; columns that
        are not filled come along as they are.

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
    fill = _fill_separately if process_separately else _fill_together
    for name in columns:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for split, filled in fill(name, values, rows, kwargs).items():
            pieces[split][name] = pd.Series(filled).astype(frame[name].dtype)
    return pieces


def fill_tables(
    array: NDArray[Any],
    column_positions: Sequence[int],
    kwargs: Mapping[str, Any],
    *,
    names: Sequence[str] | None = None,
) -> NDArray[Any]:
    """Fill columns of each 2D table by itself: a sample of a sequence, a channel of an image.

    No table sees another one, so that splits do not matter.

    Args:
        array: `(samples, …, rows, columns)`, floating.
        column_positions: positions in the last axis of the columns to fill.
        kwargs: as `checked_kwargs` returns them.
        names: of all columns, for messages; their positions by default.

    Returns:
        A new array of the same shape and dtype.

    Raises:
        PreprocessError: another dtype, or a table with too few known points, infinite ones, or
            blanks left.

    >>> tables = np.array([[[1.0], [np.nan], [3.0]], [[5.0], [np.nan], [5.0]]])
    >>> fill_tables(tables, [0], {"method": "linear"})[:, 1, 0].tolist()
    [2.0, 5.0]
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

        def where(i: int, gaps: NDArray[np.int64] = gaps) -> str:
            return f"table {[int(k) for k in np.unravel_index(gaps[i], array.shape[:-2])]}"

        name = str(position) if names is None else names[position]
        known = series[gaps].T.astype(np.float64)
        filled = _fill(name, known, np.arange(len(known)), kwargs, where)
        _refuse_left(name, filled, kwargs, where)
        tables[gaps, :, position] = filled.T
    return result


def _fill_separately(
    name: str,
    values: NDArray[np.float64],
    rows: Mapping[str, NDArray[np.int64]],
    kwargs: Mapping[str, Any],
) -> dict[str, NDArray[np.float64]]:
    first, *others = rows
    train = np.unique(rows[first])
    taught = values.copy()
    taught[train] = _fill_rows(name, taught, train, kwargs, f"split {first!r}")
    result = {first: taught[rows[first]]}
    _refuse_left(name, result[first], kwargs, lambda _: f"split {first!r}")
    for split in others:
        place = f"split {split!r}, train rows beside it"
        beside, both = taught.copy(), np.union1d(train, rows[split])
        beside[both] = _fill_rows(name, beside, both, kwargs, place)
        result[split] = beside[rows[split]]
        _refuse_left(name, result[split], kwargs, lambda _, split=split: f"split {split!r}")
    return result


def _fill_together(
    name: str,
    values: NDArray[np.float64],
    rows: Mapping[str, NDArray[np.int64]],
    kwargs: Mapping[str, Any],
) -> dict[str, NDArray[np.float64]]:
    filled = _fill_rows(name, values, np.arange(len(values)), kwargs, "all rows")
    result = {split: filled[taken] for split, taken in rows.items()}
    for split, left in result.items():
        _refuse_left(name, left, kwargs, lambda _, split=split: f"split {split!r}")
    return result


def _fill_rows(
    name: str,
    values: NDArray[np.float64],
    positions: NDArray[np.int64],
    kwargs: Mapping[str, Any],
    place: str,
) -> NDArray[np.float64]:
    series = values[positions]
    if not np.isnan(series).any():
        return series
    return _fill(name, series[:, np.newaxis], positions, kwargs, lambda _: place)[:, 0]


def _fill(
    name: str,
    series: NDArray[np.float64],
    positions: NDArray[np.int64],
    kwargs: Mapping[str, Any],
    where: Callable[[int], str],
) -> NDArray[np.float64]:
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
        with _told_by_name(name, method, where(0)):
            filled = pd.DataFrame(series, index=positions).interpolate(**by_position)
    except Exception as error:  # FITPACK's has no narrower base
        raise PreprocessError(
            f"column {name!r}: method {method!r} does not fit {where(0)}: {error}. Use 'linear'."
        ) from error
    return filled.to_numpy()


@contextmanager
def _told_by_name(name: str, method: str, place: str) -> Generator[None]:
    """Log by the column's name what FITPACK says of a spline that it could not smooth as asked."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for warning in said:
        if UNSETTLED not in str(warning.message):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    if any(UNSETTLED in str(warning.message) for warning in said):
        logger.warning(
            "column %r: method %r did not reach the smoothness asked for in %s, and the nearest "
            "curve was taken. Use 'linear', or another s or order in interpolate_kwargs.",
            name, method, place,
        )  # fmt: skip


def _refuse_left(
    name: str,
    filled: NDArray[np.float64],
    kwargs: Mapping[str, Any],
    where: Callable[[int], str],
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


def _positions(
    split: str, given: Sequence[int] | NDArray[np.int64], count: int
) -> NDArray[np.int64]:
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
