"""Recognize files that are no delimited text, whatever their ending says."""

from __future__ import annotations

from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING

from aiqc_core.errors import IngestError

if TYPE_CHECKING:
    from pathlib import Path

READ = "read it with pandas.{reader} and register the frame with Dataset.Tabular.from_df"
UNPACK = "unpack it first, or " + READ.format(reader="read_csv(path, compression={name!r})")
EXCEL = READ.format(reader="read_excel(path)")
UTF_16 = "save it as UTF-8, or " + READ.format(reader="read_csv(path, encoding='utf-16')")
PAGE = "download the file itself: the page may hold an error or a login"
BZIP2 = tuple(b"BZh%d1AY&SY" % level for level in range(1, 10))
# The first bytes of a file, its format, and the remedy.
KINDS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"\xff\xfe", b"\xfe\xff"), "text in UTF-16", UTF_16),
    ((b"\x1f\x8b",), "packed by gzip", UNPACK.format(name="gzip")),
    (BZIP2, "packed by bzip2", UNPACK.format(name="bz2")),
    ((b"\xfd7zXZ",), "packed by xz", UNPACK.format(name="xz")),
    ((b"\x28\xb5\x2f\xfd",), "packed by Zstandard", UNPACK.format(name="zstd")),
    ((b"PK\x03\x04",), "a ZIP archive, as a workbook of Excel (.xlsx) is", EXCEL),
    ((b"\xd0\xcf\x11\xe0",), "a workbook of Excel (.xls)", EXCEL),
    ((b"ARROW1\0\0",), "Feather", READ.format(reader="read_feather(path)")),
    ((b"\x89HDF",), "HDF5", READ.format(reader="read_hdf(path)")),
    ((b"\x93NUMPY",), "an array of numpy", "give it the ending .npy, or load it with numpy.load"),
    ((b"SQLite format",), "a database of SQLite", READ.format(reader="read_sql(query, store)")),
    ((b"%PDF-",), "a PDF document", "give the table that it shows as CSV"),
    ((b"version https://git-lfs",), "a pointer of Git LFS", "fetch the file: git lfs pull"),
)  # fmt: skip
# The same for text, after blanks and a byte order mark, in lower case.
MARKUP: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"<!doctype", b"<html"), "a web page", PAGE),
    ((b"<?xml",), "XML", READ.format(reader="read_xml(path)")),
    ((b'{"',), "JSON", READ.format(reader="read_json(path, lines=True)")),
    ((b"[{",), "JSON", READ.format(reader="read_json(path)")),
)
HEAD_BYTES = 512
PARQUET = b"PAR1"  # at both ends of such a file


def refuse_foreign(path: Path) -> None:
    """Refuse a file whose bytes are no text in UTF-8 of rows and fields."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
        stream.seek(max(path.stat().st_size - len(PARQUET), 0))
        tail = stream.read()
    if head.startswith(PARQUET) and tail == PARQUET:  # a header may begin with PAR1 too
        raise _error(path, "is Parquet, no text of rows and fields", "give it the ending .parquet")
    plain = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for kinds, begin in ((KINDS, head), (MARKUP, plain)):
        for starts, shown, remedy in kinds:
            if begin.startswith(starts):
                raise _error(path, f"is {shown}, no text of rows and fields", remedy)
    if path.stat().st_size:
        with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as data:
            position = data.find(b"\0")
        if position >= 0:
            remedy = "Save it again as UTF-8; text in UTF-16 is full of them"
            raise _error(path, f"has a byte 0 at position {position}, which no text has", remedy)


def _error(path: Path, fault: str, remedy: str) -> IngestError:
    return IngestError(f"file_path: {path} {fault}. {remedy[0].upper()}{remedy[1:]}.")
