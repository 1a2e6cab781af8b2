"""Read CSV and TSV; no name, number or letter changes silently."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.foreign import refuse_foreign
from aiqc_core.stages.ingest.layout import ENCODING, explain, find_layout, refuse_other_separator
from aiqc_core.stages.ingest.selection import SHOWN
from aiqc_core.stages.ingest.suspicions import text_columns, warn_suspicious

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from aiqc_core.stages.ingest.layout import Layout

EXACT_FLOAT = 2**53  # from here on a float64 skips whole numbers
LARGE_BYTES = 5 * 2**20  # from here on pandas parses on several cores
NEGATIVE_ZERO = rb"-0+(?:[^\d.]|\Z)"
# Words that pandas reads as blanks, which is right in columns of numbers and truth values only.
BLANKS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
NUMBERS = frozenset({"nan", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"})  # in lower case


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a file before it is read.

    Words for blanks are blanks where the dtype is one of numbers or moments, and words in text.
    """

    names: Sequence[str] | None = None  # replace the header's, in the file's order
    dtypes: object = None  # of columns by name, or one for all
    quiet: bool = False  # do not warn: an earlier reader of this very file did
    keeps_words: bool = True  # in text; sources that older versions registered do not

    def of(self, frame: pd.DataFrame) -> list[tuple[str, Any]]:
        """Return the name of each column and the dtype it becomes, None where it is not known."""
        given = list(self.names or [])
        names = list(map(str, given if len(given) == frame.shape[1] else frame.columns))
        dtypes: Any = self.dtypes
        if not isinstance(dtypes, Mapping):
            dtypes = dict.fromkeys(names, dtypes)
        return [(name, _dtype(dtypes.get(name))) for name in names]


def read_delimited(
    path: Path,
    *,
    delimiter: str,
    header: object,
    positions: Sequence[int] | None = None,
    hints: Hints | None = None,
) -> pd.DataFrame:
    """Read a delimited text file.

    Words such as `NA`, `N/A`, `null`, `None` and `<NA>` are blanks in a column of numbers or truth
    values. In a column of text they are words; only an empty field is a blank there. A column
    of such words alone is text, with a warning, unless its dtype is known or all are `nan`.

    It warns about what a file can hardly mean, see `suspicions`, and about codes of digits that
    are read as numbers.

    Args:
        path: the file, in UTF-8.
        delimiter: between fields.
        header: `'infer'` for the first line, the number of the header's line, or None where there
            is no header.
        positions: of the columns to decode, in any order; all by default.
        hints: what is known of it beforehand.

    Raises:
        IngestError: no text, an empty file, another encoding or separator, names that repeat, rows
            with more fields than the header, or whole numbers that no dtype keeps.
    """
    line, hints = _header_position(header), hints or Hints()
    if not hints.quiet:
        refuse_foreign(path)
    layout = None
    try:
        layout = find_layout(path, delimiter, line)
        if not hints.quiet:
            refuse_other_separator(layout)
        chosen = None if positions is None else sorted(positions)
        frame = _parse_exactly(layout, chosen)
        _correct(frame, layout, chosen, hints)
        if not hints.quiet:
            known = hints.of(frame)
            doubtful = [i for i, _ in text_columns(frame) if not _takes_text(known[i][1])]
            warn_suspicious(frame, layout, doubtful, is_renamed=hints.names is not None)
    except UnicodeDecodeError as error:
        raise _encoding_error(path) from error
    except pd.errors.EmptyDataError as error:
        raise IngestError(
            f"file_path: {path} cannot be parsed: it holds no line. Give a file with a header and "
            "at least one row."
        ) from error
    except (pd.errors.ParserWarning, pd.errors.ParserError, csv.Error) as error:
        reason = str(error) if layout is None else explain(layout, error)
        raise IngestError(f"file_path: {path} cannot be parsed: {reason}.") from error
    return frame


def header_of(path: Path, delimiter: str) -> list[str]:
    """Return the columns in the first line of a file; refuse what `read_delimited` refuses."""
    refuse_foreign(path)
    layout = find_layout(path, delimiter, 0)
    refuse_other_separator(layout)
    return [str(name) for name in _parse(layout, nrows=0).columns]


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


def _parse_exactly(layout: Layout, chosen: list[int] | None) -> pd.DataFrame:
    """Parse a large file in chunks, on all cores, unless chunks could change a value or dtype."""
    if layout.path.stat().st_size >= LARGE_BYTES:
        with suppress(pd.errors.DtypeWarning):  # chunks of a column disagree
            frame = _parse(layout, low_memory=True, usecols=chosen)
            if not _may_differ_by_chunk(layout.path, frame):
                return frame
    return _parse(layout, usecols=chosen)


