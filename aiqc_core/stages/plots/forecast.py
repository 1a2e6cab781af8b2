"""Forecasts of windows beside the truth; each row comes from one window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike


def data(
    starts: Mapping[str, Sequence[int]],
    true: Mapping[str, ArrayLike],
    predicted: Mapping[str, ArrayLike],
    *,
    size_shift: int,
) -> list[dict[str, Any]]:
    """Join the windows of each split in the order of their rows.

    A window gives the rows that its model has not seen: the last `size_shift`. `starts` has the
    first row of each window's target; `true` and `predicted` are `(windows, size_window)`, in the
    series' own units.

    Returns:
        `split, row, true, predicted`; None separates runs of rows that do not follow each other.
    """
    return [
        {"split": split} | _stitched(starts[split], true[split], predicted[split], size_shift)
        for split in starts
    ]


def figure(
    series: theme.Rows, about: str = "", *, column: str, unit: str | None = None, horizon: int
) -> theme.Figure:
    """Draw the truth as a dark line and the forecast of each split as a coloured one.

    `horizon` is how many rows each window forecasts.
    """
    drawn = theme.blank(
        f"Forecast and truth: {horizon} row{'s' * (horizon != 1)} ahead of each window",
        about,
        x="row",
        y=theme.titled(column, unit),
    )
    for idx, part in enumerate(series):
        line = theme.series(part["true"], theme.DARK, 1.5)
        once = {"legendgroup": "truth", "showlegend": idx == 0}
        drawn.add_scatter(x=part["row"], name="truth", **once, **line)
        line = theme.series(part["predicted"], theme.split_color(part["split"]), 1.5)
        name = f"forecast: {theme.escaped(part['split'])}"
        drawn.add_scatter(x=part["row"], name=name, **line)
    drawn.update_layout(hovermode="x unified", showlegend=True)
    return drawn


def _stitched(
    starts: Sequence[int], true: ArrayLike, predicted: ArrayLike, size_shift: int
) -> dict[str, Any]:
    truth, forecast = np.asarray(true, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    size = truth.shape[1]
    new = min(size, size_shift)
    row: list[int | None] = []
    true_values: list[float | None] = []
    predicted_values: list[float | None] = []
    for idx in np.argsort(starts):
        first = int(starts[idx]) + size - new
        if row and row[-1] is not None and row[-1] + 1 != first:
            for values in (row, true_values, predicted_values):
                values.append(None)
        row += range(first, first + new)
        true_values += truth[idx, size - new :].tolist()
        predicted_values += forecast[idx, size - new :].tolist()
    return {"row": row, "true": true_values, "predicted": predicted_values}
