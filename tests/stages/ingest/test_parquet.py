from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from strategies import frames

from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.stages.ingest import content, tabular
from aiqc_core.stages.ingest.content import Source
from aiqc_core.stages.ingest.parquet import from_parquet, to_parquet

if TYPE_CHECKING:
    from pathlib import Path


@given(frames())
def test_every_dtype_comes_back_exactly(frame: pd.DataFrame) -> None:
    conformed = tabular.conform(frame)
    back = from_parquet(to_parquet(conformed))
    pd.testing.assert_frame_equal(back, conformed, check_exact=True)
    described, wanted = (content.of_table(each, "dataframe") for each in (back, conformed))
    assert replace(described, values=None) == replace(wanted, values=None)
    assert [str(d) for d in conformed.dtypes] == [str(d) for d in frame.dtypes]


@pytest.mark.parametrize(
    "categories", [[3, 1, 2**60 + 1], [0.5, -1.5], [True, False], ["b", "a", ""]]
)
def test_categories_keep_their_order_and_those_not_used(categories: list[object]) -> None:
    values = pd.Categorical([categories[1], None, categories[0]], categories, ordered=True)
    frame = tabular.conform(pd.DataFrame({"a": values, "b": values.as_unordered()}))
    back = from_parquet(to_parquet(frame))
    pd.testing.assert_frame_equal(back, frame)


def test_some_columns_in_the_order_asked_for() -> None:
    frame = pd.DataFrame({"a": [1], "a.b": [2], "c": [3]})
    data = to_parquet(frame)
    assert from_parquet(data, ["c", "a"]).to_dict("list") == {"c": [3], "a": [1]}
    with pytest.raises(SelectionError, match=r"unknown \['z'\]"):
        from_parquet(data, ["z"])


def test_anyone_can_read_the_bytes() -> None:
    frame = pd.DataFrame({"a": [1.0, None], "b": ["x", None], "c": pd.Categorical(["u", "v"])})
    read = pd.read_parquet(io.BytesIO(to_parquet(frame)))
    pd.testing.assert_frame_equal(read, frame.astype({"c": "str"}))


@pytest.mark.parametrize("arrow_type", [pa.int64(), pa.uint64(), pa.int8()])
def test_whole_numbers_with_blanks_of_a_file_stay_whole(
    tmp_path: Path, arrow_type: pa.DataType
) -> None:
    largest = np.iinfo(str(arrow_type)).max
    path = tmp_path / "table.parquet"
    pq.write_table(
        pa.table({"a": pa.array([largest, None], type=arrow_type), "b": ["x", "y"]}), path
    )
    frame, _ = tabular.read_table(path)
    assert str(frame["a"].dtype).lower() == str(arrow_type)
    assert frame["a"][0] == largest
    assert list(frame.columns) == ["a", "b"]


def test_a_file_with_an_index_or_repeated_names_or_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pd.DataFrame({"a": [1, 2]}, index=[7, 3]).to_parquet(path)
    with pytest.raises(IngestError, match=r"index of its own.*reset_index"):
        tabular.read_table(path)
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), path)
    with pytest.raises(IngestError, match=r"repeats the column names \['a'\]"):
        tabular.read_table(path)
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(IngestError, match="no readable Parquet"):
        tabular.read_table(path)


@pytest.mark.parametrize("name", ["a.b", "ü", "a b", "", "x" * 300, "a.list.element"])
def test_any_name_may_be_a_columns(name: str) -> None:
    """Compression is set by column, whose name Parquet reads as a path."""
    frame = pd.DataFrame({name: np.random.default_rng(0).normal(size=5000), "z": [0.5] * 5000})
    pd.testing.assert_frame_equal(from_parquet(to_parquet(frame)), frame)


def test_only_what_compresses_is_compressed() -> None:
    random = np.random.default_rng(0).normal(size=10_000)
    data = to_parquet(pd.DataFrame({"random": random, "same": [0.5] * 10_000}))
    columns = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    assert [columns.column(i).compression for i in (0, 1)] == ["UNCOMPRESSED", "LZ4"]
    assert columns.column(1).total_compressed_size < 2_000


@given(frame=frames())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_is_kept_gives_the_same_frame_as_its_values_do(
    tmp_path: Path, frame: pd.DataFrame
) -> None:
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    found = content.read(Source(content.TABULAR, str(path)), keep_file=True)
    if found.file is not None:
        data, address = found.file.whole()
        assert bytes(data) == path.read_bytes()
        assert address == hashlib.sha256(data).hexdigest()
        pd.testing.assert_frame_equal(from_parquet(data), found.values, check_exact=True)
        some = list(found.values.columns[:1])
        pd.testing.assert_frame_equal(from_parquet(data, some), found.values[some])


PLAIN = pd.DataFrame({"a": [1.5, np.nan], "b": [1, 2], "c": [True, False], "d": ["x", None]})


@pytest.mark.parametrize(
    ("frame", "is_kept"),
    [
        (PLAIN, True),
        (PLAIN.astype({"a": "float32", "b": "uint8"}), True),
        (PLAIN.astype({"b": "Int64"}), False),
        (PLAIN.astype({"d": "category"}), False),
        (PLAIN.assign(e=pd.to_datetime(["2026-01-01", "2026-01-02"])), False),
        (PLAIN.assign(b=pd.array([1, None], dtype="Int64")), False),
    ],
)
def test_a_file_is_kept_where_it_needs_no_record_of_dtypes(
    tmp_path: Path, frame: pd.DataFrame, *, is_kept: bool
) -> None:
    path = tmp_path / "rows.parquet"
    frame.to_parquet(path)
    source = Source(content.TABULAR, str(path))
    assert (content.read(source, keep_file=True).file is not None) == is_kept
    assert content.read(source).file is None
    assert content.read(source, keep_file=True, retype={"a": "float16"}).file is None
    renamed = [f"{name}2" for name in frame.columns]
    assert content.read(source, keep_file=True, rename_columns=renamed).file is None


def test_a_file_with_a_record_of_dtypes_is_not_taken_at_its_word(tmp_path: Path) -> None:
    """The record of a stored table may have come along to columns that it does not tell."""
    path = tmp_path / "rows.parquet"
    path.write_bytes(to_parquet(PLAIN))
    assert content.read(Source(content.TABULAR, str(path)), keep_file=True).file is None
