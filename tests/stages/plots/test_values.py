"""Figures of numbers and of the data: truth, forecasts, blanks, windows and splits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.stages.plots import (
    forecast,
    interpolation,
    learning_curve,
    predicted_true,
    split_sizes,
    windows,
)
from aiqc_core.stages.preprocess.window import plan


def test_each_sample_is_a_point_and_pairs_that_are_not_finite_are_left_out() -> None:
    true = {"test": np.array([[1.0], [2.0], [3.0]])}
    predicted = {"test": np.array([1.5, np.nan, 2.0])}
    (pairs,) = predicted_true.data(true, predicted)
    figure = predicted_true.figure([pairs], name="price", unit="€", scores={"test": 0.5})
    diagonal, points = figure.data
    assert (list(points.x), list(points.y)) == ([1.0, 3.0], [1.5, 2.0])
    assert (list(diagonal.x), list(diagonal.y)) == ([1.0, 3.0], [1.0, 3.0])
    assert points.name == "test (r2 0.5)"
    assert figure.layout.xaxis.title.text == "true price (€)"
    assert figure.layout.yaxis.title.text == "predicted price (€)"


def test_many_points_are_thinned_evenly_with_both_ends() -> None:
    values = np.arange(10_001.0)
    (pairs,) = predicted_true.data({"train": values}, {"train": values})
    assert (len(pairs["true"]), pairs["count"]) == (4000, 10_001)
    assert (pairs["true"][0], pairs["true"][-1]) == (0.0, 10_000.0)


def test_of_a_window_only_the_rows_count_that_its_model_has_not_seen() -> None:
    series = np.arange(100.0)
    rule = plan(20, 4, 2)
    positions = [1, 0, 5]
    starts = {"test": [rule.start(i, shifted=True) for i in positions]}
    true = {"test": np.stack([series[s : s + 4] for s in starts["test"]])}
    (part,) = forecast.data(starts, true, {"test": true["test"] + 0.5}, size_shift=2)
    seen = {row for i in positions for row in rule.unshifted[i]}
    reported = [row for row in part["row"] if row is not None]
    assert reported == [4, 5, 6, 7, 14, 15]
    assert part["row"].index(None) == 4, "a gap parts rows that do not follow each other"
    assert part["true"] == [None if row is None else series[row] for row in part["row"]]
    assert part["predicted"] == [None if r is None else series[r] + 0.5 for r in part["row"]]
    assert not {14, 15} & seen


def test_a_forecast_says_column_unit_and_horizon() -> None:
    values = {"test": np.zeros((1, 3))}
    series = forecast.data({"test": [5]}, values, values, size_shift=9)
    assert series[0]["row"] == [5, 6, 7], "a target beyond its window is new altogether"
    figure = forecast.figure(series, column="co2", unit="ppm", horizon=3)
    assert figure.layout.yaxis.title.text == "co2 (ppm)"
    assert [trace.name for trace in figure.data] == ["truth", "forecast: test"]
    assert figure.layout.title.text == "Forecast and truth: 3 rows ahead of each window"


@given(st.lists(st.one_of(st.none(), st.floats(-5, 5)), min_size=1, max_size=30))
def test_blanks_are_gaps_and_what_fills_them_are_points(values: list[float | None]) -> None:
    before = np.array([np.nan if v is None else v for v in values])
    after = np.where(np.isnan(before), 7.0, before)
    found = interpolation.data(before, after)
    line, points = interpolation.figure(found, column="x").data
    assert list(line.y) == values
    assert line.connectgaps is False
    assert list(points.x) == [i for i, v in enumerate(values) if v is None]
    assert set(points.y) <= {7.0}


def test_a_value_between_gaps_is_a_dot_for_no_line_reaches_it() -> None:
    nan = np.nan
    gaps = interpolation.figure(
        interpolation.data([nan, 1, nan, 2, 3], [1, 1, 1, 2, 3]), column="x"
    )
    (pair,) = learning_curve.data({"loss": [3.0, nan, 2.0, 1.0], "val_loss": [2.0, 1.0, nan, nan]})
    training = learning_curve.figure(pair)
    apart = {"test": np.array([[1.0], [2.0]])}
    future = forecast.figure(
        forecast.data({"test": [3, 9]}, apart, apart, size_shift=1), column="x", horizon=1
    )
    assert future.layout.title.text == "Forecast and truth: 1 row ahead of each window"
    for line, sizes in (
        (gaps.data[0], [0, 6, 0, 0, 0]),
        (training.data[0], [6, 0, 0, 0]),
        (future.data[0], [6, 0, 6]),
        (future.data[1], [6, 0, 6]),
    ):
        assert (line.mode, list(line.marker.size)) == ("lines+markers", sizes)
    assert training.data[1].mode == "lines"


def test_what_stayed_blank_has_no_point() -> None:
    assert interpolation.data([np.nan, 1.0], [np.nan, 1.0])["filled"] == [None]


def test_of_many_rows_those_around_the_first_blank_are_shown() -> None:
    before = np.zeros(10_000)
    before[5000] = before[9999] = np.nan
    found = interpolation.data(before, np.zeros(10_000))
    assert (found["row"][0], len(found["row"])) == (4900, 3000)
    assert (found["filled_row"], found["blanks"]) == ([5000], 2)


@given(st.integers(1, 8), st.integers(1, 8), st.integers(0, 1), st.integers(16, 60))
def test_windows_are_drawn_over_the_rows_they_hold(
    size: int, shift: int, targets: int, rows: int
) -> None:
    rule = plan(rows, size, shift, bool(targets))
    layout = windows.data(rule)
    shifted = rule.shifted
    for span in layout["windows"]:
        held = rule.unshifted[span["window"]]
        assert span["past"] == [held[0], held[-1]]
        ahead = None if shifted is None else shifted[span["window"]]
        assert span["future"] == (None if ahead is None else [ahead[0], ahead[-1]])
    figure = windows.figure(layout)
    assert len(figure.data) == 1 + targets
    first = layout["windows"][0]["past"]
    assert list(figure.data[0].x[:2]) == [first[0] - 0.5, first[1] + 0.5]


def test_splits_and_the_parts_of_folds_have_a_bar_each() -> None:
    folds = [{"folds_train_combined": 40, "fold_validation": 20, "test": 20}] * 3
    rows = split_sizes.data({"train": 60, "test": 20}, folds)
    assert [row["name"] for row in rows[:4]] == [
        "train", "test", "fold 0: folds_train_combined", "fold 0: fold_validation",
    ]  # fmt: skip
    assert rows[0]["share"] == pytest.approx(0.75)
    (bars,) = split_sizes.figure(rows).data
    assert bars.y[-1] == "train"
    assert (bars.x[-1], bars.text[-1]) == (60, "60 · 75.0%")
