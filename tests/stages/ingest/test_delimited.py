from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import delimited, tabular
from aiqc_core.stages.ingest.content import TABULAR, Source
from aiqc_core.stages.ingest.content import read as read_whole
from aiqc_core.stages.ingest.digest import frame_digest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def read(path: Path, content: str | bytes, header: object = "infer") -> pd.DataFrame:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return tabular.conform(tabular.read_table(path, header=header)[0])


def test_a_byte_order_mark_is_no_part_of_a_name(path: Path) -> None:
    frame = read(path, b"\xef\xbb\xbfa,b\n1,2\n")
    assert list(frame.columns) == ["a", "b"]
    assert list(read(path, b"\xef\xbb\xbf1,2\n3,4\n", header=None).iloc[0]) == [1, 2]


def test_any_letter_comes_through(path: Path) -> None:
    frame = read(path, "naïve 温度,b\nçà,2\n")
    assert frame.to_dict("list") == {"naïve 温度": ["çà"], "b": [2]}


@pytest.mark.parametrize("filler", [0, 3_000_000])
def test_another_encoding_is_refused_with_the_byte(path: Path, filler: int) -> None:
    lines = b"12345,789\n" * (filler // 10)
    with pytest.raises(IngestError, match=f"byte 0xe9 at position {7 + len(lines)}.*encoding="):
        read(path, b"a,b\n" + lines + b"caf\xe9,1\n")


def test_names_that_repeat_are_listed_and_not_renamed(path: Path) -> None:
    with pytest.raises(IngestError, match=r"repeats the column names \['a', 'c'\]"):
        read(path, "a,a,b,c,c\n1,2,3,4,5\n")
    assert list(read(path, "-0.1,0,0.1\n1,2,3\n").columns) == ["-0.1", "0", "0.1"]


def test_the_header_may_stand_further_down_or_be_missing(path: Path) -> None:
    assert read(path, "note\n\na,b\n1,2\n", header=1).to_dict("list") == {"a": [1], "b": [2]}
    assert read(path, "1,1\n3,4\n", header=None).to_dict("list") == {"0": [1, 3], "1": [1, 4]}
    with pytest.raises(IngestError, match=r"repeats the column names \['x'\]"):
        read(path, "note\nx,x\n1,2\n", header=1)


@pytest.mark.parametrize("header", ["first", -1, True, [0, 1], 1.0])
def test_a_header_that_is_no_line_is_refused(path: Path, header: object) -> None:
    with pytest.raises(IngestError, match=r"header: .*give 'infer'"):
        read(path, "a,b\n1,2\n", header=header)


def test_surplus_fields_are_refused_not_made_an_index(path: Path) -> None:
    with pytest.raises(IngestError, match="more fields than its header names"):
        read(path, "a,b\n0,1,2\n1,4,5\n")
    with pytest.raises(IngestError, match=r"cannot be parsed: .*line 3"):
        read(path, "a,b\n1,2\n1,2,3\n")


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused(path: Path, content: str) -> None:
    with pytest.raises(IngestError, match="cannot be parsed"):
        read(path, content)


def test_an_open_quote_is_refused(path: Path) -> None:
    with pytest.raises(IngestError, match="cannot be parsed"):
        read(path, 'a,b\n1,2\n"x,4\n')


def test_large_whole_numbers_with_blanks_stay_exact(path: Path) -> None:
    frame = read(path, "x,y\n,1\n1234567890123456789,2\n-9007199254740993,3\n")
    assert str(frame["x"].dtype) == "Int64"
    assert frame["x"].dropna().tolist() == [1234567890123456789, -9007199254740993]
    assert frame["y"].tolist() == [1, 2, 3]
    small = read(path, "x,y\n,1\n12,2\n")
    assert str(small["x"].dtype) == "float64"


@pytest.mark.parametrize("blank", ["", "NA"])
def test_whole_numbers_of_64_bits_without_a_sign_keep_their_blanks(path: Path, blank: str) -> None:
    frame = read(path, f"x,y\n18446744073709551615,1\n{blank},2\n3,3\n")
    assert str(frame["x"].dtype) == "UInt64"
    assert frame["x"].isna().tolist() == [False, True, False]
    assert frame["x"].dropna().tolist() == [2**64 - 1, 3]


def test_large_floats_stay_floats(path: Path) -> None:
    frame = read(path, "x,y\n1e300,1.5\n,2\n1.0,9007199254740994.0\ninf,4\n")
    assert frame["x"].dtype == "float64"
    assert frame["x"].max() == float("inf")
    assert frame["y"].tolist()[2] == 9007199254740994.0


@pytest.mark.parametrize(
    "content", ["x,y\n1,1\n18446744073709551616,2\n", "x,y\n,1\n99999999999999999999,2\n"]
)
def test_whole_numbers_beyond_64_bits_are_refused(path: Path, content: str) -> None:
    path.write_text(content)
    source = Source(TABULAR, str(path))
    with pytest.raises(IngestError, match=r"file_path: .*table\.csv: column 'x' .*'x': 'str'\}"):
        read_whole(source)
    kept = read_whole(source, retype={"x": "str"}).values["x"].dropna().tolist()
    assert kept == [line.split(",")[0] for line in content.split()[1:] if line[0] != ","]


def test_truth_values_with_blanks_are_kept(path: Path) -> None:
    frame = read(path, "x,y\nTrue,1\n,2\nFalse,3\n")
    assert str(frame["x"].dtype) == "boolean"
    assert frame["x"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("1", "0.5"), ("-0", "0.5"), ("1", "z"), ("9007199254740993", "0.5"),
        ("9223372036854775813", "-1"), ("tt", ""), ("true", "1"),
        ("9999999999999999999999", "q"), ('"a\nb"', '"c,d"'),
    ],
)  # fmt: skip
def test_a_large_file_is_read_as_a_small_one(tmp_path: Path, early: str, late: str) -> None:
    path, half = tmp_path / "large.csv", 30_000
    pad = "x" * (delimited.LARGE_BYTES // half)
    path.write_text("a,b\n" + f"{early},{pad}\n" * half + f"{late},{pad}\n" * half)
    whole = pd.read_csv(path, low_memory=False, index_col=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* beyond 64 bits")
        found = tabular.read_table(path)[0]
    assert frame_digest(tabular.conform(found)) == frame_digest(tabular.conform(whole))
