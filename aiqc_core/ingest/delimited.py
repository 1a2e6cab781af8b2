"""CSV and TSV, read so that no name, number or letter changes silently."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from contextlib import suppress
from itertools import islice
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import IngestError
from aiqc_core.ingest.selection import repeated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENCODING = "utf-8-sig"  # UTF-8, with or without a byte order mark
EXACT_FLOAT = 2**53  # from here on a float64 skips whole numbers
CHUNK_BYTES = 2**20
LARGE_BYTES = 5 * 2**20  # from here on pandas parses on several cores
NEGATIVE_ZERO = re.compile(rb"-0+(?:[^\d.]|\Z)")
# What pandas reads as a blank: no column of text holds one of them.
BLANKS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip


def read_delimited(
    path: Path, *, delimiter: str, header: object, positions: Sequence[int] | None = None
) -> pd.DataFrame:
    """Read a delimited text file.

    Args:
        path: the file, in UTF-8.
        delimiter: what separates fields.
        header: `'infer'` for the first line, the number of the header's line, or None where there
            is no header.
        positions: of the columns to decode, in the file's order whatever theirs; all by default.

    Raises:
        IngestError: an empty file, another encoding, names that repeat, rows with more fields
            than the header, or whole numbers that no dtype keeps.
    """
    line = _header_position(header)
    try:
        if line is not None:
            _refuse_repeated_names(path, delimiter, line)
        chosen = None if positions is None else sorted(positions)
        frame = _parse_exactly(path, delimiter, line, chosen)
        _keep_integers(frame, path, delimiter, line, chosen)
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


def _parse_exactly(
    path: Path, delimiter: str, header: int | None, chosen: list[int] | None
) -> pd.DataFrame:
    """Parse a large file in chunks, on all cores, unless chunks could change a value or dtype."""
    if path.stat().st_size >= LARGE_BYTES:
        with suppress(pd.errors.DtypeWarning):  # chunks of a column disagree
            frame = _parse(path, delimiter, header, low_memory=True, usecols=chosen)
            if not _may_differ_by_chunk(path, frame):
                return frame
    return _parse(path, delimiter, header, usecols=chosen)


def _parse(
    path: Path, delimiter: str, header: int | None, *, low_memory: bool = False, **options: Any
) -> pd.DataFrame:
    """Parse a file; with `low_memory` a column's dtype is inferred chunk by chunk."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        return pd.read_csv(
            path,
            sep=delimiter,
            header=header,
            encoding=ENCODING,
            index_col=False,  # else a surplus field makes the first column an index, silently
            low_memory=low_memory,
            **options,
        )


def _may_differ_by_chunk(path: Path, frame: pd.DataFrame) -> bool:
    """Say whether columns parsed at once could hold other values than their chunks gave.

    Whole numbers of one chunk become floats beside those of another: exactly below 2**53, but
    for -0. Chunks of text in which every number is beyond 64 bits keep their blanks as text.
    """
    reals = [column for _, column in frame.items() if column.dtype == np.float64]
    texts = [column for _, column in frame.items() if column.dtype == "str"]
    return (
        any(_largest(column) >= EXACT_FLOAT for column in reals)
        or any(column.isin(BLANKS).any() for column in texts)
        or (any((column == 0.0).any() for column in reals) and _holds_negative_zero(path))
    )


def _holds_negative_zero(path: Path) -> bool:
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as text:
        return NEGATIVE_ZERO.search(text) is not None


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


def _keep_integers(
    frame: pd.DataFrame,
    path: Path,
    delimiter: str,
    header: int | None,
    chosen: list[int] | None,
) -> None:
    """Make Int64 of whole numbers that blanks turned into floats, where floats change them."""
    suspects = [i for i, (_, column) in enumerate(frame.items()) if _may_be_rounded(column)]
    if not suspects:
        return
    there = suspects if chosen is None else [chosen[i] for i in suspects]
    texts = _parse(path, delimiter, header, usecols=there, dtype="str")
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
    if _largest(column) < EXACT_FLOAT:
        return False
    values = column.to_numpy()
    finite = values[np.isfinite(values)]
    return bool((finite % 1 == 0).all())


def _largest(column: pd.Series) -> float:
    return float(np.nanmax(np.abs(column.to_numpy()), initial=0.0))


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
