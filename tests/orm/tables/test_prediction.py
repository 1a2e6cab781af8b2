"""Predictions: importance after training, on any split, and how sure each metric is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics as sk
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, OrdinalEncoder, StandardScaler

from aiqc_core.errors import AlgorithmError, SelectionError, TrainingError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    Label,
    LabelCoder,
    Prediction,
    Queue,
    Splitset,
    Window,
)

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = 60


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """A linear model of everything, with a sigmoid where there are classes."""
    import math

    from torch import nn

    shapes = features_shape if isinstance(features_shape, list) else [features_shape]

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inputs = sum(math.prod(shape) for shape in shapes)
            self.linear = nn.Linear(inputs, math.prod(label_shape))

        def forward(self, *features: Any) -> Any:
            import torch

            flat = torch.cat([f.reshape(len(f), -1) for f in features], dim=1)
            out = self.linear(flat).reshape(len(flat), *label_shape)
            return torch.sigmoid(out) if hp.get("classes", True) else out

    return Linear()


def fn_build_numbers(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    return fn_build(features_shape, label_shape, classes=False)


def fn_train(
    model: Any, loser: Any, optimizer: Any, x: Any, y: Any, eval_x: Any, eval_y: Any, **hp: Any
) -> Any:
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, x, y, eval_x, eval_y, epochs=40, batch_size=min(20, len(y))
    )


def fn_lose(**hp: Any) -> Any:
    from torch import nn

    return nn.MSELoss()


def fn_optimize(model: Any, **hp: Any) -> Any:
    from torch import optim

    return optim.Adam(model.parameters(), lr=0.05)


def frame(samples: int = SAMPLES) -> pd.DataFrame:
    """Two numbers and a word; the first number and the word decide the class."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(size=(2, samples))
    word = generator.choice(["red", "green", "blue"], samples)
    score = 2 * a + 2 * (word == "red") - 0.5 + 0.3 * generator.normal(size=samples)
    return pd.DataFrame({
        "a": a, "b": b, "word": word, "y": np.where(score > 0, "up", "down"),
        "patient": np.arange(samples) // 3, "number": score,
    })  # fmt: skip


def trained(cut: Splitset, analysis_type: str, permute_count: int = 0) -> Prediction:
    """Train one model on one cut and return its Prediction."""
    numbers = analysis_type == "regression"
    algorithm = Algorithm.make(
        "pytorch", analysis_type, fn_build_numbers if numbers else fn_build, fn_train,
        fn_lose=fn_lose if numbers else None, fn_optimize=fn_optimize,
    )  # fmt: skip
    queue = Queue.from_algorithm(algorithm.id, cut.id, permute_count=permute_count, seed=3)
    queue.run_jobs(progress=False)
    return queue.jobs[0].predictors[0].predictions[0]


def classified(permute_count: int = 0, **cut: Any) -> Prediction:
    """Learn the word of class from scaled numbers and a one-hot word."""
    dataset = Dataset.Tabular.from_df(frame())
    feature = Feature.from_dataset(dataset.id, ["a", "b", "word"])
    FeatureCoder.from_feature(feature.id, StandardScaler(), dtypes=["float64"])
    FeatureCoder.from_feature(feature.id, OneHotEncoder(), columns=["word"])
    label = Label.from_dataset(dataset.id, "y")
    LabelCoder.from_label(label.id, LabelBinarizer())
    made = Splitset.make([feature.id], label.id, size_test=0.3, seed=1, **cut)
    return trained(made, "classification_binary", permute_count)


def regressed(scaler: Any = None, **cut: Any) -> Prediction:
    """Learn a number from numbers."""
    dataset = Dataset.Tabular.from_df(frame())
    feature = Feature.from_dataset(dataset.id, ["a", "b"])
    label = Label.from_dataset(dataset.id, "number")
    if scaler is not None:
        LabelCoder.from_label(label.id, scaler)
    return trained(
        Splitset.make([feature.id], label.id, size_test=0.3, seed=1, **cut), "regression"
    )


