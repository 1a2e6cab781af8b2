"""Precision and recall: how many of a class are found, and how many of those found are of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import by_split, theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

    Curve = Mapping[str, Sequence[float]]


def data(
    plot_data: Mapping[str, Mapping[str, Any]], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a curve for each split and class that has one.

    Args:
        plot_data: `{split: what evaluate.curves.plot_data gave}`.
        classes: the names of the classes, by their ordinal.

    Returns:
        `split, class, recall, precision`; `ap`, the average precision, the sum over steps of
        recall of their precision, without interpolation; and `chance`, the share of the class.
    """
    return [
        {
            "split": split,
            "class": classes[code],
            "recall": curve["recall"],
            "precision": curve["precision"],
            "ap": _average_precision(curve),
            "chance": _share(of_split["confusion_matrix"], code),
        }
        for split, of_split in plot_data.items()
        for code, curve in of_split["precision_recall"].items()
    ]


def figure(
    curves: Sequence[Mapping[str, Any]], about: str = "", *, shown: str | None = None
) -> go.Figure:
    """Draw the curves as steps, and of each class its share, which is what chance gives.

    Args:
        curves: what `data` gave, at least one.
        about: whose they are.
        shown: the split that a figure of several classes shows first.
    """
    drawn = theme.blank("Precision and recall", about, x="recall", y="precision")
    several = len({curve["class"] for curve in curves}) > 1
    first = by_split.first_shown([curve["split"] for curve in curves], shown)
    for curve in curves:
        of_split = [other for other in curves if other["split"] == curve["split"]]
        flat = [curve["chance"], curve["chance"]]
        theme.chance_line(drawn, "chance (share of the class)", [0, 1], flat)
        drawn.update_traces(
            selector=-1,
            showlegend=curve is (of_split if several else curves)[0],
            legendgroup="chance",
            meta=curve["split"],
            visible=not several or curve["split"] == first,
        )
    by_split.draw(drawn, curves, ("recall", "precision"), "AP", shown, shape="hv")
    drawn.update_xaxes(range=[-0.02, 1.02])
    drawn.update_yaxes(range=[-0.02, 1.02])
    return drawn


def _average_precision(curve: Curve) -> float:
    precision, recall = np.asarray(curve["precision"]), np.asarray(curve["recall"])
    return float(-np.sum(np.diff(recall) * precision[:-1]))


def _share(matrix: Sequence[Sequence[int]], code: int) -> float:
    return sum(matrix[code]) / sum(map(sum, matrix))
