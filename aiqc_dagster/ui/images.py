"""Plotly figures as pictures in Markdown: Dagster's UI shows pictures and runs no scripts.

matplotlib draws them, since plotly's exporter needs Chrome on the machine that trains: lines,
markers, bars, heat maps and titles, as in `aiqc_core.stages.plots`.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import plotly.graph_objects as go

INCHES = (7.2, 4.2)
DPI = 90
MARGINS = {"left": 0.13, "right": 0.97, "top": 0.9, "bottom": 0.14}  # for numbers along the axes
COLORS = 64  # lines, their soft edges and the steps of a heat map; a quarter of the bytes of all
ERRORS: dict[str, Any] = {"ecolor": "#333333", "elinewidth": 1, "capsize": 3}
DASHES = {"dash": "--", "dot": ":", "dashdot": "-.", "longdash": "--"}


def as_markdown(figure: go.Figure, title: str) -> dg.MarkdownMetadataValue:
    """Return a figure of one pair of axes as a picture in Markdown, with an alternative text."""
    data = base64.b64encode(png(figure)).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{data})")


def png(figure: go.Figure) -> bytes:
    """Return a figure as the bytes of a PNG, of few colours: Dagster keeps one for each cell."""
    # Imported where it is used: it takes half a second that steps without pictures need not wait.
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    every: Any = figure.data
    traces = [trace for trace in every if trace.visible is not False]
    drawn = Figure(figsize=INCHES, dpi=DPI)
    layout: Any = figure.layout
    is_named = any(trace.type in {"bar", "heatmap"} for trace in traces)
    if is_named or "category" in (layout.xaxis.type, layout.yaxis.type):
        drawn.set_layout_engine("constrained")  # names along an axis need room for their length
    else:  # half of the time, and a training draws one for each cell
        drawn.subplots_adjust(**MARGINS)
    canvas = FigureCanvasAgg(drawn)
    axes: Any = drawn.add_subplot()
    for trace in traces:
        DRAWERS[trace.type](axes, trace)
    _label(axes, layout, traces)
    if any(trace.name and trace.showlegend is not False for trace in traces):
        axes.legend(fontsize="small", frameon=False)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    file = io.BytesIO()
    few = image.quantize(COLORS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(file, format="png", optimize=True)
    return file.getvalue()


def _scatter(axes: Any, trace: Any) -> None:
    mode = trace.mode or "lines"
    style = DASHES.get(getattr(trace.line, "dash", None) or "", "-") if "lines" in mode else "none"
    color = _color(trace.line if "lines" in mode else trace.marker)
    points = np.asarray(trace.x), np.asarray(trace.y)
    x_spread, y_spread = _spread(trace.error_x), _spread(trace.error_y)
    if x_spread is not None or y_spread is not None:
        axes.errorbar(*points, y_spread, x_spread, fmt="none", **ERRORS)
    axes.plot(
        *points,
        linestyle=style,
        drawstyle="steps-post" if getattr(trace.line, "shape", None) == "hv" else "default",
        marker="o" if "markers" in mode else None,
        markersize=3,
        label=_text(trace.name) if trace.showlegend is not False else None,
        color=color,
    )


def _bar(axes: Any, trace: Any) -> None:
    label, color = _text(trace.name), _color(trace.marker)
    shown: dict[str, Any] = {"label": label, "color": color, "error_kw": ERRORS}
    if trace.orientation == "h":
        sizes, spread = np.asarray(trace.x), _spread(trace.error_x)
        bars = axes.barh(_texts(trace.y), sizes, xerr=spread, **shown)
    else:
        sizes, spread = np.asarray(trace.y), _spread(trace.error_y)
        bars = axes.bar(_texts(trace.x), sizes, yerr=spread, **shown)
    if trace.text is not None:
        axes.bar_label(bars, _texts(trace.text), padding=3, fontsize="small")


def _color(of: Any) -> Any:
    """Return the colour of a line, or those of markers and bars; None leaves the next one."""
    color = getattr(of, "color", None)
    if isinstance(color, str):
        return color if color.startswith("#") else None
    return list(color) if isinstance(color, tuple) and isinstance(color[0], str) else None


def _spread(error: Any) -> Any:
    """Return how far the lines of a trace reach to both sides of its values, None without."""
    if error.array is None:
        return None
    above = np.asarray(error.array, dtype=float)
    below = above if error.arrayminus is None else np.asarray(error.arrayminus, dtype=float)
    return np.vstack([below, above])


def _heatmap(axes: Any, trace: Any) -> None:
    values = np.asarray(trace.z, dtype=float)
    axes.imshow(values, cmap="Blues", aspect="auto")
    shown = values if trace.text is None else np.asarray(trace.text)
    rows, columns = values.shape
    axes.set_xticks(range(columns), _texts(range(columns) if trace.x is None else trace.x))
    axes.set_yticks(range(rows), _texts(range(rows) if trace.y is None else trace.y))
    middle = np.nanmean([np.nanmin(values), np.nanmax(values)])
    for row, column in np.ndindex(rows, columns):
        color = "white" if values[row, column] > middle else "black"
        text = _text(str(shown[row, column]))
        axes.text(column, row, text, ha="center", va="center", color=color, fontsize="small")


DRAWERS = {"scatter": _scatter, "scattergl": _scatter, "bar": _bar, "heatmap": _heatmap}


def _label(axes: Any, layout: Any, traces: list[Any]) -> None:
    axes.set_title(_text(layout.title.text), fontsize="medium")
    axes.set_xlabel(_text(layout.xaxis.title.text))
    axes.set_ylabel(_text(layout.yaxis.title.text))
    for name, axis in (("x", layout.xaxis), ("y", layout.yaxis)):
        if axis.type == "log":
            getattr(axes, f"set_{name}scale")("log")
        if axis.type == "category" and axis.ticktext is not None:
            getattr(axes, f"set_{name}ticks")(range(len(axis.ticktext)), _texts(axis.ticktext))
            axes.tick_params(axis=name, rotation=-(axis.tickangle or 0))
        if axis.type not in {"log", "category"} and _is_whole(traces, name):
            axes.locator_params(axis=name, integer=True)  # there is no epoch 1.5
        is_map = any(trace.type == "heatmap" for trace in traces)  # which begins above already
        if axis.autorange == "reversed" and not is_map:
            getattr(axes, f"invert_{name}axis")()
        if axis.range is not None and axis.type not in {"log", "category"}:
            getattr(axes, f"set_{name}lim")(*axis.range)
    for shape in layout.shapes or ():
        axes.plot([shape.x0, shape.x1], [shape.y0, shape.y1], "--", color="grey", linewidth=1)


def _is_whole(traces: list[Any], name: str) -> bool:
    """Say whether all that stands along a numeric axis is whole numbers, such as epochs."""
    held = [trace[name] for trace in traces if trace.type in {"scatter", "scattergl"}]
    values = [value for along in held if along is not None for value in along if value is not None]
    return bool(values) and all(isinstance(v, int | np.integer) for v in values)


def _text(text: str | None) -> str:
    plain = (text or "").replace("<br>", "\n").replace("<b>", "").replace("</b>", "")
    return html.unescape(plain).replace("$", r"\$")  # which matplotlib takes for mathematics


def _texts(values: Any) -> list[str]:
    return [_text(str(value)) for value in values]
