"""Hypothesis strategies for the tables that users have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMERIC = ("bool", "int8", "int64", "uint64", "float16", "float32", "float64")
NULLABLE = ("boolean", "Int8", "Int64", "UInt64", "Float32", "Float64")
TIMES = ("datetime64[s]", "datetime64[ns]", "timedelta64[ms]", "datetime64[us, Europe/Paris]")
DTYPES = (*NUMERIC, *NULLABLE, *TIMES, "str", "string", "category")


@st.composite
def columns(draw: st.DrawFn, rows: int, dtype: str) -> pd.Series:
    """One column of a dtype, with blanks where the dtype has them."""
    if dtype in NUMERIC:
        return pd.Series(draw(hnp.arrays(dtype, rows)))
    if dtype in NULLABLE:
        plain = draw(hnp.arrays(_plain(dtype), rows, elements=_no_nan(dtype)))
        return pd.Series(plain).astype(dtype).mask(draw(hnp.arrays(bool, rows)))
    if dtype in TIMES:
        steps = draw(hnp.arrays("int64", rows, elements=st.integers(-(10**9), 10**9)))
        unit = "timedelta64[ms]" if dtype.startswith("timedelta") else "datetime64[s]"
        column = pd.Series(steps.view(unit)).mask(draw(hnp.arrays(bool, rows)))
        return column.dt.tz_localize("UTC").astype(dtype) if "," in dtype else column.astype(dtype)
    texts = draw(st.lists(st.none() | TEXT, min_size=rows, max_size=rows))
    if dtype == "category":
        known = sorted({text for text in texts if text is not None} | {"never seen"})
        return pd.Series(pd.Categorical(texts, known[::-1], ordered=draw(st.booleans())))
    return pd.Series(texts, dtype=dtype)


@st.composite
def frames(
    draw: st.DrawFn, dtypes: tuple[str, ...] = DTYPES, max_rows: int = 12, max_columns: int = 4
) -> pd.DataFrame:
    """A table with a default index and unique names, each column of one of the dtypes."""
    rows = draw(st.integers(1, max_rows))
    names = draw(st.lists(TEXT, min_size=1, max_size=max_columns, unique=True))
    return pd.DataFrame(
        {name: draw(columns(rows, draw(st.sampled_from(dtypes)))) for name in names}
    )


@st.composite
def numbers(
    draw: st.DrawFn, min_rows: int = 4, max_rows: int = 20, limit: float = 1e6
) -> pd.DataFrame:
    """A table of two finite float columns, as an encoder takes it.

    Without subnormal numbers: between two of them encoders divide by what is as good as nothing.
    """
    shape = (draw(st.integers(min_rows, max_rows)), 2)
    plain = st.floats(-limit, limit, allow_subnormal=False)
    values: Any = draw(hnp.arrays(np.float64, shape, elements=plain))
    return pd.DataFrame(values, columns=["a", "b"])


def _plain(dtype: str) -> str:
    return "bool" if dtype == "boolean" else dtype.lower()


def _no_nan(dtype: str) -> Any:
    width = int(dtype[-2:]) if dtype.startswith("Float") else None
    return None if width is None else st.floats(allow_nan=False, width=width)  # type: ignore[arg-type]
