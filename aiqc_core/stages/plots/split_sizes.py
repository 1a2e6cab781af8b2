"""How many samples are in each split and fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.stages.plots import theme

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROW_PIXELS = 34
FRAME_PIXELS = 150


def data(
    splits: Mapping[str, int], folds: Sequence[Mapping[str, int]] = ()
) -> list[dict[str, Any]]:
    """Return `name, split, samples, share` of each split and each part of each fold.

    Both arguments hold `{split: samples}`; `share` is of all samples.
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


def figure(rows: theme.Rows, about: str = "") -> theme.Figure:
    """Draw a bar for each row."""
    upwards = rows[::-1]
    height = FRAME_PIXELS + ROW_PIXELS * len(rows)
    drawn = theme.blank("Split sizes", about, x="samples", y="", height=height)
    theme.bars(
        drawn,
        [row["name"] for row in rows],
        theme.LABEL_CHARACTERS + 8,
        x=[row["samples"] for row in upwards],
        marker={"color": [theme.split_color(row["split"]) for row in upwards]},
        text=[f"{row['samples']:,} · {row['share']:.1%}" for row in upwards],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x} samples<extra></extra>",
    )
    drawn.update_xaxes(range=[0, 1.18 * max(row["samples"] for row in rows)])
    return drawn
