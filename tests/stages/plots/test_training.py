"""Performance, learning curves and importance: what is shown, left out and said of it."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import SelectionError
from aiqc_core.stages.plots import feature_importance, learning_curve, performance


def model(idx: int, **splits: tuple[float, float]) -> dict[str, Any]:
    """A model with (loss, accuracy) of each split."""
    scores = {s: {"loss": loss, "accuracy": right} for s, (loss, right) in splits.items()}
    return {"predictor_id": idx, "about": f"fold 0 · neurons={idx}", "metrics": scores}


MODELS = [
    model(1, train=(0.5, 0.8), test=(0.6, 0.7)),
    model(2, train=(0.1, 0.9), test=(nan, 0.9)),
    model(3, train=(0.2, 0.9), test=(0.25, 0.85)),
]


def shown(found: dict[str, Any]) -> list[int]:
    """The Predictors that have a point."""
    return list(dict.fromkeys(point["predictor_id"] for point in found["points"]))


def test_b76_a_loss_that_is_nan_is_no_small_loss() -> None:
    models = [model(i, test=(loss, 0.5)) for i, loss in enumerate([0.5, nan, 0.2])]
    found = performance.data(models, "accuracy", max_loss=0.3)
    assert shown(found) == [2]
    assert found["notes"] == ["1 beyond the limits", "left out for NaN: Predictor 1"]


def test_one_split_beyond_a_limit_leaves_the_whole_model_out() -> None:
    found = performance.data(MODELS, "accuracy", max_loss=0.55)
    assert shown(found) == [3]
    assert shown(performance.data(MODELS, "accuracy", min_score=0.75)) == [2, 3]


def test_a_limit_of_an_error_is_the_highest_that_is_shown() -> None:
    models = [model(i, test=(0.1, 0.0)) for i in range(3)]
    for i, one in enumerate(models):
        one["metrics"]["test"]["mse"] = float(i)
    assert shown(performance.data(models, "mse", min_score=1.0)) == [0, 1]
    with pytest.raises(SelectionError, match="a mse of at most 0"):
        performance.data(models, "mse", min_score=-1.0)


def test_without_limits_only_the_point_that_is_nan_is_left_out() -> None:
    found = performance.data(MODELS, "accuracy")
    assert shown(found) == [1, 2, 3]
    assert len(found["points"]) == 5
    assert found["notes"] == ["splits without a finite loss and score: Predictor 2"]


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_shown_keeps_to_both_limits(max_loss: float, min_score: float) -> None:
    try:
        found = performance.data(MODELS, "accuracy", max_loss=max_loss, min_score=min_score)
    except SelectionError:
        kept = set()
    else:
        kept = set(shown(found))
    expected = {
        m["predictor_id"]
        for m in MODELS
        if all(v["loss"] <= max_loss and v["accuracy"] >= min_score for v in m["metrics"].values())
    }
    assert kept == expected


def test_no_model_left_says_what_there_is() -> None:
    message = "none of 3 models is left.*loss of at most 0.25.*accuracy of at least 0.9"
    with pytest.raises(SelectionError, match=message):
        performance.data(MODELS, "accuracy", max_loss=0.01)
    with pytest.raises(SelectionError, match=r"score_type: 'r2'; choose among \['accuracy'\]"):
        performance.data(MODELS, "r2")


def test_hovering_tells_predictor_combination_and_split() -> None:
    figure = performance.figure(performance.data(MODELS, "accuracy"))
    (test,) = [trace for trace in figure.data if trace.name == "test"]
    assert list(test.x) == [0.6, 0.25]
    assert list(test.y) == [0.7, 0.85]
    assert "Predictor 3" in test.text[1]
    assert "fold 0 · neurons=3" in test.text[1]
    assert "split: test" in test.text[1]
    assert figure.layout.height == 560


def test_units_and_height_are_reported() -> None:
    found = performance.data(MODELS, "accuracy")
    figure = performance.figure(found, "Queue 1", height=700, units={"loss": "encoded units"})
    assert figure.layout.xaxis.title.text == "loss (encoded units)"
    assert figure.layout.yaxis.title.text == "accuracy"
    assert figure.layout.height == 700
    assert "Predictor 2" in figure.layout.title.subtitle.text


def test_equal_scores_are_shown_near() -> None:
    models = [model(1, test=(0.1, 1.0)), model(2, test=(0.2, 1.0))]
    figure = performance.figure(performance.data(models, "accuracy"))
    assert figure.layout.yaxis.range == (0.9, 1.1)


def test_losses_of_other_magnitudes_are_on_a_logarithmic_axis() -> None:
    models = [model(1, test=(0.01, 0.5)), model(2, test=(500.0, 0.4)), model(3, test=(inf, 0.1))]
    figure = performance.figure(performance.data(models, "accuracy"))
    assert figure.layout.xaxis.type == "log"
    near = performance.figure(performance.data(MODELS, "accuracy"))
    assert near.layout.xaxis.type is None


def test_each_metric_is_paired_with_that_of_the_evaluation() -> None:
    history = {"loss": [3.0, 1.0], "val_loss": [4.0, 2.0], "Accuracy": [0.5, 0.7]}
    loss, accuracy = learning_curve.data(history, skip_head=False)
    assert (loss["train"], loss["evaluation"], loss["epoch"]) == ([3.0, 1.0], [4.0, 2.0], [1, 2])
    assert (accuracy["metric"], accuracy["evaluation"]) == ("Accuracy", None)
    assert [t.name for t in learning_curve.figure(loss).data] == ["train", "evaluation"]
    assert [t.name for t in learning_curve.figure(accuracy).data] == ["train"]


@pytest.mark.parametrize(("epochs", "first"), [(1, 1), (6, 1), (7, 2), (20, 4), (100, 16)])
def test_the_head_is_fifteen_percent_of_the_epochs(epochs: int, first: int) -> None:
    values = [float(i) for i in range(1, epochs + 1)]
    (pair,) = learning_curve.data({"loss": values})
    assert pair["epoch"] == [int(v) for v in pair["train"]] == list(range(first, epochs + 1))
    reported = learning_curve.figure(pair).layout.xaxis.title.text
    skipped = f" (the first {first - 1} of {epochs} left out)"
    assert reported == "epoch" + (skipped if first > 1 else "")


def test_a_diverged_training_says_so() -> None:
    (pair,) = learning_curve.data({"loss": [nan, nan]})
    figure = learning_curve.figure(pair, unit="encoded units")
    assert "diverged" in figure.layout.annotations[0].text
    assert figure.layout.yaxis.title.text == "loss (encoded units)"


COLUMNS = {
    "a": {"median": 0.1, "loss_impacts": [0.0, 0.1, 0.4]},
    "b": {"median": nan, "loss_impacts": [nan, nan, nan]},
    "c": {"median": 0.3, "loss_impacts": [0.3, 0.2, 0.5]},
    "d": {"median": -0.2, "loss_impacts": [-0.2, -0.3, 0.0]},
}


def test_columns_are_ranked_with_the_most_needed_on_top_and_nan_last() -> None:
    found = feature_importance.data(COLUMNS)
    assert found["columns"] == ["c", "a", "d", "b"]
    (bars,) = feature_importance.figure(found).data
    assert list(bars.y) == ["b", "d", "a", "c"], "bars are drawn from below"
    assert list(bars.x)[1:] == [-0.2, 0.1, 0.3]
    assert bars.error_x.array[2] == pytest.approx(0.4 - 0.1)
    assert bars.error_x.arrayminus[2] == pytest.approx(0.1)


def test_top_n_says_how_many_there_are() -> None:
    figure = feature_importance.figure(feature_importance.data(COLUMNS, top_n=2))
    assert figure.layout.title.text == "Permutation importance: 2 of 4 columns"
    assert len(feature_importance.data(COLUMNS, top_n=99)["columns"]) == 4


def test_the_figure_grows_with_its_columns_unless_set() -> None:
    many = {f"column {i}": COLUMNS["a"] for i in range(40)}
    found = feature_importance.data(many, top_n=None)
    tall, reported = feature_importance.figure(found), feature_importance.figure(found, height=300)
    assert tall.layout.height > 40 * 20
    assert reported.layout.height == 300
    assert tall.layout.yaxis.automargin
    fixed = feature_importance.figure(found, margin_left=222)
    assert (fixed.layout.margin.l, fixed.layout.yaxis.automargin) == (222, False)
