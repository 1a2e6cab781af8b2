"""Delimited text that is not what its ending or its first line says."""

from __future__ import annotations

import bz2
import gzip
import warnings
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import content, external, tabular
from aiqc_core.stages.ingest.content import Source
from aiqc_core.stages.ingest.delimited import BLANKS
from aiqc_core.stages.ingest.digest import frame_digest

if TYPE_CHECKING:
    from pathlib import Path

WORDS = [word for word in BLANKS if word]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def read(path: Path, text: str | bytes, header: object = "infer") -> pd.DataFrame:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return tabular.conform(tabular.read_table(path, header=header)[0])


@pytest.mark.parametrize("separator", [",", "\t"])
@pytest.mark.parametrize("has_header", [True, False])
def test_a_word_of_text_is_a_word_whatever_pandas_takes_it_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    separator: str,
    has_header: bool,  # noqa: FBT001 - of both kinds
) -> None:
    frame = pd.DataFrame(
        {"kind": [*WORDS, "north", None], "v": [1.5, *[None] * len(WORDS), 2.5]}
    ).astype({"kind": "str"})
    rows = [("kind", "v"), *zip([*WORDS, "north", ""], ["1.5", *WORDS, "2.5"], strict=True)]
    path = tmp_path / ("rows.csv" if separator == "," else "rows.tsv")
    lines = rows if has_header else rows[1:]
    path.write_text("\n".join(separator.join(row) for row in lines))
    source = Source(content.TABULAR, str(path), header="infer" if has_header else None)
    found = content.read(source, rename_columns=["kind", "v"])
    pd.testing.assert_frame_equal(found.values, frame)
    digest = found.digest()
    assert digest == frame_digest(frame)
    monkeypatch.setattr(external, "_recent", external.Recent())
    for columns in (["kind", "v"], ["kind"]):
        part = external.read_part(
            source, found.columns, found.dtypes, digest, columns=columns, samples=[0, 3]
        )
        assert part["kind"].tolist() == [WORDS[0], WORDS[3]]


