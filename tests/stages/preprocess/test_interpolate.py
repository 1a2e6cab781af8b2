from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import UnivariateSpline

from aiqc_core.errors import PreprocessError, SelectionError
from aiqc_core.stages.preprocess.interpolate import (
    DEFAULTS,
    checked_kwargs,
    fill_splits,
    fill_tables,
    matching,
)

NAN = np.nan
LINEAR = {"method": "linear", "limit_direction": "both"}
METHODS: list[dict[str, Any]] = [
    DEFAULTS,
    LINEAR,
    {"method": "spline", "order": 2, "s": 0, "limit_direction": "both"},
    {"method": "pchip", "limit_direction": "both"},
    {"method": "nearest", "limit_direction": "both", "fill_value": "extrapolate"},
]


def fill(values: list[float], kwargs: dict[str, Any]) -> list[float]:
    """Fill one column, all rows of which train."""
    frame = pd.DataFrame({"a": values})
    splits = {"train": range(len(values))}
    filled = fill_splits(frame, splits, ["a"], kwargs, process_separately=True)
    return filled["train"]["a"].tolist()


@st.composite
def gapped(draw: st.DrawFn) -> tuple[pd.DataFrame, dict[str, list[int]]]:
    """Two columns whose train rows start, end and mostly are known; positions in any order."""
    count = draw(st.integers(14, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    order = rng.permutation(count)
    train, validation, test = order[:8], order[8:11], order[11:]
    values = rng.normal(size=(count, 2)) * 10
    values[rng.random((count, 2)) < draw(st.floats(0, 0.9))] = NAN
    known = train[:6]
    values[known] = rng.normal(size=(6, 2))
    frame = pd.DataFrame(values, columns=["a", "b"])
    splits = {"train": train, "validation": validation, "test": test}
    return frame, {name: positions.tolist() for name, positions in splits.items()}


# ------------------------------------------------------------------------ what users reported
def test_b20_the_default_spline_smooths_and_linear_goes_through_the_points() -> None:
    squares = [0, 1, 4, NAN, 16, 25, 36, NAN, 64, 81]
    smooth = fill(squares, DEFAULTS)
    assert smooth == pd.Series(squares).interpolate(**DEFAULTS).tolist()
    assert [smooth[3], smooth[7]] == pytest.approx([10.6997, 50.7526], abs=1e-3)
    line = fill(squares, LINEAR)
    assert [line[3], line[7]] == [10, 50]


def test_b23_the_defaults_leave_no_blank_at_either_end() -> None:
    filled = fill([NAN, 2, 3, 4, NAN, 6, 7, NAN], DEFAULTS)
    assert filled == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8], abs=1e-9)


@pytest.mark.parametrize(
    ("values", "kwargs", "count"),
    [
        ([1, NAN, NAN, NAN, 5, 6], {"limit": 1}, 2),
        ([NAN, NAN, 3, NAN, 5], {"method": "linear"}, 2),
        ([NAN, 2, 3, 4, 5], {"method": "cubic", "limit_direction": "both"}, 1),
        ([1, NAN, 3, NAN], LINEAR | {"limit_area": "inside"}, 1),
    ],
)
def test_b23_blanks_that_are_left_are_refused(
    values: list[float], kwargs: dict[str, Any], count: int
) -> None:
    method = kwargs.get("method", "linear")
    message = f"column 'a': {count} of {len(values)} values .* split 'train' .*'{method}'"
    with pytest.raises(PreprocessError, match=message):
        fill(values, checked_kwargs(kwargs))


def test_a02_unsorted_rows_are_filled_in_time_order_and_put_back() -> None:
    frame = pd.DataFrame({"a": [0, 1, 4, NAN, 16, 25, NAN], "kept": list("abcdefg")})
    train = [5, 1, 3, 2, 0]
    filled = fill_splits(
        frame, {"train": train, "test": [6, 4]}, ["a"], DEFAULTS, process_separately=True
    )
    by_hand = frame["a"].iloc[[0, 1, 2, 3, 5]].interpolate(**DEFAULTS)
    assert filled["train"]["a"].tolist() == by_hand.loc[train].tolist()
    assert filled["train"]["kept"].tolist() == list("fbdca")
    assert filled["test"]["kept"].tolist() == ["g", "e"]
    assert filled["train"].index.tolist() == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------- splits
def test_gaps_between_positions_count() -> None:
    frame = pd.DataFrame({"a": [0.0, NAN, 50.0, 60.0, 70.0, 80.0, 9.0]})
    splits = {"train": [0, 1, 6], "test": [2, 3, 4, 5]}
    filled = fill_splits(frame, splits, ["a"], LINEAR, process_separately=True)
    assert filled["train"]["a"].tolist() == [0, 1.5, 9]


