"""What a Predictor says of new data is what it would have said of it in training."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import inference_setups as setups
import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from aiqc_core.errors import MetastoreError, PreprocessError, SelectionError, SplitError
from aiqc_core.orm import (
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    FeatureShaper,
    Label,
    LabelCoder,
    Prediction,
    Predictor,
    Queue,
    Splitset,
    Window,
)

if TYPE_CHECKING:
    from pathlib import Path

    from aiqc_core.orm import Fold


def assert_equal_to_training(
    predictor: Predictor, again: Prediction, cut: Splitset | Fold | None = None
) -> None:
    """Each sample is predicted as it was in its split."""
    stored, (split,) = predictor.prediction, again.metrics
    owner = cut or predictor.job.queue.splitset
    compared = 0
    for name, positions in owner.positions().items():
        for reported in ("predictions", "probabilities"):
            was, new = (getattr(p, reported) for p in (stored, again))
            if was is None:
                assert new is None
                continue
            here, there = np.asarray(was[name]), np.asarray(new[split])[positions]
            if here.dtype.kind == "f":
                np.testing.assert_allclose(there, here, rtol=1e-6, atol=1e-6)
            else:
                np.testing.assert_array_equal(there, here)
            compared += len(positions)
    assert compared


def again(predictor: Predictor, *, label: bool = True) -> Prediction:
    """Predict all that the Predictor was trained and judged on, as if it were new."""
    trained = predictor.job.queue.splitset
    label_id = trained.label_id if label else None
    return Splitset.make(trained.feature_ids, label_id, predictor_id=predictor.id).infer()


@pytest.mark.parametrize(
    ("label", "analysis_type", "build"),
    [
        ("y", "classification_binary", setups.sigmoid_build),
        ("z", "classification_multi", setups.flat_build),
        ("t", "regression", setups.flat_build),
    ],
)
@pytest.mark.parametrize("gaps", [False, True])
def test_rows_of_a_table_are_predicted_as_in_training(
    home: Path, label: str, analysis_type: str, build: Any, gaps: Any
) -> None:
    """Also where blanks were filled: each row with the rows that were beside it then."""
    splitset, _ = setups.tabular(label, gaps=gaps)
    predictor = setups.trained(splitset, analysis_type, build)
    assert_equal_to_training(predictor, again(predictor))


def test_rows_are_predicted_by_the_fit_of_the_fold_that_trained(home: Path) -> None:
    splitset, _ = setups.tabular("t", gaps=True, fold_count=2)
    setups.trained(splitset, "regression", setups.flat_build)
    for predictor in Predictor.select():
        assert_equal_to_training(predictor, again(predictor), predictor.job.fold)


def test_sequences_are_predicted_as_in_training(home: Path) -> None:
    values = np.random.default_rng(0).normal(size=(30, 5, 2))
    dataset = Dataset.Sequence.from_numpy(values)
    feature = Feature.from_dataset(dataset.id)
    FeatureCoder.from_feature(feature.id, StandardScaler())
    label = Label.from_dataset(
        Dataset.Tabular.from_df(pd.DataFrame({"y": (values.sum(axis=(1, 2)) > 0).astype(int)})).id
    )
    splitset = Splitset.make([feature.id], label.id, size_test=0.2, seed=1)
    predictor = setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    assert_equal_to_training(predictor, again(predictor))
    said = predictor.predict(values[:3])
    np.testing.assert_allclose(
        said["probability_1"], again(predictor).probabilities["infer_1"][:3], atol=1e-6
    )


def test_images_beside_a_table_are_predicted_as_in_training(home: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, size=(30, 1, 4, 4)).astype("uint8")
    frame = setups.rows(30)
    pictures = Feature.from_dataset(Dataset.Image.from_numpy(images).id)
    FeatureCoder.from_feature(pictures.id, StandardScaler())
    FeatureShaper.from_feature(pictures.id, (0, 2, 3))
    table = Feature.from_dataset(Dataset.Tabular.from_df(frame[["a", "b"]]).id)
    label = Label.from_dataset(Dataset.Tabular.from_df(frame[["y"]]).id)
    LabelCoder.from_label(label.id, LabelBinarizer())
    splitset = Splitset.make([pictures.id, table.id], label.id, size_test=0.2, seed=1)
    predictor = setups.trained(splitset, "classification_binary", setups.two_build)
    prediction = again(predictor)
    assert_equal_to_training(predictor, prediction)
    said = predictor.predict([images[5:], frame[["b", "a"]].iloc[5:]])
    assert said["y"].tolist() == prediction.predictions["infer_0"][5:].tolist()
    assert said.index.tolist() == list(range(25))
    with pytest.raises(SelectionError, match=r"features: 1 given; the Predictor takes 2"):
        predictor.predict(frame[["a", "b"]])
    with pytest.raises(SplitError, match=r"do not pair: \{'features\[0\]': 30, 'features\[1\]'"):
        predictor.predict([images, frame[["a", "b"]].iloc[5:]])


@pytest.mark.slow
def test_keras_predicts_as_in_training_and_after_another_model_was_used(home: Path) -> None:
    splitset, frame = setups.tabular("z", gaps=True)
    predictor = setups.trained(
        splitset, "classification_multi", setups.keras_build, setups.keras_train, "keras"
    )
    assert_equal_to_training(predictor, again(predictor))
    estimator = predictor.as_estimator()
    first = estimator.predict_proba(frame[["a", "b", "c"]])
    predictor.predict(frame[["a", "b", "c"]])
    np.testing.assert_array_equal(estimator.predict_proba(frame[["a", "b", "c"]]), first)
    assert estimator.classes_.tolist() == ["low", "mid", "top"]


@pytest.mark.parametrize("record_shifted", [True, False])
def test_windows_are_predicted_as_in_training_in_their_own_units(
    home: Path, record_shifted: Any
) -> None:
    splitset = setups.windowed(record_shifted=record_shifted)
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    prediction = again(predictor)
    assert_equal_to_training(predictor, prediction)
    said, windows = prediction.predictions["infer_0"], splitset.features[0].windows[0]
    assert said.shape == (windows.window_count, 4, 2)
    rows = setups.waves().to_numpy()
    meant = windows.samples_shifted if record_shifted else windows.samples_unshifted
    truth = np.stack([rows[window] for window in meant])
    error = float(np.mean((said - truth) ** 2))
    assert prediction.metrics["infer_0"]["mse_decoded"] == pytest.approx(error)


@pytest.mark.filterwarnings("ignore:Splitset.make. the windows of train share:UserWarning")
@pytest.mark.parametrize("record_shifted", [True, False])
def test_blanks_under_overlapping_windows_are_filled_as_in_training(
    home: Path, record_shifted: Any
) -> None:
    """A row under windows of two splits may have been filled differently for each of them."""
    frame = setups.waves()
    frame.loc[[5, 6, 17, 18, 30, 31, 44, 45], "wave"] = np.nan
    dataset = Dataset.Tabular.from_df(frame)
    feature = Feature.from_dataset(dataset.id)
    linear = {"method": "linear", "limit_direction": "both"}
    FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=linear)
    FeatureCoder.from_feature(feature.id, StandardScaler())
    Window.from_feature(feature.id, 4, 2)
    splitset = Splitset.make([feature.id], size_test=0.2, size_validation=0.2, seed=3)
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    same = Feature.from_dataset(dataset.id)
    Window.from_feature(same.id, 4, 2, record_shifted)
    prediction = Splitset.make([same.id], predictor_id=predictor.id).infer()
    assert_equal_to_training(predictor, prediction)
    assert bool(prediction.metrics["infer_0"]) == record_shifted
    predicted = prediction.predictions["infer_0"]
    assert len(predicted) == feature.sample_count() + (not record_shifted)
    cached = prediction.splitset.fetch_cache("infer_0", "features")
    for split, positions in splitset.positions().items():
        then = splitset.fetch_cache(split, "features")
        np.testing.assert_array_equal(cached[positions], then)


def test_new_rows_are_filled_among_themselves_in_their_order(home: Path) -> None:
    splitset, frame = setups.tabular("t", gaps=True)
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    new = frame[["a", "b", "c"]].iloc[1:6].reset_index(drop=True)  # a blank at 2
    by_hand = new.assign(a=new["a"].interpolate(limit_direction="both"))
    assert new["a"].isna().tolist() == [False, False, True, False, False]
    pd.testing.assert_frame_equal(predictor.predict(new), predictor.predict(by_hand))
    with pytest.raises(PreprocessError, match="column 'a': 0 known points"):
        predictor.predict(new.iloc[[2]])


def test_the_window_after_the_last_row_is_forecast(home: Path) -> None:
    """Its truth is in the future, so nothing is scored, and the log of notes says so."""
    predictor = setups.trained(setups.windowed(), "regression", setups.flat_build)
    known = again(predictor).predictions["infer_0"]
    frame = setups.waves()
    said = predictor.predict(frame)
    assert said.shape == (len(known) + 1, 4, 2)
    np.testing.assert_allclose(said[:-1], known, atol=1e-5)
    newest = predictor.predict(frame.tail(4))
    np.testing.assert_allclose(newest, said[-1:], atol=1e-5)
    stored = predictor.predict(frame, store=True)
    (split,) = stored.metrics
    assert stored.metrics[split] == {}
    assert "not known" in stored.metric_notes[split]["label"]
    np.testing.assert_array_equal(stored.predictions[split], said)
    with pytest.raises(MetastoreError, match="label"):
        stored.splitset.fetch_cache(split, "label")


def test_a_forecast_of_new_rows_is_scored_where_their_future_is_known(home: Path) -> None:
    predictor = setups.trained(setups.windowed(), "regression", setups.flat_build)
    new = setups.waves(80).tail(30).reset_index(drop=True)
    feature = Feature.from_dataset(Dataset.Tabular.from_df(new).id)
    Window.from_feature(feature.id, 4, 2)
    prediction = Splitset.make([feature.id], predictor_id=predictor.id).infer()
    truth = np.stack([new.to_numpy()[w] for w in feature.windows[0].samples_shifted])
    said = prediction.predictions["infer_0"]
    assert prediction.metrics["infer_0"]["mse_decoded"] == pytest.approx(
        float(np.mean((said - truth) ** 2))
    )


@pytest.mark.parametrize("kind", ["tabular", "sequence", "image"])
def test_an_autoencoder_gives_samples_back_in_their_own_units(home: Path, kind: str) -> None:
    shapes = {"tabular": (40, 3), "sequence": (40, 4, 3), "image": (40, 1, 4, 3)}
    values = 50 + 9 * np.random.default_rng(0).normal(size=shapes[kind])
    dataset: Any = {
        "tabular": lambda: Dataset.Tabular.from_df(pd.DataFrame(values, columns=list("abc"))),
        "sequence": lambda: Dataset.Sequence.from_numpy(values),
        "image": lambda: Dataset.Image.from_numpy(values),
    }[kind]()
    feature = Feature.from_dataset(dataset.id)
    FeatureCoder.from_feature(feature.id, StandardScaler())
    splitset = Splitset.make([feature.id], size_test=0.2, seed=1)
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    prediction = again(predictor)
    assert_equal_to_training(predictor, prediction)
    said = prediction.predictions["infer_0"]
    assert said.shape == values.shape
    assert prediction.metrics["infer_0"]["mse_decoded"] == pytest.approx(
        float(np.mean((said - values) ** 2))
    )
    shown = predictor.predict(values[:2])
    np.testing.assert_allclose(np.asarray(shown), said[:2], rtol=1e-5)
    assert not isinstance(shown, pd.DataFrame) or list(shown.columns) == ["a", "b", "c"]


def test_a_label_gives_the_metrics_of_scikit_learn_and_intervals(home: Path) -> None:
    splitset, _ = setups.tabular()
    predictor = setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    new = setups.rows(25, seed=7)
    dataset = Dataset.Tabular.from_df(new)
    feature = Feature.from_dataset(dataset.id, include_columns=["c", "b", "a", "t"])
    label = Label.from_dataset(dataset.id, "y")
    prediction = Splitset.make([feature.id], label.id, predictor_id=predictor.id).infer()
    share, measured = prediction.probabilities["infer_0"], prediction.metrics["infer_0"]
    up = new["y"] == "up"
    assert measured["accuracy"] == sk.accuracy_score(new["y"], prediction.predictions["infer_0"])
    assert measured["roc_auc"] == pytest.approx(sk.roc_auc_score(up, share))
    assert measured["loss"] == pytest.approx(sk.log_loss(up, share), abs=1e-6)
    assert prediction.metrics_aggregate["accuracy"]["mean"] == measured["accuracy"]
    matrix = prediction.plot_data["infer_0"]["confusion_matrix"]
    assert matrix == sk.confusion_matrix(new["y"], prediction.predictions["infer_0"]).tolist()
    interval = prediction.metrics_interval(resamples=100).set_index("metric")
    assert interval.loc["accuracy", "value"] == measured["accuracy"]


def test_without_a_label_nothing_is_scored_and_a_note_says_why(home: Path) -> None:
    splitset, _ = setups.tabular()
    predictor = setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    prediction = again(predictor, label=False)
    assert prediction.metrics == {"infer_0": {}}
    assert prediction.metric_notes == {
        "infer_0": {"label": "no label was given, so nothing was scored"}
    }
    assert prediction.metrics_aggregate == prediction.plot_data == {}
    with pytest.raises(SelectionError, match="has no metrics: its samples came without"):
        prediction.metrics_interval()
    with pytest.raises(SelectionError, match=r"is of new data .* predictor\.prediction"):
        prediction.calc_featureImportance(1)


def test_a_splitset_is_predicted_once_unless_it_is_forced(home: Path) -> None:
    splitset, _ = setups.tabular()
    predictor = setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    made = Splitset.make(splitset.feature_ids, predictor_id=predictor.id)
    first = made.infer()
    assert Splitset.infer(made.id) == first
    forced = made.infer(force=True)
    assert forced == first
    assert forced.time_updated > first.time_updated
    np.testing.assert_array_equal(forced.probabilities["infer_0"], first.probabilities["infer_0"])
    assert Prediction.select().count() == 2
    with pytest.raises(SplitError, match="was cut to train"):
        splitset.infer()
    with pytest.raises(SplitError, match="new data for Predictor 1 and is not cut"):
        Queue.from_algorithm(predictor.job.queue.algorithm_id, made.id)


def test_predictions_of_new_data_do_not_pollute_what_compares_trainings(home: Path) -> None:
    splitset, _ = setups.tabular()
    predictor = setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    queue, trained = predictor.job.queue, predictor.prediction
    before = queue.metrics_df(), queue.metricsAggregate_df()
    prediction = again(predictor)
    assert prediction.splitset is not None
    assert predictor.prediction == trained
    assert trained.splitset is None
    assert set(predictor.predictions) == {trained, prediction}
    pd.testing.assert_frame_equal(queue.metrics_df(), before[0])
    pd.testing.assert_frame_equal(queue.metricsAggregate_df(), before[1])


def test_nothing_is_written_of_rows_that_cannot_be_predicted(home: Path) -> None:
    """A14, B50: a category and a class that training did not see, in the last of many rows."""
    splitset, _ = setups.tabular()
    predictor = setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    new = setups.rows(20)
    new.loc[19, ["c", "y"]] = ["violet", "sideways"]
    dataset = Dataset.Tabular.from_df(new)
    feature = Feature.from_dataset(dataset.id, include_columns=["a", "b", "c"])
    label = Label.from_dataset(dataset.id, "y")
    made = Splitset.make([feature.id], predictor_id=predictor.id)
    with pytest.raises(PreprocessError, match=r"'c': \['violet'\]"):
        made.infer()
    good = Feature.from_dataset(Dataset.Tabular.from_df(setups.rows(20)).id)
    made = Splitset.make([good.id], label.id, predictor_id=predictor.id)
    with pytest.raises(PreprocessError, match=r"column 'y' holds \['sideways'\].*'up'\]"):
        made.infer()
    assert Prediction.select().count() == 1


def test_a_prediction_goes_with_its_splitset_and_its_predictor(home: Path) -> None:
    splitset, _ = setups.tabular()
    predictor = setups.trained(splitset, "classification_binary", setups.sigmoid_build)
    prediction = again(predictor)
    with pytest.raises(MetastoreError, match=f"Prediction {prediction.id}"):
        prediction.splitset.delete_instance()
    prediction.splitset.delete_instance(cascade=True)
    assert Prediction.select().count() == Predictor.select().count() == 1


@pytest.mark.slow
def test_a_fresh_process_predicts_the_same_from_the_store(home: Path, tmp_path: Path) -> None:
    splitset, frame = setups.tabular("t", gaps=True)
    predictor = setups.trained(splitset, "regression", setups.flat_build)
    frame[["a", "b", "c"]].dropna().to_parquet(tmp_path / "rows.parquet", index=False)
    code = """
import sys, numpy
from aiqc_core.orm import Predictor, Splitset
predictor = Predictor.get_by_id(int(sys.argv[1]))
trained = predictor.job.queue.splitset
made = Splitset.make(trained.feature_ids, predictor_id=predictor.id)
numpy.save("all.npy", made.infer().predictions["infer_0"])
predictor.predict("rows.parquet").to_parquet("said.parquet")
"""
    subprocess.run([sys.executable, "-c", code, str(predictor.id)], cwd=tmp_path, check=True)
    said = np.load(tmp_path / "all.npy")
    for split, positions in splitset.positions().items():
        stored = predictor.prediction.predictions[split]
        np.testing.assert_allclose(said[positions], stored, rtol=1e-6)
    here = predictor.predict(tmp_path / "rows.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "said.parquet"), here)