def test_importance_after_training_is_that_of_training(home: Path) -> None:
    """The stored model, the stored samples and the derived seed give the numbers again."""
    during = classified(permute_count=3)
    expected = during.feature_importance
    during.feature_importance, during.permute_count = None, 0
    during.save()
    found = Prediction.calc_featureImportance(during.id, 3)
    assert list(found) == list(expected)
    for name, entry in expected[str(during.predictor.job.queue.splitset.feature_ids[0])].items():
        again = next(iter(found.values()))[name]
        assert again["loss_impacts"] == pytest.approx(entry["loss_impacts"], abs=1e-9)
    kept = Prediction.get_by_id(during.id)
    assert (kept.feature_importance, kept.permute_count) == (found, 3)


def test_importance_is_the_growth_of_the_loss_by_hand(home: Path) -> None:
    """On the test split: the stored model's own BCE, with a column's rows in another order."""
    import torch

    from aiqc_core.seeds import derive

    prediction = classified()
    (columns,) = prediction.calc_featureImportance(2, split_name="test").values()
    splitset = prediction.predictor.job.queue.splitset
    model, _ = prediction.predictor.get_model()
    x: Any = splitset.fetch_cache("test", "features", library="pytorch")
    y: Any = splitset.fetch_cache("test", "label", library="pytorch")
    loss = torch.nn.BCELoss()
    with torch.no_grad():
        before = loss(model(x), y).item()
        # Encoded columns stand first: two scaled numbers, then the three of the word.
        for name, positions in {"a": [0], "b": [1], "word": [2, 3, 4]}.items():
            for index, impact in enumerate(columns[name]["loss_impacts"]):
                seed = derive(derive(prediction.predictor.seed, "permute"), 0, name, index)
                order = np.random.default_rng(seed).permutation(len(x))
                changed = x.clone()
                changed[:, positions] = x[order][:, positions]
                assert impact == pytest.approx(loss(model(changed), y).item() - before, abs=1e-6)
    assert prediction.feature_importance is None  # only that of the train split is stored
    assert columns["a"]["median"] > columns["b"]["median"]
    assert columns["word"]["median"] > columns["b"]["median"]
    assert prediction.calc_featureImportance(2, "test") == {str(splitset.feature_ids[0]): columns}