def test_a_split_is_filled_with_the_filled_train_rows_beside_it() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=20).cumsum()})
    frame.loc[[2, 3, 7, 9, 12, 16, 18], "a"] = NAN
    splits = {"train": np.arange(0, 20, 2), "validation": [3, 9, 15], "test": [7, 1]}
    filled = fill_splits(frame, splits, ["a"], DEFAULTS, process_separately=True)

    def curve(column: pd.Series) -> pd.Series:
        known = column.dropna()
        spline = UnivariateSpline(known.index, known, k=1)
        return column.where(column.notna(), pd.Series(spline(column.index), column.index))

    train = curve(frame["a"].loc[splits["train"]])
    assert filled["train"]["a"].tolist() == pytest.approx(train.tolist())
    for name in ("validation", "test"):
        beside = pd.concat([train, frame["a"].loc[splits[name]]]).sort_index()
        expected = curve(beside).loc[splits[name]]
        assert filled[name]["a"].tolist() == pytest.approx(expected.tolist())


def test_together_all_rows_teach() -> None:
    frame = pd.DataFrame({"a": [0.0, NAN, 8.0, 9.0]})
    splits = {"train": [3, 1, 0], "test": [2]}
    apart, together = (
        fill_splits(frame, splits, ["a"], LINEAR, process_separately=separately)
        for separately in (True, False)
    )
    assert apart["train"]["a"].tolist() == [9, 3, 0]
    assert together["train"]["a"].tolist() == [9, 4, 0]


def test_a_row_shared_with_train_has_its_training_value() -> None:
    frame = pd.DataFrame({"a": [0.0, NAN, 2.0, 30.0, NAN]})
    splits = {"train": [0, 1, 2], "validation": [1, 2, 3, 4]}
    filled = fill_splits(frame, splits, ["a"], LINEAR, process_separately=True)
    assert filled["validation"]["a"].tolist() == [1, 2, 30, 30]


@pytest.mark.parametrize("kwargs", METHODS)
@settings(max_examples=10, deadline=None)
@given(data=gapped(), seed=st.integers(0, 2**32 - 1))
def test_rows_outside_a_split_and_train_change_nothing_in_it(
    kwargs: dict[str, Any], data: tuple[pd.DataFrame, dict[str, list[int]]], seed: int
) -> None:
    frame, splits = data
    before = fill_splits(frame, splits, ["a", "b"], kwargs, process_separately=True)
    for changed, unchanged in (
        (("validation", "test"), ("train",)),
        (("test",), ("train", "validation")),
        (("validation",), ("train", "test")),
    ):
        other = frame.copy()
        rows = [position for name in changed for position in splits[name]]
        other.iloc[rows] = np.random.default_rng(seed).normal(size=(len(rows), 2)) * 1e3
        after = fill_splits(other, splits, ["a", "b"], kwargs, process_separately=True)
        for name in unchanged:
            pd.testing.assert_frame_equal(after[name], before[name], check_exact=True)
    alone = {"train": splits["train"]}
    cut = fill_splits(frame, alone, ["a", "b"], kwargs, process_separately=True)
    pd.testing.assert_frame_equal(cut["train"], before["train"], check_exact=True)


@settings(max_examples=25, deadline=None)
@given(data=gapped(), separately=st.booleans(), seed=st.integers(0, 99))
def test_the_order_of_positions_changes_no_value(
    data: tuple[pd.DataFrame, dict[str, list[int]]], *, separately: bool, seed: int
) -> None:
    frame, splits = data
    rng = np.random.default_rng(seed)
    orders = {name: rng.permutation(len(rows)) for name, rows in splits.items()}
    shuffled = {name: np.array(rows)[orders[name]] for name, rows in splits.items()}
    before = fill_splits(frame, splits, ["a"], DEFAULTS, process_separately=separately)
    after = fill_splits(frame, shuffled, ["a"], DEFAULTS, process_separately=separately)
    for name, order in orders.items():
        assert after[name].equals(before[name].iloc[order].reset_index(drop=True))


@settings(max_examples=25, deadline=None)
@given(data=gapped(), separately=st.booleans())
def test_known_values_stay_and_the_input_is_not_touched(
    data: tuple[pd.DataFrame, dict[str, list[int]]], *, separately: bool
) -> None:
    frame, splits = data
    given_frame = frame.copy()
    filled = fill_splits(frame, splits, ["a"], DEFAULTS, process_separately=separately)
    pd.testing.assert_frame_equal(frame, given_frame)
    for name, rows in splits.items():
        original = frame.iloc[rows].reset_index(drop=True)
        known = original["a"].notna()
        assert filled[name]["a"].notna().all()
        assert filled[name]["a"][known].equals(original["a"][known])
        assert filled[name]["b"].equals(original["b"])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "Float32", "Float64"])
