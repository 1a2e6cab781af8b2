"""Figures as pictures in the metadata of assets."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image
from small_experiment import declare

from aiqc_core.experiment import workflow
from aiqc_core.orm.results import leaderboard
from aiqc_core.stages.plots import learning_curve
from aiqc_dagster.ui import images, metadata

if TYPE_CHECKING:
    from pathlib import Path


def decoded(figure: go.Figure) -> np.ndarray:
    """Return the pixels of the picture that the metadata holds."""
    text = str(images.as_markdown(figure, "A figure").md_str)
    found = re.fullmatch(r"!\[A figure\]\(data:image/png;base64,(.*)\)", text)
    assert found
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("L"))


@pytest.mark.parametrize(
    "trace",
    [
        go.Scatter(x=[1, 2, 3], y=[3, 1, 2], name="line"),
        go.Scatter(x=[1, 2], y=[1, 2], mode="markers", name="dots"),
        go.Scatter(x=[1, 2, None, 3, 4], y=[1, 1, None, 2, 2], line={"dash": "dash"}),
        go.Bar(x=["a", "b"], y=[2, 3]),
        go.Bar(x=[2, 3], y=["a", "b"], orientation="h"),
        go.Heatmap(z=[[5, 1], [0, 7]], x=["no", "yes"], y=["no", "yes"]),
    ],
)
def test_each_kind_of_trace_is_drawn(trace: object) -> None:
    empty, drawn = decoded(go.Figure()), decoded(go.Figure(trace))
    assert drawn.shape == (378, 648)
    assert (drawn != empty).mean() > 0.005


def test_titles_and_axes_are_drawn_too() -> None:
    figure = go.Figure(go.Scatter(x=[1, 10], y=[1, 2]))
    plain = decoded(figure)
    figure.update_layout(
        title="A <b>title</b>", xaxis={"title": "x", "type": "log"}, yaxis={"range": [0, 9]}
    )
    assert (decoded(figure) != plain).mean() > 0.005


@pytest.mark.parametrize(
    "trace",
    [
        go.Scatter(x=[0, 1], y=[-120_000, 999_999], name="large"),
        go.Scatter(x=[0, 1], y=[-0.00012, 0.00034], name="small"),
        go.Bar(x=[2, 3], y=["a name of some length", "b"], orientation="h"),
    ],
)
def test_nothing_is_cut_off_at_the_edge(trace: object) -> None:
    figure = go.Figure(trace, {"title": "A title<br>of two lines"})
    figure.update_layout(xaxis_title="epoch", yaxis_title="loss")
    drawn = decoded(figure)
    edges = np.concatenate([drawn[[0, -1]].ravel(), drawn[:, [0, -1]].ravel()])
    assert len(set(edges.tolist())) == 1


def test_what_the_figure_hides_is_not_drawn() -> None:
    hidden = go.Scatter(x=[1, 2, 3], y=[3, 1, 2], name="another split", visible=False)
    assert (decoded(go.Figure(hidden)) == decoded(go.Figure())).all()


def test_names_are_drawn_as_the_figure_writes_them() -> None:
    bars = go.Figure(go.Bar(x=["<=50K", ">50K"], y=[1, 2]))
    plain = decoded(bars)
    axis = {"type": "category", "tickvals": ["<=50K", ">50K"]}
    bars.update_layout(xaxis=axis | {"ticktext": ["&lt;=50K", "&gt;50K"]})
    assert (decoded(bars) == plain).all()
    bars.update_layout(xaxis={"tickangle": -45})
    assert (decoded(bars) != plain).any()


def axes_of(figure: go.Figure, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the axes that a figure was drawn on."""
    kept: list[Any] = []
    label = images._label
    monkeypatch.setattr(
        images, "_label", lambda axes, *more: (label(axes, *more), kept.append(axes))
    )
    images.png(figure)
    return kept[0]


def test_the_range_of_a_bar_is_drawn_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    spread = {"array": [0.5, 1], "arrayminus": [0.25, 2], "symmetric": False}
    bars = go.Bar(x=[1, 3], y=["a", "b"], orientation="h", error_x=spread)
    (lines,) = axes_of(go.Figure(bars), monkeypatch).collections
    ends = [[float(x) for x, _ in segment] for segment in lines.get_segments()]
    assert ends == [[0.75, 1.5], [1, 4]]


@pytest.mark.parametrize("epochs", [2, 3, 7, 40])
def test_epochs_along_an_axis_are_whole_numbers(
    epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = {
        "metric": "loss", "epochs": epochs, "epoch": list(range(1, epochs + 1)),
        "train": [1 / (i + 1) for i in range(epochs)], "evaluation": None,
    }  # fmt: skip
    drawn = learning_curve.figure(pair)
    ticks = axes_of(drawn, monkeypatch).get_xticks()
    assert all(float(tick).is_integer() for tick in ticks)
    assert drawn.layout.xaxis.tickformat == ",d"


def test_colours_and_texts_of_bars_and_an_axis_from_above_are_those_of_the_figure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bars = go.Bar(x=[1, 3], y=["a", "b"], orientation="h", text=["one", "three"])
    bars.marker.color = ["#ff0000", "#00ff00"]
    drawn = go.Figure(bars, {"yaxis": {"autorange": "reversed"}})
    axes = axes_of(drawn, monkeypatch)
    assert [text.get_text() for text in axes.texts] == ["one", "three"]
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == [(1, 0, 0), (0, 1, 0)]
    assert axes.yaxis_inverted()


def test_a_leaderboard_begins_with_what_decides_and_has_four_digits(home: Path) -> None:
    queue = workflow.run(declare(epochs=(2, 4)), snapshot="s1")
    board = leaderboard.Board.of(queue, "accuracy")
    shown = metadata.of_standings("updown", board)
    rows = [record.data for record in shown["leaderboard"].records]
    assert list(rows[0])[:3] == [
        "rank",
        "accuracy fold_validation",
        "accuracy folds_train_combined",
    ]
    assert list(rows[0])[4:] == ["epochs", "models", "combination"]
    assert [row["rank"] for row in rows] == [1, 2]
    for row, standing in zip(rows, board.ranked, strict=True):
        for split, score in standing.scores.items():
            assert row[f"accuracy {split}"] == float(f"{score:.4g}")
    champion, result = workflow.crown(declare(epochs=(2, 4)), "s1")
    first = metadata.of_champion(champion, result)
    scores = champion.predictor.prediction.metrics
    assert {split: first[f"accuracy_{split}"] for split in scores} == {
        split: values["accuracy"] for split, values in scores.items()
    }


def test_a_table_rounds_to_four_digits_and_keeps_whole_ones() -> None:
    values = {"a": 2 / 3, "b": 123456.7, "c": 1e-9 / 3, "d": float("nan"), "e": 12345, "f": "x"}
    (record,) = metadata.table([values]).records
    assert record.data == {
        "a": 0.6667, "b": 123457.0, "c": 3.333e-10, "d": "nan", "e": 12345, "f": "x",
    }  # fmt: skip
