from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from aiqc_core.errors import IngestError
from aiqc_core.ingest import tabular


def conform(column: object) -> pd.Series:
    return tabular.conform(pd.DataFrame({"a": column}))["a"]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["x", None], "str"),
        ([True, False], "bool"),
        ([True, None], "boolean"),
        ([1, 2], "int64"),
        ([2**62 + 1, None], "Int64"),
        ([1.5, None], "float64"),
        ([None, None], "float64"),
    ],
)
def test_python_objects_take_the_dtype_of_what_they_are(values: list[object], dtype: str) -> None:
    column = conform(pd.Series(values, dtype=object))
    assert str(column.dtype) == dtype
    assert [v for v in column if not pd.isna(v)] == [v for v in values if v is not None]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "x", 2.5], r"\['int', 'str', 'float'\]; row 1 is 'x'"),
        (["x", None, 2], r"\['str', 'int'\]; row 2 is 2"),
        ([b"x"], r"\['bytes'\]; row 0"),
        ([[1], [2]], r"\['list'\]; row 0"),
        ([Decimal(1)], r"\['Decimal'\]; row 0"),
        ([dt.date(2020, 1, 1)], r"\['date'\]; row 0"),
        ([2**64], "int64"),
        (["\ud800"], "str cannot"),
    ],
)
def test_mixed_and_foreign_objects_are_refused_by_name_and_row(
    values: list[object], message: str
) -> None:
    with pytest.raises(IngestError, match=f"column 'a' .*{message}"):
        conform(pd.Series(values, dtype=object))


@pytest.mark.parametrize(
    "column",
    [
        np.array([1j]),
        pd.period_range("2020", periods=1, freq="D"),
        pd.arrays.SparseArray([0, 1]),
        pd.interval_range(0, 1),
        np.array([1.0], dtype=np.longdouble),
        pd.array([1], dtype="int64[pyarrow]"),
    ],
)
def test_dtypes_that_cannot_be_stored_are_refused_by_name(column: object) -> None:
    with pytest.raises(IngestError, match=r"column 'a' has dtype .*retype"):
        conform(column)


def test_categories_are_plain_values() -> None:
    kept = pd.Categorical(["b", None, "a"], categories=["b", "a", "z"], ordered=True)
    assert conform(kept).cat.categories.tolist() == ["b", "a", "z"]
    objects = pd.Categorical(["b"], categories=pd.Index(["b", "c"], dtype=object))
    assert str(conform(objects).cat.categories.dtype) == "str"
    nullable = pd.Categorical([3], categories=pd.array([3, 4], dtype="Int64"))
    assert conform(nullable).cat.categories.dtype == "int64"
    with pytest.raises(IngestError, match=r"column 'a' has categories of dtype datetime64"):
        conform(pd.Categorical(pd.to_datetime(["2020-01-01"])))
    with pytest.raises(IngestError, match="column 'a' has categories of dtype object"):
        conform(pd.Categorical(["x", 1]))


def test_a_zone_without_a_name_is_refused() -> None:
    zone = dt.timezone(dt.timedelta(hours=1), "mine")
    try:
        column = conform(pd.Series(pd.to_datetime(["2020-01-01"])).dt.tz_localize(zone))
    except IngestError as error:
        assert "column 'a' has dtype" in str(error)  # noqa: PT017 - pandas may learn its name
    else:
        assert column.dtype == pd.api.types.pandas_dtype(str(column.dtype))