def test_every_floating_dtype_is_kept(dtype: str) -> None:
    frame = pd.DataFrame({"a": pd.Series([1, None, 3], dtype="Float64").astype("float64")})
    frame = frame.astype(dtype)
    filled = fill_splits(frame, {"train": [0, 1, 2]}, ["a"], LINEAR, process_separately=True)
    assert str(filled["train"]["a"].dtype) == dtype
    assert filled["train"]["a"].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "kwargs", "message"),
    [
        ([1, NAN, NAN], DEFAULTS, "'a': 1 known points in split 'train'; method 'spline' needs 2"),
        ([NAN, NAN], LINEAR, "'a': 0 known points .*'linear' needs 1"),
        ([1, 2, NAN], {"method": "polynomial", "order": 2}, "'a': 2 known .* needs 3"),
        ([1, np.inf, NAN, 4], DEFAULTS, "'a': 1 infinite values in split 'train'"),
        ([1, NAN, 3], {"method": "cubicspline", "bc_type": "periodic"}, "does not fit .*periodic"),
    ],
)
def test_a_column_that_gives_no_curve_is_refused(
    values: list[float], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(PreprocessError, match=message):
        fill(values, kwargs)


def test_blanks_left_outside_train_name_their_split() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, NAN]})
    kwargs = {"method": "cubic", "limit_direction": "both"}
    rows = {"train": [0, 1, 2], "test": [3]}
    with pytest.raises(PreprocessError, match="3 known points in split 'test', train rows beside"):
        fill_splits(frame, rows, ["a"], kwargs, process_separately=True)
    for separately in (True, False):
        with pytest.raises(PreprocessError, match=r"column 'a': 1 of 1 values .* split 'test'"):
            fill_splits(
                frame,
                rows,
                ["a"],
                {"method": "pchip", "limit_area": "inside"},
                process_separately=separately,
            )


def test_positions_and_columns_that_cannot_be_are_refused() -> None:
    frame = pd.DataFrame({"a": [1.0, NAN], "b": [1, 2]})
    for position in (-1, 2):
        with pytest.raises(PreprocessError, match=f"'train' has position {position}"):
            fill_splits(frame, {"train": [position]}, ["a"], LINEAR, process_separately=True)
    with pytest.raises(PreprocessError, match=r"'b': 'int64'.* not floating"):
        fill_splits(frame, {"train": [0]}, ["b"], LINEAR, process_separately=True)


# ------------------------------------------------------------------------------------- tables
@pytest.mark.parametrize("kwargs", METHODS)
@pytest.mark.parametrize("shape", [(5, 9, 3), (3, 2, 9, 3)])
def test_each_table_is_filled_alone_as_pandas_does(
    shape: tuple[int, ...], kwargs: dict[str, Any]
) -> None:
    rng = np.random.default_rng(1)
    array = rng.normal(size=shape).astype(np.float32)
    array[..., 3:5, :] = NAN
    array[0, ..., 7, 1] = NAN
    array.flags.writeable = False
    filled = fill_tables(array, [1, 2], kwargs)
    assert filled.dtype == array.dtype
    np.testing.assert_array_equal(filled[..., 0], array[..., 0])
    for index in np.ndindex(shape[:-2]):
        table = pd.DataFrame(array[index].astype(np.float64)).interpolate(**kwargs)
        expected = table.to_numpy(dtype=np.float32)[:, [1, 2]]
        np.testing.assert_array_equal(filled[index][:, [1, 2]], expected)


def test_a_table_that_gives_no_curve_is_named() -> None:
    array = np.ones((4, 2, 3, 2))
    array[2, 1, :, 1] = NAN
    with pytest.raises(PreprocessError, match=r"column '1': 0 known points in table \[2, 1\]"):
        fill_tables(array, [0, 1], DEFAULTS)
    array[2, 1, 1:, 1] = 1
    with pytest.raises(PreprocessError, match=r"column 'x': 1 of 3 values .* table \[2, 1\]"):
        fill_tables(array, [1], {"method": "linear"}, names=["w", "x"])


@pytest.mark.parametrize("array", [np.ones((2, 2)), np.ones((2, 2, 2), dtype=np.uint8)])
def test_only_floating_tables_are_filled(array: np.ndarray) -> None:
    with pytest.raises(PreprocessError, match=f"{array.dtype} of shape"):
        fill_tables(array, [0], DEFAULTS)


