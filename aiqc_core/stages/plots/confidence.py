"""How sure a model is of one sample: the probability of each class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

HEIGHT = 175
HALF = 0.5
MOST_CLASSES = 12
CHARACTERS = 110  # of all names, side by side


def data(
    probabilities: ArrayLike, classes: Sequence[str], predicted: str, true: str | None = None
) -> dict[str, Any]:
    """Return `classes, probabilities, class_count, predicted, true` of one sample.

    `probabilities` are those of class 1 alone, or of each class; the 12 likeliest are kept.
    """
    values = np.asarray(probabilities, dtype=np.float64).ravel()
    if values.size == 1:
        values = np.array([1 - values[0], values[0]])
    kept = np.sort(np.argsort(-values, kind="stable")[:MOST_CLASSES])
    return {
        "classes": [classes[i] for i in kept],
        "probabilities": values[kept].tolist(),
        "class_count": len(classes),
        "predicted": predicted,
        "true": true,
    }


def figure(found: theme.Row, about: str = "", *, height: int = HEIGHT) -> theme.Figure:
    """Draw a bar for each class; the predicted one has a colour."""
    classes, values = found["classes"], found["probabilities"]
    left_out = found["class_count"] - len(classes)
    predicted, *known = theme.labels([found["predicted"], *filter(None, [found["true"]])])
    if found["true"] == found["predicted"]:
        known = [predicted]
    title = f"Confidence: predicted {predicted}" + "".join(f", true {name}" for name in known)
    below = f"{about} · the {len(classes)} likeliest classes" if left_out else about
    drawn = theme.blank(title, below, x="", y="probability", height=height)
    colors = [theme.BLUE if name == found["predicted"] else theme.GREY for name in classes]
    drawn.add_bar(
        x=classes, y=values, marker={"color": colors}, text=[f"{value:.1%}" for value in values],
        textposition="auto", hovertemplate="%{x}: %{y:.4f}<extra></extra>", showlegend=False,
    )  # fmt: skip
    theme.name_ticks(drawn, "x", classes, max(CHARACTERS // len(classes) - 2, 4))
    if found["class_count"] == 2:  # noqa: PLR2004 - the threshold of two classes
        drawn.add_hline(HALF, line=theme.CHANCE, layer="below")
    drawn.update_xaxes(tickangle=0)
    drawn.update_yaxes(range=[0, 1], tickvals=[0, HALF, 1], title={"font": {"size": 11}})
    small = {"font": {"size": 14}, "pad": {"t": 6}, "subtitle": {"font": {"size": 11}}}
    drawn.update_layout(margin={"t": 54, "b": 24}, title=small)  # as little as it takes
    return drawn
