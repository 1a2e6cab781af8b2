"""Fill the blanks of floating columns along time, by `pandas.DataFrame.interpolate`.

The default method, `spline` of order 1, is a *smoothing* spline: it follows the trend and need
not go through the known points. `linear` goes through them.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess.columns import Selection, select

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence

    from aiqc_core.stages.preprocess.values import Array, Floats, Ints

logger = logging.getLogger(__name__)

FLOATING = ("float16", "float32", "float64", "Float32", "Float64")
UNSETTLED = "There is an approximation"  # the end of FITPACK's warning of a smoothing spline
TABLE_DIMENSIONS = 3  # samples, rows, columns
DEFAULTS: Final[dict[str, Any]] = {
    "method": "spline",
    "limit_direction": "both",
    "limit_area": None,
    "axis": 0,
    "order": 1,
}
COMMON = ("method", "limit_direction", "limit_area", "limit", "axis", "order")
ORDERED = ("spline", "polynomial")
TRIAL_POINTS = 16
# How many known points a method needs, and its options beside the common ones, for scipy. Options
# are left out that depend on the data (weights, bounds), are no JSON, or fill with derivatives.
METHODS: Final[dict[str, tuple[int, tuple[str, ...]]]] = {
    "linear": (1, ()),
    "index": (1, ()),
    "values": (1, ()),
    "nearest": (2, ("fill_value",)),
    "zero": (2, ("fill_value",)),
    "slinear": (2, ("fill_value",)),
    "quadratic": (3, ("fill_value",)),
    "cubic": (4, ("fill_value",)),
    "polynomial": (1, ("fill_value",)),  # and `order` more; spline too
    "spline": (1, ("s", "ext")),
    "barycentric": (2, ()),
    "krogh": (1, ()),
    "from_derivatives": (2, ("extrapolate",)),
    "piecewise_polynomial": (2, ("extrapolate",)),
    "pchip": (2, ()),
    "akima": (2, ()),
    "cubicspline": (2, ("bc_type", "extrapolate")),
}


def checked_kwargs(interpolate_kwargs: Any) -> dict[str, Any]:
    """Return arguments for `DataFrame.interpolate`, or the defaults when there are none.

    What is absent is not from `DEFAULTS`, but the default of pandas: `linear`, forward.

    Raises:
        PreprocessError: an unknown method or argument, another axis than 0, a value that JSON
            would change or that pandas refuses.
    """
    if interpolate_kwargs is None:
        return dict(DEFAULTS)
    if not isinstance(interpolate_kwargs, Mapping):
        raise PreprocessError(f"interpolate_kwargs: {interpolate_kwargs!r}; give a dict or None.")
    kwargs = dict(interpolate_kwargs)
    method = kwargs.get("method", "linear")
    if not isinstance(method, str) or method not in METHODS:
        raise PreprocessError(
            f"interpolate_kwargs: method={method!r}; it is one of {list(METHODS)}. Rows lie at "
            "their positions: 'time' and filling by the last value do not apply."
        )
    allowed = (*COMMON, *METHODS[method][1])
    unknown = [name for name in kwargs if name not in allowed]
    if unknown:
        raise PreprocessError(
            f"interpolate_kwargs: {unknown}; method {method!r} takes {list(allowed)}."
        )
    if kwargs.get("axis", 0) not in {0, "index"}:
        raise PreprocessError(
            f"interpolate_kwargs: axis={kwargs['axis']!r}; it is 0: a column is filled along "
            "its rows, never across columns."
        )
    order = kwargs.get("order")
    if method in ORDERED and (type(order) is not int or order < 1):
        raise PreprocessError(
            f"interpolate_kwargs: order={order!r}; method {method!r} needs a whole number of at "
            "least 1, for example order=1."
        )
    try:
        is_stored = json.loads(json.dumps(kwargs, allow_nan=False)) == kwargs
    except (TypeError, ValueError):
        is_stored = False
    if not is_stored:
        raise PreprocessError(
            f"interpolate_kwargs: {kwargs}; values are stored as JSON, which keeps text, finite "
            "numbers, True, False, None and lists of them."
        )
    _try_out(kwargs)
    return kwargs


def _try_out(kwargs: dict[str, Any]) -> None:
    """Let pandas check the values on a curve that ends where it began, as 'periodic' needs."""
    curve = np.sin(np.linspace(0, 2 * np.pi, TRIAL_POINTS))
    curve[[0, -1]] = 0
    curve[TRIAL_POINTS // 2] = np.nan
    try:
        with warnings.catch_warnings(action="ignore"):
            pd.DataFrame({"curve": curve}).interpolate(**kwargs)
    except Exception as error:
        raise PreprocessError(
            f"interpolate_kwargs: {kwargs}; DataFrame.interpolate refuses it: {error}"
        ) from error


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
        columns: floating columns; the others stay as they are.
        kwargs: as `checked_kwargs` returns them.
        process_separately: whether training rows are filled among themselves, and each other
            split with the filled training rows beside it. Otherwise all rows are filled at once.

    Returns:
        The rows of each split in the order of its positions, with a default index.

    Raises:
        PreprocessError: too few known points, infinite ones, or blanks left.

    >>> frame = pd.DataFrame({"a": [0.0, np.nan, 9.0, np.nan, 4.0]})
    >>> splits = {"train": [4, 1, 0], "test": [2, 3]}
    >>> filled = fill_splits(frame, splits, ["a"], {"method": "linear"}, process_separately=True)
    >>> filled["train"]["a"].tolist(), filled["test"]["a"].tolist()
    ([4.0, 1.0, 0.0], [9.0, 6.5])
    """
    _refuse_other_dtypes({name: str(frame[name].dtype) for name in columns})
    rows: dict[str, Ints] = {}
    for split, positions in splits.items():
        rows[split] = np.asarray(positions, dtype=np.int64)
        outside = rows[split][(rows[split] < 0) | (rows[split] >= len(frame))]
        if outside.size:
            raise PreprocessError(
                f"splits: {split!r} has position {outside[0]}; there are {len(frame)} rows, "
                "from 0."
            )
    pieces = {split: frame.iloc[taken].reset_index(drop=True) for split, taken in rows.items()}
    for name in columns:
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        for split, whole in _filled(name, values, rows, kwargs, separately=process_separately):
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


def _filled(
    name: str,
    values: Floats,
    rows: Mapping[str, Ints],
    kwargs: Mapping[str, Any],
    *,
    separately: bool,
) -> Iterator[tuple[str, Floats]]:
    """Yield the whole column for each split, with the rows of this split filled."""
    if not separately:
        filled = _fill_rows(name, values, np.arange(len(values)), kwargs, "all rows")
        yield from ((split, filled) for split in rows)
        return
    first, *others = rows
    train = np.unique(rows[first])
    taught = _fill_rows(name, values, train, kwargs, f"split {first!r}")
    yield first, taught
    for split in others:
        both = np.union1d(train, rows[split])
        place = f"split {split!r}, train rows beside it"
        yield split, _fill_rows(name, taught, both, kwargs, place)


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
    least = METHODS[method][0] + (kwargs["order"] if method in ORDERED else 0)
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


def _refuse_other_dtypes(dtypes: Mapping[str, str]) -> None:
    others = {name: dtype for name, dtype in dtypes.items() if dtype not in FLOATING}
    if others:
        raise PreprocessError(
            f"columns {others} are not floating, and only {FLOATING} are interpolated. Leave them "
            "out of the filter, or register the Dataset with retype."
        )
