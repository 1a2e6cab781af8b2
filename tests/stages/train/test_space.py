"""Spaces of hyperparameters: choices as JSON tells them apart, and ranges of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.train.search import grid, space


def dimension(given_: Any) -> space.Dimension:
    return space.parse({"a": given_})["a"]


@given(st.integers(-50, 50), st.integers(1, 60), st.integers(1, 9))
def test_a_range_of_whole_numbers_is_pythons_range(low: int, width: int, step: int) -> None:
    step = min(step, width)
    found = dimension({"low": low, "high": low + width, "step": step})
    assert found.values == tuple(range(low, low + width + 1, step))
    assert found.size == len(found.values)
    assert all(type(value) is int for value in found.values)
    assert dimension({"low": low, "high": low + width}).size == width + 1


def test_steps_are_the_decimals_that_they_look_like() -> None:
    """0.1 + 0.1 + 0.1 is 0.30000000000000004."""
    found = dimension({"low": 0.0, "high": 0.5, "step": 0.1})
    assert found.values == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    assert dimension({"low": 0, "high": 1, "step": 0.4}).values == (0.0, 0.4, 0.8)


@pytest.mark.parametrize(
    "given_",
    [
        [1, True, 1.0, None, "x", [1, 2], {"b": 1}],
        {"low": 3, "high": 17, "step": 2},
        {"low": 1, "high": 99, "log": True},
        {"low": -0.5, "high": 0.5, "step": 0.25},
        {"low": 1e-4, "high": 0.1, "log": True},
    ],
)
def test_a_value_is_found_again_at_its_position(given_: Any) -> None:
    found = dimension(given_)
    generator = np.random.default_rng(1)
    for _ in range(200):
        value = found.draw(generator)
        again = found.value(found.position(value))
        assert space.canonical(again) == space.canonical(value)


def test_reals_are_drawn_uniformly_or_in_their_logarithm() -> None:
    generator = np.random.default_rng(1)
    plain, ratio = {"low": -2.0, "high": 3.0}, {"low": 1e-4, "high": 0.1, "log": True}
    drawn = [dimension(plain).draw(generator) for _ in range(2000)]
    assert stats.kstest(drawn, stats.uniform(-2, 5).cdf).pvalue > 0.01
    drawn = [dimension(ratio).draw(generator) for _ in range(2000)]
    assert stats.kstest(drawn, stats.loguniform(1e-4, 0.1).cdf).pvalue > 0.01


def test_every_whole_number_comes_up_the_ends_included() -> None:
    generator = np.random.default_rng(1)
    for given_ in ({"low": 1, "high": 9}, {"low": 1, "high": 9, "log": True}):
        drawn = [dimension(given_).draw(generator) for _ in range(1000)]
        assert set(drawn) == set(range(1, 10))
        assert all(type(value) is int for value in drawn)


@pytest.mark.parametrize(
    ("given_", "reported"),
    [
        ({"low": 1, "high": 1}, "a low that is not below its high"),
        ({"low": 2.0, "high": 1.0}, "a low that is not below its high"),
        ({"low": 0, "high": 1, "log": True}, "low must be above 0"),
        ({"low": 1, "high": 9, "log": True, "step": 2}, "both log and step"),
        ({"low": 1, "high": 9, "log": "yes"}, "log='yes'"),
        ({"low": 1, "high": 9, "step": 0}, "step=0"),
        ({"low": 1, "high": 9, "step": 10}, "step=10"),
        ({"low": 1, "high": 9, "steps": 2}, r"unknown keys \['steps'\]"),
        ({"low": "1", "high": 9}, "no finite int or float"),
        ({"low": True, "high": 9}, "no finite int or float"),
        ({"low": 0.0, "high": math.inf}, "no finite int or float"),
        ({"low": np.float64(0.1), "high": 1.0}, "no finite int or float"),
    ],
)
def test_an_impossible_range_is_refused_with_its_form(given_: Any, reported: str) -> None:
    with pytest.raises(AlgorithmError, match=rf"of 'a'.*{reported}.*'low': …, 'high': …"):
        dimension(given_)


def test_a_dictionary_in_a_list_is_a_value() -> None:
    assert grid.grid({"a": [{"low": 1, "high": 2}]}) == [{"a": {"low": 1, "high": 2}}]


def test_a_grid_takes_the_steps_of_a_range_and_refuses_reals() -> None:
    found = grid.grid({"a": {"low": 1, "high": 3}, "b": ["x", "y"]})
    assert [tuple(c.values()) for c in found] == [(a, b) for a in (1, 2, 3) for b in "xy"]
    with pytest.raises(AlgorithmError, match=r"\['b'\] are ranges of real numbers.*'step'"):
        grid.grid({"a": [1], "b": {"low": 0.0, "high": 1.0}})


REALS = {"a": {"low": 0.0, "high": 1.0}, "b": [1, 2]}


@pytest.mark.parametrize(
    ("hyperparameters", "options", "search_", "count"),
    [
        ({"a": [1, 2, 3]}, {}, "grid", 3),
        ({"a": [1, 2, 3]}, {"search_count": 2}, "random", 2),
        ({"a": [1, 2, 3]}, {"search": "grid"}, "grid", 3),
        ({"a": [1, 2, 3]}, {"search": "tpe", "search_count": 9}, "tpe", 3),
        ({"a": [1, 2, 3]}, {"search": "tpe", "search_percent": 0.5}, "tpe", 2),
        (REALS, {"search": "tpe", "search_count": 9}, "tpe", 9),
        (REALS, {"search_count": 9}, "random", 9),
        ({n: list(range(100)) for n in "abc"}, {"search_count": 9}, "random", 9),
    ],
)
def test_what_is_planned(
    hyperparameters: Any, options: dict[str, Any], search_: str, count: int
) -> None:
    planned = grid.plan(hyperparameters, seed=1, **options)
    assert (planned.search, planned.count) == (search_, count)
    if search_ == "tpe":
        assert planned.combinations is None
        return
    chosen = planned.combinations or []
    assert len({space.canonical(c) for c in chosen}) == len(chosen) == count
    assert grid.plan(hyperparameters, seed=1, **options) == planned


def test_a_larger_draw_from_reals_adds_to_a_smaller_one() -> None:
    few, more = (grid.plan(REALS, search_count=n, seed=4).combinations for n in (5, 9))
    assert (more or [])[:5] == few


@pytest.mark.parametrize(
    ("hyperparameters", "options", "reported"),
    [
        (REALS, {}, "no grid"),
        (REALS, {"search": "grid"}, "no grid"),
        (REALS, {"search_percent": 0.5}, "give a search_count"),
        (REALS, {"search": "tpe", "search_percent": 0.5}, "give a search_count"),
        (REALS, {"search": "tpe", "search_count": 10**6}, "at most 100,000"),
        (REALS, {"search": "tpe", "search_count": 1}, "at least 2"),
        ({"a": [1, 2]}, {"search": "tpe"}, "'tpe'.*give a search_count"),
        ({"a": [1, 2]}, {"search": "random"}, "'random'.*give a search_count"),
        ({"a": [1, 2]}, {"search": "grid", "search_count": 2}, "leave search_count"),
        ({"a": [1, 2]}, {"search": "bayes", "search_count": 2}, "search: 'bayes'; choose among"),
    ],
)
def test_a_search_that_does_not_go_with_its_counts_is_refused(
    hyperparameters: Any, options: dict[str, Any], reported: str
) -> None:
    """A05."""
    with pytest.raises(AlgorithmError, match=reported):
        grid.plan(hyperparameters, seed=1, **options)
