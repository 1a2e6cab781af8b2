"""Sequences and images, and data that stays outside the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.orm import Dataset, Feature, Label

if TYPE_CHECKING:
    from pathlib import Path

SEQUENCE = np.arange(24, dtype="float32").reshape(4, 3, 2)
IMAGES = np.arange(2 * 3 * 4 * 5, dtype="uint8").reshape(2, 3, 4, 5)


def save_images(folder: Path, pixels: np.ndarray) -> Path:
    """Write one PNG a number, named by it."""
    folder.mkdir()
    for value in pixels:
        Image.fromarray(np.full((3, 4, 3), value, dtype="uint8")).save(folder / f"img{value}.png")
    return folder


def test_a_sequence_comes_back_exactly(home: Path) -> None:
    dataset = Dataset.Sequence.from_numpy(SEQUENCE, rename_columns=["x", "y"], name="walk")
    np.testing.assert_array_equal(dataset.to_arr(), SEQUENCE)
    np.testing.assert_array_equal(
        dataset.to_arr(columns=["y"], samples=[2, 0]), SEQUENCE[[2, 0]][..., [1]]
    )
    frames = dataset.to_df(samples=[1])
    pd.testing.assert_frame_equal(frames[0], pd.DataFrame(SEQUENCE[1], columns=["x", "y"]))
    assert (dataset.typ, dataset.source_format, dataset.is_ingested) == (
        "sequence",
        "ndarray",
        True,
    )
    assert dataset.shape == {"samples": 4, "rows": 3, "columns": 2}
    assert dataset.dtypes == "float32"
    assert dataset.get_dtypes() == {"x": "float32", "y": "float32"}


def test_equal_arrays_are_one_version_and_other_names_a_new_one(home: Path) -> None:
    versions = [
        Dataset.Sequence.from_numpy(array, rename_columns=names, name="walk").version
        for array, names in (
            (SEQUENCE, ["x", "y"]),
            (np.asfortranarray(SEQUENCE), ["x", "y"]),
            (SEQUENCE, ["y", "x"]),
            (SEQUENCE.astype("float64"), ["x", "y"]),
        )
    ]
    assert versions == [1, 1, 2, 3]
    with pytest.raises(IngestError, match="typ 'sequence', this one is 'tabular'"):
        Dataset.Tabular.from_df(pd.DataFrame({"x": [1]}), name="walk")


def test_images_come_back_as_arrays_frames_and_pictures(home: Path) -> None:
    dataset = Dataset.Image.from_numpy(IMAGES)
    np.testing.assert_array_equal(dataset.to_arr(samples=[1]), IMAGES[[1]])
    assert dataset.shape == {"samples": 2, "channels": 3, "rows": 4, "columns": 5}
    assert len(dataset.to_df()[0]) == 3
    picture = Dataset.to_pillow(dataset.id, samples=[1])[0]
    np.testing.assert_array_equal(np.asarray(picture), IMAGES[1].transpose(1, 2, 0))


def test_only_images_are_shown_as_pictures(home: Path) -> None:
    dataset = Dataset.Sequence.from_numpy(SEQUENCE)
    with pytest.raises(SelectionError, match="is sequence; only images"):
        dataset.to_pillow()
    with pytest.raises(SelectionError, match="a Label is tabular"):
        Label.from_dataset(dataset.id)


def test_a_feature_of_a_sequence_chooses_along_the_last_axis(home: Path) -> None:
    dataset = Dataset.Sequence.from_numpy(SEQUENCE, rename_columns=["x", "y"])
    feature = Feature.from_dataset(dataset.id, exclude_columns=["x"])
    np.testing.assert_array_equal(feature.to_arr(samples=[3]), SEQUENCE[[3]][..., [1]])


@pytest.mark.parametrize("ingest", [None, False, True])
def test_a_file_of_an_array_stays_outside_unless_asked(
    home: Path,
    tmp_path: Path,
    ingest: bool | None,  # noqa: FBT001 - the values under test
) -> None:
    path = tmp_path / "walk.npy"
    np.save(path, SEQUENCE)
    dataset = Dataset.Sequence.from_numpy(path, ingest=ingest, retype="float64")
    assert dataset.is_ingested is bool(ingest)
    assert (dataset.blob is None) is not bool(ingest)
    assert dataset.to_arr().dtype == "float64"
    np.testing.assert_array_equal(dataset.to_arr(samples=[2]), SEQUENCE[[2]])


def test_an_array_in_memory_cannot_stay_outside(home: Path) -> None:
    with pytest.raises(IngestError, match=r"ingest: False.*numpy\.save"):
        Dataset.Image.from_numpy(IMAGES, ingest=False)
    assert Dataset.select().count() == 0


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table_outside_is_read_as_it_was_registered(
    home: Path, tmp_path: Path, ending: str
) -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", "x"]})
    path = tmp_path / f"rows.{ending}"
    if ending == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, header=False, sep="\t" if ending == "tsv" else ",")
    given: dict[str, Any] = {
        "rename_columns": ["c", "d"],
        "retype": {"c": "float32", "d": "category"},
        "header": None,
    }
    outside = Dataset.Tabular.from_path(path, ingest=False, **given)
    inside = Dataset.Tabular.from_path(path, **given)
    pd.testing.assert_frame_equal(outside.to_df(), inside.to_df())
    assert outside.get_dtypes() == {"c": "float32", "d": "category"}
    assert outside.sha256_hexdigest == inside.sha256_hexdigest
    again = Dataset.get_by_id(outside.id)
    assert again.to_df(columns=["d"], samples=[1]).to_dict("list") == {"d": ["y"]}


def test_a_source_that_changed_is_refused_by_name(home: Path, tmp_path: Path) -> None:
    """A11."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    dataset = Dataset.Tabular.from_path(path, ingest=False)
    assert dataset.to_df()["b"].tolist() == [2, 4]
    path.write_text("a,b\n1,2\n3,400\n")
    with pytest.raises(IngestError, match=r"rows\.csv has changed since it was registered"):
        dataset.to_df()
    assert Dataset.get_by_id(dataset.id).sha256_hexdigest == dataset.sha256_hexdigest
    path.unlink()
    with pytest.raises(IngestError, match=r"rows\.csv"):
        dataset.to_df()


