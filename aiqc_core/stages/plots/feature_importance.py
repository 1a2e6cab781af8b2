"""Which columns a model needs: how much its loss grows when one no longer fits its rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aiqc_core import counts
from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping

ROW_PIXELS = 26
FRAME_PIXELS = 150
NAME_CHARACTERS = 44


def data(columns: Mapping[str, Mapping[str, Any]], *, top_n: int | None = 10) -> dict[str, Any]:
    """Rank the columns of one feature, the most needed first; NaN comes last.

    `columns` is `{column: {"median": …, "loss_impacts": […]}}`; None keeps all.

    Returns:
        `columns, median, low, high` (of the permutations) as lists, and `count` (of all columns)
        and `permutations`.
    """
    ranked = sorted(
        columns.items(), key=lambda pair: (math.isnan(pair[1]["median"]), -pair[1]["median"])
    )[:top_n]
    return {
        "columns": [name for name, _ in ranked],
        "median": [entry["median"] for _, entry in ranked],
        "low": [min(entry["loss_impacts"]) for _, entry in ranked],
        "high": [max(entry["loss_impacts"]) for _, entry in ranked],
        "count": len(columns),
        "permutations": max(len(entry["loss_impacts"]) for entry in columns.values()),
    }


def figure(
    found: theme.Row, about: str = "", *, height: int | None = None, margin_left: int | None = None
) -> theme.Figure:
    """Draw a bar for each column, the most needed on top.

    By default it is as high as the columns need; `margin_left`, the room for names in pixels, is
    as wide as the longest.
    """
    names, medians = found["columns"], found["median"]
    shown = f"{len(names)} of {found['count']} columns"
    drawn = theme.blank(
        f"Permutation importance: {shown if len(names) < found['count'] else 'all columns'}",
        about,
        x=f"growth of the loss when permuted (median of {found['permutations']}, line: range)",
        y="",
        height=FRAME_PIXELS + ROW_PIXELS * len(names) if height is None else height,
    )
    above = [high - m for high, m in zip(found["high"], medians, strict=True)][::-1]
    below = [m - low for low, m in zip(found["low"], medians, strict=True)][::-1]
    spread = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    spread |= {"color": theme.DARK, "thickness": 1, "width": 3}
    theme.bars(
        drawn, names, NAME_CHARACTERS, x=medians[::-1], marker={"color": theme.BLUE},
        error_x=spread, hovertemplate="%{y}: %{x:.4g}<extra></extra>",
    )  # fmt: skip
    drawn.update_xaxes(zeroline=True, zerolinecolor=theme.GREY)
    if margin_left is not None:
        counts.real("margin_left", margin_left, lambda p: 0 <= p < theme.LONGEST, "pixels from 0")
        drawn.update_layout(margin={"l": margin_left}, yaxis={"automargin": False})
    return drawn
