"""Columns that teach nothing: told when an encoder is fitted, and kept harmless."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.preprocess.encoders import (
    has_inverse,
    is_a,
    is_categorical,
    known_categories,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

ONE_HOT = ("OneHotEncoder", "LabelBinarizer")
HEAD_ROWS = 1000
MANY = 1000  # categories from which on a one-hot table is more likely a mistake
SAID_BETTER = r"Bins whose width|Feature \d+ is constant|Some values in column \d+ of the inverse"


@contextmanager
def told_by_us() -> Generator[None]:
    """Silence scikit-learn's own words on what this package tells by the column's name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=SAID_BETTER)
        yield


def settle(encoder: Any, columns: Sequence[str], values: NDArray[Any]) -> None:
    """Warn of columns that a fitted encoder can make nothing of, and make their inverse finite.

    Args:
        encoder: just fitted; the edges of a single bin are changed.
        columns: names of what it was fitted on.
        values: what it was fitted on, `(samples, columns)` or `(samples,)`.
    """
    table = values.reshape(len(values), -1)
    if is_a(encoder, "KBinsDiscretizer"):
        _settle_bins(encoder, columns, table)
        return
    _tell_many(encoder, columns)
    if len(table) > 1 and not is_categorical(encoder) and table.dtype.kind in "iuf":
        constant = [columns[i] for i in _constant(table)]
        if constant:
            warnings.warn(
                f"columns {constant} are constant in the rows that {encoder!r} was fitted on: "
                "encoded they teach nothing. Leave them out with exclude_columns.",
                stacklevel=5,
            )


def _constant(table: NDArray[Any]) -> list[int]:
    """Return the positions of constant columns; most vary within the first rows already."""
    likely = np.flatnonzero((table[:HEAD_ROWS] == table[0]).all(axis=0)).tolist()
    return [i for i in likely if (table[:, i] == table[0, i]).all()]


def _tell_many(encoder: Any, columns: Sequence[str]) -> None:
    if is_a(encoder, *ONE_HOT) and has_inverse(encoder):  # without, it merges rare ones
        for name, known in zip(columns, known_categories(encoder) or [], strict=True):
            if len(known) > MANY:
                warnings.warn(
                    f"column {name!r} has {len(known)} categories, each of which {encoder!r} "
                    "makes a column. Leave it a number if it measures; else merge rare ones.",
                    stacklevel=6,
                )


def _settle_bins(encoder: Any, columns: Sequence[str], table: NDArray[Any]) -> None:
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
        if not np.isfinite(edges).all():  # of a constant: from -inf to inf, whose middle is NaN
            encoder.bin_edges_[index] = np.full(len(edges), table[0, index], dtype=float)
