"""What a regression predicts beside what is true, in the label's own units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

MOST_POINTS = 4000


def data(
    true: Mapping[str, ArrayLike], predicted: Mapping[str, ArrayLike]
) -> list[dict[str, Any]]:
    """Return `split, true, predicted` of each split and the `count` of finite pairs.

    Values are `(samples,)` or one column; at most 4000 pairs are kept, evenly chosen.
    """
    pairs: list[dict[str, Any]] = []
    for split in true:
        both = np.stack([np.ravel(true[split]), np.ravel(predicted[split])]).astype(np.float64)
        both = both[:, np.isfinite(both).all(axis=0)]
        count = both.shape[1]
        if count > MOST_POINTS:
            both = both[:, np.linspace(0, count - 1, MOST_POINTS).round().astype(int)]
        x, y = both.tolist()
        pairs.append({"split": split, "true": x, "predicted": y, "count": count})
    return pairs


def figure(
    pairs: theme.Rows,
    about: str = "",
    *,
    name: str,
    unit: str | None = None,
    scores: Mapping[str, float] | None = None,
) -> theme.Figure:
    """Draw a point for each sample, and the diagonal on which both are equal.

    `name` is the label's column, and `scores`, `{split: r2}`, stands in the legend.
    """
    titled = theme.titled(name, unit)
    drawn = theme.blank("Predicted and true", about, x=f"true {titled}", y=f"predicted {titled}")
    every = [value for pair in pairs for value in (*pair["true"], *pair["predicted"])]
    if every:
        ends = [min(every), max(every)]
        theme.chance_line(drawn, "predicted = true", ends, ends)
    for pair in pairs:
        split = pair["split"]
        score = "" if scores is None else f" (r2 {theme.number(scores[split])})"
        marker = theme.marker(split) | {"opacity": 0.6, "size": 7}
        legend, x, y = theme.escaped(split) + score, pair["true"], pair["predicted"]
        drawn.add_scatter(x=x, y=y, mode="markers", name=legend, marker=marker)
    drawn.update_layout(showlegend=True)
    return drawn
