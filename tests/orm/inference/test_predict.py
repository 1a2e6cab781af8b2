"""`Predictor.predict`: new data in any form, in one call."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import inference_setups as setups
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.inspection import permutation_importance
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import PowerTransformer

from aiqc_core.errors import (
    IngestError,
    PreprocessError,
    SelectionError,
    SplitError,
    TrainingError,
)
from aiqc_core.orm import (
    BaseModel,
    Dataset,
    Feature,
    Label,
    LabelCoder,
    Prediction,
    Predictor,
    Splitset,
)

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = ["a", "b", "c"]


@pytest.fixture
def predictor(home: Path) -> Predictor:
    """Tell up from down."""
    splitset, _ = setups.tabular()
    return setups.trained(splitset, "classification_binary", setups.sigmoid_build)


def row_counts() -> list[int]:
    """Count the rows of every table."""
    return [table.select().count() for table in BaseModel.__subclasses__()]


def test_a_table_comes_back_with_a_prediction_and_each_class_share(predictor: Predictor) -> None:
    before = row_counts()
    frame = setups.rows(12, seed=3)[COLUMNS].set_axis(np.arange(100, 112))
    said = predictor.predict(frame)
    assert list(said.columns) == ["y", "probability_down", "probability_up"]
    assert said.index.tolist() == list(range(100, 112))
    assert (said["probability_down"] + said["probability_up"]).to_numpy() == pytest.approx(1)
    assert said["y"].tolist() == np.where(said["probability_up"] > 0.5, "up", "down").tolist()
    assert row_counts() == before


def test_columns_in_another_order_and_more_of_them_make_no_difference(
    predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    """A14."""
    frame = setups.rows(12, seed=3)[COLUMNS]
    other = frame.assign(extra=1, y="up")[["extra", "c", "y", "b", "a"]]
    with caplog.at_level("INFO", logger="aiqc_core"):
        pd.testing.assert_frame_equal(predictor.predict(other), predictor.predict(frame))
    assert "features[0]: columns ['extra', 'y'] are unknown to the Predictor" in caplog.text


def test_whole_numbers_do_where_training_had_floats(home: Path) -> None:
    """A14, also in a column that an interpolater fills."""
    splitset, _ = setups.tabular("t", gaps=True)
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    whole = pd.DataFrame({"a": [1, 2, 3], "b": [0, 1, 0], "c": ["red", "blue", "red"]})
    floats = whole.astype({"a": float, "b": float})
    pd.testing.assert_frame_equal(predictor.predict(whole), predictor.predict(floats))
    nullable = whole.astype({"a": "Int64"})
    nullable.loc[1, "a"] = pd.NA
    pd.testing.assert_frame_equal(predictor.predict(nullable), predictor.predict(floats))


def test_one_row_is_predicted_as_it_is_among_many(predictor: Predictor) -> None:
    frame = setups.rows(12, seed=3)[COLUMNS]
    alone = predictor.predict(frame.iloc[[7]])
    pd.testing.assert_frame_equal(alone, predictor.predict(frame).iloc[[7]])


def test_an_array_a_file_and_a_dataset_say_the_same_as_a_frame(
    predictor: Predictor, tmp_path: Path
) -> None:
    frame = setups.rows(12, seed=3)[COLUMNS]
    frame.to_csv(tmp_path / "rows.csv", index=False)
    expected = predictor.predict(frame)
    forms = [
        frame.to_numpy(),
        tmp_path / "rows.csv",
        str(tmp_path / "rows.csv"),
        Dataset.Tabular.from_df(frame),
        [frame],
    ]
    for form in forms:
        pd.testing.assert_frame_equal(predictor.predict(form), expected)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d[["c", "a"]], SelectionError, r"columns \['b'\] are missing"),
        (
            lambda d: d.assign(a="x").drop(columns=["b", "c"]),
            SelectionError,
            r"columns \['b', 'c'\] are missing; dtypes differ: \{'a': 'str, not float64'\}",
        ),
        (lambda d: d.assign(c="violet"), PreprocessError, r"\{'c': \['violet'\]\}"),
        (lambda d: d.assign(b=np.nan), PreprocessError, r"missing values are left .*'b': 12"),
        (lambda d: d.head(0), IngestError, r"its shape is \(0, 3\)"),
        (lambda d: d.to_numpy()[:, :2], SelectionError, r"columns \['a', 'b', 'c'\] are missing"),
        (lambda _: np.zeros(2), SelectionError, r"features\[0\]: 2 values given; a row has the 3"),
        (lambda _: np.zeros(3), SelectionError, r"dtypes differ: \{'c': 'float64, not str'\}"),
        (
            lambda d: d.assign(b=np.inf),
            PreprocessError,
            r"infinite values, by column: \{'b': 12\}",
        ),
        (lambda _: {"a": 1.0}, SelectionError, r"columns \['b', 'c'\] are missing"),
        (
            lambda _: {"a": [1, 2], "b": [1]},
            SelectionError,
            r"features\[0\]: no table .* same length",
        ),
        (lambda _: [[1, 2, "red"], [1]], SelectionError, r"rows of 1 and 3 values given"),
        (lambda d: [d, d], SelectionError, r"features: 2 given; the Predictor takes 1"),
        (lambda _: {1, 2}, SelectionError, r"set of 0 axes; .* one row as \{'a': …, 'b': …"),
        (lambda _: np.zeros((3, 2, 2)), SelectionError, r"it is sequence, not tabular"),
        (lambda _: "rows.xls", IngestError, r"must end in one of"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_written(
    predictor: Predictor, change: Any, error: type[Exception], message: str
) -> None:
    before = row_counts()
    with pytest.raises(error, match=message):
        predictor.predict(change(setups.rows(12)[COLUMNS]), store=True)
    assert row_counts() == before


@pytest.mark.parametrize(
    ("label", "error", "message"),
    [
        (["up"] * 11 + ["z"], PreprocessError, r"column 'y' holds \['z'\]"),
        (["up"] * 11, SplitError, r"do not pair: \{'features\[0\]': 12, 'label': 11\}"),
        ([1] * 12, SelectionError, r"label is no such label: dtypes differ: \{'y': 'int64"),
        (pd.DataFrame({"other": ["up"] * 12}), SelectionError, r"its columns are \['other'\]"),
        (np.zeros((12, 2)), SelectionError, r"label: 2 columns; the Predictor's label is"),
    ],
)
def test_a_label_that_does_not_fit_is_refused(
    predictor: Predictor, label: Any, error: type[Exception], message: str
) -> None:
    """B50: a class that was never seen would be taken for another one."""
    with pytest.raises(error, match=message):
        predictor.predict(setups.rows(12)[COLUMNS], label)


def test_a_label_gives_metrics(predictor: Predictor) -> None:
    frame = setups.rows(25, seed=7)
    said = predictor.predict(frame, frame["y"])
    measured = said.attrs["metrics"]
    assert measured["accuracy"] == sk.accuracy_score(frame["y"], said["y"])
    assert measured["loss"] == pytest.approx(
        sk.log_loss(frame["y"] == "up", said["probability_up"]), abs=1e-6
    )
    for form in (frame[["t", "y"]], frame["y"].tolist(), frame["y"].to_numpy()):
        assert predictor.predict(frame, form).attrs["metrics"] == measured
    assert predictor.predict(frame).attrs["metrics"] == {}
    assert "no label" in predictor.predict(frame).attrs["metric_notes"]["label"]


def test_a_prediction_is_stored_with_its_data_on_request(predictor: Predictor) -> None:
    frame = setups.rows(25, seed=7)
    said = predictor.predict(frame, frame["y"])
    stored = Predictor.predict(predictor.id, frame, frame["y"], store=True)
    stored = Prediction.get_by_id(stored.id)
    assert stored.metrics == {"infer_0": said.attrs["metrics"]}
    assert stored.predictions["infer_0"].tolist() == said["y"].tolist()
    assert stored.splitset.predictor == predictor
    assert stored.splitset.infer() == stored
    kept = stored.splitset.features[0].to_df()
    pd.testing.assert_frame_equal(kept, frame[COLUMNS])


def test_nothing_of_a_prediction_is_stored_when_it_cannot_be_written_whole(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = row_counts()

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("aiqc_core.orm.inference.predict.record_inference", full)
    with pytest.raises(OSError, match="No space left"):
        predictor.predict(setups.rows(5)[COLUMNS], store=True)
    assert row_counts() == before


def test_rows_too_few_for_a_window_are_refused(home: Path) -> None:
    predictor = setups.trained(setups.windowed(), "regression", setups.flat_build)
    with pytest.raises(PreprocessError, match="at least 4 samples would be enough"):
        predictor.predict(setups.waves(3))
    with pytest.raises(SelectionError, match="label: the Predictor was trained without one"):
        predictor.predict(setups.waves(), np.zeros(29))


def test_sequences_of_other_rows_and_images_of_other_channels_are_refused(home: Path) -> None:
    for typ, right, wrong, said in (
        (Dataset.Sequence, (20, 4, 2), (3, 5, 2), "it has 5 rows, not 4"),
        (Dataset.Image, (20, 1, 4, 2), (3, 2, 4, 2), "it has 2 channels, not 1"),
    ):
        values = np.random.default_rng(0).normal(size=right)
        feature = Feature.from_dataset(typ.from_numpy(values).id)
        splitset = Splitset.make([feature.id], size_test=0.2, seed=1)
        predictor = setups.trained(splitset, "regression", setups.flat_build)
        with pytest.raises(SelectionError, match=said):
            predictor.predict(np.zeros(wrong))


def test_what_cannot_be_decoded_is_flagged(home: Path) -> None:
    """B52: beyond the range of a power transform there is no value to decode to."""
    frame = pd.DataFrame({"x": np.linspace(0, 1, 30)})
    frame["y"] = np.linspace(0, 1, 30) ** 5
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id, ["x"])
    label = Label.from_dataset(dataset.id, "y")
    LabelCoder.from_label(label.id, PowerTransformer())
    splitset = Splitset.make([feature.id], label.id, size_test=0.2, seed=1)
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    far = pd.DataFrame({"x": [0.5, 1e6, -1e6]})
    with pytest.warns(UserWarning, match="'y': 1 of 3 values lie where the inverse"):
        said = predictor.predict(far)
    assert np.isfinite(said["y"]).sum() == 2
    assert said.attrs["metric_notes"]["predictions"] == "1 of 3 values are not finite"


def test_it_works_where_scikit_learn_wants_an_estimator(predictor: Predictor) -> None:
    frame = setups.rows(60, seed=7)
    x, y = frame[COLUMNS], frame["y"]
    estimator = predictor.as_estimator()
    said = predictor.predict(x)
    assert estimator.classes_.tolist() == ["down", "up"]
    assert estimator.feature_names_in_.tolist() == COLUMNS
    assert estimator.predict(x).tolist() == said["y"].tolist()
    np.testing.assert_array_equal(
        estimator.predict_proba(x), said[["probability_down", "probability_up"]]
    )
    assert estimator.score(x, y) == sk.accuracy_score(y, said["y"])
    found = permutation_importance(estimator, x, y, n_repeats=3, random_state=0)
    assert found.importances_mean.argmax() == 0
    with pytest.raises(TrainingError, match="clone: Predictor"):
        cross_val_score(estimator, x, y, cv=2)
    with pytest.raises(TrainingError, match="fit: Predictor"):
        estimator.fit(x, y)


def test_an_estimator_of_numbers_scores_as_a_regressor(home: Path) -> None:
    splitset, frame = setups.tabular("t")
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    estimator = predictor.as_estimator()
    expected = sk.r2_score(frame["t"], estimator.predict(frame))
    assert estimator.score(frame, frame["t"]) == pytest.approx(expected)
    assert not hasattr(estimator, "predict_proba")
    unsupervised = setups.trained(setups.windowed(), "regression", setups.flat_build)
    with pytest.raises(SelectionError, match="scikit-learn knows one X and a y"):
        unsupervised.as_estimator()


def test_a_process_is_left_as_it_was(predictor: Predictor) -> None:
    import torch

    before = torch.get_num_threads(), torch.random.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    predictor.predict(setups.rows(5)[COLUMNS])
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])
    assert (np.random.get_state()[1] == before[2]).all()  # noqa: NPY002


def test_many_rows_are_predicted_as_one_by_one(predictor: Predictor, monkeypatch: Any) -> None:
    """Batches of rows make no difference, wherever they are cut."""
    from aiqc_core.stages.preprocess import new_rows

    frame = setups.rows(50, seed=5)[COLUMNS]
    whole = predictor.predict(frame)
    monkeypatch.setattr(new_rows, "size_of_batches", lambda _: 7)
    in_parts = predictor.predict(frame)
    pd.testing.assert_frame_equal(in_parts, whole, rtol=1e-6)
    frame.loc[49, "c"] = "violet"
    with pytest.raises(PreprocessError, match="violet"):
        predictor.predict(frame)


@pytest.mark.slow
def test_many_rows_take_little_memory_beside_their_own(
    predictor: Predictor, tmp_path: Path
) -> None:
    """What is held beside the rows and the result is a batch."""
    code = """
