"""ROC and precision-recall curves of several splits, and of several classes, in one figure.

ROC: how many of a class are found, at what share of false alarms. Precision and recall: how
many of a class are found, and how many of those found are of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROW_PIXELS = 20
FRAME_PIXELS = 190
MENU_PIXELS = 68  # from the plot to the line of the title
MARGIN_PIXELS = 122


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of curve: where its data are, and how it is drawn."""

    key: str  # of `plot_data`
    axes: tuple[str, str]  # which values are x and y, both from 0 to 1
    score: str  # which value the legend shows, in capitals
    scores: Callable[[theme.Row, theme.Row, int], dict[str, float]]
    labels: tuple[str, str, str]  # the titles of the figure and of its axes
    line: dict[str, Any]  # what all lines have beside their colour

    def data(self, plot_data: theme.BySplit, classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return the curve of each split and class that has one.

        Returns:
            `split, class`, both axes and the scores: `auc` of a ROC curve, the area by the
            trapezoidal rule; `ap`, the average precision, the sum over steps of recall of their
            precision, without interpolation, and `chance`, the share of the class.
        """
        return [
            {"split": split, "class": classes[code]}
            | {axis: curve[axis] for axis in self.axes}
            | self.scores(curve, of_split, code)
            for split, of_split in plot_data.items()
            for code, curve in of_split[self.key].items()
        ]

    def figure(
        self, curves: theme.Rows, about: str = "", *, shown: str | None = None
    ) -> theme.Figure:
        """Draw a line for each curve: of one class a colour a split, else one split and a menu.

        What chance gives is dashed: the diagonal of a ROC curve, else the share of each class.
        """
        title, *names = self.labels
        drawn = theme.blank(title, about, x=names[0], y=names[1])
        classes = list(dict.fromkeys(curve["class"] for curve in curves))
        splits = list(dict.fromkeys(curve["split"] for curve in curves))
        several = len(classes) > 1
        first = shown if shown is not None and shown in splits else splits[-1]
        if self is ROC:
            theme.chance_line(drawn, "chance (AUC 0.5)", [0, 1], [0, 1])
        else:
            _draw_shares(drawn, curves, first, several=several)
        for curve in curves:
            name = curve["class"] if several else curve["split"]
            plain = {"color": theme.split_color(curve["split"]), "width": 2}
            score = theme.number(curve[self.score.lower()])
            drawn.add_scatter(
                x=curve[self.axes[0]],
                y=curve[self.axes[1]],
                mode="lines",
                name=f"{theme.label(name)} ({self.score} {score})",
                line=(theme.style(classes.index(name)) if several else plain) | self.line,
                visible=not several or curve["split"] == first,
                meta=curve["split"],
            )
        height = max(theme.HEIGHT, FRAME_PIXELS + ROW_PIXELS * len(classes))
        if several and len(splits) > 1:
            _add_menu(drawn, splits, first, height)
        title = f"split: {first}" if several else f"class: {theme.escaped(classes[0])}"
        legend = {"tracegroupgap": 0, "title": {"text": title}}
        drawn.update_layout(height=height, showlegend=True, legend=legend)
        theme.unit_square(drawn)
        return drawn


def _draw_shares(drawn: theme.Figure, curves: theme.Rows, first: str, *, several: bool) -> None:
    """Draw the share of each class; the legend names one line of each split, or one of all."""
    named: set[str] = set()
    for curve in curves:
        group = curve["split"] if several else ""
        theme.chance_line(drawn, "chance (share of the class)", [0, 1], [curve["chance"]] * 2)
        drawn.update_traces(
            selector=-1,
            showlegend=group not in named,
            legendgroup="chance",
            meta=curve["split"],
            visible=not several or curve["split"] == first,
        )
        named.add(group)


def _add_menu(drawn: theme.Figure, splits: Sequence[str], first: str, height: int) -> None:
    """Let the reader choose the split; a trace of no split is always shown."""
    traces: Any = drawn.data
    buttons = [
        {
            "label": split,
            "method": "update",
            "args": [
                {"visible": [trace.meta in {None, split} for trace in traces]},
                {"legend.title.text": f"split: {split}"},
            ],
        }
        for split in splits
    ]
    above = {"y": 1 + MENU_PIXELS / (height - MARGIN_PIXELS), "yanchor": "top"}
    menu = {"buttons": buttons, "active": list(splits).index(first), "x": 1, "xanchor": "right"}
    drawn.update_layout(updatemenus=[menu | above])


def _area(curve: theme.Row, *_: Any) -> dict[str, float]:
    from sklearn.metrics import auc

    return {"auc": float(auc(curve["fpr"], curve["tpr"]))}


def _average_precision(curve: theme.Row, of_split: theme.Row, code: int) -> dict[str, float]:
    precision, recall = np.asarray(curve["precision"]), np.asarray(curve["recall"])
    matrix = of_split["confusion_matrix"]
    chance = sum(matrix[code]) / sum(map(sum, matrix))
    return {"ap": float(-np.sum(np.diff(recall) * precision[:-1])), "chance": chance}


ROC_LABELS = ("ROC curve", "false positive rate", "true positive rate (recall)")
PR_LABELS = ("Precision and recall", "recall", "precision")
ROC = Kind("roc_curve", ("fpr", "tpr"), "AUC", _area, ROC_LABELS, {})
PRECISION_RECALL = Kind(
    "precision_recall", ("recall", "precision"), "AP", _average_precision, PR_LABELS,
    {"shape": "hv"},
)  # fmt: skip
