"""Give each column a dtype that is stored exactly, or refuse it with a remedy."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.objects import inferred, is_storable, plain, target_of
from aiqc_core.stages.ingest.retype import cast

if TYPE_CHECKING:
    from collections.abc import Sequence

CATEGORY_KINDS = "biuf"
UTC = "datetime64[us, UTC]"
# What pandas finds among objects, and the dtypes that can hold it, the best first.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "date": ("datetime64[s]", "datetime64[us]"),
    "datetime": (UTC,),
    "period": ("datetime64[us]", "str"),
    "integer": ("uint64", "UInt64", "str"),
} | dict.fromkeys(
    ("decimal", "mixed-integer-float", "mixed-integer", "mixed"), ("float64", "Int64", "str")
) | dict.fromkeys(("time", "bytes", "interval"), ("str",))  # fmt: skip
SCALARS = (str, int, float, bool, Decimal, np.number, np.bool_)


def storable(name: str, column: pd.Series, called: str = "dataframe") -> pd.Series:
    """Return a column in a dtype that is stored and given back exactly.

    Columns of Python objects take the dtype of what they hold: text, truth values, moments, or
    numbers of one type. Columns of Arrow take the dtype of pandas that holds the same. Others
    do not change. Errors call the frame `called`.

    Raises:
        IngestError: values of several types, or a dtype that cannot be stored.

    >>> storable("a", pd.Series(["x", None], dtype=object)).dtype
    <StringDtype(na_value=nan)>
    """
    column = plain(column)
    dtype = column.dtype
    if types.is_object_dtype(dtype):
        try:
            found = inferred(column)
        except (OverflowError, TypeError, ValueError) as error:
            raise IngestError(
                f"{called}: column {name!r} holds values that {target_of(column)} cannot: "
                f"{error}. {_remedy(name, column)}"
            ) from error
        if found is None:
            raise _mixed(name, column, called)
        return storable(name, found, called)
    if isinstance(dtype, pd.StringDtype):
        return column.astype(str(dtype))  # type: ignore[call-overload] # one storage
    if isinstance(dtype, pd.CategoricalDtype):
        return _with_plain_categories(name, column, called)
    if not is_storable(dtype):
        raise IngestError(
            f"{called}: column {name!r} has dtype {dtype}, which cannot be stored exactly. "
            f"{_remedy(name, column)}"
        )
    return column


def _mixed(name: str, column: pd.Series, called: str) -> IngestError:
    kinds = column.dropna().map(type)
    found = [kind.__name__ for kind in kinds.unique()]
    others = kinds.index[kinds != kinds.iloc[0]]
    row = int(others[0] if len(others) else kinds.index[0])
    return IngestError(
        f"{called}: column {name!r} holds Python objects of types {found}; row {row} is "
        f"{column.iloc[row]!r}. {_remedy(name, column)}"
    )


def _with_plain_categories(name: str, column: pd.Series, called: str) -> pd.Series:
    categories = column.cat.categories
    is_text = types.infer_dtype(categories) == "string"
    kept = categories.astype("str") if is_text else categories
    if kept.dtype.kind not in CATEGORY_KINDS and kept.dtype != "str":
        raise IngestError(
            f"{called}: column {name!r} has categories of dtype {kept.dtype}; categories are "
            f"text, whole numbers, floats or truth values. {_remedy(name, column)}"
        )
    if types.is_extension_array_dtype(kept.dtype) and kept.dtype != "str":
        kept = kept.astype(kept.dtype.numpy_dtype)  # type: ignore[union-attr] # nullable
    if kept.dtype == categories.dtype:
        return column
    return column.cat.rename_categories(kept)


def _remedy(name: str, column: pd.Series) -> str:
    """Return the remedy as a sentence: a dtype that keeps every value, or a line of pandas."""
    for dtype in _candidates(column):
        try:
            if not is_storable(cast(name, column, dtype).dtype):
                continue
        except IngestError:
            continue
        kept = "keeps its values as text" if dtype == "str" else "keeps its values"
        asked = f"{{{name!r}: {dtype!r}}}"
        return f"retype={asked}, or dataframe.astype({asked}), {kept}."
    made, where = _made(name, column), "on the frame (of a file: pandas reads it)"
    if made is not None:
        return f"Keep its values by {made} {where}, and give Dataset.Tabular.from_df the result."
    return (
        f"Leave it out: dataframe.drop(columns=[{name!r}]) {where}, then Dataset.Tabular.from_df."
    )


def _candidates(column: pd.Series) -> Sequence[str]:
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = pd.Series(dtype.categories)
        plain = () if types.is_object_dtype(categories.dtype) else (str(categories.dtype),)
        return (*plain, *_candidates(categories))
    if isinstance(dtype, pd.SparseDtype):
        return (str(dtype.subtype),)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return (UTC,)
    if dtype.kind == "f":
        return ("float64",)
    found = types.infer_dtype(column, skipna=True)
    values = column.dropna()
    if found in {"mixed", "mixed-integer"} and not all(map(_is_written, values)):
        return ()
    is_other = any(isinstance(value, bool | np.bool_ | str) for value in values)
    return ("str",) if found.startswith("mixed") and is_other else CANDIDATES.get(found, ())


def _is_written(value: Any) -> bool:
    """Say whether the type of a value reads the same value from its text."""
    kind = type(value)
    try:
        return isinstance(value, SCALARS) or bool(
            getattr(kind, "fromisoformat", kind)(str(value)) == value
        )
    except Exception:  # noqa: BLE001 - whatever the type raises
        return False


def _made(name: str, column: pd.Series) -> str | None:
    """Return a line of pandas that makes columns of numbers or text of the same content."""
    values = column.dropna()
    if column.dtype.kind == "c":
        return (
            f"dataframe.assign(**{{{name!r}: dataframe[{name!r}].to_numpy().real, "
            f"{f'{name}_imag'!r}: dataframe[{name!r}].to_numpy().imag}})"
        )
    kinds = {type(value) for value in values}
    if kinds and all(issubclass(kind, Enum) for kind in kinds):
        names = f"dataframe[{name!r}].map(lambda each: each.name, na_action='ignore')"
        return f"dataframe.assign(**{{{name!r}: {names}}})"
    if (kinds <= {dict} or kinds <= {list, tuple, np.ndarray}) and _is_even(values):
        return (
            f"dataframe.drop(columns=[{name!r}]).join("
            f"dataframe[{name!r}].apply(pandas.Series).add_prefix({f'{name}_'!r}))"
        )
    return None


def _is_even(values: pd.Series) -> bool:
    """Say whether mappings, or lists of one length, hold numbers or text only."""
    lengths = {len(value) for value in values if not isinstance(value, dict)}
    items = (v.values() if isinstance(v, dict) else v for v in values)
    return len(lengths) <= 1 and all(isinstance(item, SCALARS) for each in items for item in each)
