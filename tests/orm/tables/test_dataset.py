"""Datasets, Features and Labels: what went in comes out, by position and by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from aiqc_core import config
from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.orm import Dataset, Feature, Label, metastore

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pd.DataFrame(
    {"height": [1.5, 2.0, 2.5, 3.0], "colour": ["red", "blue", "red", "green"], "y": [0, 1, 0, 1]}
)


def store_bytes() -> bytes:
    """Return the store's content, so that a refusal can be seen to have written nothing."""
    return "\n".join(metastore.connection().iterdump()).encode()


def test_a_frame_comes_back_exactly(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    pd.testing.assert_frame_equal(dataset.to_df(), FRAME)
    assert dataset.shape == {"samples": 4, "columns": 3}
    assert dataset.columns == ["height", "colour", "y"]
    assert dataset.get_dtypes() == {"height": "float64", "colour": "str", "y": "int64"}
    assert (dataset.typ, dataset.source_format, dataset.is_ingested) == (
        "tabular",
        "dataframe",
        True,
    )
    assert dataset.memory_MB == 1
    assert dataset.contains_nan is False
    assert isinstance(dataset.blob, bytes)


def test_methods_take_a_row_or_an_id(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    pd.testing.assert_frame_equal(Dataset.to_df(dataset.id), dataset.to_df())
    np.testing.assert_array_equal(
        Dataset.to_arr(dataset.id, columns=["y"], samples=[3, 0]), [[1], [0]]
    )
    assert Dataset.get_dtypes(dataset.id, columns="y") == {"y": "int64"}


def test_samples_are_positions_in_the_order_asked_for(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    taken = dataset.to_df(columns=["colour", "height"], samples=[2, 0])
    pd.testing.assert_frame_equal(
        taken, pd.DataFrame({"colour": ["red", "red"], "height": [2.5, 1.5]})
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": ["width"]}, r"unknown \['width'\]"),
        ({"columns": []}, "none given"),
        ({"columns": ["y", "y"]}, r"named twice \['y'\]"),
        ({"samples": [4]}, "4"),
        ({"samples": []}, "samples"),
    ],
)
def test_what_is_not_there_is_refused(home: Path, arguments: dict, message: str) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    with pytest.raises(SelectionError, match=message):
        dataset.to_df(**arguments)


def test_a_shuffled_index_is_refused_with_the_fix(home: Path) -> None:
    """A01: positions, never labels."""
    Dataset.select().count()
    before = store_bytes()
    with pytest.raises(IngestError, match=r"reset_index\(drop=True\)"):
        Dataset.Tabular.from_df(pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=[5, 5, 1]))
    assert store_bytes() == before


def test_equal_content_is_one_version_and_any_change_a_new_one(home: Path) -> None:
    """A03: only true duplicates return the row that is there."""
    frame = pd.DataFrame({"a": [1, 2], "b": [3, 4]})
    variants = [
        frame,
        frame.astype("float64"),
        frame[["b", "a"]],
        frame.astype("float64").replace(1.0, np.nextafter(1.0, 2.0)),
    ]
    versions = [Dataset.Tabular.from_df(f, name="a/b ../c") for f in variants]
    assert [row.version for row in versions] == [1, 2, 3, 4]
    again = [Dataset.Tabular.from_df(f, name="a/b ../c") for f in variants]
    assert [row.id for row in again] == [row.id for row in versions]


def test_without_a_name_nothing_is_versioned(home: Path) -> None:
    first, second = (Dataset.Tabular.from_df(FRAME) for _ in range(2))
    assert first.id != second.id
    assert first.version is None
    assert first.sha256_hexdigest == second.sha256_hexdigest


def test_a_dataset_is_not_renamed_afterwards(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME, name="one")
    with pytest.raises(IngestError, match="version 1 of 'one'"):
        dataset.set_info(name="two")
    dataset.set_info(description="four rows")
    assert Dataset.get_by_id(dataset.id).description == "four rows"


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "CSV", "pq"])
def test_files_are_registered_by_their_ending(home: Path, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    if ending in ("parquet", "pq"):
        FRAME.to_parquet(path)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    dataset = Dataset.Tabular.from_path(path)
    pd.testing.assert_frame_equal(dataset.to_df(), FRAME)
    assert dataset.source_path == str(path)
    assert dataset.sha256_hexdigest == Dataset.Tabular.from_df(FRAME).sha256_hexdigest


def test_a_file_without_header_gets_numbers_or_the_names_given(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("1,2\n3,4\n")
    assert Dataset.Tabular.from_path(path, header=None).columns == ["0", "1"]
    named = Dataset.Tabular.from_path(
        path, header=None, rename_columns=["a", "b"], retype={"b": "float32"}
    )
    assert named.get_dtypes() == {"a": "int64", "b": "float32"}
    assert named.header is None


def test_a_missing_file_is_named(home: Path, tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"nowhere\.csv"):
        Dataset.Tabular.from_path(tmp_path / "nowhere.csv")
    assert not config.database_path().exists() or Dataset.select().count() == 0


def test_features_choose_columns_in_the_order_given(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    assert Feature.from_dataset(dataset.id).columns_excluded is None
    chosen = Feature.from_dataset(dataset.id, include_columns=["y", "height"])
    assert (chosen.columns, chosen.columns_excluded) == (["y", "height"], ["colour"])
    rest = Feature.from_dataset(dataset.id, exclude_columns=["y"])
    assert (rest.columns, rest.columns_excluded) == (["height", "colour"], ["y"])
    assert list(rest.to_df(samples=[1]).columns) == ["height", "colour"]
    assert rest.get_dtypes() == {"height": "float64", "colour": "str"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"include_columns": ["y"], "exclude_columns": ["y"]}, "not both"),
        ({"include_columns": ["z"]}, "include_columns: unknown"),
        ({"exclude_columns": ["height", "colour", "y"]}, "leaves no column"),
    ],
)
def test_a_feature_of_nothing_is_refused(home: Path, arguments: dict, message: str) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    with pytest.raises(SelectionError, match=message):
        Feature.from_dataset(dataset.id, **arguments)
    assert Feature.select().count() == 0