def _parse(layout: Layout, *, low_memory: bool = False, **options: Any) -> pd.DataFrame:
    """Parse a file; with `low_memory` a column's dtype is inferred chunk by chunk."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        warnings.simplefilter("error", pd.errors.DtypeWarning)
        return pd.read_csv(
            layout.path,
            sep=layout.delimiter,
            header=layout.header,
            encoding=ENCODING,
            index_col=False,  # else a surplus field makes the first column an index, silently
            low_memory=low_memory,
            **options,
        )


def _may_differ_by_chunk(path: Path, frame: pd.DataFrame) -> bool:
    """Say whether columns that are parsed at once could hold other values than their chunks gave.

    Whole numbers of one chunk become floats beside those of another: exactly below 2**53, except
    -0. Chunks of text in which every number is beyond 64 bits keep their blanks as text.
    """
    reals = [column for _, column in frame.items() if column.dtype == np.float64]
    return (
        any(_largest(column) >= EXACT_FLOAT for column in reals)
        or any(column.isin(BLANKS).any() for _, column in text_columns(frame))
        or (any((column == 0.0).any() for column in reals) and _holds(path, NEGATIVE_ZERO))
    )


def _holds(path: Path, *patterns: bytes) -> bool:
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as text:
        return any(re.search(pattern, text) for pattern in patterns)


def _correct(frame: pd.DataFrame, layout: Layout, chosen: list[int] | None, hints: Hints) -> None:
    """Replace columns that pandas may have changed by what the file says."""
    columns = [column for _, column in frame.items()]
    names, known = zip(*hints.of(frame), strict=True)
    order = _suspects(columns, known, layout, hints)
    if not order:
        return
    texts = _parse(
        layout, dtype="str", usecols=order if chosen is None else [chosen[i] for i in order],
        keep_default_na=False, na_values=[""], low_memory=True,
    )  # fmt: skip
    for i, (_, text) in zip(order, texts.items(), strict=True):
        dtype = known[i] if hints.keeps_words else None
        column, doubt = _corrected(names[i], columns[i], text, dtype)
        if column is not columns[i]:
            frame.isetitem(i, column)
        if doubt and dtype is None and not hints.quiet:
            warnings.warn(f"file_path: column {names[i]!r} {doubt}.", stacklevel=4)


def _suspects(
    columns: list[pd.Series], known: Sequence[Any], layout: Layout, hints: Hints
) -> list[int]:
    """Return the positions of columns that may hold rounded numbers, words, or codes of digits."""
    found = {i for i, column in enumerate(columns) if _may_be_rounded(column)}
    if hints.keeps_words:
        found |= {i for i, column in enumerate(columns) if _may_hold_words(column, known[i])}
    numbers = {i for i, c in enumerate(columns) if c.dtype.kind in "iuf" and known[i] is None}
    marks = (re.escape(layout.delimiter).encode(), b"\n", b'"')
    if numbers and not hints.quiet and _holds(layout.path, *(m + rb"0\d\d" for m in marks)):
        found |= numbers
    return sorted(found)


def _may_hold_words(column: pd.Series, known: Any) -> bool:
    if column.dtype == "str":
        return bool((column.isna() | column.isin(BLANKS)).any())
    return _takes_text(known) or (known is None and bool(column.isna().all()))


def _dtype(asked: Any) -> Any:
    try:
        return None if asked is None else types.pandas_dtype(asked)
    except TypeError:  # no dtype: refused where it is cast
        return None


def _takes_text(dtype: Any) -> bool:
    return dtype is not None and dtype.kind in "OUST" and not types.is_object_dtype(dtype)


def _corrected(name: str, column: pd.Series, text: pd.Series, known: Any) -> tuple[Any, str]:
    """Return a column as the file has it, from its texts, and a doubt to warn about."""
    is_value = (text.notna() & ~text.isin(BLANKS)).to_numpy()
    words, values = text.dropna(), text.loc[is_value].str.strip()
    padded = values[values.str.fullmatch(r"[+-]?0\d\d+")]
    is_text = column.dtype == "str"
    if _takes_text(known):
        is_plain = len(words) == len(values) and padded.empty
        return (column if known == "category" and is_plain else text), ""
    if is_text or _may_be_rounded(column):
        if len(values) and values.str.fullmatch(r"[+-]?\d+").all():
            return _whole(column, text, is_value), ""
        return text if is_text and known is None else column, ""
    if len(padded):
        return column, (
            f"holds whole numbers that begin with 0, such as {padded.iloc[0]!r}, and is taken "
            f"for numbers. Where they are codes, say retype={{{name!r}: 'str'}}, or give a frame "
            f"that pandas.read_csv(path, dtype={{{name!r}: 'str'}}) reads"
        )
    if len(values) or words.str.lower().isin(NUMBERS).all():
        return column, ""
    return text, (
        f"holds nothing but the words {words.unique().tolist()[:SHOWN]}, in {len(words)} rows, "
        f"and is taken for text. Where they mean blanks, say retype={{{name!r}: 'float64'}}, or "
        "leave the cells empty"
    )


def _whole(column: pd.Series, text: pd.Series, is_value: NDArray[np.bool_]) -> Any:
    """Return whole numbers as nullable ones; beyond 64 bits as text or objects, as pandas does."""
    numbers = np.full(len(text), None, dtype=object)
    numbers[is_value] = [int(digits) for digits in text[is_value]]
    low, high = min(numbers[is_value]), max(numbers[is_value])
    if low >= -(2**63) and high < 2**63:
        return pd.array(numbers, dtype="Int64")
    if low >= 0 and high < 2**64:
        return pd.array(numbers, dtype="UInt64")
    return text if column.dtype == "str" else pd.Series(numbers)


def _may_be_rounded(column: pd.Series) -> bool:
    if column.dtype != np.float64 or _largest(column) < EXACT_FLOAT:
        return False
    return bool((column[np.isfinite(column)] % 1 == 0).all())


def _largest(column: pd.Series) -> float:
    return float(np.nanmax(np.abs(column.to_numpy()), initial=0.0))


def _encoding_error(path: Path) -> IngestError:
    """Name the byte that is not UTF-8; pandas only knows its place within a buffer."""
    place = ""
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError as error:
        place = f": byte {error.object[error.start]:#04x} at position {error.start}"
    return IngestError(
        f"file_path: {path} is not UTF-8{place}. Save it as UTF-8, or read it with "
        "pandas.read_csv(path, encoding=…) and register the frame with Dataset.Tabular.from_df."
    )
