"""Change the dtype of columns without losing a value."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.objects import changed, holds_text, inferred, plain
from aiqc_core.stages.ingest.selection import checked_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray


def retyped(frame: pd.DataFrame, retype: object) -> pd.DataFrame:
    """Return a frame with other dtypes and the same values.

    Rounding to a narrower float is no loss. NaN to a whole number, 300 to int8, 1.5 to int64 and
    2**53 + 1 to float64 are.

    `retype` is a dtype (or its name) for all columns, or `{column: dtype}` for some.

    Raises:
        IngestError: a column that cannot be cast, with the first value it would lose.
        SelectionError: a column that is not there.
    """
    names = list(frame.columns)
    wanted: dict[str, Any] = dict.fromkeys(names, retype)
    if isinstance(retype, dict):
        wanted = {name: retype[name] for name in checked_columns("retype", list(retype), names)}
    return pd.DataFrame(
        {
            name: cast(str(name), column, wanted[str(name)]) if name in wanted else column
            for name, column in frame.items()
        }
    )


def cast(name: str, column: pd.Series, dtype: Any) -> pd.Series:
    """Return a column in another dtype with the same values.

    Objects first take the dtype of what they hold: `True` and `None` are truth values, `1` is a
    whole number. Text never becomes truth values: any text, `'False'` too, would be True.

    Raises:
        IngestError: it cannot be cast, or a value would be lost.
    """
    shown = getattr(dtype, "__name__", str(dtype))
    if holds_text(column) and types.is_bool_dtype(dtype):
        raise IngestError(
            f"retype: column {name!r} holds text, of which any, 'False' too, would be True as "
            f"{shown}. Map it to True and False first."
        )
    try:
        target: Any = types.pandas_dtype(dtype)
        before = plain(column)
        if types.is_object_dtype(before.dtype) and target != before.dtype:
            with suppress(TypeError, ValueError, OverflowError):  # such as beyond 64 bits
                found = inferred(before)
                before = before if found is None else found
        with np.errstate(all="ignore"):  # what overflows is found below, and named
            after = before.astype(target)
    except (TypeError, ValueError, OverflowError) as error:
        raise IngestError(f"retype: column {name!r} cannot become {shown}: {error}.") from error
    lost = _lost(before, after)
    if lost.any():
        row = int(np.flatnonzero(lost)[0])
        raise IngestError(
            f"retype: column {name!r} loses values as {shown}: row {row}, {before.iloc[row]!r}, "
            f"would be {after.iloc[row]!r}. Choose a wider dtype, or change the values first."
        )
    return after


def _lost(before: pd.Series, after: pd.Series) -> NDArray[np.bool_]:
    """Mark the rows that lost their value in a cast."""
    lost = (before.isna() != after.isna()).to_numpy(copy=True)
    present = ~(before.isna() | after.isna()).to_numpy()
    if _is_number(before.dtype) and _is_number(after.dtype):
        lost[present] |= _differ(_plain(before, present), _plain(after, present))
    elif before.dtype.kind == after.dtype.kind and before.dtype.kind in "mM":
        lost |= (after.astype(before.dtype) != before).to_numpy() & present
    elif types.is_object_dtype(before.dtype):
        lost[present] |= changed(before[present].tolist(), after[present].tolist())
    return lost


def _is_number(dtype: Any) -> bool:
    return dtype.kind in "biuf" and not isinstance(dtype, pd.SparseDtype)


def _plain(column: pd.Series, present: NDArray[np.bool_]) -> NDArray[Any]:
    dtype: Any = column.dtype
    plain = column.array[present].to_numpy(dtype=getattr(dtype, "numpy_dtype", dtype))
    return plain.astype(np.uint8) if plain.dtype == bool else plain


def _differ(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_]:
    """Compare numbers exactly; rounding to a narrower float is no difference."""
    if old.dtype.kind == "f" and new.dtype.kind == "f":
        return np.isinf(new) & ~np.isinf(old)
    if old.dtype.kind != "f" and new.dtype.kind != "f":
        return old != new
    whole, real = (old, new) if new.dtype.kind == "f" else (new, old)
    limits, real = np.iinfo(whole.dtype), real.astype(np.float64)
    inside = (real >= float(limits.min)) & (real < float(limits.max) + 1.0)
    back = np.where(inside, real, 0).astype(whole.dtype)
    return ~(inside & (back == whole) & (back.astype(np.float64) == real))
