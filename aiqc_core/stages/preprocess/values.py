"""A frame's values as the arrays that scikit-learn takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.errors import PreprocessError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    Array = NDArray[Any]
    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Splits = Mapping[str, Ints]  # positions of samples or rows a split, the one that trains first

BLOCK_VALUES = 2**22  # held at once
BLOCK_ROWS = 2**12  # written at once, so that they stay in a processor's cache
MISSING, INFINITE = "missing values", "infinite values"
LARGEST = float(np.finfo(np.float32).max)  # models compute in float32; larger is infinite


def table(rows: pd.DataFrame, *, exact: bool = False) -> Array:
    """Return rows as `(samples, columns)`: numbers in their common dtype, else objects.

    With `exact`, columns of different dtypes become objects, so that 1 does not become 1.0.
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


def plain(column: pd.Series) -> Array:
    """Return a column as scikit-learn takes it, `(samples,)`: numbers, or objects with NaN."""
    dtype: Any = column.dtype
    if types.is_extension_array_dtype(dtype) and dtype.kind in "biuf":
        if column.isna().any():
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        return column.to_numpy(dtype=dtype.numpy_dtype)
    values = np.asarray(column.array)
    if values.dtype == np.float16:  # sums overflow at 65504
        return values.astype(np.float32)
    if values.dtype.kind in "biuf":
        return values
    return column.astype(object).where(column.notna(), np.nan).to_numpy(dtype=object)


def not_finite(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return where values are missing, and where infinite for a model, `(samples, columns)`."""
    infinite = {
        name: np.abs(plain(column)) > LARGEST if column.dtype.kind == "f" else False
        for name, column in rows.items()
    }
    too_large = pd.DataFrame(infinite, index=rows.index)
    return {MISSING: rows.isna(), INFINITE: too_large}


def refuse_not_finite(taker: str, found: Iterable[tuple[str, pd.DataFrame]]) -> None:
    """Raise `PreprocessError` where values are `found`: what is wrong, and where, by column.

    `taker` takes no such values.
    """
    counts: dict[str, dict[str, int]] = {}
    for kind, where in found:
        for name, count in where.sum().items():
            if count:
                counts.setdefault(kind, {})[str(name)] = int(count)
    if counts:
        shown = "; ".join(f"{kind}, by column: {columns}" for kind, columns in counts.items())
        bound = f" Models compute in float32, which ends at {LARGEST:.2g}."
        raise PreprocessError(
            f"{shown}; {taker} takes none.{bound if INFINITE in shown else ''} Fill, replace or "
            "drop them beforehand, or use another encoder."
        )


def row_blocks(array: Array) -> Iterator[slice]:
    """Yield the rows of an array in blocks of bounded memory."""
    step = max(BLOCK_VALUES // max(array[:1].size, 1), 1)
    yield from (slice(start, start + step) for start in range(0, len(array), step))


def row_major(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with its values in C order, where its columns share a plain dtype.

    Rows are then taken by position several times faster. Other frames come back as they are.
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
