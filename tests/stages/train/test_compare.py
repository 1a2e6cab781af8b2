"""How like two values are: by the bit, within the tolerance, or where they part."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from aiqc_core.stages.train.compare import compare

NUMBERS = hnp.arrays(np.float64, hnp.array_shapes(max_dims=2, max_side=5))


@given(NUMBERS)
def test_a_copy_is_equal_to_the_last_bit(values: np.ndarray) -> None:
    found = compare({"a": [values]}, {"a": [values.copy()]})
    assert (found.bit_equal, found.near, found.largest) == (True, True, 0.0)


@given(
    hnp.arrays(np.float64, 6, elements=st.floats(-1e6, 1e6)),
    hnp.arrays(np.float64, 6, elements=st.floats(-1e6, 1e6)),
)
def test_the_largest_difference_is_that_of_numpy(one: np.ndarray, other: np.ndarray) -> None:
    found = compare(one, other, tolerance=1e-2)
    apart = np.abs(one - other)
    assert found.largest == apart.max()
    assert found.near == bool((apart <= 1e-2 * np.maximum(np.abs(one), 1)).all())
    assert found.bit_equal == (one.tobytes() == other.tobytes())


def test_the_place_of_the_largest_difference_is_named() -> None:
    then = {"layer": {"weight": np.zeros((2, 2)), "bias": np.zeros(2)}}
    now = {"layer": {"weight": np.array([[0, 0], [3e-5, 0]]), "bias": np.array([0, 1e-5])}}
    found = compare(then, now)
    assert (found.bit_equal, found.near, found.largest) == (False, True, 3e-5)
    assert (found.where, found.then, found.now) == ("layer.weight[2]", "0.0", "3e-05")


@pytest.mark.parametrize(
    ("then", "now", "where"),
    [
        ({"a": 1}, {"b": 1}, ("a", "b")),
        ({"a": np.zeros(2)}, {"a": np.zeros(3)}, "a"),
        ({"a": ["x", "y"]}, {"a": ["x", "z"]}, "a"),
        ({"a": 1.0, "b": None}, {"a": 1.1, "b": 2.0}, "b"),
        ({"a": np.nan}, {"a": 1.0}, "a"),
    ],
)
def test_what_is_no_matter_of_rounding_is_never_near(then: Any, now: Any, where: Any) -> None:
    found = compare(then, now)
    assert (found.bit_equal, found.near) == (False, False)
    assert found.where in where


def test_fitted_encoders_are_compared_by_what_they_learned() -> None:
    rows = np.arange(6.0).reshape(3, 2)
    one, again, other = (StandardScaler().fit(part) for part in (rows, rows, rows + 1))
    assert compare(one, again).bit_equal
    assert compare(one, other).where == "mean_[0]"
    assert compare(one, other).largest == 1.0
    words = OneHotEncoder().fit([["x"], ["y"]]), OneHotEncoder().fit([["x"], ["z"]])
    assert compare(*words).largest is None
    assert compare(StandardScaler(), OneHotEncoder()).near is False


def test_functions_are_compared_by_what_they_do() -> None:
    def doubled(x: Any) -> Any:
        return 2 * x

    def twice(x: Any) -> Any:
        return 2 * x

    def thrice(x: Any) -> Any:
        return 3 * x

    made = [FunctionTransformer(function) for function in (doubled, twice, thrice)]
    assert compare(made[0], made[1]).bit_equal
    assert compare(made[0], made[2]).near is False
