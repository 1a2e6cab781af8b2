"""Give each column a dtype that is stored exactly, or refuse it with a remedy."""

from __future__ import annotations

import pandas as pd
from pandas.api import types

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.objects import as_found, is_storable, plain, target_of
from aiqc_core.stages.ingest.remedies import remedy

CATEGORY_KINDS = "biuf"


def settled(name: str, column: pd.Series, called: str = "dataframe") -> pd.Series:
    """Return a column in a dtype that is stored and given back exactly.

    Columns of Python objects take the dtype of what they hold: text, truth values, moments, or
    numbers of one type. Columns of Arrow take the dtype of pandas that holds the same. Others
    do not change. Errors call the frame `called`.

    Raises:
        IngestError: values of several types, or a dtype that cannot be stored.

    >>> settled("a", pd.Series(["x", None], dtype=object)).dtype
    <StringDtype(na_value=nan)>
    """
    column = plain(column)
    dtype = column.dtype
    if types.is_object_dtype(dtype):
        return _from_objects(name, column, called)
    if isinstance(dtype, pd.StringDtype):
        return column.astype(str(dtype))  # type: ignore[call-overload] # one storage
    if isinstance(dtype, pd.CategoricalDtype):
        return _with_plain_categories(name, column, called)
    if not is_storable(dtype):
        raise IngestError(
            f"{called}: column {name!r} has dtype {dtype}, which cannot be stored exactly. "
            f"{remedy(name, column)}"
        )
    return column


def _from_objects(name: str, column: pd.Series, called: str) -> pd.Series:
    try:
        found = as_found(column)
    except (OverflowError, TypeError, ValueError) as error:
        raise IngestError(
            f"{called}: column {name!r} holds values that {target_of(column)} cannot: {error}. "
            f"{remedy(name, column)}"
        ) from error
    if found is None:
        raise _mixed(name, column, called)
    return settled(name, found, called)


def _mixed(name: str, column: pd.Series, called: str) -> IngestError:
    kinds = column.dropna().map(type)
    found = [kind.__name__ for kind in kinds.unique()]
    others = kinds.index[kinds != kinds.iloc[0]]
    row = int(others[0] if len(others) else kinds.index[0])
    return IngestError(
        f"{called}: column {name!r} holds Python objects of types {found}; row {row} is "
        f"{column.iloc[row]!r}. {remedy(name, column)}"
    )


def _with_plain_categories(name: str, column: pd.Series, called: str) -> pd.Series:
    categories = column.cat.categories
    is_text = types.infer_dtype(categories) == "string"
    kept = categories.astype("str") if is_text else categories
    if kept.dtype.kind not in CATEGORY_KINDS and kept.dtype != "str":
        raise IngestError(
            f"{called}: column {name!r} has categories of dtype {kept.dtype}; categories are "
            f"text, whole numbers, floats or truth values. {remedy(name, column)}"
        )
    if types.is_extension_array_dtype(kept.dtype) and kept.dtype != "str":
        kept = kept.astype(kept.dtype.numpy_dtype)  # type: ignore[union-attr] # nullable
    if kept.dtype == categories.dtype:
        return column
    return column.cat.rename_categories(kept)
