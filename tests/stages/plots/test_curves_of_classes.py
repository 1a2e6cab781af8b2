"""ROC, precision-recall, calibration and thresholds: the drawn points are the data's."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from sklearn import metrics

from aiqc_core.stages.evaluate.curves import plot_data
from aiqc_core.stages.plots import calibration, curves, thresholds

TRUTH = np.array([0, 0, 1, 1, 1, 0, 1, 0])
SURE = np.array([0.1, 0.4, 0.35, 0.8, 0.9, 0.2, 0.6, 0.55])
CLASSES = ["<=50K", ">50K"]


def binary(truth: Any = TRUTH, sure: Any = SURE) -> dict[str, Any]:
    """Plot data of two classes, as a training records it."""
    return plot_data(truth, (sure > 0.5).astype(int), sure, 2)


def several() -> dict[str, Any]:
    """Plot data of three classes."""
    generator = np.random.default_rng(0)
    truth = np.arange(60) % 3
    sure = generator.dirichlet([1, 1, 1], size=60) + np.eye(3)[truth]
    sure /= sure.sum(axis=1, keepdims=True)
    return plot_data(truth, sure.argmax(axis=1), sure, 3)


def named(figure: Any, start: str) -> Any:
    """Return the one trace whose name starts so."""
    (trace,) = [t for t in figure.data if t.name.startswith(start)]
    return trace


@given(st.integers(0, 2**31), st.integers(5, 60))
def test_the_area_and_average_precision_are_those_of_sklearn(seed: int, samples: int) -> None:
    generator = np.random.default_rng(seed)
    truth = np.arange(samples) % 2
    sure = generator.random(samples).round(1)
    data = {"test": binary(truth, sure)}
    (roc,) = curves.ROC.data(data, CLASSES)
    (pr,) = curves.PRECISION_RECALL.data(data, CLASSES)
    assert roc["auc"] == pytest.approx(metrics.roc_auc_score(truth, sure))
    assert pr["ap"] == pytest.approx(metrics.average_precision_score(truth, sure))
    assert pr["chance"] == pytest.approx(truth.mean())


def test_a_line_a_split_with_its_area_in_the_legend() -> None:
    data = {"train": binary(), "test": binary(TRUTH[:6], SURE[:6])}
    figure = curves.ROC.figure(curves.ROC.data(data, CLASSES), "Predictor 1")
    fpr, tpr, _ = metrics.roc_curve(TRUTH, SURE)
    train = named(figure, "train")
    assert train.name == f"train (AUC {metrics.roc_auc_score(TRUTH, SURE):.4g})"
    np.testing.assert_allclose(train.x, fpr)
    np.testing.assert_allclose(train.y, tpr)
    assert figure.layout.legend.title.text == "class: &gt;50K"
    chance = named(figure, "chance")
    assert (list(chance.x), list(chance.y), chance.line.dash) == ([0, 1], [0, 1], "dash")


def test_several_classes_show_one_split_at_once_and_a_menu_of_splits() -> None:
    names = ["setosa", "versicolor", "virginica"]
    found = curves.ROC.data({"train": several(), "test": several()}, names)
    figure = curves.ROC.figure(found, shown="train")
    shown = [t.name.split(" (")[0] for t in figure.data if t.visible is not False]
    assert shown == ["chance", *names]
    menu = figure.layout.updatemenus[0]
    assert [button.label for button in menu.buttons] == ["train", "test"]
    switched = menu.buttons[1].args[0]["visible"]
    assert [t.meta for t, on in zip(figure.data, switched, strict=True) if on] == [
        None, "test", "test", "test",
    ]  # fmt: skip


def test_an_unknown_split_shows_the_last_and_one_split_needs_no_menu() -> None:
    found = curves.PRECISION_RECALL.data({"test": several()}, ["a", "b", "c"])
    figure = curves.PRECISION_RECALL.figure(found, shown="validation")
    assert figure.layout.legend.title.text == "split: test"
    assert not figure.layout.updatemenus


def test_precision_is_drawn_as_steps_above_the_share_of_the_class() -> None:
    figure = curves.PRECISION_RECALL.figure(
        curves.PRECISION_RECALL.data({"test": binary()}, CLASSES)
    )
    precision, recall, _ = metrics.precision_recall_curve(TRUTH, SURE)
    line = named(figure, "test")
    np.testing.assert_allclose(line.x, recall)
    np.testing.assert_allclose(line.y, precision)
    assert line.line.shape == "hv"
    assert line.name == f"test (AP {metrics.average_precision_score(TRUTH, SURE):.4g})"
    assert list(named(figure, "chance").y) == [0.5, 0.5]


def test_chance_is_in_the_legend_once_for_every_split_that_the_menu_shows() -> None:
    found = curves.PRECISION_RECALL.data({"train": several(), "test": several()}, ["a", "b", "c"])
    figure = curves.PRECISION_RECALL.figure(found)
    reported = [t.meta for t in figure.data if t.name.startswith("chance") and t.showlegend]
    assert reported == ["train", "test"]


def test_a_class_that_is_absent_has_no_curve() -> None:
    data = {"train": binary(), "test": binary(np.zeros(8, dtype=int))}
    assert [curve["split"] for curve in curves.ROC.data(data, CLASSES)] == ["train"]
    assert list(thresholds.data(data)) == ["train"]


def test_calibration_draws_observed_over_predicted_and_larger_where_more_samples_are() -> None:
    figure = calibration.figure(calibration.data({"test": binary()}), positive=">50K")
    line = named(figure, "test")
    bins = np.ceil(SURE * 10).astype(int)  # a bin has its upper edge
    held = np.unique(bins)
    np.testing.assert_allclose(line.x, [SURE[bins == b].mean() for b in held])
    np.testing.assert_allclose(line.y, [TRUTH[bins == b].mean() for b in held])
    assert list(line.customdata) == [int((bins == b).sum()) for b in held]
    sizes = np.array(line.marker.size)
    assert sizes.max() == sizes[np.argmax(line.customdata)]
    assert f"Brier {metrics.brier_score_loss(TRUTH, SURE):.4g}" in line.name
    assert figure.layout.xaxis.title.text.startswith("predicted probability of &gt;50K")


def test_thresholds_draw_what_each_metric_would_be() -> None:
    found = thresholds.data({"test": binary()})["test"]
    figure = thresholds.figure(found, split="test", positive=">50K")
    for name, score in (("precision", metrics.precision_score), ("recall", metrics.recall_score)):
        line = named(figure, name)
        expected = [score(TRUTH, threshold < SURE) for threshold in line.x]
        np.testing.assert_allclose(line.y, expected)
    assert figure.layout.shapes[0].x0 == 0.5
