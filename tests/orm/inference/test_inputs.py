"""New samples in the forms that people have them in: each says what a frame or an array says."""

from __future__ import annotations

import io
from array import array
from collections import deque, namedtuple
from dataclasses import make_dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import inference_setups as setups
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from sklearn.preprocessing import OneHotEncoder

from aiqc_core.errors import PreprocessError, SelectionError
from aiqc_core.orm import Dataset, Feature, FeatureCoder, Label, Predictor, Splitset

if TYPE_CHECKING:
    from pathlib import Path

Row = namedtuple("Row", "a b c")  # noqa: PYI024 - as people have them
Record = make_dataclass("Record", ["a", "b", "c"])


def trained(dataset: Dataset, encoder: Any = None, columns: list[str] | None = None) -> Predictor:
    """Regress what no feature knows."""
    feature = Feature.from_dataset(dataset.id, columns)
    if encoder is not None:
        FeatureCoder.from_feature(feature.id, encoder)
    noise = np.random.default_rng(1).normal(size=dataset.shape["samples"])
    frame = pd.DataFrame({"t": noise})
    label = Label.from_dataset(Dataset.Tabular.from_df(frame).id)
    splitset = Splitset.make([feature.id], label.id, size_test=0.2, seed=1)
    return setups.trained(splitset, "regression", setups.flat_build)


def test_rows_of_a_table_are_taken_as_people_have_them(home: Path) -> None:
    predictor = trained(Dataset.Tabular.from_df(setups.rows()), OneHotEncoder(), ["a", "b", "c"])
    frame = setups.rows(4, seed=3)[["a", "b", "c"]].assign(c=["red", "blue", "red", "red"])
    frame[["a", "b"]] = setups.rows()[["a", "b"]].head(4)  # categories that training saw
    said = predictor.predict(frame)
    row, records = frame.iloc[0], frame.to_records(index=False)
    alone: list[Any] = [
        row.to_dict(), dict(reversed(row.to_dict().items())) | {"extra": 1}, row, list(row),
        tuple(row), row.to_numpy(), [list(row)], [row.to_dict()], [row], Row(*row), [Row(*row)],
        Record(*row), records[0], pa.Table.from_pandas(frame.head(1)),
    ]  # fmt: skip
    for form in alone:
        pd.testing.assert_frame_equal(predictor.predict(form), said.head(1))
    several: list[Any] = [
        frame.to_dict("list"), frame.to_dict("series"), frame.to_dict("records"),
        frame.to_numpy().tolist(), list(frame.itertuples(index=False)), records,
        [each for _, each in frame.iterrows()], pa.Table.from_pandas(frame),
        pa.RecordBatch.from_pandas(frame), frame.convert_dtypes(dtype_backend="pyarrow"),
    ]  # fmt: skip
    for form in several:
        pd.testing.assert_frame_equal(predictor.predict(form), said)
    named = frame.set_axis(["w", "x", "w", "z"])
    assert predictor.predict(named).index.tolist() == ["w", "x", "w", "z"]
    assert predictor.predict(named.iloc[3]).index.tolist() == ["z"]
    estimator = predictor.as_estimator()
    assert estimator.predict(row.to_dict()).tolist() == said["t"].head(1).tolist()
    for label in (0.5, {"t": 0.5}, [0.5], pa.table({"t": [0.5]})):
        scores = predictor.predict(row, label).attrs["metrics"]
        assert scores["mae"] == pytest.approx(abs(0.5 - said["t"].iloc[0]))
    stored = predictor.predict(frame.to_dict("records"), store=True)
    pd.testing.assert_frame_equal(stored.splitset.features[0].to_df(), frame)


