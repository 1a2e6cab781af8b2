"""What all figures share: colours, titles that fit, names that do not overlap."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from aiqc_core import counts

Figure = go.Figure
Row = Mapping[str, Any]
Rows = Sequence[Row]
BySplit = Mapping[str, Row]

HEIGHT = 480
SHORTEST, LONGEST = 10, 20_000  # pixels of a side; plotly takes none below
# Okabe & Ito (2008), "Color Universal Design": colour-blind readers can tell them apart.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER, DARK, GREY = "#56B4E9", "#E69F00", "#333333", "#9AA0A6"
CYCLE = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, DARK)
DASHES = ("solid", "dash", "dot", "dashdot")
SPLIT_COLORS = {
    "train": BLUE,
    "folds_train_combined": BLUE,
    "validation": ORANGE,
    "fold_validation": ORANGE,
    "test": GREEN,
}
SYMBOLS = {"validation": "diamond", "fold_validation": "diamond", "test": "square"}
CHANCE = {"color": GREY, "width": 1.5, "dash": "dash"}
SUBTITLE_CHARACTERS = 110
LABEL_CHARACTERS = 28
ELLIPSIS = "…"
SIDE_BY_SIDE = 90  # characters


def split_color(split: str) -> str:
    """Return the colour of a split, the same in every figure; purple for an inference."""
    return SPLIT_COLORS.get(split, PURPLE)


def marker(split: str) -> dict[str, Any]:
    """Return colour and shape of a split's points, the same in every figure."""
    return {"color": split_color(split), "symbol": SYMBOLS.get(split, "circle")}


def style(idx: int) -> dict[str, Any]:
    """Return the line of the n-th series: colours first, then dashes."""
    dash = DASHES[idx // len(CYCLE) % len(DASHES)]
    return {"color": CYCLE[idx % len(CYCLE)], "dash": dash, "width": 2}


def shorten(text: str, limit: int) -> str:
    """Return a text with its middle left out where it is longer than the limit.

    >>> shorten("mean radius (worst)", 11)
    'mean …orst)'
    """
    if len(text) <= limit:
        return text
    head = limit // 2
    tail = limit - 1 - head
    return text[:head] + ELLIPSIS + (text[-tail:] if tail else "")


def labels(values: Sequence[str], limit: int = LABEL_CHARACTERS) -> list[str]:
    """Return what to write for some names: short, escaped, and each one once.

    >>> labels(["<=50K", "<=50K "], 8)
    ['&lt;=50K', '&lt;=50K ']
    """
    shown: dict[str, None] = {}
    for value in values:
        name = short = shorten(value, limit)
        number = 1
        while name in shown:
            number += 1
            name = f"{short} ({number})"
        shown[name] = None
    return [escaped(text) for text in shown]


def label(name: str) -> str:
    """Return a name as a legend or a title shows it: short and escaped."""
    return escaped(shorten(name, LABEL_CHARACTERS))


def titled(name: str, unit: str | None) -> str:
    """Return the title of an axis, with its unit if it has one."""
    return escaped(name if unit is None else f"{name} ({unit})")


def escaped(text: str) -> str:
    """Return a text that plotly shows as it is: it reads a part of HTML."""
    return html.escape(text, quote=False)


def blank(title: str, about: str = "", *, x: str, y: str, height: int | None = None) -> Figure:
    """Return an empty figure, 480 pixels high by default; `x` and `y` are titles of its axes."""
    if height is not None:
        wanted = f"pixels, {SHORTEST} to {LONGEST}"
        counts.real("height", height, lambda pixels: SHORTEST <= pixels <= LONGEST, wanted)
    subtitle = {"text": escaped(shorten(about, SUBTITLE_CHARACTERS)), "font": {"size": 12}}
    heading = {"text": title, "subtitle": subtitle, "x": 0.01, "xanchor": "left"}
    axis = {"automargin": True, "zeroline": False, "linecolor": GREY, "ticks": "outside"}
    return go.Figure(
        layout={
            "template": "plotly_white",
            "title": heading | {"y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}},
            "xaxis": axis | {"title": {"text": x}},
            "yaxis": axis | {"title": {"text": y}},
            "height": HEIGHT if height is None else height,
            "margin": {"l": 60, "r": 20, "t": 72, "b": 50},
            "legend": {"font": {"size": 12}},
            "hoverlabel": {"align": "left", "namelength": -1},
            "colorway": CYCLE,
        }
    )


def name_ticks(
    figure: Figure, axis: str, values: Sequence[str], limit: int = LABEL_CHARACTERS
) -> None:
    """Put names on the axis `'x'` or `'y'`, in the order given, each at most `limit` characters.

    Long names on x are tilted.
    """
    shown = labels(values, limit)
    ticks = {"tickmode": "array", "tickvals": list(values), "ticktext": shown}
    order = {"categoryorder": "array", "categoryarray": list(values)}
    named: dict[str, Any] = {"type": "category"} | order | ticks
    longest = max((len(text) for text in shown), default=0)
    if axis == "x" and (longest + 2) * len(shown) > SIDE_BY_SIDE:
        named["tickangle"] = -45
    figure.update_layout({f"{axis}axis": named})


def bars(figure: Figure, names: Sequence[str], limit: int, **options: Any) -> None:
    """Draw horizontal bars, the first name on top; `options` hold values from the last name on."""
    upwards = names[::-1]  # an axis of bars grows from below
    figure.add_bar(y=upwards, orientation="h", **options)
    name_ticks(figure, "y", upwards, limit)
    figure.update_yaxes(ticks="")


def unit_square(figure: Figure, margin: float = 0.02) -> None:
    """Let both axes run from 0 to 1, with a margin."""
    figure.update_xaxes(range=[-margin, 1 + margin])
    figure.update_yaxes(range=[-margin, 1 + margin])


def chance_line(figure: Figure, name: str, x: Sequence[float], y: Sequence[float]) -> None:
    """Draw a dashed grey line: what a model that knows nothing would reach."""
    figure.add_scatter(
        x=list(x), y=list(y), mode="lines", line=CHANCE, name=name, hoverinfo="skip"
    )


def series(values: Sequence[float | None], color: str, width: float = 2) -> dict[str, Any]:
    """Return how a line is drawn: a point between two gaps as a dot, as it would be invisible.

    >>> series([1.0, None, 2.0, 3.0], BLUE)["marker"]["size"]
    [6, 0, 0, 0]
    """
    there = [value is not None and math.isfinite(value) for value in values]
    beside = zip([False, *there[:-1]], there, [*there[1:], False], strict=True)
    sizes = [6 if here and not (before or after) else 0 for before, here, after in beside]
    drawn = {"y": values, "connectgaps": False, "line": {"color": color, "width": width}}
    if not any(sizes):
        return drawn | {"mode": "lines"}
    return drawn | {"mode": "lines+markers", "marker": {"color": color, "size": sizes}}


def number(value: float) -> str:
    """Return a number in four significant digits, and `undefined` for NaN."""
    return "undefined" if value != value else f"{value:.4g}"  # noqa: PLR0124 - true for NaN alone
