"""Whether the order of rows means anything, where blanks are filled from the rows beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

    from aiqc_core.preprocess.samples import FillStep


def assumed(
    table: pd.DataFrame,
    fills: Sequence[FillStep],
    dtypes: Mapping[str, str],
    load: Callable[[list[str]], Any],
) -> dict[str, int]:
    """Return how many blanks of which columns are filled by an order that nothing vouches for.

    A column of times that never goes back vouches for it.

    Args:
        table: the rows, with the columns that are filled.
        fills: the interpolaters.
        dtypes: of all columns that the rows have, `{column: dtype}`.
        load: gives all rows of some of these.
    """
    columns = [name for fill in fills for name in fill.columns]
    counts = {name: int(np.count_nonzero(table[name].isna())) for name in columns}
    blanks = {name: count for name, count in counts.items() if count}
    times = [name for name, kind in dtypes.items() if str(kind).startswith("datetime64")]
    if not blanks or not times:
        return blanks
    known = load(times)
    in_time = any(known[name].is_monotonic_increasing for name in times)
    return {} if in_time else blanks


def sentence(blanks: Mapping[str, int]) -> str | None:
    """Return what to say of such blanks, None of none."""
    if not blanks:
        return None
    shown = ", ".join(f"{name!r} ({count})" for name, count in blanks.items())
    return (
        f"blanks of {shown} are filled from the rows beside them, and nothing says that the rows "
        "are in order. Where they are, say time_ordered=True or register a column of times that "
        "rises; else fill them before registering."
    )
