"""Precision and recall: how many of a class are found, and how many of those found are of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import by_split, theme

if TYPE_CHECKING:
    from collections.abc import Sequence

AXES = ("recall", "precision")


def data(plot_data: theme.BySplit, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return the curve of each split and class that has one.

    Returns:
        `split, class, recall, precision`; `ap`, the average precision, the sum over steps of
        recall of their precision, without interpolation; and `chance`, the share of the class.
    """
    return by_split.curves(plot_data, "precision_recall", AXES, classes, _scores)


def figure(curves: theme.Rows, about: str = "", *, shown: str | None = None) -> theme.Figure:
    """Draw the curves as steps, and for each class its share, which is what chance gives."""
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
    by_split.draw(drawn, curves, AXES, "AP", shown, shape="hv")
    return drawn


def _scores(curve: theme.Row, of_split: theme.Row, code: int) -> dict[str, float]:
    precision, recall = np.asarray(curve["precision"]), np.asarray(curve["recall"])
    matrix = of_split["confusion_matrix"]
    return {
        "ap": float(-np.sum(np.diff(recall) * precision[:-1])),
        "chance": sum(matrix[code]) / sum(map(sum, matrix)),
    }
