"""Read tables from files; check that a frame can be stored and given back exactly."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.delimited import read_delimited
from aiqc_core.stages.ingest.dtypes import storable
from aiqc_core.stages.ingest.parquet import read_parquet
from aiqc_core.stages.ingest.paths import as_local
from aiqc_core.stages.ingest.retype import retyped
from aiqc_core.stages.ingest.selection import checked_columns, checked_positions, column_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.ingest.delimited import Hints

FORMATS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}
DELIMITERS = {"csv": ",", "tsv": "\t"}


def read_table(
    path: str | Path,
    *,
    header: object = "infer",
    positions: Sequence[int] | None = None,
    hints: Hints | None = None,
) -> tuple[pd.DataFrame, str]:
    """Read a table; return the frame `(samples, columns)`, and `'csv'`, `'tsv'` or `'parquet'`.

    The path ends in `.csv`, `.tsv`, `.parquet` or `.pq`, in any case; a file of another file
    system is copied here first. The other arguments are those of `read_delimited`.

    Raises:
        IngestError: a missing file, an unknown ending, text that is not UTF-8 or that another
            separator cuts, column names that repeat, or whole numbers that no dtype keeps.
    """
    source_format = format_of(path)
    if source_format is None:
        raise IngestError(f"file_path: {path} must end in one of {', '.join(FORMATS)}.")
    with as_local(path) as file:
        if source_format == "parquet":
            return read_parquet(file), source_format
        delimiter = DELIMITERS[source_format]
        frame = read_delimited(
            file, delimiter=delimiter, header=header, positions=positions, hints=hints
        )
        return frame, source_format


def read_parquet_bytes(path: str | Path) -> memoryview | None:
    """Return the bytes of a Parquet file, None for a file of another format."""
    if format_of(path) != "parquet":
        return None
    with as_local(path) as file, pa.OSFile(str(file)) as stream:
        return memoryview(stream.read_buffer())  # memory of Arrow, which has larger pages


def conform(
    frame: pd.DataFrame,
    *,
    rename_columns: Sequence[str] | None = None,
    retype: object = None,
    called: str = "dataframe",
) -> pd.DataFrame:
    """Return a frame that can be stored and given back exactly, or refuse it.

    Args:
        frame: at least one row and one column, under a default RangeIndex.
        rename_columns: new names, one per column.
        retype: a dtype for all columns, or `{column: dtype}` by the new names.
        called: the frame in errors.

    Raises:
        IngestError: with the column, and what to do.
        SelectionError: `retype` names a column that is not there.

    >>> conform(pd.DataFrame({0: [1, 2]}), retype={"0": "float32"}).dtypes.to_dict()
    {'0': dtype('float32')}
    """
    fault = None
    if not isinstance(frame, pd.DataFrame):  # pyright: ignore[reportUnnecessaryIsInstance]
        fault = f"{type(frame).__name__} given; give a pandas DataFrame"
    elif isinstance(frame.columns, pd.MultiIndex):
        fault = "its columns have several levels; give one name a column"
    elif isinstance(frame.index, pd.MultiIndex) or not frame.index.equals(
        pd.RangeIndex(len(frame))
    ):
        fault = (
            "its index is not the default 0, 1, 2…, so that rows cannot be found by position. "
            "Give dataframe.reset_index(drop=True)"
        )
    elif 0 in frame.shape:
        fault = f"its shape is {frame.shape}; give at least one row and one column"
    if fault:
        raise IngestError(f"{called}: {fault}.")
    named = frame.set_axis(column_names(list(frame.columns), rename_columns, called), axis=1)
    typed = named if retype is None else retyped(named, retype)
    columns = {name: storable(str(name), column, called) for name, column in typed.items()}
    return pd.DataFrame(columns, copy=False)  # copied when written to, as always in pandas 3


def take(
    frame: pd.DataFrame,
    samples: Sequence[int] | int | None,
    columns: Sequence[str] | str | None,
) -> pd.DataFrame:
    """Return rows by position and columns by name, in the order asked for, under a RangeIndex.

    Raises:
        SelectionError: an unknown or repeated column or position, or an empty list.
    """
    chosen = frame.loc[:, checked_columns("columns", columns, list(frame.columns))]
    if samples is None:
        return chosen
    rows = checked_positions("samples", samples, len(frame))
    return chosen.iloc[rows].reset_index(drop=True)


def format_of(path: str | Path) -> str | None:
    """Return `'csv'`, `'tsv'` or `'parquet'`, as the ending says, None of another."""
    return FORMATS.get(Path(str(path)).suffix.lower())
