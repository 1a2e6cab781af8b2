"""ROC: how many of a class are found, at what share of false alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import by_split, theme

if TYPE_CHECKING:
    from collections.abc import Sequence

AXES = ("fpr", "tpr")


def data(plot_data: theme.BySplit, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return `split, class, fpr, tpr, auc` (the area, by the trapezoidal rule) of each curve."""
    from sklearn.metrics import auc

    return by_split.curves(
        plot_data, "roc_curve", AXES, classes,
        lambda curve, *_: {"auc": float(auc(curve["fpr"], curve["tpr"]))},
    )  # fmt: skip


def figure(curves: theme.Rows, about: str = "", *, shown: str | None = None) -> theme.Figure:
    """Draw the curves and the diagonal of chance."""
    drawn = theme.blank(
        "ROC curve", about, x="false positive rate", y="true positive rate (recall)"
    )
    theme.chance_line(drawn, "chance (AUC 0.5)", [0, 1], [0, 1])
    by_split.draw(drawn, curves, AXES, "AUC", shown)
    return drawn
