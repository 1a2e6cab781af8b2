"""Rearranging the axes of a feature, and putting them back."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import PreprocessError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.preprocess.values import Array

Entry = int | str | tuple[int, ...]
LEAST_AXES, MOST_AXES = 2, 64  # of an array of numpy


@dataclass(frozen=True, slots=True)
class Reshape:
    """What a reshape does to one shape."""

    indices: tuple[Entry, ...]  # lists made tuples
    new_shape: tuple[int, ...]  # the samples first
    column_position: int  # where the last axis, the columns, lands


def plan(shape: Sequence[int], reshape_indices: Sequence[Any]) -> Reshape:
    """Work out a reshape from indices into a shape.

    A whole number stands for the axis of that index, text for a length of its own (`"1"` adds an
    axis), and a tuple merges its axes. An axis of length 1 may be left out.

    Indices in another order than the axes move them, as `np.transpose` does. The `np.reshape` of
    the reference gives the same shape, but would mix the values of rows and columns there. `shape`
    is `(samples, ..., columns)`; index 0, the samples, comes first.

    Raises:
        PreprocessError: an index that cannot be, columns merged or dropped, or another number of
            values than there are.

    >>> plan((8, 1, 5, 4), (0, 2, 3)).new_shape
    (8, 5, 4)
    >>> plan((8, 3, 5, 4), (0, (1, 2), 3)).new_shape
    (8, 15, 4)
    >>> plan((8, 3, 5, 4), (0, 2, 3, 1)).column_position
    2
    """
    axes = tuple(int(length) for length in shape)
    where = f"reshape_indices: {reshape_indices!r} of shape {axes}"
    if len(axes) < LEAST_AXES:
        raise PreprocessError(f"{where}; give data of at least two axes, (samples, columns).")
    indices = checked(reshape_indices, len(axes), where)
    new_shape = tuple(_length(axes, entry) for entry in indices)
    outcome = f"reshape_indices: {indices} of shape {axes} give {new_shape}"
    columns = len(axes) - 1
    if columns not in indices:
        raise PreprocessError(
            f"{outcome}, in which the columns (index {columns}) are merged with another axis or "
            f"dropped; name {columns} on its own, so that columns can be decoded."
        )
    if prod(new_shape[1:]) != prod(axes[1:]):
        raise PreprocessError(
            f"{outcome}: {prod(new_shape[1:])} values a sample, there are {prod(axes[1:])}. Name "
            "every axis that is longer than 1."
        )
    _refuse_torn(axes, indices, new_shape, outcome)
    return Reshape(indices, new_shape, indices.index(columns))


def apply(array: Array, indices: Sequence[Any]) -> Array:
    """Return an array in its new shape, a view where that is possible; see `plan`."""
    planned = plan(array.shape, indices)
    return array.transpose(_order(array.ndim, planned.indices)).reshape(planned.new_shape)


def restore(array: Array, shape: Sequence[int], indices: Sequence[Any]) -> Array:
    """Return samples to the `shape` before `apply`; the number of samples may differ.

    Raises:
        PreprocessError: see `plan`; or the array has another shape than the reshape gives.
    """
    planned = plan(shape, indices)
    if array.shape[1:] != planned.new_shape[1:]:
        raise PreprocessError(
            f"array: shape {array.shape}; reshape_indices {planned.indices} of shape "
            f"{tuple(shape)} give {('samples', *planned.new_shape[1:])}. An unsupervised model "
            "must give back the shape of its label."
        )
    order = _order(len(shape), planned.indices)
    moved = array.reshape(len(array), *(shape[axis] for axis in order[1:]))
    return moved.transpose(np.argsort(order))


def checked(given: Any, count: int, where: str) -> tuple[Entry, ...]:
    """Return indices in plain types, with lists as tuples and tuples of one as the one.

    Raises:
        PreprocessError: indices that do not suit `count` axes; the message begins with `where`.
    """
    if not isinstance(given, list | tuple) or not given:
        raise PreprocessError(f"{where}; give a tuple such as (0, '1', 1).")
    entries = tuple(_entry(item, count, where) for item in given)
    if entries[0] != 0:
        raise PreprocessError(f"{where}; index 0 is the samples: it comes first, on its own.")
    named = _named(entries)
    if len(set(named)) < len(named):
        raise PreprocessError(f"{where}; an axis is named more than once. Name each once.")
    return entries


def _entry(item: Any, count: int, where: str) -> Entry:
    if isinstance(item, list | tuple) and item:
        merged = tuple(_axis(axis, count, where) for axis in item)
        return merged[0] if len(merged) == 1 else merged
    if isinstance(item, str):
        if not item.isdecimal() or int(item) < 1:
            raise PreprocessError(f"{where}; {item!r} is no length. Give text such as '1'.")
        return item
    return _axis(item, count, where)


def _axis(item: Any, count: int, where: str) -> int:
    whole = isinstance(item, int | np.integer) and not isinstance(item, bool)
    if not whole or not 0 <= item < count:
        bound = f", 0 to {count - 1}" if count <= MOST_AXES else ""
        raise PreprocessError(
            f"{where}; {item!r} is none of its indices{bound}. Give whole numbers, text for a "
            "fixed length, or a tuple of indices to merge."
        )
    return int(item)


def _named(entries: Sequence[Entry]) -> list[int]:
    """Return the axes that are named, in the order of the result."""
    groups = [entry if isinstance(entry, tuple) else (entry,) for entry in entries]
    return [axis for group in groups for axis in group if isinstance(axis, int)]


def _length(axes: tuple[int, ...], entry: Entry) -> int:
    if isinstance(entry, tuple):
        return prod(axes[axis] for axis in entry)
    return axes[entry] if isinstance(entry, int) else int(entry)


def _order(count: int, indices: Sequence[Entry]) -> list[int]:
    """Return the axes in the order to which they are moved before the reshape."""
    named = _named(indices)
    if named == sorted(named):
        return list(range(count))
    return named + [axis for axis in range(count) if axis not in named]


def _refuse_torn(
    axes: tuple[int, ...], indices: tuple[Entry, ...], new_shape: tuple[int, ...], outcome: str
) -> None:
    """Refuse fixed lengths that stand elsewhere than the unnamed axes that they replace."""
    named = _named(indices)
    if all(axes[axis] == 1 for axis in range(len(axes)) if axis not in named):
        return
    whole = named == sorted(
        named
    )  # a named axis stays whole where as many values follow it as before
    for position, entry in enumerate(indices):
        if not isinstance(entry, str):
            first, last = (entry[0], entry[-1]) if isinstance(entry, tuple) else (entry, entry)
            whole &= prod(new_shape[position + 1 :]) == prod(axes[last + 1 :])
            whole &= position == 0 or prod(new_shape[position:]) == prod(axes[first:])
    if not whole:
        raise PreprocessError(
            f"{outcome}, but values would change their columns or rows: fixed lengths must stand "
            "where the axes were that they replace. Name axes by their index to move them."
        )
