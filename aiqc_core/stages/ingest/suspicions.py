"""Warn about a delimited text that can hardly mean what was read from it."""

from __future__ import annotations

import re
import warnings
from itertools import islice
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.layout import NUMBER, are_names, below, fields, records, shown
from aiqc_core.stages.ingest.selection import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.stages.ingest.layout import Layout

SAMPLE_VALUES = 200
LEAST_NUMBERS = 2  # below which a first value of text is as likely as any
MOSTLY = 0.5  # of a sample of text: from here on a column is looked at for what is no number
MOST_FOOTER_ROWS = 5
EMPTY_LINE = re.compile(rb"[\r\n][ \t]*(\r\n|\r|\n)(?=\s*\S)")
# Notations of numbers in text, by name.
SIGN = r"([^\w\s.,':/-]|USD|EUR|GBP|CHF|[kcm][mg]|lbs?|oz|ft|min|[kMGT](Hz|Wh|B)|\s[mghs])"
NOTATIONS = {
    "groups of digits": re.compile(r"[+-]?(?!0)\d{1,3}([,.\s'\u2019]\d{3})+([.,]\d+)?"),
    "decimal commas": re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?"),
    "signs or units": re.compile(rf"(?=.*{SIGN})(({SIGN}|-)\s*)*\d[\d.,'\s]*{SIGN}*"),
}
# The first field of a row below a table: beside numbers, or alone.
TOTAL = r"\W*((grand|sub)[ -]?)?(total|sum|average|mean|median|count|gesamt|summe)e?s?\b"
NOTE = (
    r"\W*(last )?(source|quelle|note|footnote|data|updated|generated|created|retrieved|"
    r"downloaded|exported|as of|end of)s?\b"
)
BESIDE = re.compile(TOTAL + r"\W*", re.IGNORECASE)
ALONE = re.compile(rf"({TOTAL}|{NOTE}|[*#(\u2020\u00a9-]).*", re.IGNORECASE | re.DOTALL)
# Words that spreadsheets and people write where a number is missing, besides those of pandas.
MISSING = frozenset(
    ["?", "-", "--", ".", "..", "*", "missing", "unknown", "nil", "na", "nan", "n/a", "n.a.",
     "none", "null", "#n/a", "#na", "<na>", "#div/0!", "#value!", "#ref!", "#name?",
     "#num!", "#null!"]
)  # fmt: skip


def warn_suspicious(
    frame: pd.DataFrame, layout: Layout, doubtful: list[int], *, is_renamed: bool
) -> None:
    """Warn about a frame that a file can hardly mean.

    `doubtful` are the positions of the columns of text that are not known to be text;
    `is_renamed` says that other names replace the header's.

    Raises:
        IngestError: a column without a name and without values, or no row.
    """
    if frame.empty:
        raise IngestError(
            f"file_path: {layout.path} holds a header, {list(frame.columns)}, and no row. Give "
            "at least one row; where that is no header but the only row, say header=None."
        )
    footer = _footer_rows(frame)
    faults = [*_faults_of_rows(frame, layout, footer)]
    faults += _faults_of_columns(frame, layout, doubtful, footer)
    if layout.names is not None:
        faults += _faults_of_header(frame, layout, layout.names, is_renamed=is_renamed)
    for fault in faults:
        warnings.warn(f"file_path: {layout.path}: {fault}.", stacklevel=2)


def _faults_of_header(
    frame: pd.DataFrame, layout: Layout, names: list[str], *, is_renamed: bool
) -> Iterator[str]:
    if not is_renamed:
        nameless = [i for i, name in enumerate(names) if not name.strip()]
        yield from (_nameless(frame, layout, position) for position in nameless)
        if len(names) > 1 and all(name[:1].isspace() for name in names[1:]):
            yield (
                f"the column names {names[1:][:SHOWN]} begin with a blank, as text of the rows "
                "may: ',' alone separates fields. Remove the blanks, or read it with "
                "pandas.read_csv(path, skipinitialspace=True)"
            )
    if all(len(name) > 1 and name[0] == name[-1] == "'" for name in names):
        yield (
            f"the column names {names[:SHOWN]} stand between single quotes, as text of the rows "
            'may. Use double quotes, or read it with pandas.read_csv(path, quotechar="\'")'
        )
    words = [i for i, name in enumerate(names) if not NUMBER.fullmatch(name)]
    columns = dict(text_columns(frame.head(SAMPLE_VALUES)))
    recur = words and all(i in columns and columns[i].eq(names[i]).any() for i in words)
    if again := _repeated_header(frame, layout, names):
        yield (
            f"line {shown(again)} says the header again, so that columns of numbers hold text. "
            "Remove it; where the file has no header, say header=None"
        )
    elif not are_names(names) or recur:
        yield (
            f"line {layout.line}, {names[: SHOWN + 1]}, was taken for the header, and looks like "
            "a row of values. Say header=None if it is one"
        )