def test_labels_know_their_classes(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    label = Label.from_dataset(dataset.id, ["colour"])
    assert label.unique_classes == ["blue", "green", "red"]
    assert label.to_arr().shape == (4, 1)
    assert Label.from_dataset(dataset.id, "height").unique_classes is None
    assert Label.from_dataset(dataset.id, "y").unique_classes == [0, 1]


def test_several_label_columns_are_one_hot(home: Path) -> None:
    frame = pd.DataFrame({"cat": [1, 0, 0], "dog": [0, 1, 0], "cow": [0, 0, 1]})
    label = Label.from_dataset(Dataset.Tabular.from_df(frame).id)
    assert (label.column_count, label.classes()) == (3, ["cat", "dog", "cow"])


@pytest.mark.parametrize("rows", [[[0, 0], [1, 0]], [[1, 1], [1, 0]], [[0.999999, 0], [1.0, 0]]])
def test_a_label_that_is_not_one_hot_is_refused_with_its_first_rows(
    home: Path, rows: list[list[float]]
) -> None:
    """A08."""
    dataset = Dataset.Tabular.from_df(pd.DataFrame(rows, columns=["a", "b"]))
    with pytest.raises(SelectionError, match=r"1 rows do not hold exactly one 1.*\{0: "):
        Label.from_dataset(dataset.id)


def test_every_pandas_dtype_can_be_a_column(home: Path) -> None:
    """B02."""
    frame = pd.DataFrame(
        {
            "s": ["x", "y"],
            "c": pd.Series(["u", "v"], dtype="category"),
            "i": pd.Series([1, None], dtype="Int64"),
            "f": [1.0, 2.0],
            "b": pd.Series([True, None], dtype="boolean"),
            "t": pd.to_datetime(["2026-01-01", "2026-01-02"]),
        }
    )
    dataset = Dataset.Tabular.from_df(frame)
    pd.testing.assert_frame_equal(dataset.to_df(), frame)
    assert all(isinstance(dtype, str) for dtype in dataset.get_dtypes().values())
    assert dataset.contains_nan
    assert Label.from_dataset(dataset.id, "s").unique_classes == ["x", "y"]
