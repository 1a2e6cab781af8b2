"""What each threshold would do: precision, recall, F1 and specificity of two classes."""

from __future__ import annotations

from aiqc_core.stages.plots import theme

HALF = 0.5
METRICS = ("precision", "recall", "f1", "specificity")


def data(plot_data: theme.BySplit) -> dict[str, dict[str, list[float]]]:
    """Return `{split: {threshold, precision, recall, f1, specificity}}`, where it is defined."""
    return {
        split: dict(of_split["thresholds"])
        for split, of_split in plot_data.items()
        if of_split.get("thresholds")
    }


def figure(
    found: theme.Row, about: str = "", *, split: str, positive: str, inclusive: bool = False
) -> theme.Figure:
    """Draw the metrics of a split over the threshold; a step holds until the next.

    `positive` is the name of the positive class; `inclusive` calls a sample at the threshold so.
    """
    drawn = theme.blank(
        f"Thresholds: {theme.escaped(split)}",
        about,
        x=f"probability {'from' if inclusive else 'above'} which a sample is called "
        f"{theme.label(positive)}",
        y="metric",
    )
    for idx, metric in enumerate(METRICS):
        line = theme.style(idx) | {"shape": "hv"}
        x, y = found["threshold"], found[metric]
        drawn.add_scatter(x=x, y=y, mode="lines", name=metric, line=line)
    drawn.add_shape(type="line", x0=HALF, x1=HALF, y0=0, y1=1, line=theme.CHANCE)
    theme.unit_square(drawn)
    drawn.update_layout(hovermode="x unified")
    return drawn