def _nameless(frame: pd.DataFrame, layout: Layout, position: int) -> str:
    column = frame.iloc[:, position]
    called = f"column {position + 1} has no name in line {layout.line}"
    if column.isna().all():
        raise IngestError(
            f"file_path: {layout.path}: {called}, and no value: a separator too many at the end "
            "of the lines? Remove it, give each column a name, or name all by rename_columns."
        )
    is_index = np.array_equal(column.to_numpy(), np.arange(len(frame)))
    looks = "; it counts the rows, as the index that to_csv writes without index=False"
    return (
        f"{called}, and is called {str(frame.columns[position])!r}{looks if is_index else ''}. "
        "Give it a name, or leave it out of the file and the features"
    )


def _repeated_header(frame: pd.DataFrame, layout: Layout, names: list[str]) -> list[int]:
    again = [column.eq(names[i]).to_numpy() for i, column in text_columns(frame)]
    is_text = len(names) > 1 and len(again) == len(frame.columns)
    if not is_text or not np.logical_and.reduce(again).any():
        return []
    return [line for line, row in records(layout.path, layout.delimiter) if row == names][1:]


def _faults_of_rows(frame: pd.DataFrame, layout: Layout, footer: int) -> Iterator[str]:
    width = len(frame.columns)
    if width == 1:
        if lines := _empty_lines(layout):
            yield (
                f'line {shown(lines)} is empty, and is left out of the rows. Write "" for a '
                "blank, or remove the line"
            )
        return
    if footer:
        yield (
            f"the last {footer} of its rows, {frame.iloc[-1].dropna().astype(str).tolist()}, look "
            "like totals or notes below the table, and are read as values. Remove them"
        )
    if frame.iloc[:, -1].isna().any() and _has_short_rows(layout):
        lines = [line for line, row in below(layout) if len(row) < width]
        if len(lines) > footer:
            yield (
                f"{len(lines)} of its lines ({shown(lines)}) have fewer fields than there are "
                f"columns, {width}: what lacks is read as blanks. Is the file whole? Write an "
                "empty field for a blank"
            )
    yield from _swallowed(frame, layout.delimiter)


def _has_short_rows(layout: Layout) -> bool:
    """Say whether Arrow, which parses on all cores, finds rows of another width."""
    try:
        arrow_csv.read_csv(
            layout.path,
            arrow_csv.ReadOptions(autogenerate_column_names=True, skip_rows=layout.line - 1),
            arrow_csv.ParseOptions(delimiter=layout.delimiter, newlines_in_values=True),
            arrow_csv.ConvertOptions(include_columns=["f0"], column_types={"f0": pa.binary()}),
        )
    except pa.ArrowException:  # the caller looks at each line then
        return True
    return False


def _swallowed(frame: pd.DataFrame, delimiter: str) -> Iterator[str]:
    """Yield columns that hold whole rows of the file in a text of several lines."""
    width = len(frame.columns)
    numeric = [i for i, dtype in enumerate(frame.dtypes.to_list()) if dtype.kind in "iuf"]
    for i, column in text_columns(frame) if numeric else []:
        several = column.loc[column.str.contains("\n", regex=False, na=False)]
        for row, text in islice(several.items(), SAMPLE_VALUES):
            within = [fields(line, delimiter) for line in text.splitlines()[1:-1]]
            if within and all(
                len(cut) == width and all(NUMBER.fullmatch(cut[k]) for k in numeric)
                for cut in within
            ):
                yield (
                    f"column {str(frame.columns[i])!r} holds {len(within)} whole lines between "
                    f"quotes in row {row} from 0, {text[:60]!r}: is a quote not closed? Close it"
                )
                break


