"""Figures of rows: `plot_*` on trained models, what they refuse, and how they are displayed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.io as pio
import pytest
from places import ROOT
from plotly.graph_objects import Figure
from plotly.io.base_renderers import ExternalRenderer
from sklearn.metrics import confusion_matrix, r2_score
from sklearn.preprocessing import StandardScaler

from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Feature,
    FeatureCoder,
    FeatureInterpolater,
    Hyperparamset,
    Label,
    LabelCoder,
    Predictor,
    Queue,
    Splitset,
    Window,
)
from aiqc_core.orm.results import data_figures, figures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiqc_core.orm import Prediction

CLASSES = ["<=50K", ">50K"]


def fn_build(features_shape: tuple[int, ...], label_shape: tuple[int, ...], **hp: Any) -> Any:
    """One layer from all features; classes as probabilities."""
    from torch import nn

    wide, out = int(np.prod(features_shape)), int(np.prod(label_shape))
    layers = [nn.Flatten(), nn.Linear(wide, out)]
    if hp.get("kind") == "binary":
        layers.append(nn.Sigmoid())
    if hp.get("kind") == "multi":
        layers.append(nn.Softmax(dim=1))
    return nn.Sequential(*layers, nn.Unflatten(1, label_shape))


def fn_train(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Twenty epochs, or none with a history that is empty."""
    from aiqc_core.utils.pytorch import fit

    if hp.get("silent"):
        return model
    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=20, batch_size=16,
    )  # fmt: skip


def rows(samples: int = 90) -> pd.DataFrame:
    """Two numbers, a class of words, an ordinal class, a price."""
    x = np.random.default_rng(0).normal(size=(samples, 2))
    return pd.DataFrame(
        {
            "a": x[:, 0],
            "b": x[:, 1],
            "income": np.where(x[:, 0] > 0, CLASSES[1], CLASSES[0]),
            "grade": np.digitize(x[:, 1], [-0.5, 0.5]),
            "price": 100 + 10 * x[:, 0],
        }
    )


def trained(
    analysis_type: str, label: str, kind: str = "", coder: Any = None, **options: Any
) -> Queue:
    """Train on two numbers, twice as large where `combos` say so."""
    dataset = Dataset.Tabular.from_df(rows())
    feature = Feature.from_dataset(dataset.id, ["a", "b"])
    FeatureCoder.from_feature(feature.id, StandardScaler(), verbose=False)
    target = Label.from_dataset(dataset.id, label)
    if coder is not None:
        LabelCoder.from_label(target.id, coder)
    cut: dict[str, Any] = {"size_test": 0.2, "size_validation": 0.2, "seed": 1}
    if options.get("fold_count"):
        cut = {"size_test": 0.2, "fold_count": options["fold_count"], "seed": 1}
    splitset = Splitset.make([feature.id], target.id, **cut)
    algorithm = Algorithm.make("pytorch", analysis_type, fn_build, fn_train)
    combos = Hyperparamset.from_algorithm(
        algorithm.id, {"kind": [kind], **options.get("combos", {})}
    )
    queue = Queue.from_algorithm(
        algorithm.id, splitset.id, permute_count=options.get("permute_count", 2),
        hyperparamset_id=combos.id, seed=1,
    )  # fmt: skip
    queue.run_jobs(progress=False)
    return queue


def prediction_of(queue: Queue) -> Prediction:
    """The Prediction of the first training."""
    return queue.jobs[0].predictors[0].prediction


@pytest.fixture
def binary(home: Path) -> Prediction:
    """Two classes named by words."""
    from sklearn.preprocessing import LabelBinarizer

    return prediction_of(trained("classification_binary", "income", "binary", LabelBinarizer()))


@pytest.fixture
def regression(home: Path) -> Prediction:
    """A price that is learned scaled."""
    return prediction_of(trained("regression", "price", "", StandardScaler(), permute_count=0))


def test_b30_a_confusion_matrix_of_a_label_without_a_coder(home: Path) -> None:
    """Asked for without a LabelCoder: a matrix of the label's own values in sorted order."""
    prediction = prediction_of(trained("classification_multi", "grade", "multi"))
    label = prediction.predictor.job.queue.splitset.label
    drawn = prediction.plot_confusion_matrix(call_display=False)
    splits = prediction.predictor.job.queue.splitset.positions()
    assert [f.layout.title.text.split()[2] for f in drawn] == list(splits)
    for figure, (split, positions) in zip(drawn, splits.items(), strict=True):
        truth = label.to_arr(samples=positions.tolist()).ravel()
        (heat,) = figure.data
        assert list(heat.x) == list(heat.y) == ["0", "1", "2"]
        expected = confusion_matrix(truth, prediction.predictions[split], labels=[0, 1, 2])
        np.testing.assert_array_equal(np.array(heat.text), expected)


