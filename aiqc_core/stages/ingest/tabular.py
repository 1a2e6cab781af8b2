"""Tables: from a file or a DataFrame to a frame that can be stored and given back exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.delimited import read_delimited
from aiqc_core.stages.ingest.dtypes import settled
from aiqc_core.stages.ingest.parquet import read_bytes, read_parquet
from aiqc_core.stages.ingest.paths import as_local
from aiqc_core.stages.ingest.retype import retyped
from aiqc_core.stages.ingest.selection import checked_columns, checked_positions, listed, repeated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.ingest.delimited import Hints

FORMATS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".pq": "parquet"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Description:
    """What a table is, told without its values.

    Attributes:
        columns: names, in order.
        dtypes: `{column: dtype}` as text.
        shape: `{"samples": n, "columns": k}`.
        memory_mb: size in memory in MiB, rounded up, at least 1.
        contains_nan: whether a cell is NaN, None, NaT or pd.NA.
    """

    columns: list[str]
    dtypes: dict[str, str]
    shape: dict[str, int]
    memory_mb: int
    contains_nan: bool


def read_table(
    path: str | Path,
    *,
    header: object = "infer",
    positions: Sequence[int] | None = None,
    hints: Hints | None = None,
) -> tuple[pd.DataFrame, str]:
    """Read a table and say in which format it was.

    Args:
        path: ends in `.csv`, `.tsv`, `.parquet` or `.pq`, in any case; a path of this machine, or
            one that fsspec knows, which is copied here first.
        header: of a CSV or TSV, as positions and hints are, see `read_delimited`.
        positions: of the columns to decode; all by default.
        hints: what is known beforehand.

    Returns:
        The frame `(samples, columns)`, and `'csv'`, `'tsv'` or `'parquet'`.

    Raises:
        IngestError: a missing file, an unknown ending, text that is not UTF-8 or that another
            separator cuts, column names that repeat, or whole numbers that no dtype keeps.
    """
    source_format = FORMATS.get(Path(str(path)).suffix.lower())
    if source_format is None:
        raise IngestError(f"file_path: {path} must end in one of {', '.join(FORMATS)}.")
    with as_local(path) as file:
        _refuse_missing(file)
        if source_format == "parquet":
            return read_parquet(file), source_format
        frame = read_delimited(
            file,
            delimiter=DELIMITERS[source_format],
            header=header,
            positions=positions,
            hints=hints,
        )
        return frame, source_format


def read_parquet_bytes(path: str | Path) -> memoryview | None:
    """Return the bytes of a Parquet file, None for a file of another format.

    Raises:
        IngestError: see `read_table`.
    """
    if FORMATS.get(Path(str(path)).suffix.lower()) != "parquet":
        return None
    with as_local(path) as file:
        _refuse_missing(file)
        return read_bytes(file)


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
        rename_columns: new names, one a column.
        retype: a dtype for all columns, or `{column: dtype}` by the new names.
        called: what errors call the frame.

    Raises:
        IngestError: with the column, and what to do.
        SelectionError: `retype` names a column that is not there.

    >>> conform(pd.DataFrame({0: [1, 2]}), retype={"0": "float32"}).dtypes.to_dict()
    {'0': dtype('float32')}
    """
    _refuse_shape(frame, called)
    named = frame.set_axis(_names(frame, rename_columns, called), axis=1)
    typed = named if retype is None else retyped(named, retype)
    columns = {name: settled(str(name), column, called) for name, column in typed.items()}
    return pd.DataFrame(columns, copy=False)  # copied when written to, as always in pandas 3


def describe(frame: pd.DataFrame) -> Description:
    """Describe a conforming frame.

    >>> describe(pd.DataFrame({"a": [1.0, None]})).contains_nan
    True
    """
    size = frame.memory_usage(index=False, deep=True).sum()
    return Description(
        columns=list(frame.columns),
        dtypes={str(name): str(dtype) for name, dtype in frame.dtypes.items()},
        shape={"samples": len(frame), "columns": len(frame.columns)},
        memory_mb=max(1, math.ceil(size / MEBIBYTE)),
        contains_nan=any(column.isna().any() for _, column in frame.items()),
    )


def take(
    frame: pd.DataFrame,
    samples: Sequence[int] | int | None,
    columns: Sequence[str] | str | None,
) -> pd.DataFrame:
    """Return rows by position and columns by name, in the order asked for, under a RangeIndex.

    Raises:
        SelectionError: an unknown or repeated column or position, or an empty list.

    >>> take(pd.DataFrame({"a": [5, 6, 7]}), [2, 0], None)["a"].tolist()
    [7, 5]
    """
    chosen = frame.loc[:, checked_columns("columns", columns, list(frame.columns))]
    if samples is None:
        return chosen
    rows = checked_positions("samples", samples, len(frame))
    return chosen.iloc[rows].reset_index(drop=True)


def _refuse_missing(file: Path) -> None:
    if not file.is_file():
        raise IngestError(f"file_path: there is no file {file}; give the path of a file.")


def _refuse_shape(frame: object, called: str) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise IngestError(f"{called}: {type(frame).__name__} given; give a pandas DataFrame.")
    if isinstance(frame.columns, pd.MultiIndex):
        raise IngestError(f"{called}: its columns have several levels; give one name a column.")
    if isinstance(frame.index, pd.MultiIndex) or not frame.index.equals(pd.RangeIndex(len(frame))):
        raise IngestError(
            f"{called}: its index is not the default 0, 1, 2…, so that rows cannot be found by "
            "position. Give dataframe.reset_index(drop=True)."
        )
    if 0 in frame.shape:
        raise IngestError(
            f"{called}: its shape is {frame.shape}; give at least one row and one column."
        )


def _names(frame: pd.DataFrame, rename_columns: Sequence[str] | None, called: str) -> list[str]:
    if rename_columns is None:
        where, names = called, [str(name) for name in frame.columns]
    else:
        where = "rename_columns"
        given = listed(rename_columns) or []
        names = [name for name in given if isinstance(name, str)]
        if not len(names) == len(given) == frame.shape[1]:
            raise IngestError(
                f"rename_columns: {given} for {frame.shape[1]} columns; give one text for each."
            )
    twice = repeated(names)
    if twice:
        raise IngestError(f"{where}: column names repeat: {twice}. Give each column its own name.")
    return names
