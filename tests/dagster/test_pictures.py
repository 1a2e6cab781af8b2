"""Figures as pictures in the metadata of assets."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from aiqc_dagster import pictures


def decoded(figure: go.Figure) -> np.ndarray:
    """Return the pixels of the picture that the metadata holds."""
    text = str(pictures.as_markdown(figure, "A figure").md_str)
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