def test_axes_name_the_classes_in_their_sorted_order(binary: Prediction) -> None:
    (heat, *_), *_ = [f.data for f in binary.plot_confusion_matrix(call_display=False)]
    assert list(heat.x) == CLASSES
    roc = binary.plot_roc_curve(call_display=False)
    assert roc.layout.legend.title.text == "class: &gt;50K"
    areas = {s: f"{values['roc_auc']:.4g}" for s, values in binary.metrics.items()}
    reported = [t.name for t in roc.data][1:]
    assert reported == [f"{split} (AUC {area})" for split, area in areas.items()]


def test_precision_recall_has_a_line_for_each_split(binary: Prediction) -> None:
    names = [t.name.split(" (")[0] for t in binary.plot_precision_recall(call_display=False).data]
    assert names == ["chance"] * 3 + list(binary.metrics)


def test_confidence_tells_sample_prediction_and_truth(binary: Prediction) -> None:
    queue = binary.predictor.job.queue
    position = queue.splitset.positions()["test"][3]
    truth = rows()["income"][position]
    figure = binary.plot_confidence(3, call_display=False, split_name="test", height=200)
    second = binary.probabilities["test"][3]
    np.testing.assert_allclose(figure.data[0].y, [1 - second, second])
    said = binary.predictions["test"][3]
    escaped = {"<=50K": "&lt;=50K", ">50K": "&gt;50K"}
    assert figure.layout.title.text == (
        f"Confidence: predicted {escaped[said]}, true {escaped[truth]}"
    )
    assert figure.layout.height == 200
    assert "test sample 3" in figure.layout.title.subtitle.text
    first = binary.plot_confidence(call_display=False)
    assert "train sample 0" in first.layout.title.subtitle.text


def test_confidence_refuses_what_is_not_there(binary: Prediction) -> None:
    count = len(binary.probabilities["test"])
    for index in (count, -1, True, "0"):
        message = f"prediction_index: {index!r}; split 'test' has {count} samples, from 0 to"
        with pytest.raises(SelectionError, match=message):
            binary.plot_confidence(index, call_display=False, split_name="test")
    with pytest.raises(SelectionError, match=r"split_name: 'dev' is none of \['train'"):
        binary.plot_confidence(0, call_display=False, split_name="dev")


def test_importance_draws_what_the_table_ranks(binary: Prediction) -> None:
    (figure,) = binary.plot_feature_importance(call_display=False)
    table = binary.importance_df()
    assert list(figure.data[0].y) == table["column"].tolist()[::-1]
    np.testing.assert_allclose(figure.data[0].x, table["median"].to_numpy()[::-1])
    assert "growth of the loss" in figure.layout.xaxis.title.text
    (one,) = binary.plot_feature_importance(False, 1, 222, 99)
    assert (len(one.data[0].y), one.layout.height, one.layout.margin.l) == (1, 222, 99)
    with pytest.raises(SelectionError, match="top_n: 0; give a whole number of at least 1"):
        binary.plot_feature_importance(call_display=False, top_n=0)


def test_without_importance_the_error_says_how_to_get_it(regression: Prediction) -> None:
    with pytest.raises(TrainingError, match=r"Run prediction.calc_featureImportance\("):
        regression.plot_feature_importance(call_display=False)
    regression.calc_featureImportance(1)
    assert len(regression.plot_feature_importance(call_display=False)) == 1


@pytest.mark.parametrize(
    "name",
    ["plot_roc_curve", "plot_precision_recall", "plot_confusion_matrix", "plot_confidence"],
)
def test_a_regression_has_no_figure_of_classes(regression: Prediction, name: str) -> None:
    with pytest.raises(SelectionError, match=r"needs classes, but Algorithm 1 is a regression"):
        getattr(regression, name)(call_display=False)


