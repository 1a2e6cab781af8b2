"""Curves of several splits, and of several classes, in one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

ROW_PIXELS = 20
FRAME_PIXELS = 190
MENU_PIXELS = 68  # from the plot to the line of the title
MARGIN_PIXELS = 122


def draw(
    drawn: go.Figure,
    curves: Sequence[Mapping[str, Any]],
    axes: tuple[str, str],
    score: str,
    shown: str | None = None,
    **line: Any,
) -> None:
    """Draw a line for each curve: of one class a colour a split, else one split and a menu.

    Args:
        drawn: the figure.
        curves: each has `split`, `class`, the values of both axes, and what the legend tells.
        axes: which values are x and y.
        score: which value the legend tells, in capitals.
        shown: the split that a figure of several classes shows first; the last by default.
        line: what all lines have beside their colour.
    """
    x, y = axes
    classes = list(dict.fromkeys(curve["class"] for curve in curves))
    splits = list(dict.fromkeys(curve["split"] for curve in curves))
    several = len(classes) > 1
    first = first_shown(splits, shown)
    for curve in curves:
        name = curve["class"] if several else curve["split"]
        plain = {"color": theme.split_color(curve["split"]), "width": 2}
        drawn.add_scatter(
            x=curve[x],
            y=curve[y],
            mode="lines",
            name=f"{theme.escaped(theme.shorten(name, theme.LABEL_CHARACTERS))} "
            f"({score} {theme.number(curve[score.lower()])})",
            line=(theme.style(classes.index(name)) if several else plain) | line,
            visible=not several or curve["split"] == first,
            meta=curve["split"],
        )
    height = max(theme.HEIGHT, FRAME_PIXELS + ROW_PIXELS * len(classes))
    drawn.update_layout(height=height, legend={"tracegroupgap": 0})
    if several and len(splits) > 1:
        _add_menu(drawn, splits, first, height)
    drawn.update_layout(showlegend=True, legend={"title": {"text": f"split: {first}"}})
    if not several:
        drawn.update_layout(legend={"title": {"text": f"class: {theme.escaped(classes[0])}"}})


def first_shown(splits: Sequence[str], shown: str | None) -> str:
    """Return the split that is asked for, if it is there, else the last."""
    return shown if shown is not None and shown in splits else splits[-1]


def _add_menu(drawn: go.Figure, splits: Sequence[str], first: str, height: int) -> None:
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
    drawn.update_layout(
        updatemenus=[
            {
                "buttons": buttons,
                "active": list(splits).index(first),
                "x": 1,
                "xanchor": "right",
                "y": 1 + MENU_PIXELS / (height - MARGIN_PIXELS),
                "yanchor": "top",
            }
        ]
    )