def test_words_alone_are_text_and_warned_about_unless_more_is_known(path: Path) -> None:
    with pytest.warns(UserWarning, match=r"'kind' .* \['None', 'NA'\], in 2 rows, .* text"):
        assert read(path, "kind,v\nNone,1\nNA,2\n")["kind"].tolist() == ["None", "NA"]
    source = Source(content.TABULAR, str(path))
    assert content.read(source, retype={"kind": "float64"}).values["kind"].isna().all()
    assert content.read(source, known={"kind": "str"}).values["kind"].tolist() == ["None", "NA"]
    text = "kind,v\nNA,1\n1.50,\n007,2\n,3\n"
    for dtype in ("str", "category"):
        path.write_text(text)
        found = content.read(source, retype={"kind": dtype}).values["kind"]
        assert [None if pd.isna(v) else v for v in found] == ["NA", "1.50", "007", None]
    path.write_text("kind,v\n007,1\n8,2\n")
    with pytest.warns(UserWarning, match=r"column 'a' .*retype=\{'a': 'str'\}"):
        content.read(source, rename_columns=["a", "b"])
    content.read(source, retype={"kind": "int8"})
    path.write_text("kind,v\n1,1\n,2\n")
    kept = content.read(source, retype={"kind": "category"}).values["kind"]
    assert kept.cat.categories.tolist() == [1.0]
    assert read(path, "kind,v\nnan,1\nNaN,2\n")["kind"].dtype == "float64"
    path.write_text("when,v\n2020-01-01,1\nNA,2\n")
    days = content.read(source, retype={"when": "datetime64[s]"}).values["when"]
    assert days.isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x;z;y\n1.5;2;0\n2.5;3;1\n", r"';' seems to separate.*line 1, 'x;z;y'.*sep=';'\)"),
        ("x;y\n1,5;2,5\n2,5;3\n", r"sep=';', decimal=','"),
        ("id;text\n1;hello, world\n2;bye\n", "';' seems"),
        ("x\tz\n1\t2\n", r"'\\t' seems.*ending \.tsv"),
        ("x|z\n1|2\n", r"sep='\|'\)"),
        ("x||z\n1||2\n", r"has 2 fields then.*sep='\|', usecols=\[0, 2\]"),
        ("x\uff1bz\n1\uff1b2\n", "sep='\uff1b'"),
        ('"a,b"\n"1,2"\n"3,4"\n', "quotes around each whole line, such as '\"a,b\"'"),
        ("a,b,c,\n1,2,3,\n4,5,6,\n", "column 4 has no name in line 1, and no value"),
        ("a,b\n", r"a header, \['a', 'b'\], and no row"),
        ("# made by x\n\na,b\n1,2\n3,4\n", "'# made by x'.*note above the header.*header=1"),
        ("a,b\n1,2\n3,4,\n", "line 3 has 3 fields.*empty after the last separator"),
        ('a,b\n1,2\n"x,3\n4,5\n', "line 3 opens a quote that nothing closes"),
        ("", "holds no line"),
        ("a,b\n1,2\n".encode("utf-16"), r"UTF-16.*encoding='utf-16'"),
        ("a,b\n1,2\n".encode("utf-16-le"), "byte 0 at position 1"),
        ("a,b\n1,2\n3,4\0\n", "byte 0 at position"),
        (gzip.compress(b"a,b\n1,2\n"), r"gzip.*compression='gzip'"),
        (bz2.compress(b"a,b\n1,2\n"), r"bzip2.*compression='bz2'"),
        (b"PK\x03\x04\x14\x00", r"Excel.*read_excel"),
        (b"PAR1....PAR1", r"Parquet.*\.parquet"),
        ("\ufeff\n<!DOCTYPE html><title>404</title>", "web page"),
        ('{"a": 1}\n{"a": 2}\n', "JSON"),
    ],
)
def test_what_is_no_such_table_is_refused_with_what_it_is(
    path: Path, text: str | bytes, message: str
) -> None:
    with pytest.raises(IngestError, match=rf"(?s)table\.csv.*{message}"):
        read(path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x z y\n1.5 2 0\n2 3 4\n", r"' ' seems to separate.*sep='\\\\s\+'"),
        ("x:y\n12:30\n2:3\n", "':' seems to separate.*sep=':'"),
        ("lat/lon\n1.5/2\n3/4\n", "'/' seems to separate"),
        ("name  age\nann  5\nbob  6\n", r"'  ' seems to separate.*sep='\\\\s\{2,\}'"),
        ("'a','b'\n'x','y'\n", "names .* between single quotes"),
        ("a,b,c\n1,2,3\n4,5\n7,8,9\n", r"1 of its lines \(3\) have fewer fields .* 3"),
        ('a,b,c\n1,2,"x\ny"\n4,5,""\n7\n', r"1 of its lines \(5\)"),
        ("5.1,3.5,0.2,setosa\n4.9,3,0.2,setosa\n", "line 1, .* looks like a row.*header=None"),
        ("north,3\nsouth,4\nnorth,5\n", "looks like a row"),
        (",a\n0,5\n1,6\n", "column 1 has no name .*'Unnamed: 0'; it counts the rows"),
        ("a,b\n1,2\na,b\n3,4\n", "line 3 says the header again"),
        ("Report,2024\na,b\n1,2\n3,4\n", r"\['Report', '2024'\] hold text .*header=1"),
        ('a,b\n1,"1,234"\n2,"3,456"\n', "'b' holds text: numbers with groups of digits"),
        ('a,b\n1,"1,234"\n2,500\n3,?\n', "numbers with groups of digits, such as '1,234'"),
        ("a,b\n1,1\u00a0234\n2,500\n", "numbers with groups of digits"),
        ("a,b\n5%,1\n6.5 %,2\n", "'a' holds text: numbers with signs or units, such as '5%'"),
        ("a,b\n$5,1\n-$6.10,2\n7,3\n", "numbers with signs or units"),
        ("a,b\n\u22125,1\n6,2\n", "numbers with signs or units"),
        ("a,b\n5 kg,1\n16 kg,2\n", "numbers with signs or units"),
        ("a,b\nx,1\ny,2\nz,3\nTotal,6\n", r"the last 1 of its rows, \['Total', '6'\]"),
        ("a,b\nx,1\ny,2\nz,3\nTotal,6\nSource: WHO,\n", r"last 2 of .*\['Source: WHO'\]"),
        ("a,b\nx,1\ny,2\nAs of 1 May 2020\n", "the last 1 of its rows"),
        ("a,b\n1,1\n2,2\n4,3\nAlles,6\n", r"\['a'\] hold text because of the last row"),
        ("zip,b\n01234,1\n90210,2\n", "'zip' .* begin with 0, such as '01234'.*'str'}"),
        ("id,b\n9223372036854775808,1\n-1,2\n,3\n", "'id' holds text: whole .* 64 bits"),
        ('a,b\n1,"1,5"\n2,"3,5"\n', "'b' holds text: numbers with decimal commas"),
        ("a,b\n1,2\n2,?\n3,4\n3,4\n", r"'b' holds text because of \['\?'\] in 1 rows"),
        ("a,b\n1,2\n2, NA\n3,4\n3,4\n", r"\[' NA'\] in 1 rows"),
        ("a\n1\n\n3\n", "line 3 is empty"),
        ('a,b\nq,1\n"x,1\ny,2\nz",3\n', "'a' holds 1 whole lines .* row 1"),
        ("a, b\n1, x\n2, y\n", r"names \[' b'\] begin with a blank"),
    ],
)
def test_what_a_file_can_hardly_mean_is_warned_about(path: Path, text: str, message: str) -> None:
    with pytest.warns(UserWarning, match=message):
        read(path, text)