def test_a_learning_curve_is_the_history(regression: Prediction) -> None:
    predictor = regression.predictor
    (loss,) = predictor.plot_learning_curve(skip_head=False, call_display=False)
    train, evaluation = loss.data
    assert list(train.y) == predictor.history["loss"]
    assert list(evaluation.y) == predictor.history["val_loss"]
    assert loss.layout.yaxis.title.text == "loss (encoded units)"
    (later,) = predictor.plot_learning_curve(call_display=False)
    assert list(later.data[0].x) == list(range(4, 21))


def test_a_training_without_a_history_has_no_curve(home: Path) -> None:
    combos = {"silent": [True]}
    queue = trained("regression", "price", combos=combos, permute_count=0)
    with pytest.raises(TrainingError, match=r"has no history: its fn_train returned none"):
        queue.jobs[0].predictors[0].plot_learning_curve()


def test_performance_shows_every_model_with_its_fold_and_combination(home: Path) -> None:
    combos = {"neurons": [1, 2]}
    queue = trained("regression", "price", fold_count=2, combos=combos, permute_count=0)
    figure = queue.plot_performance(call_display=False)
    table = queue.metrics_df()
    for split, of_it in table.groupby("split"):
        (points,) = [t for t in figure.data if t.name == split]
        np.testing.assert_allclose(sorted(points.x), sorted(of_it["loss"]))
        np.testing.assert_allclose(sorted(points.y), sorted(of_it["r2"]))
    hover = figure.data[-1].text[0]
    assert "Predictor 1" in hover
    assert "fold 0 · kind=, neurons=1" in hover
    assert figure.layout.xaxis.title.text == "loss", "the label is not encoded"
    assert Queue.plot_performance(queue.id, False, None, None, "mae").layout.yaxis.title.text == (
        "mae"
    )
    with pytest.raises(SelectionError, match="score_type: 'accuracy'; choose among"):
        queue.plot_performance(score_type="accuracy")
    with pytest.raises(SelectionError, match="none of 4 models is left"):
        queue.plot_performance(min_score=2.0)


def test_the_errors_of_an_encoded_label_are_reported_in_encoded_units(
    regression: Prediction,
) -> None:
    figure = regression.predictor.job.queue.plot_performance(call_display=False, height=600)
    assert figure.layout.xaxis.title.text == "loss (encoded units)"
    assert (figure.layout.yaxis.title.text, figure.layout.height) == ("r2", 600)


def test_an_untrained_queue_says_what_to_run(regression: Prediction) -> None:
    done = regression.predictor.job.queue
    queue = Queue.from_algorithm(done.algorithm.id, done.splitset.id)
    with pytest.raises(TrainingError, match=r"no trained Predictor yet; run queue.run_jobs"):
        queue.plot_performance()


def test_predicted_and_true_are_in_the_units_of_the_label(regression: Prediction) -> None:
    figure = data_figures.predicted_and_true(regression)
    positions = regression.predictor.job.queue.splitset.positions()
    for split, at in positions.items():
        (points,) = [t for t in figure.data if t.name.startswith(split)]
        truth = rows()["price"].to_numpy()[at]
        np.testing.assert_allclose(points.x, truth, rtol=1e-5)
        np.testing.assert_allclose(points.y, regression.predictions[split])
        assert points.name == f"{split} (r2 {r2_score(truth, points.y):.4g})"
    assert figure.layout.xaxis.title.text == "true price (original units)"
    with pytest.raises(SelectionError, match=r"column_idx: 1; the columns are \{0: 'price'\}"):
        data_figures.predicted_and_true(regression, 1)


def test_figures_of_numbers_refuse_classes_and_of_two_classes_more(
    binary: Prediction, regression: Prediction
) -> None:
    with pytest.raises(SelectionError, match="need a regression, but Algorithm"):
        data_figures.predicted_and_true(binary)
    with pytest.raises(SelectionError, match="forecasts no windows"):
        data_figures.forecasts(regression)
    multi = prediction_of(trained("classification_multi", "grade", "multi", permute_count=0))
    with pytest.raises(SelectionError, match="calibration needs two classes"):
        figures.calibrations(multi)


def test_calibration_and_thresholds_of_two_classes(binary: Prediction) -> None:
    calibrated = figures.calibrations(binary)
    assert [t.name.split(" (")[0] for t in calibrated.data] == ["perfect", *binary.metrics]
    judged = figures.threshold_curves(binary)
    assert judged.layout.title.text == "Thresholds: validation"
    (precision, *_) = figures.threshold_curves(binary, "test").data
    at_half = precision.y[list(precision.x).index(0.5)]
    assert at_half == pytest.approx(binary.metrics["test"]["precision"])
    with pytest.raises(SelectionError, match=r"split_name: 'dev' is none of \['train'"):
        figures.threshold_curves(binary, "dev")


