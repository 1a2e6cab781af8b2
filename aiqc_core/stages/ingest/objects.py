"""Find the dtype of pandas that holds what a column of Python objects or of Arrow holds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import types

# What pandas finds in a column of objects: the dtype without blanks, and with them.
OBJECTS = {
    "string": ("str", "str"),
    "boolean": ("bool", "boolean"),
    "integer": ("int64", "Int64"),
    "floating": ("float64", "float64"),
    "empty": ("float64", "float64"),
}
LARGEST_FLOAT_BYTES = 8
NULLABLE = frozenset(
    {"boolean", "Float32", "Float64"}
    | {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)}
)
MOMENTS = frozenset({"datetime", "datetime64", "timedelta", "timedelta64"})


def plain(column: pd.Series) -> pd.Series:
    """Return a column of Arrow's dtype as pandas itself holds it, any other as it is.

    Whole numbers and truth values with blanks become nullable ones.

    >>> plain(pd.Series([1, None], dtype="int64[pyarrow]")).dtype
    Int64Dtype()
    """
    if not isinstance(column.dtype, pd.ArrowDtype):
        return column
    values: Any = pa.chunked_array(column.array.__arrow_array__())  # type: ignore[attr-defined]
    return from_arrow(values).set_axis(column.index)


def from_arrow(values: pa.ChunkedArray) -> pd.Series:
    """Return values of Arrow as a column, without any change."""
    return values.to_pandas(types_mapper=nullable if values.null_count else None)


def nullable(arrow_type: pa.DataType) -> Any:
    """Return the nullable dtype of whole numbers and truth values; None for any other type.

    pandas would make floats of whole numbers with blanks, which changes those beyond 2**53.
    """
    if pa.types.is_boolean(arrow_type):
        return pd.BooleanDtype()
    name = str(arrow_type).replace("int", "Int").replace("uI", "UI")
    return types.pandas_dtype(name) if pa.types.is_integer(arrow_type) else None


def is_plain_number(dtype: Any) -> bool:
    """Say whether a dtype is numpy's of numbers or truth values; a long double is none."""
    is_number = isinstance(dtype, np.dtype) and dtype.kind in "biuf"
    return is_number and not (dtype.kind == "f" and dtype.itemsize > LARGEST_FLOAT_BYTES)


def is_storable(dtype: Any) -> bool:
    """Say whether a dtype, except of categories, is stored and given back exactly."""
    if isinstance(dtype, np.dtype):
        return is_plain_number(dtype) or dtype.kind in "mM"
    if isinstance(dtype, pd.DatetimeTZDtype):
        try:
            return types.pandas_dtype(str(dtype)) == dtype
        except (TypeError, ValueError, KeyError):  # a zone that its name does not give back
            return False
    return str(dtype) in NULLABLE or isinstance(dtype, pd.StringDtype)


def inferred(column: pd.Series) -> pd.Series | None:
    """Return a column of objects in the dtype of what it holds, None where no one dtype does.

    Raises:
        OverflowError: whole numbers beyond 64 bits.
        TypeError, ValueError: text that cannot be encoded.

    >>> inferred(pd.Series([True, None], dtype=object)).dtype
    BooleanDtype
    """
    if types.infer_dtype(column, skipna=True) in MOMENTS:
        moments = column.infer_objects()
        return None if types.is_object_dtype(moments.dtype) else moments
    target = target_of(column)
    return None if target is None else column.astype(target)  # type: ignore[call-overload]


def target_of(column: pd.Series) -> str | None:
    """Return the dtype that a column of objects of one kind takes."""
    kinds = OBJECTS.get(types.infer_dtype(column, skipna=True))
    return None if kinds is None else kinds[int(column.isna().any())]


def holds_text(column: pd.Series) -> bool:
    """Say whether a value of a column is text, also beside others or as a category."""
    is_category = isinstance(column.dtype, pd.CategoricalDtype)
    values: Any = column.cat.categories if is_category else column
    if types.is_object_dtype(values.dtype):
        return any(isinstance(value, str) for value in values)
    return isinstance(values.dtype, pd.StringDtype)


def changed(old: list[Any], new: list[Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Say which objects a cast to numbers or moments changed; text counts as kept."""
    return np.array([not _is_same(a, b) for a, b in zip(old, new, strict=True)], dtype=bool)


def _is_same(old: Any, new: Any) -> bool:
    if isinstance(old, Decimal):
        return _is_same_decimal(old, new)
    if isinstance(new, pd.Timestamp):
        moment = pd.Timestamp(old)
        return moment == new if (moment.tz is None) == (new.tz is None) else True
    is_float = isinstance(old, float | np.floating) and isinstance(new, float)
    if is_float or not isinstance(old, int | float | np.number) or isinstance(new, str):
        return not is_float or np.isfinite(old) == np.isfinite(new)
    return bool(old == new)


def _is_same_decimal(old: Decimal, new: Any) -> bool:
    """Say whether a float has the digits of a decimal number, also after it was narrowed."""
    if not isinstance(new, float):
        return isinstance(new, str) or old == new
    wide = float(old)
    if Decimal(repr(wide)) != old:
        return False
    narrow = (float(np.float32(wide)), float(np.float16(wide)))
    return np.isfinite(new) and (new == wide or new in narrow)
