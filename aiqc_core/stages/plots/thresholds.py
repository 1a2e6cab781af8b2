"""What each threshold would do: precision, recall, F1 and specificity of two classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping

    import plotly.graph_objects as go

HALF = 0.5
METRICS = ("precision", "recall", "f1", "specificity")


def data(plot_data: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, list[float]]]:
    """Return `{split: {threshold, precision, recall, f1, specificity}}`, where it is defined.

    Args:
        plot_data: `{split: what evaluate.curves.plot_data gave}`.
    """
    return {
        split: dict(of_split["thresholds"])
        for split, of_split in plot_data.items()
        if of_split.get("thresholds")
    }


def figure(
    found: Mapping[str, list[float]],
    about: str = "",
    *,
    split: str,
    positive: str,
    inclusive: bool = False,
) -> go.Figure:
    """Draw the metrics of one split over the threshold; a step holds until the next.

    Args:
        found: what `data` gave of the split.
        about: whose model it is.
        split: which it is.
        positive: the name of the positive class.
        inclusive: whether a sample is called so at the threshold too.
    """
    name = theme.escaped(theme.shorten(positive, theme.LABEL_CHARACTERS))
    drawn = theme.blank(
        f"Thresholds: {theme.escaped(split)}",
        about,
        x=f"probability {'from' if inclusive else 'above'} which a sample is called {name}",
        y="metric",
    )
    for idx, metric in enumerate(METRICS):
        drawn.add_scatter(
            x=found["threshold"],
            y=found[metric],
            mode="lines",
            name=metric,
            line=theme.style(idx) | {"shape": "hv"},
        )
    drawn.add_shape(type="line", x0=HALF, x1=HALF, y0=0, y1=1, line=theme.CHANCE)
    drawn.update_xaxes(range=[-0.02, 1.02])
    drawn.update_yaxes(range=[-0.02, 1.02])
    drawn.update_layout(hovermode="x unified")
    return drawn
