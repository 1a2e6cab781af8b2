"""A column before and after its blanks were filled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MOST_ROWS = 3000
HEAD_ROWS = 100


def data(before: ArrayLike, after: ArrayLike) -> dict[str, Any]:
    """Return the column before and after, `(rows,)`, NaN where it is blank, and its blanks.

    Returns:
        `row, before` (None where blank), `filled_row, filled` (what a blank became; None where it
        stayed one), `blanks` and `rows` (counts). With more than 3000 rows, those around the
        first blank.
    """
    raw = np.asarray(before, dtype=np.float64)
    whole = np.asarray(after, dtype=np.float64)
    blank = np.flatnonzero(np.isnan(raw))
    first = 0
    if len(raw) > MOST_ROWS and blank.size:
        first = min(max(int(blank[0]) - HEAD_ROWS, 0), len(raw) - MOST_ROWS)
    shown = np.arange(first, min(first + MOST_ROWS, len(raw)))
    within = blank[(blank >= first) & (blank < first + MOST_ROWS)]
    return {
        "row": shown.tolist(),
        "before": _or_none(raw[shown]),
        "filled_row": within.tolist(),
        "filled": _or_none(whole[within]),
        "blanks": len(blank),
        "rows": len(raw),
    }


def figure(
    found: theme.Row, about: str = "", *, column: str, unit: str | None = None
) -> theme.Figure:
    """Draw the column with its gaps, and what fills them."""
    name = f"column {column}" if column.isdigit() else column
    drawn = theme.blank(
        f"Interpolation: {found['blanks']} of {found['rows']} rows were blank",
        about,
        x="row",
        y=theme.titled(name, unit),
    )
    drawn.add_scatter(
        x=found["row"], name="measured", **theme.series(found["before"], theme.BLUE, 1.5)
    )
    dots = {"color": theme.ORANGE, "size": 5}
    x, y = found["filled_row"], found["filled"]
    drawn.add_scatter(x=x, y=y, mode="markers", name="filled", marker=dots)
    drawn.update_layout(showlegend=True)
    return drawn


def _or_none(values: Any) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