def test_importance_of_a_fold_and_of_several_features_skips_images(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = frame(24)
    table = Dataset.Tabular.from_df(data)
    pictures = np.random.default_rng(0).integers(0, 255, (24, 1, 4, 4), dtype=np.uint8)
    features = [
        Feature.from_dataset(table.id, ["a", "b"]),
        Feature.from_dataset(Dataset.Image.from_numpy(pictures).id),
    ]
    label = Label.from_dataset(table.id, "y")
    LabelCoder.from_label(label.id, LabelBinarizer())
    cut = Splitset.make([f.id for f in features], label.id, fold_count=2, seed=1)
    prediction = trained(cut, "classification_binary")
    with caplog.at_level(logging.WARNING):
        found = prediction.calc_featureImportance(2, split_name="fold_validation")
    assert list(found) == [str(features[0].id)]
    assert f"Features [{features[1].id}] are images" in caplog.text
    assert prediction.feature_importance is None


def test_images_alone_have_no_importance_and_say_so(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (12, 1, 4, 4), dtype=np.uint8)
    feature = Feature.from_dataset(Dataset.Image.from_numpy(pictures).id)
    table = Dataset.Tabular.from_df(pd.DataFrame({"y": [0, 1] * 6}))
    label = Label.from_dataset(table.id, "y")
    prediction = trained(Splitset.make([feature.id], label.id, seed=1), "classification_binary")
    with caplog.at_level(logging.WARNING):
        assert prediction.calc_featureImportance(2) == {}
    assert "no columns that could be permuted" in caplog.text
    with pytest.raises(TrainingError, match=r"no feature importance.*calc_featureImportance\(3\)"):
        prediction.importance_df()


def test_importance_as_a_table_is_ranked(home: Path) -> None:
    prediction = classified(permute_count=4)
    table = prediction.importance_df()
    assert list(table.columns) == ["feature_id", "column", "median", "mean", "pstdev"]
    assert set(table["column"]) == {"a", "b", "word"}
    assert table["median"].is_monotonic_decreasing
    (columns,) = prediction.feature_importance.values()
    for row in table.to_dict("records"):
        impacts = columns[row["column"]]["loss_impacts"]
        assert row["median"] == np.median(impacts)
        assert row["mean"] == pytest.approx(np.mean(impacts))
        assert row["pstdev"] == pytest.approx(np.std(impacts))
    top = Prediction.importance_df(prediction.id, top_n=1)
    assert top.equals(table.head(1))
    feature_id = int(table["feature_id"][0])
    assert len(prediction.importance_df(feature_id=feature_id)) == 3


@pytest.mark.parametrize(
    ("call", "reported"),
    [
        (lambda p: p.importance_df(feature_id=99), r"feature_id: 99; .* of Features \[\d+\]"),
        (lambda p: p.importance_df(top_n=0), "top_n: 0"),
        (lambda p: p.calc_featureImportance(1, "validation"), "'validation' is none of"),
        (lambda p: p.metrics_interval("infer_0"), "split_name: 'infer_0' is none of"),
        (lambda p: p.metrics_interval(level=95), "level: 95"),
    ],
)
def test_what_is_not_there_is_refused(home: Path, call: Any, reported: str) -> None:
    with pytest.raises(SelectionError, match=reported):
        call(classified(permute_count=1))


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_permutations_are_counted_from_one(home: Path, count: Any) -> None:
    with pytest.raises(AlgorithmError, match=f"permute_count: {count}"):
        classified().calc_featureImportance(count)


def test_an_interval_of_the_accuracy_is_that_of_the_binomial(home: Path) -> None:
    prediction = classified()
    table = prediction.metrics_interval("test", level=0.9, resamples=4000)
    assert list(table.columns) == [
        "split", "metric", "value", "low", "high", "level", "resamples", "undefined", "note",
        "drawn", "positive",
    ]  # fmt: skip
    rows = table.set_index("metric")
    assert set(rows.index) == {"accuracy", "f1", "loss", "precision", "recall", "roc_auc"}
    assert set(rows["drawn"]) == {"samples"}
    accuracy = rows.loc["accuracy"]
    splitset = prediction.predictor.job.queue.splitset
    truth = frame()["y"].to_numpy()[splitset.positions()["test"]]
    assert accuracy["value"] == sk.accuracy_score(truth, prediction.predictions["test"])
    expected = stats.binom(len(truth), accuracy["value"]).ppf([0.05, 0.95]) / len(truth)
    found = accuracy[["low", "high"]].astype(float).to_numpy()
    assert found == pytest.approx(expected, abs=1.01 / len(truth))
    assert "needs the model's outputs" in str(rows.loc["loss", "note"])
    others = rows.drop(index="loss")
    assert (others["low"] <= others["value"]).all()
    assert (others["value"] <= others["high"]).all()


def test_an_interval_is_the_same_again_whichever_splits_are_asked_for(home: Path) -> None:
    prediction = classified()
    every = prediction.metrics_interval(resamples=200)
    assert list(every["split"].unique()) == ["train", "test"]
    alone = Prediction.metrics_interval(prediction.id, "test", resamples=200)
    pd.testing.assert_frame_equal(
        alone, every[every["split"] == "test"].reset_index(drop=True), check_dtype=False
    )
    assert not prediction.metrics_interval("test", resamples=200, seed=5).equals(alone)


def test_groups_and_runs_are_drawn_where_the_splitset_keeps_them(home: Path) -> None:
    grouped = classified(groups="patient").metrics_interval("test", resamples=100)
    assert set(grouped["drawn"]) == {"groups of 'patient'"}
    ordered = classified(time_ordered=True).metrics_interval("test", resamples=100)
    assert set(ordered["drawn"]) == {"runs of 3 samples in order"}  # 18^(1/3)


@pytest.mark.parametrize("scaler", [None, StandardScaler()])
def test_a_regression_has_intervals_in_both_units(home: Path, scaler: Any) -> None:
    prediction = regressed(scaler)
    rows = prediction.metrics_interval("test").set_index("metric")
    names = {"explained_variance", "mae", "mse", "r2", "rmse"}
    decoded = {f"{name}_decoded" for name in names} if scaler is not None else set()
    assert set(rows.index) == names | decoded | {"loss"}
    assert rows.drop(index="loss")["note"].isna().all()
    if scaler is not None:
        unit = (
            frame()["number"]
            .to_numpy()[prediction.predictor.job.queue.splitset.positions()["train"]]
            .std()
        )
        low = rows.loc["mae", "low"] * unit
        assert rows.loc["mae_decoded", "low"] == pytest.approx(low)


def windowed(size_shift: int) -> tuple[Prediction, pd.DataFrame]:
    """Forecast two waves of other units, three steps at a time."""
    steps = np.arange(80)
    data = pd.DataFrame({
        "kelvin": 290 + 8 * np.sin(steps / 5), "pascal": 1e5 + 900 * np.cos(steps / 5),
    })  # fmt: skip
    feature = Feature.from_dataset(Dataset.Tabular.from_df(data).id)
    FeatureCoder.from_feature(feature.id, StandardScaler(), dtypes=["float64"])
    Window.from_feature(feature.id, size_window=3, size_shift=size_shift)
    cut = Splitset.make(
        [feature.id], size_test=0.25, time_ordered=True, gap=-(-(3 + size_shift) // size_shift)
    )
    return trained(cut, "regression"), data


def test_a_forecast_of_windows_is_decoded_and_so_are_its_metrics(home: Path) -> None:
    """By hand: the future windows of the table itself against what is stored."""
    prediction, data = windowed(size_shift=2)
    queue = prediction.predictor.job.queue
    future = np.array(queue.splitset.features[0].windows[0].samples_shifted)
    for split, positions in queue.splitset.positions().items():
        said = prediction.predictions[split]
        truth = data.to_numpy()[future[positions]]
        assert said.shape == truth.shape == (len(positions), 3, 2)
        errors = (said - truth).reshape(len(said), -1)
        values = prediction.metrics[split]
        assert values["mae_decoded"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
        assert values["rmse_decoded"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-5)
        assert values["r2_decoded"] == pytest.approx(
            sk.r2_score(truth.reshape(len(said), -1), said.reshape(len(said), -1)), abs=1e-5
        )
        assert said[..., 0].mean() == pytest.approx(290, abs=20)
        assert said[..., 1].mean() == pytest.approx(1e5, rel=0.05)
    table = prediction.metrics_interval("test", resamples=200)
    assert set(table["drawn"]) == {"runs of 3 samples in order"}  # (3 + 2) / 2, rounded up
    assert table[table["metric"] != "loss"]["note"].isna().all()


def test_the_importance_of_a_window_moves_whole_series(home: Path) -> None:
    prediction, _ = windowed(size_shift=1)
    (columns,) = prediction.calc_featureImportance(3, split_name="test").values()
    assert set(columns) == {"kelvin", "pascal"}
    assert max(entry["median"] for entry in columns.values()) > 0


def test_an_autoencoder_gives_the_users_units_and_metrics_in_both(home: Path) -> None:
    generator = np.random.default_rng(0)
    data = pd.DataFrame({"m": generator.normal(1.7, 0.1, 40), "kg": generator.normal(70, 9, 40)})
    feature = Feature.from_dataset(Dataset.Tabular.from_df(data).id)
    FeatureCoder.from_feature(feature.id, StandardScaler(), dtypes=["float64"])
    prediction = trained(Splitset.make([feature.id], size_test=0.3, seed=1), "regression")
    positions = prediction.predictor.job.queue.splitset.positions()
    deviation = data.iloc[positions["train"]].to_numpy().std(axis=0)
    for split, rows in positions.items():
        truth, said = data.iloc[rows].to_numpy(), prediction.predictions[split]
        values = prediction.metrics[split]
        assert values["mae_decoded"] == pytest.approx(np.abs(said - truth).mean(), rel=1e-5)
        assert values["mae"] == pytest.approx(np.abs((said - truth) / deviation).mean(), rel=1e-5)
        assert values["r2"] == pytest.approx(values["r2_decoded"], abs=1e-5)
        assert values["loss"] == pytest.approx(values["mse"], rel=1e-4)
    intervals = prediction.metrics_interval("test", resamples=200)
    assert intervals[intervals["metric"] != "loss"]["note"].isna().all()


@pytest.mark.parametrize("coder", [OneHotEncoder(), OrdinalEncoder()])
def test_an_autoencoder_of_words_gives_words_and_scores_the_numbers(
    home: Path, coder: Any
) -> None:
    """Words have no errors in their own units; what the model computes in has."""
    data = frame().reindex(columns=["a", "word", "patient"])
    feature = Feature.from_dataset(Dataset.Tabular.from_df(data).id)
    FeatureCoder.from_feature(feature.id, coder, columns=["word"])
    prediction = trained(Splitset.make([feature.id], size_test=0.3, seed=1), "regression", 1)
    rows = prediction.predictor.job.queue.splitset.positions()["test"]
    said, values = prediction.predictions["test"], prediction.metrics["test"]
    assert said.shape == (len(rows), 3)
    assert set(said[:, 1]) <= {"red", "green", "blue"}
    errors = (said[:, [0, 2]] - data.to_numpy()[rows][:, [0, 2]]).astype(float)
    assert values["mae_decoded"] == pytest.approx(np.abs(errors).mean(), rel=1e-5)
    assert values["mse_decoded"] == pytest.approx((errors**2).mean(), rel=1e-5)
    (columns,) = prediction.feature_importance.values()
    assert set(columns) == {"a", "word", "patient"}
    table = prediction.metrics_interval("test", resamples=200).set_index("metric")
    assert table.loc["mae_decoded", "low"] < values["mae_decoded"]
    assert "their coder does not go back" in str(table.loc["mae", "note"])


@pytest.mark.parametrize(("classes", "coder"), [([0, 1, 2], None), ([-5, 0, 5], OrdinalEncoder())])
def test_whole_number_classes_come_back_with_or_without_a_coder(
    home: Path, classes: list[int], coder: Any
) -> None:
    """B30."""
    values = np.array(classes)[np.arange(SAMPLES) % 3]
    dataset = Dataset.Tabular.from_df(frame().assign(y=values))
    feature = Feature.from_dataset(dataset.id, ["a", "b"])
    label = Label.from_dataset(dataset.id, "y")
    if coder is not None:
        LabelCoder.from_label(label.id, coder)
    cut = Splitset.make([feature.id], label.id, size_test=0.3, seed=1)
    prediction = trained(cut, "classification_multi")
    truth, said = values[cut.positions()["test"]], prediction.predictions["test"]
    assert set(said) <= set(classes)
    assert prediction.plot_data["test"]["confusion_matrix"] == (
        sk.confusion_matrix(truth, said, labels=classes).tolist()
    )
    rows = prediction.metrics_interval("test", resamples=200).set_index("metric")
    assert rows.loc["accuracy", "value"] == sk.accuracy_score(truth, said)
    assert rows.drop(index="loss")["low"].notna().all()


@pytest.mark.parametrize("values", [("<=50K", ">50K"), (False, True), (0, 1)])
def test_classes_of_any_kind_are_scored_and_come_back_as_they_are(home: Path, values: Any) -> None:
    """B28, A07: the positive class is the second in sorted order."""
    words = np.where(frame()["y"] == "up", values[1], values[0])
    dataset = Dataset.Tabular.from_df(frame().assign(y=words))
    feature = Feature.from_dataset(dataset.id, ["a", "b"])
    label = Label.from_dataset(dataset.id, "y")
    if isinstance(values[0], str):
        LabelCoder.from_label(label.id, LabelBinarizer())
    cut = Splitset.make([feature.id], label.id, size_test=0.3, seed=1)
    prediction = trained(cut, "classification_binary")
    truth, said = words[cut.positions()["test"]], prediction.predictions["test"]
    assert set(said.tolist()) <= set(values)
    found = prediction.metrics["test"]
    assert found["precision"] == sk.precision_score(truth, said, pos_label=values[1])
    assert found["recall"] == sk.recall_score(truth, said, pos_label=values[1])
    rows = prediction.metrics_interval("test", resamples=200).set_index("metric")
    assert rows.drop(index="loss")["low"].notna().all()


def test_a_label_of_one_hot_columns_decodes_to_their_names(home: Path) -> None:
    """A08."""
    codes = np.arange(SAMPLES) % 3
    names = ["red", "green", "blue"]
    hot = pd.DataFrame({name: (codes == i).astype(int) for i, name in enumerate(names)})
    dataset = Dataset.Tabular.from_df(pd.concat([frame()[["a", "b"]], hot], axis=1))
    feature = Feature.from_dataset(dataset.id, ["a", "b"])
    label = Label.from_dataset(dataset.id, names)
    cut = Splitset.make([feature.id], label.id, size_test=0.3, seed=1)
    prediction = trained(cut, "classification_multi")
    truth = np.array(names)[codes[cut.positions()["test"]]]
    said = prediction.predictions["test"]
    assert set(said) <= set(names)
    assert prediction.metrics["test"]["accuracy"] == sk.accuracy_score(truth, said)
    rows = prediction.metrics_interval("test", resamples=200).set_index("metric")
    assert rows.loc["accuracy", "note"] is None or pd.isna(rows.loc["accuracy", "note"])


def test_new_samples_with_a_label_have_intervals_and_no_importance(home: Path) -> None:
    prediction = classified()
    predictor = prediction.predictor
    dataset = Dataset.Tabular.from_df(frame(90).iloc[60:].reset_index(drop=True))
    feature = Feature.from_dataset(dataset.id, ["a", "b", "word"])
    label = Label.from_dataset(dataset.id, "y")
    known = Splitset.make([feature.id], label.id, predictor_id=predictor.id).infer()
    rows = known.metrics_interval(resamples=200).set_index("metric")
    assert set(rows["split"]) == {"infer_0"}
    accuracy = sk.accuracy_score(frame(90)["y"][60:], known.predictions["infer_0"])
    assert rows.loc["accuracy", "value"] == accuracy
    assert rows.loc["accuracy", "low"] <= accuracy <= rows.loc["accuracy", "high"]
    with pytest.raises(SelectionError, match="is of new data"):
        known.calc_featureImportance(1)
    unknown = Splitset.make([feature.id], predictor_id=predictor.id).infer()
    with pytest.raises(SelectionError, match="its samples came without a label"):
        unknown.metrics_interval()
    assert len(predictor.job.queue.metrics_df()) == 2  # train and test alone


def test_binary_plot_data_holds_calibration_and_thresholds(home: Path) -> None:
    prediction = classified()
    for split, data in prediction.plot_data.items():
        share = prediction.probabilities[split]
        rows = prediction.predictor.job.queue.splitset.positions()[split]
        truth = (frame()["y"].to_numpy()[rows] == "up").astype(int)
        assert data["calibration"]["brier_score"] == pytest.approx(
            sk.brier_score_loss(truth, share)
        )
        assert sum(data["calibration"]["counts"]) == len(rows)
        half = data["thresholds"]["threshold"].index(0.5)
        assert data["thresholds"]["f1"][half] == pytest.approx(prediction.metrics[split]["f1"])
