"""Curves of several splits, and of several classes, in one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROW_PIXELS = 20
FRAME_PIXELS = 190
MENU_PIXELS = 68  # from the plot to the line of the title
MARGIN_PIXELS = 122


def curves(
    plot_data: theme.BySplit,
    kind: str,
    axes: tuple[str, str],
    classes: Sequence[str],
    scores: Callable[[theme.Row, theme.Row, int], dict[str, float]],
) -> list[dict[str, Any]]:
    """Return the curve of each split and class that has one.

    Args:
        plot_data: see `plots`.
        kind: `'roc_curve'` or `'precision_recall'`.
        axes: the names of its x and y values.
        classes: see `plots`.
        scores: of a curve, its split's plot data and its class code.

    Returns:
        `split, class`, both axes and the scores.
    """
    return [
        {"split": split, "class": classes[code]}
        | {axis: curve[axis] for axis in axes}
        | scores(curve, of_split, code)
        for split, of_split in plot_data.items()
        for code, curve in of_split[kind].items()
    ]


def draw(
    drawn: theme.Figure,
    curves: theme.Rows,
    axes: tuple[str, str],
    score: str,
    shown: str | None = None,
    **line: Any,
) -> None:
    """Draw a line for each curve: of one class a colour a split, else one split and a menu.

    Args:
        drawn: the figure.
        curves: see `curves`, at least one.
        axes: which values are x and y, both from 0 to 1.
        score: which value the legend shows, in capitals.
        shown: see `plots`.
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
            name=f"{theme.label(name)} ({score} {theme.number(curve[score.lower()])})",
            line=(theme.style(classes.index(name)) if several else plain) | line,
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


def first_shown(splits: Sequence[str], shown: str | None) -> str:
    """Return the split that is asked for, if it is there, else the last."""
    return shown if shown is not None and shown in splits else splits[-1]


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
    menu = {
        "buttons": buttons,
        "active": list(splits).index(first),
        "x": 1,
        "xanchor": "right",
        "y": 1 + MENU_PIXELS / (height - MARGIN_PIXELS),
        "yanchor": "top",
    }
    drawn.update_layout(updatemenus=[menu])