@pytest.mark.parametrize(
    "text",
    [
        "word\nhello\nfine; day\n",
        'word\n"one, two"\n"three|four"\n"a;b"\n',
        "two words\nhello world\n2 days\n",
        '"a text"\n"one, two"\n"three, four"\n',
        "say\nwell.  yes\nno\n",
        "when\n12:30:00\n13:00:00\n",
        "hh:mm\n12:30\n13:00\n",
        "d/m/y\n1/2/2020\n3/4/2020\n",
        "a,b:c\n1,2:3\n4,5:6\n",
        "month,b\n01,1\n12,2\n",
        "a,b\nx,1\nNotebook,2\nTotal recall,3\n",
        "text,label\nGood film it was,1\nI did not like it,0\nNot seen by me,\n",
        "name,b\nAnn,1\nBob,2\nMaria de la Cruz,\n",
        "room,b\n1A,1\n2B,2\n3,3\n4,4\n12D,5\n",
        "score,b\n2:1,1\n0:3,2\n",
        "a,when\n1,2020-01-01\n2,2020-01-02\n3,\n",
        "a,b\r\n1,2\n3,4\r5,6\n\n\n",
        "a,b,c\n1,,\n,2,\n,,3\n4,5,\n",
        'a,b\n1,""\n2,x\n',
        "2019,2020,2021\n3,1,2\n",
        "0,1,2\n3,1,2\n",
        "id,ticket\n1,113803\n2,A/5 21171\n3,349909\n4,17463\n5,PC 17599\n",
        'a,b\n1,"one\ntwo, three\nfour"\n',
        'x\n1\n""\n3\n\n',
        "flag,v\nTrue,1\nNA,2\nFalse,3\n",
        "a,b,c\n1,2,3,\n4,5,6,\n",
        'a\n"x\n\ny"\nz\n',
        "a,b\n1,2",
        "PAR1,PAR2\n4,5\n",
        "BZh,%PDF,ARROW1\n4,5,6\n",
    ],
)
def test_sound_files_are_read_without_a_word(path: Path, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = read(path, text)
    assert len(frame) >= 1


def test_the_remedies_that_are_named_work(path: Path) -> None:
    wanted = pd.DataFrame({"x": [1.5, 2.5], "y": [2, 3]})
    with pytest.raises(IngestError, match=r"sep=';', decimal=','"):
        read(path, "x;y\n1,5;2\n2,5;3\n")
    pd.testing.assert_frame_equal(pd.read_csv(path, sep=";", decimal=","), wanted)
    with pytest.raises(IngestError, match="header=2"):
        read(path, "# one\n\n# two\nx,y\n1.5,2\n2.5,3\n")
    pd.testing.assert_frame_equal(tabular.read_table(path, header=2)[0], wanted)
    tsv = path.with_suffix(".tsv")
    with pytest.raises(IngestError, match=r"ending \.tsv"):
        read(path, "x\ty\n1.5\t2\n2.5\t3\n")
    pd.testing.assert_frame_equal(tabular.read_table(path.rename(tsv))[0], wanted)


def test_names_that_a_caller_gives_make_those_of_the_header_no_matter(path: Path) -> None:
    path.write_text(",a,\n0,5,\n1,6,\n")
    found = content.read(Source(content.TABULAR, str(path)), rename_columns=["i", "a", "none"])
    assert found.columns == ["i", "a", "none"]
