"""CSV and TSV, read so that no name, number or letter changes silently."""

from __future__ import annotations

import codecs
import csv
import warnings
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import IngestError
from aiqc_core.ingest.selection import repeated

if TYPE_CHECKING:
    from pathlib import Path

ENCODING = "utf-8-sig"  # UTF-8, with or without a byte order mark
EXACT_FLOAT = 2**53  # from here on a float64 skips whole numbers
CHUNK_BYTES = 2**20


def read_delimited(path: Path, *, delimiter: str, header: object) -> pd.DataFrame:
    """Read a delimited text file.

    Args:
        path: the file, in UTF-8.
        delimiter: what separates fields.
        header: `'infer'` for the first line, the number of the header's line, or None where there
            is no header.

    Raises:
        IngestError: an empty file, another encoding, names that repeat, rows with more fields
            than the header, or whole numbers that no dtype keeps.
    """
    line = _header_position(header)
    try:
        if line is not None:
            _refuse_repeated_names(path, delimiter, line)
        frame = _parse(path, delimiter, line)
        _keep_integers(frame, path, delimiter, line)
    except UnicodeDecodeError as error:
        raise _encoding_error(path) from error
    except pd.errors.ParserWarning as error:
        raise IngestError(
            f"file_path: {path} has rows with more fields than its header names. Name every "
            "column, or remove the delimiters at the ends of the lines."
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error) as error:
        raise IngestError(f"file_path: {path} cannot be parsed: {error}.") from error
    return frame


def _header_position(header: object) -> int | None:
    if header is None:
        return None
    if header == "infer":
        return 0
    if isinstance(header, int) and not isinstance(header, bool) and header >= 0:
        return header
    raise IngestError(
        f"header: {header!r}; give 'infer', the number of the header's line from 0, or None."
    )


def _parse(path: Path, delimiter: str, header: int | None, **options: Any) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            sep=delimiter,
            header=header,
            encoding=ENCODING,
            index_col=False,  # else a surplus field makes the first column an index, silently
            low_memory=False,  # else a column's dtype varies by chunk
            **options,
        )


def _refuse_repeated_names(path: Path, delimiter: str, line: int) -> None:
    """Refuse names that repeat: pandas would rename them `a`, `a.1`, without a word."""
    with path.open(encoding=ENCODING, newline="") as stream:
        rows = (row for row in csv.reader(stream, delimiter=delimiter) if _is_filled(row))
        names = next(islice(rows, line, None), [])
    twice = repeated(name for name in names if name)
    if twice:
        raise IngestError(
            f"file_path: {path} repeats the column names {twice}. Give each column its own name "
            "in the file, or skip the header and use rename_columns."
        )


def _is_filled(row: list[str]) -> bool:
    return len(row) > 1 or any(field.strip() for field in row)


def _keep_integers(frame: pd.DataFrame, path: Path, delimiter: str, header: int | None) -> None:
    """Make Int64 of whole numbers that blanks turned into floats, where floats change them."""
    suspects = [i for i, (_, column) in enumerate(frame.items()) if _may_be_rounded(column)]
    if not suspects:
        return
    texts = _parse(path, delimiter, header, usecols=suspects, dtype="str")
    for position, (name, column) in zip(suspects, texts.items(), strict=True):
        text = column.str.strip()
        if not text.dropna().str.fullmatch(r"[+-]?\d+").all():
            continue
        numbers = [None if pd.isna(digits) else int(digits) for digits in text]
        try:
            frame[frame.columns[position]] = pd.array(numbers, dtype="Int64")
        except (OverflowError, TypeError, ValueError) as error:
            raise IngestError(
                f"file_path: column {str(name)!r} of {path} holds whole numbers beyond 64 bits, "
                "which no dtype keeps. Quote them with a letter in front, or scale them."
            ) from error


def _may_be_rounded(column: pd.Series) -> bool:
    if column.dtype != np.float64:
        return False
    values = column.to_numpy()
    largest = np.nanmax(np.abs(values), initial=0.0)
    if largest < EXACT_FLOAT:
        return False
    finite = values[np.isfinite(values)]
    return bool((finite % 1 == 0).all())


def _encoding_error(path: Path) -> IngestError:
    """Say which byte is not UTF-8; pandas only knows the place within its buffer."""
    decoder, start = codecs.getincrementaldecoder("utf-8")(), 0
    position, byte = 0, 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            held = len(decoder.getstate()[0])
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                position, byte = start - held + error.start, error.object[error.start]
                break
            start += len(chunk)
    return IngestError(
        f"file_path: {path} is not UTF-8: byte {byte:#04x} at position {position}. Save it as "
        "UTF-8, or read it with pandas.read_csv(path, encoding=…) and register the frame with "
        "Dataset.Tabular.from_df."
    )
