"""Write a table as Parquet and read it with the same dtypes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pandas.api import types

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.objects import from_arrow, is_plain_number, nullable
from aiqc_core.stages.ingest.selection import checked_columns, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

DTYPES_KEY = b"aiqc.dtypes"
# What values come back as without a record of dtypes, where none is missing or text is.
NATURAL = {name: name for bits in (8, 16, 32, 64) for name in (f"int{bits}", f"uint{bits}")} | {
    "bool": "bool",
    "float": "float32",
    "double": "float64",
    "string": "str",
    "large_string": "str",
}
REPEATING = frozenset({"str", "string", "category"})
BATCH_VALUES = 2**16
SAMPLE_VALUES = 2**12  # of a column of floats, to see whether they compress at all
WORTHWHILE = 0.9  # of their size: what compresses to more costs time and saves nothing


def to_parquet(frame: pd.DataFrame) -> memoryview:
    """Return a conforming frame as Parquet bytes.

    The dtypes are recorded beside the values: Parquet itself knows no unused categories, no
    seconds and no nullable integers.
    """
    dtypes = {str(name): _dtype_record(column.dtype) for name, column in frame.items()}
    columns: dict[str, Any] = {str(name): _to_arrow(column) for name, column in frame.items()}
    # 1e6 × 20 floats are written in a third of the time where the schema allows no blank
    fields = [pa.field(n, c.type, nullable=c.null_count > 0) for n, c in columns.items()]
    schema = pa.schema(fields, metadata={DTYPES_KEY: json.dumps(dtypes).encode()})
    texts: Any = [name for name, record in dtypes.items() if record["dtype"] in REPEATING]
    codecs: Any = {name: _codec(column) for name, column in columns.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(list(columns.values()), schema=schema),
        sink,
        compression=codecs,
        use_dictionary=texts or False,
        write_statistics=False,  # pages and columns are read whole
        write_batch_size=BATCH_VALUES,
    )
    return memoryview(sink.getvalue())


def from_parquet(data: bytes | memoryview, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Return the frame that `to_parquet` wrote or `is_kept_by` accepts; decode `columns` only.

    Raises:
        SelectionError: an unknown or repeated column, or an empty list.
    """
    file = pq.ParquetFile(pa.BufferReader(data))
    dtypes = _recorded(file) or _natural(file)
    wanted = checked_columns("columns", columns, list(dtypes))
    table = file.read(columns=wanted)
    return pd.DataFrame({name: _from_arrow(table[name], dtypes[name]) for name in wanted})


def is_kept_by(data: memoryview, frame: pd.DataFrame) -> bool:
    """Say whether `from_parquet` reads a conforming frame from the bytes that it came from.

    It does where names and order are the file's, and each column holds numbers, truth values or
    text that need no record of their dtype. Then the file can be stored as it is.
    """
    file = pq.ParquetFile(pa.BufferReader(data))
    found = [(name, record["dtype"]) for name, record in _natural(file).items()]
    wanted = [(str(name), str(dtype)) for name, dtype in frame.dtypes.items()]
    return not _recorded(file) and found == wanted


def _recorded(file: pq.ParquetFile) -> dict[str, dict[str, Any]]:
    return json.loads((file.schema_arrow.metadata or {}).get(DTYPES_KEY, b"{}"))


def _natural(file: pq.ParquetFile) -> dict[str, dict[str, Any]]:
    return {field.name: {"dtype": NATURAL.get(str(field.type))} for field in file.schema_arrow}


def read_parquet(path: Path, data: memoryview | None = None) -> pd.DataFrame:
    """Read any Parquet file, or its bytes; whole numbers with blanks stay whole numbers.

    Raises:
        IngestError: no Parquet, column names that repeat, or rows under an index of their own.
    """
    try:
        table = pq.ParquetFile(path if data is None else pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise IngestError(f"file_path: {path} is no readable Parquet file: {error}.") from error
    twice = repeated(table.column_names)
    if twice:
        raise IngestError(f"file_path: {path} repeats the column names {twice}; rename them.")
    frame = _frame(table)
    if not frame.index.equals(pd.RangeIndex(len(frame))):
        raise IngestError(
            f"file_path: {path} stores an index of its own. Write it with "
            "frame.reset_index().to_parquet(path), or drop=True to leave the index out."
        )
    return frame


def _frame(table: pa.Table) -> pd.DataFrame:
    """Convert a table to pandas; keep whole numbers and truth values with blanks exactly."""
    frame = table.to_pandas()
    for name in frame.columns:
        if (values := table[name]).null_count and nullable(values.type) is not None:
            frame[name] = from_arrow(values).set_axis(frame.index)
    return frame


def read_part(
    path: Path, positions: Sequence[int], samples: NDArray[np.int64] | None
) -> pd.DataFrame:
    """Decode columns and rows (all when None) by position, and only their row groups."""
    file = pq.ParquetFile(path)
    names = [file.schema_arrow.names[position] for position in positions]
    if samples is None:
        return _frame(file.read(columns=names))
    counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    ends = np.cumsum(counts)
    groups = np.unique(np.searchsorted(ends, samples, side="right"))
    starts = np.concatenate([[0], ends])[groups]
    table = file.read_row_groups(groups.tolist(), columns=names)
    before = np.concatenate([[0], np.cumsum([counts[group] for group in groups])])
    which = np.searchsorted(starts, samples, side="right") - 1
    return _frame(table.take(pa.array(samples - starts[which] + before[which])))


def _dtype_record(dtype: Any) -> dict[str, Any]:
    if not isinstance(dtype, pd.CategoricalDtype):
        return {"dtype": str(dtype)}
    return {
        "dtype": "category",
        "categories": dtype.categories.tolist(),
        "categories_dtype": str(dtype.categories.dtype),
        "ordered": bool(dtype.ordered),
    }


def _to_arrow(column: pd.Series) -> Any:
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return pa.array(column, from_pandas=not is_plain_number(column.dtype))
    codes = column.cat.codes.to_numpy()
    indices = pa.array(codes, mask=codes < 0)
    return pa.DictionaryArray.from_arrays(
        indices, pa.array(column.cat.categories)
    ).dictionary_decode()


def _codec(column: Any) -> str:
    """Return the compression of a column: none where it saves little, as of measured floats."""
    if not pa.types.is_floating(column.type):
        return "lz4"
    sample = column.slice(0, SAMPLE_VALUES).to_numpy(zero_copy_only=False).tobytes()
    return "lz4" if len(pa.compress(sample, "lz4")) < WORTHWHILE * len(sample) else "none"


def _from_arrow(values: pa.ChunkedArray, record: dict[str, Any]) -> Any:
    if record["dtype"] == "category":
        categories = pd.Index(record["categories"], dtype=record["categories_dtype"])
        known = pc.SetLookupOptions(pa.array(categories).cast(values.type))
        codes = pc.call_function("index_in", [values], known)
        return pd.Categorical.from_codes(
            codes.fill_null(-1).to_numpy(),
            dtype=pd.CategoricalDtype(categories, ordered=record["ordered"]),
        )
    dtype = types.pandas_dtype(record["dtype"])
    if isinstance(dtype, pd.api.extensions.ExtensionDtype):
        return dtype.__from_arrow__(values)  # type: ignore[attr-defined]
    return values.to_pandas().astype(dtype)
