"""What was forecast of each window beside what came, each row told by one window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go
    from numpy.typing import ArrayLike


def data(
    starts: Mapping[str, Sequence[int]],
    true: Mapping[str, ArrayLike],
    predicted: Mapping[str, ArrayLike],
    *,
    size_shift: int,
) -> list[dict[str, Any]]:
    """Lay the windows of each split one behind the other, in the order of their rows.

    Of a window only the rows that its model has not seen count: the last `size_shift`.

    Args:
        starts: `{split: first row of each window's target}`.
        true: `{split: (windows, size_window)}` in the series' own units.
        predicted: the same.
        size_shift: rows from a window to its target.

    Returns:
        `split, row, true, predicted`; None parts runs of rows that do not follow each other.
    """
    return [
        {"split": split} | _stitched(starts[split], true[split], predicted[split], size_shift)
        for split in starts
    ]


def figure(
    series: Sequence[Mapping[str, Any]],
    about: str = "",
    *,
    column: str,
    unit: str | None = None,
    horizon: int,
) -> go.Figure:
    """Draw the truth as a dark line and the forecast of each split as a coloured one.

    Args:
        series: what `data` gave.
        about: whose forecast it is.
        column: what is forecast.
        unit: of its values.
        horizon: rows that each window forecasts.
    """
    drawn = theme.blank(
        f"Forecast and truth: {horizon} row{'s' * (horizon != 1)} ahead of each window",
        about,
        x="row",
        y=theme.escaped(column if unit is None else f"{column} ({unit})"),
    )
    for idx, part in enumerate(series):
        drawn.add_scatter(
            x=part["row"],
            name="truth",
            legendgroup="truth",
            showlegend=idx == 0,
            **theme.series(part["true"], theme.DARK, 1.5),
        )
        drawn.add_scatter(
            x=part["row"],
            name=f"forecast: {theme.escaped(part['split'])}",
            **theme.series(part["predicted"], theme.split_color(part["split"]), 1.5),
        )
    drawn.update_layout(hovermode="x unified", showlegend=True)
    return drawn


def _stitched(
    starts: Sequence[int], true: ArrayLike, predicted: ArrayLike, size_shift: int
) -> dict[str, Any]:
    truth, forecast = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    size = truth.shape[1]
    new = min(size, size_shift)
    row: list[int | None] = []
    told: list[float | None] = []
    came: list[float | None] = []
    for idx in np.argsort(starts):
        first = int(starts[idx]) + size - new
        if row and row[-1] is not None and row[-1] + 1 != first:
            for values in (row, came, told):
                values.append(None)
        row += range(first, first + new)
        came += truth[idx, size - new :].tolist()
        told += forecast[idx, size - new :].tolist()
    return {"row": row, "true": came, "predicted": told}
