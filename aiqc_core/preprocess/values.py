"""A frame's values as the arrays that scikit-learn takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK_ROWS = 2**12  # written at once, so that they stay in a processor's cache


def table(rows: pd.DataFrame, *, exact: bool = False) -> NDArray[Any]:
    """Return rows as `(samples, columns)`: numbers in their common dtype, else objects.

    Args:
        rows: of any dtypes that a Dataset holds.
        exact: whether columns of different dtypes keep their values as objects, so that 1 does
            not become 1.0.

    >>> table(pd.DataFrame({"a": [1], "b": [0.5]})).tolist()
    [[1.0, 0.5]]
    """
    dtypes = set(rows.dtypes)
    if len(dtypes) == 1 and isinstance(next(iter(dtypes)), np.dtype):
        values = rows.to_numpy()
        if values.dtype.kind in "biuf" and values.dtype != np.float16:
            return values
    columns = [plain(column) for _, column in rows.items()]
    is_numeric = all(values.dtype.kind in "biuf" for values in columns)
    if is_numeric and (not exact or len({values.dtype for values in columns}) == 1):
        return np.column_stack(columns)
    return np.column_stack([values.astype(object) for values in columns])


def plain(column: pd.Series) -> NDArray[Any]:
    """Return a column as scikit-learn takes it, `(samples,)`: numbers, or objects with NaN."""
    dtype: Any = column.dtype
    if types.is_extension_array_dtype(dtype) and dtype.kind in "biuf":
        if column.isna().any():
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        return column.to_numpy(dtype=dtype.numpy_dtype)
    values = np.asarray(column.array)
    if values.dtype == np.float16:  # whose sums overflow at 65504
        return values.astype(np.float32)
    if values.dtype.kind in "biuf":
        return values
    return column.astype(object).where(column.notna(), np.nan).to_numpy(dtype=object)


def not_finite(rows: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return how many values are missing, and infinite, by the columns that hold some.

    >>> not_finite(pd.DataFrame({"a": [1.0, -np.inf], "b": ["x", None]}))
    {'missing': {'b': 1}, 'infinite': {'a': 1}}
    """
    missing = {str(name): int(column.isna().sum()) for name, column in rows.items()}
    infinite = {
        str(name): int(np.isinf(plain(column)).sum())
        for name, column in rows.items()
        if column.dtype.kind == "f"
    }
    found = {"missing": missing, "infinite": infinite}
    return {kind: {n: c for n, c in counts.items() if c} for kind, counts in found.items()}


def row_major(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame whose rows lie together in memory, where its columns share a plain dtype.

    Rows are taken from it by position several times faster, and its arrays are in C order, so
    that a batch of samples is read from one place. Other frames come back as they are.

    >>> row_major(pd.DataFrame({"a": [1.0], "b": [2.0]})).to_numpy().flags.c_contiguous
    True
    """
    dtypes = set(frame.dtypes)
    dtype = next(iter(dtypes), None)
    if len(dtypes) > 1 or not isinstance(dtype, np.dtype) or dtype.kind not in "biuf":
        return frame
    columns = [column.to_numpy() for _, column in frame.items()]
    values = np.empty(frame.shape, dtype)
    for start in range(0, len(frame), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        values[rows] = np.column_stack([column[rows] for column in columns])
    return pd.DataFrame(values, columns=frame.columns, copy=False)