def _empty_lines(layout: Layout) -> list[int]:
    with layout.path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
        if EMPTY_LINE.search(data) is None:
            return []
    lines, end = list[int](), layout.line
    for line, row in records(layout.path, layout.delimiter):
        lines += range(max(end, layout.line), line)
        end = line + 1 + sum(field.count("\n") for field in row)
    return lines


def _faults_of_columns(
    frame: pd.DataFrame, layout: Layout, doubtful: list[int], footer: int
) -> Iterator[str]:
    """Yield columns of text that would be numbers but for their notation or a word."""
    ends: dict[int, list[str]] = {0: [], len(frame) - 1: []}
    for i in doubtful:
        name, values = str(frame.columns[i]), frame.iloc[:, i].dropna().astype(object)
        sample = values.head(SAMPLE_VALUES)
        odd, others = _no_numbers(sample), len(sample) - 1
        is_mostly = others >= LEAST_NUMBERS and sum(odd.index != 0) <= MOSTLY * others
        odd = _no_numbers(values) if is_mostly else odd
        is_missing = odd.str.strip().str.lower().isin(MISSING)
        if called := _notation(odd.loc[~is_missing]):
            yield (
                f"column {name!r} holds text: numbers with {called}. Write plain numbers, or make "
                "them such with pandas (thousands=… and decimal=… of read_csv, or str.strip) and "
                "register the frame with Dataset.Tabular.from_df"
            )
        elif len(values) and odd.empty:
            yield (
                f"column {name!r} holds text: whole numbers beyond 64 bits, such as "
                f"{max(values, key=len)!r}. Say retype={{{name!r}: 'str'}} of codes; scale others"
            )
        elif is_mostly and len(odd) == 1 and odd.index[0] in ends:
            ends[odd.index[0]].append(name)
        elif is_mostly and is_missing.all():
            yield (
                f"column {name!r} holds text because of {odd.unique().tolist()[:SHOWN]} in "
                f"{len(odd)} rows; all others are numbers. Leave a blank cell empty"
            )
    has_numbers = any(dtype.kind in "iufb" for dtype in frame.dtypes)
    header = 0 if layout.header is None else layout.header + 1
    to_do = f"Where that is the header, say header={header}; remove a line of units"
    for row, names in ends.items():
        which, remedy = ("last", "Remove it") if row else ("first", to_do)
        if names and not (footer if row else has_numbers):
            yield (
                f"columns {names[:SHOWN]} hold text because of the {which} row, "
                f"{frame.iloc[row].tolist()[: SHOWN + 1]}; all others are numbers. {remedy}"
            )


def _footer_rows(frame: pd.DataFrame) -> int:
    """Return how many rows at the end look like totals or notes below the table."""
    footer, used = 0, set[tuple[int, re.Pattern[str]]]()
    while footer < min(MOST_FOOTER_ROWS, len(frame) - LEAST_NUMBERS) and len(frame.columns) > 1:
        row = frame.iloc[-1 - footer]
        first, *others = np.flatnonzero(row.notna()).tolist() or [-1]
        pattern = BESIDE if others else ALONE
        if not pattern.fullmatch(str(row.iloc[first])) or frame.dtypes.iloc[first] != "str":
            break
        used.add((first, pattern))
        footer += 1
    above = frame.iloc[: len(frame) - footer]
    is_usual = any(above.iloc[:, i].str.fullmatch(pattern).any() for i, pattern in used)
    return 0 if is_usual else footer


def _notation(values: pd.Series) -> str | None:
    """Return the notation that all texts share, with the first of them."""
    for called, pattern in NOTATIONS.items():
        if len(values) and values.map(pattern.fullmatch).notna().all():
            return f"{called}, such as {values.iloc[0]!r}"
    return None


def _no_numbers(values: pd.Series) -> pd.Series:
    numbers: Any = pd.to_numeric(values, errors="coerce")
    return values.loc[numbers.isna()]


def text_columns(frame: pd.DataFrame) -> list[tuple[int, pd.Series]]:
    """Return positions and values of the columns of text."""
    return [(i, column) for i, (_, column) in enumerate(frame.items()) if column.dtype == "str"]
