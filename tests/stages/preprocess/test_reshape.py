from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess import reshape


def numbered(*shape: int) -> Any:
    return np.arange(prod(shape)).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "indices", "new_shape", "column_position"),
    [
        ((6, 1, 5, 4), (0, 2, 3), (6, 5, 4), 2),
        ((6, 5, 4), (0, "1", 1, 2), (6, 1, 5, 4), 3),
        ((6, 3, 5, 4), (0, (1, 2), 3), (6, 15, 4), 2),
        ((6, 4), (0, 1, "1"), (6, 4, 1), 1),
        ((6, 12, 4), (0, "3", "4", 2), (6, 3, 4, 4), 3),
        ((6, 2, 3, 4), [0, [1, 2], [3]], (6, 6, 4), 2),
    ],
)
def test_indices_in_rising_order_reshape_as_the_reference(
    shape: tuple[int, ...], indices: Any, new_shape: tuple[int, ...], column_position: int
) -> None:
    planned = reshape.plan(shape, indices)
    assert (planned.new_shape, planned.column_position) == (new_shape, column_position)
    array = numbered(*shape)
    assert np.array_equal(reshape.apply(array, indices), np.reshape(array, new_shape))


def test_channels_last_moves_axes_and_does_not_mix_pixels() -> None:
    images = numbered(2, 3, 5, 4)
    moved = reshape.apply(images, (0, 2, 3, 1))
    assert reshape.plan(images.shape, (0, 2, 3, 1)).column_position == 2
    for sample, channel, row, column in np.ndindex(*images.shape):
        assert moved[sample, row, column, channel] == images[sample, channel, row, column]


def test_the_column_stays_itself_where_it_lands() -> None:
    sequences = numbered(2, 3, 4)
    for indices in [(0, 2, 1), (0, "1", 2, 1), (0, 2, "1", 1)]:
        planned = reshape.plan(sequences.shape, indices)
        moved = reshape.apply(sequences, indices)
        for column in range(4):
            there = moved.take(column, axis=planned.column_position)
            assert np.array_equal(there.ravel(), sequences[..., column].ravel())


@st.composite
def reshapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[Any, ...]]:
    """A shape, and indices that move, merge, drop and add axes of it."""
    middle = draw(st.lists(st.integers(1, 4), max_size=3))
    shape = (draw(st.integers(0, 3)), *middle, draw(st.integers(1, 4)))
    last = len(shape) - 1
    axes = draw(st.permutations(range(1, last)))
    axes = [axis for axis in axes if shape[axis] > 1 or draw(st.booleans())]
    entries: list[Any] = list(axes)
    if len(axes) > 1 and draw(st.booleans()):
        entries = [tuple(axes[:2]), *axes[2:]]
    entries.insert(draw(st.integers(0, len(entries))), last)
    for _ in range(draw(st.integers(0, 2))):
        entries.insert(draw(st.integers(0, len(entries))), "1")
    return shape, (0, *entries)


@given(reshapes())
def test_a_reshape_is_undone(case: tuple[tuple[int, ...], tuple[Any, ...]]) -> None:
    shape, indices = case
    array = numbered(*shape)
    moved = reshape.apply(array, indices)
    planned = reshape.plan(shape, indices)
    assert moved.shape == planned.new_shape
    assert planned.new_shape[planned.column_position] == shape[-1]
    assert np.array_equal(reshape.restore(moved, shape, indices), array)


@given(reshapes(), st.integers(1, 9))
def test_a_reshape_that_was_planned_fits_any_number_of_columns(
    case: tuple[tuple[int, ...], tuple[Any, ...]], width: int
) -> None:
    """A quantile encoder may make fewer columns of a Fold's rows than of all rows."""
    shape, indices = case
    planned = reshape.plan(shape, indices)
    moved = reshape.apply(numbered(*shape[:-1], width), indices)
    expected = list(planned.new_shape)
    expected[planned.column_position] = width
    assert moved.shape == tuple(expected)


def test_other_samples_than_those_planned_for_are_restored() -> None:
    predicted = numbered(7, 1, 5, 4)
    assert reshape.restore(predicted, (2, 5, 4), (0, "1", 1, 2)).shape == (7, 5, 4)


def test_a_prediction_of_another_shape_is_refused() -> None:
    with pytest.raises(PreprocessError, match=r"\(7, 20\).*'samples', 1, 5, 4.*shape of its"):
        reshape.restore(numbered(7, 20), (2, 5, 4), (0, "1", 1, 2))


@pytest.mark.parametrize(
    ("shape", "indices", "match"),
    [
        ((8, 5, 4), (1, 0, 2), "index 0 is the samples"),
        ((8, 5, 4), ((0, 1), 2), "index 0 is the samples"),
        ((8, 5, 4), ("8", 1, 2), "index 0 is the samples"),
        ((8, 5, 4), (0, (1, 2)), r"give \(8, 20\).*merged .*or dropped; name 2"),
        ((8, 5, 1), (0, 1), r"give \(8, 5\).*merged .*or dropped"),
        ((8, 5, 4), (0, "1", 2), r"of shape \(8, 5, 4\) give \(8, 1, 4\): 4 values.*are 20"),
        ((8, 5, 4), (0, "2", 1, 2), r"40 values a sample, there are 20"),
        ((8, 5, 4), (0, 1, 1, 2), "named more than once"),
        ((8, 5, 4), (0, 1, 3), "3 is none of its indices, 0 to 2"),
        ((8, 5, 4), (0, -1, 1), "-1 is none of its indices"),
        ((8, 5, 4), (0, True, 2), "True is none of its indices"),
        ((8, 5, 4), (0, 1.0, 2), r"1\.0 is none"),
        ((8, 5, 4), (0, None, 2), "None is none"),
        ((8, 5, 4), (0, (), 2), r"\(\) is none"),
        ((8, 5, 4), (0, "-1", 2), "'-1' is no length"),
        ((8, 5, 4), (0, "0", 2), "'0' is no length"),
        ((8, 5, 4), (), r"\(\) of shape \(8, 5, 4\); give a tuple"),
        ((8, 5, 4), "012", "give a tuple"),
        ((8,), (0,), "at least two axes"),
    ],
)
def test_indices_that_cannot_be_are_refused_with_shape_and_result(
    shape: tuple[int, ...], indices: Any, match: str
) -> None:
    with pytest.raises(PreprocessError, match=match):
        reshape.plan(shape, indices)


@pytest.mark.parametrize(
    ("shape", "indices"),
    [
        ((8, 5, 4), (0, 2, "5")),
        ((8, 6, 2, 4), (0, 3, 2, "6")),
        ((8, 3, 6, 4), (0, "6", 1, 3)),
        ((8, 2, 3, 2, 4), (0, (1, 3), "3", 4)),
    ],
)
def test_fixed_lengths_that_would_tear_an_axis_apart_are_refused(
    shape: tuple[int, ...], indices: Any
) -> None:
    with pytest.raises(PreprocessError, match="values would change their columns or rows"):
        reshape.plan(shape, indices)
