"""Columns that a model learns nothing from: warned about when an encoder is fitted."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.preprocess.encoders import (
    has_inverse,
    is_a,
    is_categorical,
    known_categories,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.preprocess.values import Array

ONE_HOT = ("OneHotEncoder", "LabelBinarizer")
HEAD_ROWS = 1000
MANY = 1000  # categories from which on a one-hot table is more likely a mistake


def settle(encoder: Any, columns: Sequence[str], values: Array) -> None:
    """Warn about columns that give a fitted encoder nothing, and make their inverse finite.

    Args:
        encoder: just fitted; the edges of a single bin are changed.
        columns: the names of `values`.
        values: what it was fitted on, `(samples, columns)` or `(samples,)`.
    """
    rows = values.reshape(len(values), -1)
    if is_a(encoder, "KBinsDiscretizer"):
        _settle_bins(encoder, columns, rows)
        return
    if is_a(encoder, *ONE_HOT) and has_inverse(encoder):  # without, it merges rare ones
        for name, known in zip(columns, known_categories(encoder) or [], strict=True):
            if len(known) > MANY:
                warnings.warn(
                    f"column {name!r} has {len(known)} categories, each of which {encoder!r} "
                    "makes a column. Leave it a number if it measures; else merge rare ones.",
                    stacklevel=5,
                )
    if len(rows) > 1 and not is_categorical(encoder) and rows.dtype.kind in "iuf":
        # Most columns vary within the first rows already.
        likely = np.flatnonzero((rows[:HEAD_ROWS] == rows[0]).all(axis=0)).tolist()
        constant = [columns[i] for i in likely if (rows[:, i] == rows[0, i]).all()]
        if constant:
            warnings.warn(
                f"columns {constant} are constant in the rows that {encoder!r} was fitted on: "
                "encoded they teach nothing. Leave them out with exclude_columns.",
                stacklevel=5,
            )


def _settle_bins(encoder: Any, columns: Sequence[str], rows: Array) -> None:
    asked = np.broadcast_to(encoder.n_bins, len(columns))
    for index, name in enumerate(columns):
        kept = int(encoder.n_bins_[index])
        if kept == asked[index]:
            continue
        warnings.warn(
            f"column {name!r}: its values allow {kept} of the {asked[index]} bins of {encoder!r}"
            f"{', so that it teaches nothing' if kept == 1 else ''}. Use fewer bins, or "
            "strategy='uniform'.",
            stacklevel=6,
        )
        edges = encoder.bin_edges_[index]
        if not np.isfinite(edges).all():  # a constant has -inf and inf, and their middle is NaN
            encoder.bin_edges_[index] = np.full(len(edges), rows[0, index], dtype=float)