def test_a_folder_is_read_in_natural_order(home: Path, tmp_path: Path) -> None:
    """B39: images pair with their labels on every machine."""
    folder = save_images(tmp_path / "images", np.array([10, 2, 1]))
    outside = Dataset.Image.from_folder(folder)
    inside = Dataset.Image.from_folder(folder, ingest=True)
    assert outside.to_arr()[:, 0, 0, 0].tolist() == [1, 2, 10]
    assert (outside.source_format, outside.is_ingested, inside.is_ingested) == ("png", False, True)
    assert outside.sha256_hexdigest == inside.sha256_hexdigest
    save_images(tmp_path / "more", np.array([3]))
    (tmp_path / "more" / "img3.png").rename(folder / "img3.png")
    with pytest.raises(IngestError, match="has changed since it was registered"):
        outside.to_arr()
    assert inside.to_arr()[:, 0, 0, 0].tolist() == [1, 2, 10]


def test_a_damaged_image_registers_nothing(home: Path, tmp_path: Path) -> None:
    """B36."""
    folder = save_images(tmp_path / "images", np.array([1, 2]))
    (folder / "img2.png").write_bytes(b"")
    with pytest.raises(IngestError, match=r"img2\.png"):
        Dataset.Image.from_folder(folder, ingest=True)
    assert Dataset.select().count() == 0


def test_a_path_of_another_file_system_works(home: Path) -> None:
    with fsspec.open("memory://walk.npy", "wb") as stream:
        np.save(stream, SEQUENCE)
    dataset = Dataset.Sequence.from_numpy("memory://walk.npy")
    np.testing.assert_array_equal(dataset.to_arr(), SEQUENCE)


@pytest.mark.parametrize("ingest", [True, False])
def test_a_table_of_another_file_system_works(home: Path, ingest: bool) -> None:  # noqa: FBT001
    with fsspec.open("memory://rows.csv", "w") as stream:
        stream.write("a,b\n1,x\n2,y\n")
    dataset = Dataset.Tabular.from_path("memory://rows.csv", ingest=ingest)
    assert dataset.to_df().to_dict("list") == {"a": [1, 2], "b": ["x", "y"]}
    assert dataset.source_path == "memory://rows.csv"
    with pytest.raises(IngestError, match="nowhere"):
        Dataset.Tabular.from_path("memory://nowhere.csv")


def test_of_a_parquet_outside_only_what_is_asked_for_is_decoded(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow.parquet import ParquetFile

    path = tmp_path / "rows.parquet"
    frame = pd.DataFrame(
        {
            "a": np.arange(100.0),
            "b": pd.Series([None, *range(99)], dtype="Int64"),
            "c": [f"t{i}" for i in range(100)],
            "d": pd.Categorical(list("xyzx") * 25),
        }
    )
    frame.to_parquet(path, row_group_size=10)
    dataset = Dataset.Tabular.from_path(path, ingest=False)
    whole = dataset.to_df()
    read: list[tuple[list[int], list[str]]] = []
    read_row_groups = ParquetFile.read_row_groups

    def watch(file: ParquetFile, groups: list[int], columns: list[str]) -> Any:
        read.append((groups, columns))
        return read_row_groups(file, groups, columns=columns)

    monkeypatch.setattr(ParquetFile, "read_row_groups", watch)
    part = dataset.to_df(columns=["c", "b"], samples=[95, 0, 3, 91])
    assert read == [([0, 9], ["c", "b"])]
    expected = whole.loc[[95, 0, 3, 91], ["c", "b"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, expected)
    pd.testing.assert_frame_equal(dataset.to_df(columns=["b"]), whole[["b"]])
    pd.testing.assert_frame_equal(
        dataset.to_df(columns=["d"], samples=[1]), whole.loc[[1], ["d"]].reset_index(drop=True)
    )
    with pytest.raises(SelectionError, match="100"):
        dataset.to_df(columns=["a"], samples=[100])
