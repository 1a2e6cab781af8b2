"""Whether probabilities mean what they say: what was predicted beside what came true."""

from __future__ import annotations

from typing import Any

from aiqc_core.stages.plots import theme

LEAST_PIXELS, MOST_PIXELS = 6, 22


def data(plot_data: theme.BySplit) -> list[dict[str, Any]]:
    """Return `split` and what `evaluate.curves.calibration` returned, for two classes."""
    return [
        {"split": split} | dict(of_split["calibration"])
        for split, of_split in plot_data.items()
        if of_split.get("calibration")
    ]


def figure(curves: theme.Rows, about: str = "", *, positive: str) -> theme.Figure:
    """Draw the observed share of the positive class over the predicted one.

    A larger marker holds more samples.
    """
    name = theme.label(positive)
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
        sizes = [LEAST_PIXELS + span * (n / most) ** 0.5 for n in curve["counts"]]
        brier, error = curve["brier_score"], curve["expected_calibration_error"]
        scores = f"Brier {theme.number(brier)}, ECE {theme.number(error)}"
        drawn.add_scatter(
            x=curve["predicted"], y=curve["observed"], mode="lines+markers",
            name=f"{theme.escaped(curve['split'])} ({scores})",
            line={"color": theme.split_color(curve["split"])},
            marker={"size": sizes, "opacity": 0.8}, customdata=curve["counts"],
            hovertemplate="predicted %{x:.3f}, observed %{y:.3f}<br>%{customdata} samples",
        )  # fmt: skip
    theme.unit_square(drawn, margin=0.03)
    below = {"orientation": "h", "x": 0, "y": -0.2, "yref": "paper", "yanchor": "top"}
    drawn.update_layout(showlegend=True, legend=below)  # its names are long
    return drawn
