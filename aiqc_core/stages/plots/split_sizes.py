"""How many samples are in each split and fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import plotly.graph_objects as go

ROW_PIXELS = 34
FRAME_PIXELS = 150


def data(
    splits: Mapping[str, int], folds: Sequence[Mapping[str, int]] = ()
) -> list[dict[str, Any]]:
    """Return a row for each split, and for each part of each fold.

    Args:
        splits: `{split: samples}`.
        folds: the same of each fold.

    Returns:
        `name, split, samples`, and `share` of all samples.

    >>> data({"train": 3, "test": 1})[1]["share"]
    0.25
    """
    total = sum(splits.values())
    named = [(split, split, count) for split, count in splits.items()]
    named += [
        (f"fold {idx}: {split}", split, count)
        for idx, fold in enumerate(folds)
        for split, count in fold.items()
        if split not in splits
    ]
    return [
        {"name": name, "split": split, "samples": count, "share": count / total}
        for name, split, count in named
    ]


def figure(rows: Sequence[Mapping[str, Any]], about: str = "") -> go.Figure:
    """Draw a bar for each row.

    Args:
        rows: what `data` gave.
        about: whose splits these are.
    """
    upwards = rows[::-1]
    names = [row["name"] for row in upwards]
    height = FRAME_PIXELS + ROW_PIXELS * len(rows)
    drawn = theme.blank("Split sizes", about, x="samples", y="", height=height)
    drawn.add_bar(
        x=[row["samples"] for row in upwards],
        y=names,
        orientation="h",
        marker={"color": [theme.split_color(row["split"]) for row in upwards]},
        text=[f"{row['samples']:,} · {row['share']:.1%}" for row in upwards],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x} samples<extra></extra>",
    )
    theme.name_ticks(drawn, "y", names, theme.LABEL_CHARACTERS + 8)
    drawn.update_yaxes(ticks="")
    drawn.update_xaxes(range=[0, 1.18 * max(row["samples"] for row in rows)])
    return drawn