import sys, numpy, pandas, psutil
from aiqc_core.orm import Predictor
from aiqc_core.stages.train.hooks import memory
predictor = Predictor.get_by_id(int(sys.argv[1]))
def rows(count):
    x = numpy.random.default_rng(0).normal(size=(count, 2))
    words = numpy.array(["red", "blue", "green"])[numpy.arange(count) % 3]
    return pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": pandas.Categorical(words)})
predictor.predict(rows(1000))
frame = rows(200_000)
before = psutil.Process().memory_info().rss
memory.reset_peak()
said = predictor.predict(frame)
print(len(said), memory.peak_mb() - before / 2**20)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(predictor.id)],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    count, grown = done.stdout.split()
    assert int(count) == 200_000
    assert float(grown) < 150


def test_warnings_of_a_prediction_are_none(predictor: Predictor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        predictor.predict(setups.rows(3)[COLUMNS], setups.rows(3)["y"])


def test_a_stored_model_goes_on_training_with_its_optimizers_state(predictor: Predictor) -> None:
    """B60, B63: as if it had never been stored; a fresh optimizer would step elsewhere."""
    import torch

    from aiqc_core.stages.train.backends.base import get_backend

    backend = get_backend("pytorch")

    def step(model: Any, optimizer: Any) -> Any:
        torch.nn.functional.binary_cross_entropy(model(x), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        return [p.detach().numpy().copy() for p in model.parameters()]

    splitset = predictor.job.queue.splitset
    x: Any = splitset.fetch_cache("train", "features", library="pytorch")
    y: Any = splitset.fetch_cache("train", "label", library="pytorch")
    model, optimizer = predictor.get_model()
    step(model, optimizer)
    build = lambda: predictor.get_model()[0]  # noqa: E731
    stored = backend.load(
        backend.save(model, optimizer), build, lambda m: torch.optim.Adamax(m.parameters(), 0.01)
    )
    fresh, _ = predictor.get_model()
    fresh.load_state_dict(model.state_dict())
    unsaved, saved = step(model, optimizer), step(*stored)
    other = step(fresh, torch.optim.Adamax(fresh.parameters(), 0.01))
    for one, two in zip(unsaved, saved, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any((one != two).any() for one, two in zip(unsaved, other, strict=True))
