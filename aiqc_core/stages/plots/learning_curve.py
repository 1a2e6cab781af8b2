"""How a metric went over the epochs of a training, on the rows that train and that judge."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD_SHARE = 0.15
PREFIX = "val_"
FEW_EPOCHS = 10  # which each have a tick


def data(
    history: Mapping[str, Sequence[float]], *, skip_head: bool = True
) -> list[dict[str, Any]]:
    """Pair each metric with that of the evaluation split, `val_<metric>`.

    `skip_head` leaves out the first 15 % of the epochs, rounded down: their high losses would
    flatten the rest.

    Returns:
        For each metric `metric`, `epochs` (all), `epoch` (from 1), `train` and `evaluation` (None
        where there is none).
    """
    pairs: list[dict[str, Any]] = []
    for name in history:
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) in history:
            continue
        values, partner = list(history[name]), history.get(PREFIX + name)
        skipped = int(len(values) * HEAD_SHARE) if skip_head else 0
        shown: dict[str, Any] = {"metric": name, "epochs": len(values), "train": values[skipped:]}
        shown["epoch"] = list(range(skipped + 1, len(values) + 1))
        shown["evaluation"] = None if partner is None else list(partner)[skipped:]
        pairs.append(shown)
    return pairs


def figure(pair: theme.Row, about: str = "", *, unit: str | None = None) -> theme.Figure:
    """Draw one metric over the epochs."""
    metric, epochs = pair["metric"], pair["epoch"]
    skipped = pair["epochs"] - len(epochs)
    drawn = theme.blank(
        f"Learning curve: {theme.escaped(metric)}",
        about,
        x=f"epoch (the first {skipped} of {pair['epochs']} left out)" if skipped else "epoch",
        y=theme.titled(metric, unit),
    )
    for name, color in (("train", theme.BLUE), ("evaluation", theme.ORANGE)):
        if pair[name] is not None:
            drawn.add_scatter(x=epochs, name=name, **theme.series(pair[name], color))
    shown = [*pair["train"], *(pair["evaluation"] or [])]
    if not any(math.isfinite(value) for value in shown):
        drawn.add_annotation(text="no value is finite: the model diverged", showarrow=False)
    drawn.update_layout(showlegend=True, hovermode="x unified")
    dtick = 1 if len(epochs) <= FEW_EPOCHS else None
    drawn.update_xaxes(tickformat=",d", dtick=dtick)  # there is no epoch 1.5
    return drawn
