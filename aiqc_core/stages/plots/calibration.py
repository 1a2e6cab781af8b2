"""Whether probabilities mean what they say: what was predicted beside what came true."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

LEAST_PIXELS, MOST_PIXELS = 6, 22


def data(plot_data: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the calibration of each split of a classification of two classes.

    Args:
        plot_data: `{split: what evaluate.curves.plot_data gave}`.

    Returns:
        `split` and what `evaluate.calibration.calibration` gave.
    """
    return [
        {"split": split} | dict(of_split["calibration"])
        for split, of_split in plot_data.items()
        if of_split.get("calibration")
    ]


def figure(curves: Sequence[Mapping[str, Any]], about: str = "", *, positive: str) -> go.Figure:
    """Draw the observed share over the predicted one; a larger marker holds more samples.

    Args:
        curves: what `data` gave, at least one.
        about: whose they are.
        positive: the name of the positive class.
    """
    name = theme.escaped(theme.shorten(positive, theme.LABEL_CHARACTERS))
    drawn = theme.blank(
        "Calibration",
        about,
        x=f"predicted probability of {name} (mean of each bin)",
        y=f"observed share of {name}",
    )
    theme.chance_line(drawn, "perfect", [0, 1], [0, 1])
    for curve in curves:
        most = max(curve["counts"])
        span = MOST_PIXELS - LEAST_PIXELS
        drawn.add_scatter(
            x=curve["predicted"],
            y=curve["observed"],
            mode="lines+markers",
            name=f"{theme.escaped(curve['split'])} (Brier {theme.number(curve['brier_score'])}, "
            f"ECE {theme.number(curve['expected_calibration_error'])})",
            line={"color": theme.split_color(curve["split"])},
            marker={
                "size": [LEAST_PIXELS + span * (n / most) ** 0.5 for n in curve["counts"]],
                "opacity": 0.8,
            },
            customdata=curve["counts"],
            hovertemplate="predicted %{x:.3f}, observed %{y:.3f}<br>%{customdata} samples",
        )
    drawn.update_xaxes(range=[-0.03, 1.03])
    drawn.update_yaxes(range=[-0.03, 1.03])
    theme.legend_below(drawn)
    return drawn
