from __future__ import annotations

import datetime as dt
import re
import uuid
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import tabular
from aiqc_core.stages.ingest.parquet import from_parquet, to_parquet


class Kind(Enum):
    """What a column may hold."""

    SMALL, LARGE = (0,), (1,)


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
        pd.period_range("2020", periods=1, freq="D"),
        pd.arrays.SparseArray([0, 1]),
        pd.interval_range(0, 1),
        np.array([1.0], dtype=np.longdouble),
    ],
)
def test_dtypes_that_cannot_be_stored_are_refused_by_name(column: object) -> None:
    with pytest.raises(IngestError, match=r"column 'a' has dtype .*retype"):
        conform(column)


DAY = dt.datetime(2020, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001 - as files hold them
JANUARY = pd.Timestamp(2020, 1, 1)
HOUR = dt.timezone(dt.timedelta(hours=1))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (pd.array([2**53 + 1, None], dtype="int64[pyarrow]"), "Int64"),
        (pd.array([1, 2], dtype="uint8[pyarrow]"), "uint8"),
        (pd.array([True, None], dtype="bool[pyarrow]"), "boolean"),
        (pd.array([0.5, None], dtype="float[pyarrow]"), "float32"),
        (pd.array(["x", None], dtype=pd.ArrowDtype(pa.large_string())), "str"),
        (pd.array([DAY, None], dtype=pd.ArrowDtype(pa.timestamp("us", "UTC"))), None),
        (pd.Series([DAY, None], dtype=object), "datetime64[us]"),
        (pd.Series([DAY.replace(tzinfo=dt.UTC)], dtype=object), "datetime64[us, UTC]"),
        (pd.Series([dt.timedelta(1), None], dtype=object), "timedelta64[us]"),
    ],
)
def test_what_pandas_has_a_dtype_for_is_taken_as_it_is(values: Any, dtype: str | None) -> None:
    column = conform(values)
    assert str(column.dtype) == (dtype or "datetime64[us, UTC]")
    assert [v for v in column if not pd.isna(v)] == [v for v in values if not pd.isna(v)]
    stored = from_parquet(to_parquet(pd.DataFrame({"a": column})))["a"]
    pd.testing.assert_series_equal(stored, column)


@pytest.mark.parametrize(
    ("values", "dtype", "kept"),
    [
        ([Decimal("1.10"), None], "float64", [1.1, None]),
        ([Decimal(2**60 + 1), None], "Int64", [2**60 + 1, None]),
        ([Decimal("1.12345678901234567891")], "str", ["1.12345678901234567891"]),
        ([dt.date(2020, 1, 2), None], "datetime64[s]", [pd.Timestamp(2020, 1, 2), None]),
        ([dt.date(2020, 1, 2), DAY], "datetime64[us]", [pd.Timestamp(2020, 1, 2), DAY]),
        ([DAY.replace(tzinfo=dt.UTC), DAY.replace(tzinfo=HOUR)], "datetime64[us, UTC]", None),
        ([dt.time(1, 2, 3, 4), None], "str", ["01:02:03.000004", None]),
        ([uuid.UUID(int=3), None], "str", [str(uuid.UUID(int=3)), None]),
        ([b"caf\xc3\xa9", None], "str", ["caf\u00e9", None]),
        ([1, 2.5, None], "float64", [1.0, 2.5, None]),
        ([2**53 + 1, 0.5, "x"], "str", [str(2**53 + 1), "0.5", "x"]),
        ([2**64 - 1], "uint64", [2**64 - 1]),
        ([2**64], "str", [str(2**64)]),
        ([True, 2], "str", ["True", "2"]),
        ([Decimal("0.5"), 2, None], "float64", [0.5, 2.0, None]),
        ([Decimal("0.5"), "2"], "str", ["0.5", "2"]),
        ([2**53 + 1, 0.5], "str", [str(2**53 + 1), "0.5"]),
        (pd.period_range("2020-01", periods=1, freq="M"), "datetime64[us]", [JANUARY]),
        (pd.interval_range(0, 1), "str", ["(0, 1]"]),
        (pd.arrays.SparseArray([0.5, np.nan]), "float64", [0.5, None]),
        (np.array([0.5], dtype=np.longdouble), "float64", [0.5]),
        (pd.Categorical(pd.to_datetime(["2020-01-01"])), "datetime64[us]", [JANUARY]),
        (pd.Categorical([Decimal("1.5")]), "float64", [1.5]),
        (pd.cut(pd.Series([1, 3]), [0, 2, 4]), "str", ["(0, 2]", "(2, 4]"]),
        ([Fraction(1, 2), None, 2], "float64", [0.5, None, 2.0]),
        ([PurePosixPath("/x"), None], "str", ["/x", None]),
        ([dt.date(2020, 1, 2), "x"], "str", ["2020-01-02", "x"]),
    ],
)  # fmt: skip
def test_the_remedy_that_is_named_keeps_every_value(
    values: Any, dtype: str, kept: list[Any] | None
) -> None:
    if isinstance(values, list):
        values = pd.Series(values, dtype=object)
    frame = pd.DataFrame({"a": values})
    with pytest.raises(IngestError, match=r"column 'a' .*retype=\{'a': '(.*?)'\}") as caught:
        tabular.conform(frame)
    assert f"retype={{'a': '{dtype}'}}" in str(caught.value)
    column = tabular.conform(frame, retype={"a": dtype})["a"]
    pd.testing.assert_series_equal(column, tabular.conform(frame.astype({"a": dtype}))["a"])
    found = [None if pd.isna(v) else v for v in column]
    assert found == ([pd.Timestamp(v) for v in values] if kept is None else kept)


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        ([[1, 2], [3, 4]], {"a_0": [1, 3], "a_1": [2, 4]}),
        ([np.array([0.5]), None], {"a_0": [0.5, np.nan]}),
        ([{"x": 1, "y": "u"}, {"x": 2, "y": "v"}], {"a_x": [1, 2], "a_y": ["u", "v"]}),
        (np.array([1 + 2j, 3j]), {"a": [1.0, 0.0], "a_imag": [2.0, 3.0]}),
        ([Kind.SMALL, Kind.LARGE], {"a": ["SMALL", "LARGE"]}),
        ([[1], [1, 2]], {}),
        ([b"\xff"], {}),
    ],
)
def test_the_line_that_is_named_makes_columns_of_what_no_dtype_holds(
    values: Any, columns: dict[str, list[Any]]
) -> None:
    series = pd.Series(values, dtype=object if isinstance(values, list) else None)
    frame = pd.DataFrame({"a": series, "b": range(len(series))})
    with pytest.raises(
        IngestError, match=r"(values by|it out:) dataframe.* on the frame"
    ) as caught:
        tabular.conform(frame)
    found = re.search(r"(?:values by|it out:) (.*?) on the frame", str(caught.value))
    assert found is not None
    made = eval(found[1], {"dataframe": frame, "pandas": pd})  # noqa: S307 - what a user types
    wanted = {"b": list(range(len(series)))} | columns
    pd.testing.assert_frame_equal(
        tabular.conform(made)[list(wanted)], pd.DataFrame(wanted), check_dtype=False
    )


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
