"""ROC: how many of a class are found, at what share of false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import by_split, theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go


def data(
    plot_data: Mapping[str, Mapping[str, Any]], classes: Sequence[str]
) -> list[dict[str, Any]]:
    """Return a curve for each split and class that has one.

    Args:
        plot_data: `{split: what evaluate.curves.plot_data gave}`.
        classes: the names of the classes, by their ordinal.

    Returns:
        `split, class, fpr, tpr` and `auc`, the area below the curve by the trapezoidal rule.
    """
    from sklearn.metrics import auc

    return [
        {
            "split": split,
            "class": classes[code],
            "fpr": curve["fpr"],
            "tpr": curve["tpr"],
            "auc": float(auc(curve["fpr"], curve["tpr"])),
        }
        for split, of_split in plot_data.items()
        for code, curve in of_split["roc_curve"].items()
    ]


def figure(
    curves: Sequence[Mapping[str, Any]], about: str = "", *, shown: str | None = None
) -> go.Figure:
    """Draw the curves and the diagonal of chance.

    Args:
        curves: what `data` gave, at least one.
        about: whose they are.
        shown: the split that a figure of several classes shows first.
    """
    drawn = theme.blank(
        "ROC curve", about, x="false positive rate", y="true positive rate (recall)"
    )
    theme.chance_line(drawn, "chance (AUC 0.5)", [0, 1], [0, 1])
    by_split.draw(drawn, curves, ("fpr", "tpr"), "AUC", shown)
    drawn.update_xaxes(range=[-0.02, 1.02])
    drawn.update_yaxes(range=[-0.02, 1.02])
    return drawn
