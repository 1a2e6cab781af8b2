from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.stages.ingest import content, tabular

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "index",
    [[5, 5, 1], [2, 1, 0], ["a", "b", "c"], [1, 2, 3], [0.5, 1.5, 2.5]],
)
def test_any_other_index_is_refused_with_the_fix(index: list[object]) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=index)
    with pytest.raises(IngestError, match=r"reset_index\(drop=True\)"):
        tabular.conform(frame)
    levels = frame.set_index(pd.MultiIndex.from_tuples([(0, 0), (0, 1), (1, 0)]))
    with pytest.raises(IngestError, match=r"reset_index\(drop=True\)"):
        tabular.conform(levels)


def test_number_names_become_text() -> None:
    frame = tabular.conform(pd.DataFrame(np.eye(2)))
    assert list(frame.columns) == ["0", "1"]


@pytest.mark.parametrize("names", [["a", "a"], [1, "1"]])
def test_names_that_collide_are_refused(names: list[object]) -> None:
    with pytest.raises(IngestError, match=f"repeat.*{names[1]}"):
        tabular.conform(pd.DataFrame(np.eye(2), columns=names))


@pytest.mark.parametrize(
    ("names", "message"),
    [(["x", "x"], "repeat: .'x'"), (["x"], "2 columns"), ("xy", "2 columns"), ([1, 2], "text")],
)
def test_new_names_are_one_text_a_column(names: object, message: str) -> None:
    with pytest.raises(IngestError, match=f"rename_columns.*{message}"):
        tabular.conform(pd.DataFrame(np.eye(2)), rename_columns=names)


def test_new_names_come_before_new_dtypes() -> None:
    frame = tabular.conform(
        pd.DataFrame({"old": [1]}), rename_columns=["new"], retype={"new": "float32"}
    )
    assert frame.dtypes.astype(str).to_dict() == {"new": "float32"}


@pytest.mark.parametrize("frame", [pd.DataFrame({"a": []}), pd.DataFrame(index=range(3))])
def test_an_empty_table_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(IngestError, match="at least one row and one column"):
        tabular.conform(frame)


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(IngestError, match="ndarray given; give a pandas DataFrame"):
        tabular.conform(np.eye(2))  # type: ignore[arg-type]
    with pytest.raises(IngestError, match="several levels"):
        tabular.conform(pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([("a", "b")])))


def test_the_frame_given_is_not_changed() -> None:
    frame = pd.DataFrame({0: pd.Series(["x", None], dtype=object)})
    tabular.conform(frame, rename_columns=["n"], retype="category")
    assert list(frame.columns) == [0]
    assert frame[0].dtype == object


def test_a_table_is_described_without_its_values() -> None:
    frame = pd.DataFrame({"a": np.zeros(2**17), "b": [None, *["x"] * (2**17 - 1)]})
    about = content.of_table(frame, "dataframe")
    assert about.columns == ["a", "b"]
    assert about.dtypes == {"a": "float64", "b": "str"}
    assert about.shape == {"samples": 2**17, "columns": 2}
    assert about.memory_mb == math.ceil(frame.memory_usage(index=False, deep=True).sum() / 2**20)
    assert about.contains_nan


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([1.0, np.nan], True),
        (pd.array([1, None], dtype="Int64"), True),
        (pd.to_datetime(["2020-01-01", None]), True),
        (pd.Categorical(["a", None]), True),
        ([1, 2], False),
    ],
)
def test_every_kind_of_blank_counts_as_missing(column: object, expected: bool) -> None:  # noqa: FBT001
    about = content.of_table(pd.DataFrame({"a": column}), "dataframe")
    assert about.contains_nan is expected
    assert about.memory_mb == 1


def test_samples_are_positions_and_come_in_the_order_asked_for() -> None:
    frame = pd.DataFrame({"a": [10, 11, 12, 13], "b": list("wxyz")})
    taken = tabular.take(frame, [3, 0], ["b", "a"])
    assert taken.to_dict("list") == {"b": ["z", "w"], "a": [13, 10]}
    assert list(taken.index) == [0, 1]
    assert tabular.take(frame, 3, "b").to_dict("list") == {"b": ["z"]}
    assert tabular.take(frame, None, None).equals(frame)


@pytest.mark.parametrize("samples", [[], [None], [True], [0.0], ["0"], [4], [-1], [1, 1], [[0]]])
def test_samples_that_are_no_positions_are_refused(samples: list[object]) -> None:
    with pytest.raises(SelectionError, match="samples: "):
        tabular.take(pd.DataFrame({"a": [1, 2, 3, 4]}), samples, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("columns", [[], [None], ["a", "a"], ["z"], [0]])
def test_columns_that_are_not_there_are_refused(columns: list[object]) -> None:
    with pytest.raises(SelectionError, match=r"columns: .*\['a', 'b'\]"):
        tabular.take(pd.DataFrame({"a": [1], "b": [2]}), None, columns)  # type: ignore[arg-type]


@pytest.mark.parametrize("ending", ["csv", "CSV", "tsv", "parquet", "pq", "PQ"])
def test_the_ending_says_the_format_in_any_case(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"table.{ending}"
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    if ending.lower() in {"parquet", "pq"}:
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    read, source_format = tabular.read_table(path)
    assert source_format == {"pq": "parquet"}.get(ending.lower(), ending.lower())
    pd.testing.assert_frame_equal(read, frame)


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"data.xlsx must end in one of .csv, .tsv"):
        tabular.read_table(tmp_path / "data.xlsx")
    with pytest.raises(IngestError, match=r"there is no file .*none.csv"):
        tabular.read_table(tmp_path / "none.csv")
