"""Combinations of hyperparameters: all of them, or a seeded draw."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.train.search.grid import combination_key, grid, sample

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"a": number} for number in range(count)]


@given(st.dictionaries(st.text(), st.lists(JSON_VALUES, min_size=1, max_size=3), max_size=3))
def test_a_grid_is_the_unique_combinations_in_order(hyperparameters: dict[str, list[Any]]) -> None:
    expected, seen = [], set()
    for values in itertools.product(*hyperparameters.values()):
        combination = dict(zip(hyperparameters, values, strict=True))
        text = json.dumps(combination, sort_keys=True)
        if text not in seen:
            seen.add(text)
            expected.append(combination)
    found = grid(hyperparameters)
    assert found == expected
    assert [repr(c) for c in found] == [repr(c) for c in expected]
    assert json.loads(json.dumps(found)) == found


def test_values_that_json_tells_apart_stay_apart(caplog: pytest.LogCaptureFixture) -> None:
    """A04."""
    with caplog.at_level(logging.WARNING):
        found = grid({"a": [1, 1], "b": [True, 1, 1.0]})
    assert [(type(c["b"]), c["a"]) for c in found] == [(bool, 1), (int, 1), (float, 1)]
    assert "repeated values of 'a'" in caplog.text


@pytest.mark.parametrize("nothing", [None, {}])
def test_no_hyperparameters_are_one_combination(nothing: Any) -> None:
    assert grid(nothing) == [{}]


def test_a_bare_value_counts_as_a_list_of_one() -> None:
    assert grid({"a": "relu", "b": [1, 2]}) == [{"a": "relu", "b": 1}, {"a": "relu", "b": 2}]


@pytest.mark.parametrize(
    ("given_", "reported"),
    [
        ({"a": []}, "'a' has no values"),
        ({"layers": [(1, 2)]}, r"\(1, 2\).*use a list"),
        ({"layers": [[1, (2, 3)]]}, "use a list"),
        ({"a": [{1: "x"}]}, "use string keys"),
        ({1: [2]}, "name 1 is a int"),
        ({"a": [math.nan]}, "nan.*use None"),
        ({"a": [-math.inf]}, "use None"),
        ({"a": [np.float32(1)]}, "float32.*tolist"),
        ({"a": list(np.logspace(-2, -1, 2))}, "float64.*tolist"),
        ({"a": np.arange(3)}, "ndarray.*tolist"),
        ({"a": [{1, 2}]}, "set"),
        ({"a": [print]}, "look the object up"),
        ({"a": [b"x"]}, "bytes"),
        ({name: list(range(100)) for name in "abc"}, "1,000,000 combinations"),
    ],
)
def test_what_json_would_change_is_refused_with_the_fix(given_: Any, reported: str) -> None:
    """A04."""
    with pytest.raises(AlgorithmError, match=reported):
        grid(given_)


@given(st.integers(2, 12), st.integers(0, 40), st.integers(0, 2**31 - 1))
def test_a_draw_has_the_count_asked_for_in_grid_order(count: int, there: int, seed: int) -> None:
    drawn = [c["a"] for c in sample(numbered(there), search_count=count, seed=seed)]
    assert len(drawn) == min(count, there)
    assert drawn == sorted(set(drawn))
    assert drawn == [c["a"] for c in sample(numbered(there), search_count=count, seed=seed)]
    more = [c["a"] for c in sample(numbered(there), search_count=count + 1, seed=seed)]
    assert set(drawn) <= set(more)


def test_other_seeds_draw_others_and_every_one_comes_up() -> None:
    draws = [
        tuple(c["a"] for c in sample(numbered(10), search_count=2, seed=seed))
        for seed in range(200)
    ]
    assert len(set(draws)) > 30
    assert set(itertools.chain(*draws)) == set(range(10))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 100),
        ({"search_count": 10**9}, 100),
        ({"search_count": 2}, 2),
        ({"search_percent": 1.0}, 100),
        ({"search_percent": 1}, 100),
        ({"search_percent": 1e-9}, 1),
        ({"search_percent": 0.07}, 7),  # 0.07 * 100 is 7.000000000000001
        ({"search_percent": 0.071}, 8),
    ],
)
def test_counts_and_shares(options: dict[str, Any], count: int) -> None:
    """A05."""
    assert len(sample(numbered(100), seed=1, **options)) == count


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"search_count": 1}, "search_count: 1;.*at least 2"),
        ({"search_count": 0}, "search_count"),
        ({"search_count": -1}, "search_count"),
        ({"search_count": 2.0}, "whole number"),
        ({"search_count": True}, "whole number"),
        ({"search_percent": 0.0}, "search_percent: 0.0"),
        ({"search_percent": 1.01}, "up to 1.0"),
        ({"search_percent": math.nan}, "search_percent"),
        ({"search_percent": "0.5"}, "search_percent"),
        ({"search_count": 2, "search_percent": 0.5}, "give one"),
    ],
)
def test_searches_out_of_range_are_refused(options: dict[str, Any], reported: str) -> None:
    """A05."""
    with pytest.raises(AlgorithmError, match=reported):
        sample(numbered(10), seed=1, **options)


def test_a_key_follows_from_content_alone() -> None:
    expected = hashlib.sha256(rb'{"a":"\u00e9","b":[1.0]}').hexdigest()[:8]
    assert combination_key({"b": [1.0], "a": "é"}) == expected
    assert combination_key({"a": "é", "b": [1.0]}) == expected
    assert len({combination_key({"a": value}) for value in (1, 1.0, True, "1", None)}) == 5
