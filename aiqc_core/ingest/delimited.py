"""CSV and TSV, read so that no name, number or letter changes silently."""

from __future__ import annotations

import codecs
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
from aiqc_core.ingest.foreign import refuse_foreign
from aiqc_core.ingest.layout import ENCODING, explain, laid_out, refuse_other_separator
from aiqc_core.ingest.selection import SHOWN
from aiqc_core.ingest.suspicions import warn_suspicious

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiqc_core.ingest.layout import Layout

EXACT_FLOAT = 2**53  # from here on a float64 skips whole numbers
CHUNK_BYTES = 2**20
LARGE_BYTES = 5 * 2**20  # from here on pandas parses on several cores
NEGATIVE_ZERO = re.compile(rb"-0+(?:[^\d.]|\Z)")
# What pandas reads as a blank: a column of numbers or truth values may hold them as such.
BLANKS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
NUMBERS = frozenset({"nan", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"})  # in lower case


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of a file before it is read.

    Attributes:
        names: of the columns that are read, in the file's order, in place of the header's.
        dtypes: what columns become, by name, or one for all: of numbers and moments, words for
            blanks are blanks; of text, they are words.
        is_told: whether an earlier reader has warned about this very file; then nothing is.
        keeps_words: whether words for blanks stay words in text; once they did not.
    """

    names: Sequence[str] | None = None
    dtypes: object = None
    is_told: bool = False
    keeps_words: bool = True

    def takes_words(self, frame: pd.DataFrame, position: int) -> bool | None:
        """Say whether a column is one of text or categories, None where nothing is known."""
        dtype: Any = self.dtypes
        if isinstance(dtype, Mapping):
            given = list(self.names or [])
            names = given if len(given) == frame.shape[1] else list(frame.columns)
            dtype = dtype.get(str(names[position]))
        if dtype is None:
            return None
        try:
            return types.pandas_dtype(dtype).kind in "OUST"
        except TypeError:  # no dtype: refused where it is cast
            return None


def read_delimited(
    path: Path,
    *,
    delimiter: str,
    header: object,
    positions: Sequence[int] | None = None,
    hints: Hints | None = None,
) -> pd.DataFrame:
    """Read a delimited text file.

    In a column of numbers or truth values the words by which programs write a blank (`NA`, `N/A`,
    `null`, `None`, `nan`, `<NA>`…) are blanks. In a column of text they are words, as in a frame;
    only an empty field is a blank there. A column that holds such words alone is text, which a
    warning says, unless its dtype is known or `nan` is all it says.

    What was hardly meant is warned about: rows with fewer fields than columns, names that are
    missing, a header that looks like a row, numbers that another notation makes text.

    Args:
        path: the file, in UTF-8.
        delimiter: what separates fields.
        header: `'infer'` for the first line, the number of the header's line, or None where there
            is no header.
        positions: of the columns to decode, in the file's order whatever theirs; all by default.
        hints: what is known of it beforehand.

    Raises:
        IngestError: no text, an empty file, another encoding or separator, names that repeat, rows
            with more fields than the header, or whole numbers that no dtype keeps.
    """
    line, hints = _header_position(header), hints or Hints()
    if not hints.is_told:
        refuse_foreign(path)
    layout = None
    try:
        layout = laid_out(path, delimiter, line)
        if not hints.is_told:
            refuse_other_separator(layout)
        chosen = None if positions is None else sorted(positions)
        frame = _parse_exactly(path, delimiter, line, chosen)
        _keep_integers(frame, path, delimiter, line, chosen)
        if hints.keeps_words:
            _keep_words(frame, layout, chosen, hints)
        if not hints.is_told:
            warn_suspicious(frame, layout, is_renamed=hints.names is not None)
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
    """Return the columns of a file whose first line names them, without reading its rows.

    Raises:
        IngestError: no text, another separator, or names that repeat.
    """
    refuse_foreign(path)
    refuse_other_separator(laid_out(path, delimiter, 0))
    return [str(name) for name in _parse(path, delimiter, 0, nrows=0).columns]


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


def _keep_words(
    frame: pd.DataFrame, layout: Layout, chosen: list[int] | None, hints: Hints
) -> None:
    """Give columns of text back the words that pandas took for blanks."""
    dtypes = frame.dtypes.to_list()
    blank = np.flatnonzero(frame.isna().any().to_numpy()).tolist()
    suspects = [i for i in blank if dtypes[i] == "str" or frame.iloc[:, i].isna().all()]
    known = {i: hints.takes_words(frame, i) for i in suspects}
    is_text = {i: dtypes[i] == "str" or bool(k) for i, k in known.items() if k is not False}
    if not is_text:
        return
    texts = _parse(
        layout.path, layout.delimiter, layout.header, dtype="str",
        usecols=list(is_text) if chosen is None else [chosen[i] for i in is_text],
        keep_default_na=False, na_values=[""], low_memory=True,
    )  # fmt: skip
    for i, (_, text) in zip(is_text, texts.items(), strict=True):
        words = text.dropna()
        if len(words) and (is_text[i] or not words.str.lower().isin(NUMBERS).all()):
            if not is_text[i] and not hints.is_told:
                _warn_words(str(frame.columns[i]), words)
            frame.isetitem(i, text)


def _warn_words(name: str, words: pd.Series) -> None:
    warnings.warn(
        f"file_path: column {name!r} holds nothing but the words "
        f"{words.unique().tolist()[:SHOWN]}, in {len(words)} rows, and is taken for text. Where "
        f"they mean blanks, say retype={{{name!r}: 'float64'}}, or leave the cells empty.",
        stacklevel=5,
    )


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
