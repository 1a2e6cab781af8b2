"""Which classes are taken for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

CELL_PIXELS = 42
FRAME_PIXELS = 230
MOST_PIXELS = 1100
COUNTED_CLASSES = 30
HOVER = (
    "true: %{y}<br>predicted: %{x}<br>%{text} samples, %{z:.1%} of the true class<extra></extra>"
)
BAR = {"title": {"text": "share of the true class", "side": "right"}, "tickformat": ".0%"}
SCALE = [[0.0, "#F4F8FC"], [0.5, "#6BAED6"], [1.0, "#08306B"]]


def data(plot_data: theme.BySplit, classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return `split, classes, counts` (rows true, columns predicted) and `shares` of each split.

    Shares are of each row's sum; a class without a sample has zeros.
    """
    matrices: list[dict[str, Any]] = []
    for split, of_split in plot_data.items():
        counts = of_split["confusion_matrix"]
        shares = [[count / max(sum(row), 1) for count in row] for row in counts]
        named = {"split": split, "classes": list(classes)}
        matrices.append(named | {"counts": counts, "shares": shares})
    return matrices


def figure(matrix: theme.Row, about: str = "") -> theme.Figure:
    """Draw one matrix: counts as numbers, the share of each true class as colour."""
    classes, counts = matrix["classes"], matrix["counts"]
    samples = sum(map(sum, counts))
    right = sum(row[i] for i, row in enumerate(counts))
    drawn = theme.blank(
        f"Confusion matrix: {theme.escaped(matrix['split'])} "
        f"({right} of {samples} samples are right)",
        about,
        x="predicted class",
        y="true class",
        height=min(FRAME_PIXELS + CELL_PIXELS * max(len(classes), 5), MOST_PIXELS),
    )
    drawn.add_heatmap(
        z=matrix["shares"], x=classes, y=classes, text=counts,
        texttemplate="%{text}" if len(classes) <= COUNTED_CLASSES else None,
        colorscale=SCALE, zmin=0, zmax=1, xgap=1, ygap=1, colorbar=BAR, hovertemplate=HOVER,
    )  # fmt: skip
    theme.name_ticks(drawn, "x", classes)
    theme.name_ticks(drawn, "y", classes)
    drawn.update_yaxes(autorange="reversed", showgrid=False)
    drawn.update_xaxes(showgrid=False)
    return drawn
