from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.stages.ingest import tabular


def retype(values: object, dtype: object) -> pd.Series:
    return tabular.conform(pd.DataFrame({"a": values, "b": values}), retype={"a": dtype})["a"]


def test_one_dtype_or_one_a_column() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0, 1]})
    assert tabular.conform(frame, retype=np.float32).dtypes.tolist() == ["float32", "float32"]
    assert tabular.conform(frame, retype="int8").dtypes.tolist() == ["int8", "int8"]
    partial = tabular.conform(frame, retype={"b": bool})
    assert partial.dtypes.tolist() == ["int64", "bool"]
    with pytest.raises(SelectionError, match=r"retype: unknown \['z'\]"):
        tabular.conform(frame, retype={"z": "int8"})


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1.0, 2.0], "int64"),
        ([0.1, np.nan], "float32"),
        ([1, 0], "bool"),
        ([True, False], "int8"),
        ([2**53, -(2**53)], "float64"),
        ([-(2**63)], "float64"),
        ([1, 2], "str"),
        (["1", "2"], "int64"),
        (["1.5", None], "float64"),
        (["x", None], "category"),
        ([1.0, np.nan], "Int64"),
        (pd.to_datetime(["2020-01-01"]), "datetime64[s]"),
        ([1, 2], "timedelta64[s]"),
        (pd.Series([True, None], dtype=object), "boolean"),
        (pd.Series([True, None], dtype=object), "Int8"),
        (pd.Series([True, None], dtype=object), "float32"),
        (pd.Series([True, None], dtype=object), "category"),
        (pd.array([True, None], dtype="bool[pyarrow]"), "boolean"),
    ],
)
def test_a_cast_that_keeps_every_value_is_made(values: object, dtype: str) -> None:
    column = retype(values, dtype)
    assert str(column.dtype) == dtype
    assert column.isna().tolist() == pd.Series(values).isna().tolist()


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        ([1.0, np.nan], "int64", "cannot become int64"),
        ([1, 300], "int8", "loses values as int8: row 1, .*300"),
        ([-1], "uint64", "row 0, .*-1"),
        ([1.0, 1.5], "int64", "row 1, .*1.5"),
        ([1e30], "int64", "row 0"),
        ([1.0, np.nan], "bool", "row 1"),
        ([2, 0], "bool", "row 0, .*2"),
        ([1e300], "float32", "row 0"),
        ([2**53 + 1], "float64", "row 0, .*9007199254740993"),
        ([2**63 - 1], "float64", "row 0"),
        (pd.array([2**53 + 1, None], dtype="Int64"), "Float64", "row 0"),
        (["x"], "float64", "cannot become float64"),
        (["False"], "bool", "any, 'False' too"),
        (pd.Series(["False", True], dtype=object), "boolean", "any, 'False' too"),
        (pd.Categorical(["False"]), "bool", "any, 'False' too"),
        (pd.Series([True, None], dtype=object), "bool", "cannot become bool"),
        (pd.Series([Decimal("1.5")], dtype=object), "int64", "row 0, .*1.5"),
        (pd.Series([Decimal(2**60 + 1)], dtype=object), "float64", "row 0"),
        (pd.Series([2**53 + 1, 0.5], dtype=object), "float64", "row 0"),
        (
            pd.Series([pd.Timestamp("2020-01-01 00:00:00.5").to_pydatetime()], dtype=object),
            "datetime64[s]",
            "row 0",
        ),
        ([1], "nonsense", "cannot become nonsense"),
        (pd.to_datetime(["2020-01-01 00:00:00.5"]), "datetime64[s]", "row 0"),
    ],
)
def test_a_cast_that_loses_a_value_is_refused_by_name_and_row(
    values: object, dtype: str, message: str
) -> None:
    with pytest.raises(IngestError, match=f"column 'a' .*{message}"):
        retype(values, dtype)


def test_decimals_become_narrow_floats_as_their_wide_ones_do() -> None:
    frame = pd.DataFrame({"a": pd.Series([Decimal("0.1"), None, Decimal(7)], dtype=object)})
    found = tabular.conform(frame, retype="float32")["a"]
    pd.testing.assert_series_equal(found, pd.Series([0.1, None, 7], name="a", dtype="float32"))


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=4),
    st.sampled_from(["int8", "uint8", "uint64", "float16", "float32", "float64", "bool"]),
)
def test_whole_numbers_are_cast_exactly_or_not_at_all(values: list[int], dtype: str) -> None:
    try:
        column = retype(pd.array(values, dtype="int64"), dtype)
    except IngestError:
        exact = [_as_python(value, dtype) == value for value in values]
        assert not all(exact)
    else:
        assert [int(value) for value in column.tolist()] == values


def _as_python(value: int, dtype: str) -> object:
    if dtype.startswith("float"):
        with np.errstate(over="ignore"):
            real = float(np.dtype(dtype).type(value))
        return int(real) if np.isfinite(real) else None
    if dtype == "bool":
        return value if value in (0, 1) else None
    limits = np.iinfo(dtype)
    return value if limits.min <= value <= limits.max else None