def test_rows_that_walk_or_hold_other_kinds_of_numbers_are_taken(home: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    predictor = trained(Dataset.Tabular.from_df(frame.assign(t=1.0)), columns=["a", "b"])
    head = frame.head(2)
    said, row = predictor.predict(head), frame.iloc[0]
    tensor = torch.tensor(head.to_numpy(), requires_grad=True)
    several: list[Any] = [
        zip(head["a"], head["b"], strict=True), head.itertuples(), head.iterrows(),
        list(head.iterrows()), (list(each) for _, each in head.iterrows()), tensor, list(tensor),
        head.to_dict("split"), head.to_dict("index"), [row.to_dict(), list(frame.iloc[1])],
        [row, tuple(frame.iloc[1])],
    ]  # fmt: skip
    for form in several:
        pd.testing.assert_frame_equal(predictor.predict(form), said)
    alone: list[Any] = [
        {"a": np.array(row["a"]), "b": tensor[0, 1]}, list(tensor[0]), deque(row), array("d", row),
        {name: Decimal(repr(float(value))) for name, value in row.items()},
        [Fraction(value) for value in row], pd.Series(row.to_numpy()), row[["b", "a"]],
    ]  # fmt: skip
    for form in alone:
        pd.testing.assert_frame_equal(predictor.predict(form), said.head(1))
    with pytest.warns(UserWarning, match=r"3 columns without names .* \['a', 'b', 't'\]"):
        pd.testing.assert_frame_equal(predictor.predict([*row, 9.0]), said.head(1))
    with pytest.raises(PreprocessError, match=r"missing values .*\{'a': 1\}; a model takes none"):
        predictor.predict({"a": pd.NA, "b": 1.0})
    with pytest.raises(PreprocessError, match=r"infinite values .*\{'b': 1\}; .* float32"):
        predictor.predict({"a": 0.0, "b": 1e39})
    with pytest.raises(SelectionError, match=r"dtypes differ: \{'a': 'str, not float64'"):
        predictor.predict(["0.5", "1"])
    truth = pd.Series([1.0, 2.0])
    with pytest.warns(UserWarning, match="another order, and they are paired by position"):
        predictor.predict(head, truth[::-1])
    for form in (truth, [Decimal(1), 2], torch.tensor([1.0, 2.0]), iter(truth)):
        assert predictor.predict(head, form).attrs["metrics"]["mae"] == pytest.approx(
            np.abs(said["t"] - truth).mean()
        )


def test_of_one_column_values_alone_are_rows(home: Path) -> None:
    frame = pd.DataFrame({"x": np.linspace(0, 1, 20), "y": 1.0, "z": 2.0})
    predictor = trained(Dataset.Tabular.from_df(frame), columns=["x"])
    said = predictor.predict(frame)
    pd.testing.assert_frame_equal(predictor.predict(frame["x"].tolist()[:3]), said.head(3))
    for form in (frame["x"], frame["x"].rename("other"), frame["x"].tolist(), frame["x"].array):
        pd.testing.assert_frame_equal(predictor.predict(form), said)
    for form in (0.0, np.array(0.0), torch.tensor(0.0)):
        truth = np.array(1.0)
        assert predictor.predict(form, truth)["t"].tolist() == said["t"].head(1).tolist()


def test_one_sequence_or_a_list_of_them_is_taken(home: Path) -> None:
    values = np.random.default_rng(0).normal(size=(20, 4, 2))
    predictor = trained(Dataset.Sequence.from_numpy(values, rename_columns=["u", "v"]))
    said = predictor.predict(values)
    frames = [pd.DataFrame(sample[:, ::-1], columns=["v", "u"]) for sample in values[:2]]
    for form in (values[0], [values[0]], values[0].tolist(), frames[0], frames[0].to_dict("list")):
        pd.testing.assert_frame_equal(predictor.predict(form), said.head(1))
    for form in (list(values[:2]), values[:2].tolist(), frames):
        pd.testing.assert_frame_equal(predictor.predict(form), said.head(2))


@pytest.mark.parametrize("channels", [1, 3])
def test_one_image_or_a_list_of_them_is_taken(home: Path, tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (20, channels, 4, 2), np.uint8)
    dataset = Dataset.Image.from_numpy(values)
    predictor = trained(dataset)
    said = predictor.predict(values)
    pictures = dataset.to_pillow(samples=[0, 1])
    folder = tmp_path / "pictures"
    folder.mkdir()
    paths = [folder / f"{i}.png" for i in range(2)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    alone = [values[0], [values[0]], pictures[0], paths[0], str(paths[0]), paths[0].read_bytes()]
    for form in (*alone, *([values[0, 0]] if channels == 1 else [])):
        pd.testing.assert_frame_equal(predictor.predict(form), said.head(1))
    several = [list(values[:2]), pictures, paths, [str(path) for path in paths], folder]
    for form in (*several, *([values[:2, 0]] if channels == 1 else [])):
        pd.testing.assert_frame_equal(predictor.predict(form), said.head(2))


def test_a_photograph_is_upright_in_whatever_form_it_comes(home: Path, tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (20, 3, 2, 4), np.uint8)
    predictor = trained(Dataset.Image.from_numpy(wide))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture, sink = Image.fromarray(wide[0].transpose(2, 1, 0)), io.BytesIO()
    picture.save(sink, "mpo", save_all=True, append_images=[picture.resize((1, 2))], exif=exif)
    (tmp_path / "phone").mkdir()
    path = tmp_path / "phone" / "1.jpg"
    path.write_bytes(sink.getvalue())
    with Image.open(path) as opened:
        said = [predictor.predict(form) for form in (path, path.parent, opened)]
    pd.testing.assert_frame_equal(said[0], said[1])
    pd.testing.assert_frame_equal(said[0], said[2])


def test_words_and_blanks_of_a_file_are_those_of_training(home: Path, tmp_path: Path) -> None:
    """A word that pandas takes for a blank is a category, alone in its column too."""
    frame = pd.DataFrame({"kind": ["NA", "north", "null", "south"] * 5})
    frame["flag"] = pd.array([True, None, False, True] * 5, dtype="boolean")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    dataset = Dataset.Tabular.from_path(tmp_path / "rows.csv", ingest=False)
    pd.testing.assert_frame_equal(dataset.to_df(), frame)
    predictor = trained(dataset, OneHotEncoder())
    said = predictor.predict(frame)
    pd.testing.assert_frame_equal(predictor.predict(tmp_path / "rows.csv"), said)
    (tmp_path / "one.csv").write_text("kind,flag\nNA,True\n")
    pd.testing.assert_frame_equal(predictor.predict(tmp_path / "one.csv"), said.head(1))