# ------------------------------------------------------------------------ arguments and filters
def test_without_arguments_they_are_the_reference_s() -> None:
    kwargs = checked_kwargs(None)
    assert kwargs == {
        "method": "spline",
        "limit_direction": "both",
        "limit_area": None,
        "axis": 0,
        "order": 1,
    }
    kwargs["order"] = 3
    assert DEFAULTS["order"] == 1


@pytest.mark.parametrize(
    "kwargs", [*METHODS, DEFAULTS | {"method": "linear"}, {"limit": 2}, {"axis": "index"}]
)
def test_arguments_that_pandas_takes_are_kept_as_given(kwargs: dict[str, Any]) -> None:
    assert checked_kwargs(kwargs) == kwargs


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"method": "magic"}, "method='magic'; it is one of"),
        ({"method": "time"}, "method='time'.*positions"),
        ({"method": "ffill"}, "method='ffill'"),
        ({"method": None}, "method=None"),
        ({"method": ["linear"]}, "method="),
        ({"method": "linear", "inplace": True}, "'inplace'.*'linear' takes"),
        ({"method": "linear", "s": 0}, "'s'.*'linear' takes"),
        ({"method": "spline"}, "order=None; method 'spline' needs"),
        ({"method": "polynomial", "order": 1.5}, "order=1.5"),
        ({"method": "spline", "order": True}, "order=True"),
        ({"method": "spline", "order": 6}, "refuses it: k should be"),
        (DEFAULTS | {"axis": 1}, "axis=1; it is 0"),
        ({"limit_direction": "up"}, "refuses it"),
        ({"limit_area": "middle"}, "refuses it"),
        ({"limit": 0}, "refuses it"),
        ({"method": "slinear", "fill_value": (0.0, 1.0)}, "JSON"),
        ({"method": "slinear", "fill_value": NAN}, "JSON"),
        ({"method": "spline", "order": 1, "s": np.float32(1)}, "JSON"),
    ],
)
def test_arguments_that_cannot_work_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(PreprocessError, match=f"interpolate_kwargs: .*{message}"):
        checked_kwargs(kwargs)


AVAILABLE = {"a": "float64", "b": "str", "c": "Float32", "d": "int64", "e": "float64"}


@pytest.mark.parametrize(
    ("filters", "columns", "leftover"),
    [
        ({}, ["a", "c", "e"], ["b", "d"]),
        ({"taken": ["a"]}, ["c", "e"], ["b", "d"]),
        ({"dtypes": ["float64"]}, ["a", "e"], ["b", "c", "d"]),
        ({"dtypes": "float64", "columns": "c"}, ["a", "c", "e"], ["b", "d"]),
        ({"columns": ["e", "a"]}, ["a", "e"], ["b", "c", "d"]),
    ],
)
def test_a_filter_matches_floating_columns(
    filters: dict[str, Any], columns: list[str], leftover: list[str]
) -> None:
    selection = matching(AVAILABLE, **filters)
    assert selection.matching == columns
    assert selection.leftover == leftover


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ({"columns": ["a", "d"]}, PreprocessError, "'d': 'int64'.*not floating"),
        ({"dtypes": ["str"]}, PreprocessError, "'b': 'str'.*not floating"),
        ({"taken": ["a", "c", "e"]}, PreprocessError, "none is left"),
        ({"columns": ["a"], "taken": ["a"]}, SelectionError, "took"),
        ({"columns": ["a"], "dtypes": ["float64"]}, SelectionError, "by dtypes already"),
        ({"columns": ["z"]}, SelectionError, "unknown"),
        ({"columns": []}, SelectionError, "none given"),
    ],
)
def test_a_filter_that_cannot_work_is_refused(
    filters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        matching(AVAILABLE, **filters)


def test_a_spline_that_is_less_smooth_than_asked_is_reported_by_its_column(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """FITPACK warns of it without a name; a warning of ours would fail this test."""
    values = np.random.default_rng(0).normal(size=9) * 100
    values[8] = NAN
    with pytest.warns(UserWarning, match="maximal number of iterations"):
        pd.DataFrame({"a": values}).interpolate(**DEFAULTS)
    with caplog.at_level("WARNING"):
        fill(values.tolist(), DEFAULTS)
    (record,) = caplog.records
    reported = record.getMessage()
    assert reported.startswith(
        "column 'a': method 'spline' did not reach the smoothness asked for in"
    )
    assert "split 'train'" in reported