def test_new_samples_have_figures_too(regression: Prediction, binary: Prediction) -> None:
    new = rows(120).iloc[90:].reset_index(drop=True)
    reported = binary.predictor.predict(new[["a", "b"]], new[["income"]], store=True)
    (heat,) = reported.plot_confusion_matrix(call_display=False)
    expected = confusion_matrix(new["income"], reported.predictions["infer_0"], labels=CLASSES)
    np.testing.assert_array_equal(np.array(heat.data[0].text), expected)
    sure = reported.plot_confidence(2, call_display=False)
    assert new["income"][2][-3:] in sure.layout.title.text.rsplit("true", 1)[1]
    bare = binary.predictor.predict(new[["a", "b"]], store=True)
    with pytest.raises(SelectionError, match="no split has a label to compare with"):
        bare.plot_roc_curve()
    assert "true" not in bare.plot_confidence(0, call_display=False).layout.title.text
    prices = regression.predictor.predict(new[["a", "b"]], new[["price"]], store=True)
    points = data_figures.predicted_and_true(prices).data[1]
    np.testing.assert_allclose(points.x, new["price"], rtol=1e-5)
    unknown = regression.predictor.predict(new[["a", "b"]], store=True)
    with pytest.raises(SelectionError, match="came without a label"):
        data_figures.predicted_and_true(unknown)


@pytest.fixture
def forecaster(home: Path) -> Prediction:
    """A wave of 120 rows with two blanks, forecast 4 rows ahead."""
    wave = np.sin(np.arange(120) / 6) * 10 + 50
    wave[[7, 60]] = np.nan
    feature = Feature.from_dataset(Dataset.Tabular.from_df(pd.DataFrame({"level": wave})).id)
    linear = {"method": "linear", "limit_direction": "both"}
    FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=linear, verbose=False)
    FeatureCoder.from_feature(feature.id, StandardScaler(), verbose=False)
    Window.from_feature(feature.id, 8, 4)
    splitset = Splitset.make([feature.id], size_test=0.2, time_ordered=True, gap=2, seed=1)
    algorithm = Algorithm.make("pytorch", "regression", fn_build, fn_train)
    queue = Queue.from_algorithm(algorithm.id, splitset.id, permute_count=0, seed=1)
    queue.run_jobs(progress=False)
    return prediction_of(queue)


def test_a_forecast_is_drawn_over_the_rows_it_is_of(forecaster: Prediction) -> None:
    figure = data_figures.forecasts(forecaster)
    truth, forecast = figure.data
    wave = np.sin(np.arange(120) / 6) * 10 + 50
    for row, value in zip(truth.x, truth.y, strict=True):
        if row is not None:
            assert value == pytest.approx(wave[row], rel=1e-5)
    splitset = forecaster.predictor.job.queue.splitset
    rule = splitset.features[0].windows[0].rule()
    last = int(splitset.positions()["test"].max())
    at = list(forecast.x).index(rule.start(last, shifted=True) + 7)
    index = list(splitset.positions()["test"]).index(last)
    assert forecast.y[at] == pytest.approx(forecaster.predictions["test"][index, 7, 0])
    assert figure.layout.yaxis.title.text == "level (original units)"
    assert [t.name for t in data_figures.forecasts(forecaster, ["train"]).data][1] == (
        "forecast: train"
    )
    with pytest.raises(SelectionError, match=r"split_names: \['dev'\] are none of \['train'"):
        data_figures.forecasts(forecaster, ["dev"])


def test_figures_of_the_data(forecaster: Prediction) -> None:
    splitset = forecaster.predictor.job.queue.splitset
    (feature,) = splitset.features
    line, points = data_figures.filled_column(splitset, "level").data
    assert [i for i, v in enumerate(line.y) if v is None] == list(points.x) == [7, 60]
    neighbours = [line.y[6], line.y[8]]
    assert points.y[0] == pytest.approx(np.mean(neighbours))
    with pytest.raises(SelectionError, match=r"column: 'x' is none that Feature 1 fills"):
        data_figures.filled_column(splitset, "x")
    assert len(data_figures.window_layout(feature).data) == 2
    bars = data_figures.splits(splitset).data[0]
    counts = {name: len(rows) for name, rows in splitset.positions().items()}
    assert dict(zip(bars.y, bars.x, strict=True)) == counts


