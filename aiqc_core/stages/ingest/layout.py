"""Find the separator, the header and the width of the rows of a delimited text."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.selection import SHOWN, repeated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ENCODING = "utf-8-sig"  # UTF-8, with or without a byte order mark
SAMPLE_LINES, LEAST_LINES = 100, 3
SAMPLE_CHARACTERS = 2**16  # from here on only as few lines as are needed
BLANKS, GAPS = " ", "  "  # any run of spaces between fields, and any of two and more
REGEX_OF = {BLANKS: r"\s+", GAPS: r"\s{2,}"}  # as pandas has them
SEPARATORS = (",", ";", "\t", "|", "::", "^", "~", "\x01", "\uff0c", "\uff1b")
OTHER = re.compile(r"[^\w\s\"'.+-]")  # any other mark may separate fields, dates and times too
DATE_LETTERS = frozenset("dmyhms")
ENDINGS = {",": ".csv", "\t": ".tsv"}
NUMBER = re.compile(r"\s*[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True, slots=True)
class Layout:
    """The place of the header and the rows in a delimited text."""

    path: Path
    delimiter: str
    header: int | None  # the number of filled lines above the header; None without a header
    names: list[str] | None  # the fields of the header
    line: int  # the number, from 1, of the first line that is read, the header if there is one


def find_layout(path: Path, delimiter: str, header: int | None) -> Layout:
    """Return the layout of a file; refuse names that repeat, which pandas would rename."""
    line, names = next(islice(records(path, delimiter), header or 0, None), (1, []))
    if header is None:
        return Layout(path, delimiter, None, None, 1)
    twice = repeated(name for name in names if name)
    if twice:
        raise IngestError(
            f"file_path: {path} repeats the column names {twice}. Give each column its own name "
            "in the file, or, where it has no header, say header=None."
        )
    return Layout(path, delimiter, header, names, line)


def records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the first line, numbered from 1, and the fields of each record that is not empty."""
    with path.open(encoding=ENCODING, newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        end = 0
        for row in reader:
            start, end = end + 1, reader.line_num
            if len(row) > 1 or any(field.strip() for field in row):
                yield start, row


def refuse_other_separator(layout: Layout) -> None:
    """Refuse a text that another separator cuts into columns, and this one does not.

    Text that spaces or marks such as `:` cut evenly may be one column, such as telephone numbers
    or scores; it only gets a warning.
    """
    lines = _lines(layout)
    cuts = [fields(line, layout.delimiter) for line in lines if line[:1] == line[-1:] == '"']
    widths = {len(fields(cut[0], layout.delimiter)) if len(cut) == 1 else 1 for cut in cuts}
    is_quoted = len(cuts) == len(lines) and len(widths) == 1 and widths != {1}
    if is_quoted and layout.names is not None:
        raise IngestError(
            f"file_path: {layout.path} has quotes around each whole line, such as "
            f"{lines[0][:60]!r}, so that it is one column. Remove them."
        )
    found = found_separator(lines, layout.delimiter, has_header=layout.names is not None)
    if found is None:
        return
    columns = list(zip(*(fields(line, found) for line in lines), strict=True))
    filled = [i for i, column in enumerate(columns) if any(field.strip() for field in column)]
    options = f"sep={REGEX_OF.get(found, found)!r}"
    if any("," in field for column in columns for field in column[1:]):
        options += ", decimal=','"
    if len(filled) < len(columns):  # separators at an end, or doubled
        options += f", usecols={filled}"
    ending = f"give it the ending {ENDINGS[found]}, or " if found in ENDINGS else ""
    message = (
        f"file_path: {layout.path} is read with {layout.delimiter!r} between fields, as its "
        f"ending says; {found!r} seems to separate them: line {layout.line}, {lines[0][:60]!r}, "
        f"has {len(filled)} fields then. To read it so, {ending}read it with pandas.read_csv("
        f"path, {options}) and register the frame with Dataset.Tabular.from_df."
    )
    if found in SEPARATORS:
        raise IngestError(message)
    warnings.warn(message, stacklevel=2)


def found_separator(lines: list[str], delimiter: str, *, has_header: bool) -> str | None:
    """Return the separator that cuts lines evenly where `delimiter` does not; else None.

    >>> found_separator(["x;y", "1,5;2", "2;3"], ",", has_header=True)
    ';'
    >>> found_separator(["text", "one; two"], ",", has_header=True) is None
    True
    """
    rows = lines[1:] if has_header else lines
    widths = {len(fields(line, delimiter)) for line in lines}
    is_cut = len(widths) == 1 and widths != {1}
    if not lines or (is_cut and all(all(_numbers(row, delimiter)) for row in rows)):
        return None
    others = [] if is_cut else [GAPS, BLANKS, *sorted(set(OTHER.findall(lines[0])))]
    for other in [*SEPARATORS, *others]:
        cuts = {len(fields(line, other)) for line in lines}
        if other == delimiter or len(cuts) > 1 or cuts == {1}:
            continue
        if is_cut or other == BLANKS:
            is_found = bool(rows) and all(all(_numbers(row, other)) for row in rows)
        elif other == GAPS or other in SEPARATORS:
            is_found = has_header or all(any(_numbers(row, other)) for row in rows)
        else:
            is_found = has_header and _separates_names(lines, other)
        if is_found:
            return other
    return None


def _separates_names(lines: list[str], mark: str) -> bool:
    """Say whether a mark separates names, other than parts of a date, and numbers below them."""
    letters = {name.strip()[:1].lower() for name in fields(lines[0], mark)}
    is_named = not any(_numbers(lines[0], mark)) and not letters <= DATE_LETTERS
    return is_named and len(lines) > 1 and all(any(_numbers(row, mark)) for row in lines[1:])


def explain(layout: Layout, error: Exception) -> str:
    """Say why a text cannot be parsed: the line, its fields, and the remedy."""
    if "EOF inside string" in str(error):
        line = 1
        with suppress(csv.Error):  # a field beyond what the module holds: the one that was opened
            for line, _ in records(layout.path, layout.delimiter):  # noqa: B007 - the last one
                pass
        return f"line {line} opens a quote that nothing closes. Close it, or double it within text"
    if "Passed header" in str(error):
        return f"header: {layout.header}; there are fewer lines. Count them from 0"
    (_, first), *_ = head = list(islice(below(layout), SAMPLE_LINES))
    width = Counter(len(row) for _, row in head).most_common(1)[0][0]
    if layout.names is not None and len(first) < width:
        above = [len(row) for _, row in head].index(width)
        is_header = not any(NUMBER.fullmatch(name) for name in head[above][1])
        if above and is_header and len(head) > above + 1:
            return (
                f"line {layout.line}, {','.join(first)[:60]!r}, has {len(first)} fields and most "
                f"lines have {width}: a note above the header? Remove it, or say "
                f"header={(layout.header or 0) + above}"
            )
    wrong = next((found for found in below(layout) if len(found[1]) > len(first)), None)
    if wrong is None:
        return str(error).strip()
    line, row = wrong
    surplus = "" if any(row[len(first) :]) else ", empty after the last separator"
    return (
        f"line {line} has {len(row)} fields, more fields than its header names, {len(first)}"
        f"{surplus}: {layout.delimiter.join(row)[:60]!r}. Quote text that holds "
        f"{layout.delimiter!r}, name every column, or remove what is too much"
    )


def below(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    """Yield line and fields of the header, if there is one, and of each record below it."""
    return islice(records(layout.path, layout.delimiter), layout.header or 0, None)


def are_names(names: list[str]) -> bool:
    """Say whether fields can be names of columns: text, numbers that rise, or such as 3, 2, 1.

    >>> are_names(["age", "sex"]), are_names(["2019", "2020"]), are_names(["5.1", "3.5", "setosa"])
    (True, True, False)
    """
    numbers = [float(name.replace(",", ".")) for name in names if NUMBER.fullmatch(name)]
    steps = {b - a for a, b in pairwise(numbers)}
    return all(step > 0 for step in steps) or steps == {-1.0}


def shown(lines: list[int]) -> str:
    """Return the first few numbers of lines as text."""
    return ", ".join(map(str, lines[:SHOWN])) + " …" * (len(lines) > SHOWN)


def _lines(layout: Layout) -> list[str]:
    """Return the first lines that are not empty, from the header on; few of long ones."""
    lines, size = list[str](), 0
    with layout.path.open(encoding=ENCODING) as stream:
        for line in islice(stream, layout.line - 1, None):
            if line.strip():
                lines.append(line.rstrip("\n"))
                size += len(line)
            if len(lines) >= (SAMPLE_LINES if size < SAMPLE_CHARACTERS else LEAST_LINES):
                break
    return lines


def fields(line: str, separator: str) -> list[str]:
    """Return the fields of one line.

    >>> fields('"a;b";c', ";"), fields("1  2", BLANKS)
    (['a;b', 'c'], ['1', '2'])
    """
    if separator in REGEX_OF:
        return re.split(REGEX_OF[separator], line.strip())
    if len(separator) == 1:
        with suppress(csv.Error):
            return next(csv.reader([line], delimiter=separator), [""])
    return line.split(separator)


def _numbers(line: str, separator: str) -> list[bool]:
    return [NUMBER.fullmatch(field) is not None for field in fields(line, separator)]
