"""Check the order of rows against columns of times, where it is relied on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types

from aiqc_core.stages.ingest.content import TABULAR

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from aiqc_core.orm.tables.dataset import Dataset
    from aiqc_core.stages.preprocess.samples import FillStep

    Load = Callable[[list[str]], Any]

TIMES, WORDS, COUNTS = ("datetime", "timedelta"), ("str", "object", "category"), ("int", "uint")
LEAST_STEPS = 0.5  # times per row, from which their order is one of the rows too
MOST_BACK = 0.05  # of the rows, that may come late, as when clocks go back


def assumed(
    table: pd.DataFrame, fills: Sequence[FillStep], dtypes: Mapping[str, str], load: Load
) -> dict[str, int]:
    """Return how many blanks of which columns are filled by an order that nothing confirms.

    Enough times that never go back, or never forth, confirm it; so do whole numbers that count the
    rows up or down.

    Args:
        table: the rows, with the columns that are filled.
        fills: the interpolaters.
        dtypes: of all columns that the rows have, `{column: dtype}`.
        load: gives all rows of some of these.
    """
    columns = [name for fill in fills for name in fill.columns]
    counts = {name: int(np.count_nonzero(table[name].isna())) for name in columns}
    blanks = {name: count for name, count in counts.items() if count}
    return {} if not blanks or any(_confirms(v) for _, v in _known(dtypes, load)) else blanks


def contradicted(dtypes: Mapping[str, str], load: Load) -> dict[str, int]:
    """Return for each column of times how many rows come after a later one.

    Empty where few do, or where another column confirms a rising order.

    Args:
        dtypes: of all columns that the rows have, `{column: dtype}`.
        load: gives all rows of some of these.
    """
    found = {}
    for name, values in _known(dtypes, load):
        back = int(np.count_nonzero(values < np.maximum.accumulate(values)))
        if not back and _confirms(values):
            return {}
        if back > MOST_BACK * len(values) and not dtypes[name].lower().startswith(COUNTS):
            found[name] = back
    return found


def against(datasets: Sequence[Dataset]) -> dict[str, int]:
    """Return what is `contradicted` in the tables among some Datasets, each read once."""
    tables = {dataset.id: dataset for dataset in datasets if dataset.typ == TABULAR}
    found = [contradicted(table.get_dtypes(), table.to_df) for table in tables.values()]
    return {name: count for each in found for name, count in each.items()}


def warnings_of(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentences on the order of rows in a report of a cut, also of an old version."""
    of_blanks = sentence(report["order_assumed"] or {})
    of_times = contradiction(report.get("order_contradicted") or {})
    yield from filter(None, [of_blanks, of_times])


def sentence(blanks: Mapping[str, int]) -> str | None:
    """Return the warning of blanks that are filled by an assumed order; None without any."""
    if not blanks:
        return None
    return (
        f"blanks of {_listed(blanks)} are filled from the rows beside them, and nothing says that "
        "the rows are in order. Where they are, say time_ordered=True or register a column of "
        "times that rises; else fill them before registering."
    )


def contradiction(found: Mapping[str, int]) -> str | None:
    """Return the warning of rows that are not in the order of their times; None without any."""
    if not found:
        return None
    return (
        f"rows are taken to be in the order of time, but the times of {_listed(found)} go back "
        "(rows that come after a later one). Sort the rows by time before registering, unless "
        "these times are not when the rows were taken."
    )


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name!r} ({count})" for name, count in counts.items())


def _known(dtypes: Mapping[str, str], load: Load) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the columns that may show an order, as whole numbers without blanks."""
    kinds = (*TIMES, *WORDS, *COUNTS)
    names = [name for name, dtype in dtypes.items() if str(dtype).lower().startswith(kinds)]
    for name, column in (load(names) if names else pd.DataFrame()).items():
        known: Any = column.dropna()
        is_time = types.is_datetime64_any_dtype(known) or types.is_timedelta64_dtype(known)
        if not is_time and not types.is_any_real_numeric_dtype(known.dtype):
            text = known.astype(str)  # dates such as 2024-01-31; other text shows no order
            if not text.head().str.match(r"\d{4}-\d\d").all():
                continue
            known = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True)
            if known.isna().any():
                continue
        if len(known) > 1:
            yield str(name), known.astype("int64").to_numpy()


def _confirms(values: NDArray[Any]) -> bool:
    steps = np.diff(values)
    is_one_way = bool((steps >= 0).all() or (steps <= 0).all())
    return is_one_way and len(np.unique(values)) >= LEAST_STEPS * len(values)
