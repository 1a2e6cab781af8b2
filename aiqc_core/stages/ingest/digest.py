"""Hash content, the same on every machine and under every version of every library."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pandas.api import types

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = b"aiqc-frame-1"


def frame_digest(frame: pd.DataFrame) -> str:
    """Return the SHA-256 of a frame's column names, dtypes and values, in their order.

    The orders of rows and columns and every bit of a value count; compression, memory layout and
    the payload of a NaN do not.
    """
    hasher = hashlib.sha256(FORMAT)
    _add(hasher, str(len(frame)).encode())
    for name, column in frame.items():
        _add(hasher, str(name).encode(), str(column.dtype).encode())
        for part in _column_parts(column):
            _add(hasher, part)
    return hasher.hexdigest()


def array_digest(array: NDArray[Any]) -> str:
    """Return the SHA-256 of an array's dtype, shape and values, whatever its memory layout."""
    hasher = hashlib.sha256(b"aiqc-array-1")
    dtype = array.dtype.newbyteorder("<").str
    _add(hasher, dtype.encode(), str(array.shape).encode(), _plain(array))
    return hasher.hexdigest()


def _add(hasher: Any, *parts: bytes | memoryview) -> None:
    for part in parts:
        view = memoryview(part)
        hasher.update(str(view.nbytes).encode() + b":")
        hasher.update(view)


def _column_parts(column: pd.Series) -> list[bytes | memoryview]:
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        categories = pd.Series(dtype.categories)
        ordered = str(dtype.ordered).encode()
        codes = column.cat.codes.to_numpy().astype("<i8")
        return [ordered, str(categories.dtype).encode(), *_column_parts(categories), _plain(codes)]
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return [_plain(column.astype("int64").to_numpy())]
    if dtype.kind != "O" and not types.is_extension_array_dtype(dtype):
        return [_plain(column.to_numpy())]
    missing = column.isna().to_numpy()
    if dtype.kind == "O":
        texts = pa.array(column, type=pa.large_string(), from_pandas=True).fill_null("")
        if isinstance(texts, pa.ChunkedArray):  # as after a concatenation
            texts = texts.combine_chunks()
        _, places, data = texts.buffers()  # as UTF-8
        ends = slice(texts.offset, texts.offset + len(texts) + 1)
        offsets = np.frombuffer(places, dtype="<i8")[ends]
        whole = memoryview(b"") if data is None else memoryview(data)
        return [_plain(missing), _plain(np.diff(offsets)), whole[offsets[0] : offsets[-1]]]
    plain = column.array.to_numpy(dtype=dtype.numpy_dtype, na_value=dtype.type(0))
    return [_plain(missing), _plain(plain)]


def _plain(values: NDArray[Any]) -> memoryview:
    """Return values as little-endian bytes in C order, each NaN with the same payload."""
    if values.dtype.kind == "f" and (gaps := np.isnan(values)).any():
        values = np.where(gaps, np.array(np.nan, values.dtype), values)
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    plain: Any = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return memoryview(plain)
