"""Windows over the rows: the past that a model sees, and the future that it predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from aiqc_core.stages.preprocess.window import Windows

SHOWN_WINDOWS = 8
ROW_PIXELS = 30
FRAME_PIXELS = 190


def data(windows: Windows, *, shown: int = SHOWN_WINDOWS) -> dict[str, Any]:
    """Return the first and last row of the first `shown` windows, and of what they predict.

    Returns:
        `windows`, a dict each with `window, past, future` (a pair of rows; None where there is no
        future); and `count, rows, size_window, size_shift, lead` (rows before the first window).
    """
    last = windows.size_window - 1
    spans: list[dict[str, Any]] = []
    for idx in range(min(shown, windows.count)):
        start = windows.start(idx)
        ahead = windows.start(idx, shifted=True) if windows.record_shifted else None
        future = None if ahead is None else [ahead, ahead + last]
        spans.append({"window": idx, "past": [start, start + last], "future": future})
    return {
        "windows": spans,
        "count": windows.count,
        "rows": windows.samples,
        "size_window": windows.size_window,
        "size_shift": windows.size_shift,
        "lead": windows.lead,
    }


def figure(layout: theme.Row, about: str = "") -> theme.Figure:
    """Draw each window as a bar over its rows; the first is on top."""
    spans = layout["windows"]
    drawn = theme.blank(
        f"Windows: the first {len(spans)} of {layout['count']} "
        f"({layout['size_window']} rows, shifted by {layout['size_shift']})",
        about,
        x="row",
        y="window",
        height=FRAME_PIXELS + ROW_PIXELS * len(spans),
    )
    kinds = {
        "past": ("what the model sees", theme.BLUE, -0.17),
        "future": ("what it predicts", theme.ORANGE, 0.17),
    }
    for kind, (name, color, below) in kinds.items():
        x: list[float | None] = []
        y: list[float | None] = []
        for span in spans:
            if span[kind] is not None:
                first, last = span[kind]
                x += [first - 0.5, last + 0.5, None]
                y += [span["window"] + below, span["window"] + below, None]
        if x:
            drawn.add_scatter(x=x, y=y, mode="lines", name=name, line={"color": color, "width": 8})
    drawn.update_yaxes(autorange="reversed", dtick=1, showgrid=False)
    drawn.update_xaxes(rangemode="tozero")
    return drawn