def test_a_series_of_a_sequence_is_filled_by_itself(home: Path) -> None:
    values = np.arange(24.0).reshape(4, 3, 2)
    values[2, 1, 0] = np.nan
    feature = Feature.from_dataset(Dataset.Sequence.from_numpy(values).id)
    linear = {"method": "linear", "limit_direction": "both"}
    FeatureInterpolater.from_feature(feature.id, interpolate_kwargs=linear, verbose=False)
    splitset = Splitset.make([feature.id], size_test=0.25, seed=1)
    column = feature.columns[0]
    _, points = data_figures.filled_column(splitset, column, sample=2).data
    assert (list(points.x), list(points.y)) == ([1], [14.0])
    with pytest.raises(SelectionError, match="sample: 4; there are 4"):
        data_figures.filled_column(splitset, column, sample=4)
    with pytest.raises(SelectionError, match=r"has no Window; make one"):
        data_figures.window_layout(feature)


class Recorder(ExternalRenderer):
    """A renderer of the user's: it keeps what it is given."""

    def __init__(self, shown: list[dict[str, Any]]) -> None:
        super().__init__()
        self.shown = shown

    def render(self, fig_dict: dict[str, Any]) -> None:
        """Keep a figure."""
        self.shown.append(fig_dict)


@pytest.fixture
def shown() -> Iterator[list[dict[str, Any]]]:
    """What plotly's default renderer, set for the test, was given."""
    before, kept = pio.renderers.default, []
    pio.renderers["recorder"] = Recorder(kept)
    pio.renderers.default = "recorder"
    yield kept
    pio.renderers.default = before  # plotly 7.1 cannot take a renderer away again


def test_displaying_shows_every_figure_and_returns_none(
    binary: Prediction, shown: list[dict[str, Any]]
) -> None:
    assert binary.plot_confusion_matrix() is None
    assert [f["layout"]["title"]["text"].split()[2] for f in shown] == list(binary.metrics)
    assert type(binary).plot_roc_curve(binary.id) is None
    assert len(shown) == len(binary.metrics) + 1


def test_not_displaying_returns_figures_and_shows_nothing(
    binary: Prediction, shown: list[dict[str, Any]]
) -> None:
    predictor, queue = binary.predictor, binary.predictor.job.queue
    for one in (binary.plot_roc_curve, binary.plot_precision_recall, binary.plot_confidence):
        assert isinstance(one(call_display=False), Figure)
    assert isinstance(queue.plot_performance(call_display=False), Figure)
    several = [
        binary.plot_confusion_matrix(call_display=False),
        binary.plot_feature_importance(call_display=False),
        Predictor.plot_learning_curve(predictor.id, call_display=False),
    ]
    assert all(isinstance(figure, Figure) for figures in several for figure in figures)
    assert shown == []


def test_without_notebook_and_browser_it_is_said_and_nothing_waits(tmp_path: Path) -> None:
    code = """
import logging
logging.basicConfig()
from aiqc_core.stages.plots import display, theme
display.show([theme.blank("t", x="x", y="y")] * 2)
"""
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
        check=True, timeout=60,
    )  # fmt: skip
    assert "2 figures are not shown: there is neither a notebook nor a browser" in done.stderr


@pytest.mark.slow
def test_importing_the_rows_loads_no_plotly() -> None:
    code = "import sys, aiqc_core.orm; print('plotly' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_b76_a_diverged_model_is_no_model_with_a_small_loss(regression: Prediction) -> None:
    """Filtered by a loss that is NaN: left out, and the figure says so."""
    metrics = {s: {**v, "loss": float("nan")} for s, v in regression.metrics.items()}
    other = trained("regression", "price", permute_count=0, combos={"neurons": [1, 2]})
    diverged = prediction_of(other)
    diverged.metrics = metrics
    diverged.save()
    figure = other.plot_performance(call_display=False, max_loss=1e9)
    assert "1 of 2 models" in figure.layout.title.subtitle.text
    assert f"left out for NaN: Predictor {diverged.predictor.id}" in (
        figure.layout.title.subtitle.text
    )
