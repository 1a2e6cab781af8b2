"""Columns by name and samples by position: asked for, checked, in the order given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHOWN = 5


def checked_columns(
    argument: str, asked: Sequence[str] | str | None, available: Sequence[str]
) -> list[str]:
    """Return the columns asked for (all when None), or refuse what is not there.

    A single name counts as a list of one.

    Raises:
        SelectionError: an empty list, an unknown column, or one named twice.

    >>> checked_columns("columns", "b", ["a", "b"])
    ['b']
    """
    if asked is None:
        return list(available)
    names: list[Any] = listed(asked) or []
    known = set(available)
    unknown = [name for name in names if not isinstance(name, str) or name not in known]
    twice = repeated(names) if not unknown else []
    if names and not unknown and not twice:
        return names
    fault = f"unknown {unknown}" if unknown else f"named twice {twice}" if twice else "none given"
    raise SelectionError(f"{argument}: {fault}; choose each once among {list(available)}.")


def checked_positions(
    argument: str, asked: Sequence[int] | int | None, count: int
) -> NDArray[np.int64]:
    """Return the positions asked for (all when None), or refuse what is not there.

    A single position counts as a list of one; `3` is always the fourth sample.

    Raises:
        SelectionError: an empty list, no whole number, a position outside, or one given twice.

    >>> checked_positions("samples", [2, 0], 3).tolist()
    [2, 0]
    """
    if asked is None:
        return np.arange(count, dtype=np.int64)
    given = np.atleast_1d(np.asarray(asked))
    if given.size == 0 or given.ndim > 1 or given.dtype.kind not in "iu" or _holds_bool(asked):
        raise SelectionError(
            f"{argument}: {asked!r}; give at least one position, a whole number from 0."
        )
    outside = given[(given < 0) | (given >= count)].tolist()
    if outside:
        raise SelectionError(
            f"{argument}: {outside[:SHOWN]} lie outside; there are positions 0 to {count - 1}."
        )
    positions = given.astype(np.int64)
    if len(np.unique(positions)) != len(positions):
        raise SelectionError(
            f"{argument}: {repeated(positions.tolist())[:SHOWN]} given twice; give each once."
        )
    return positions


def listed(asked: Any) -> list[Any] | None:
    """Return names as a list, a single one as a list of one; None stays None.

    >>> listed("a"), listed(("a", "b")), listed(None)
    (['a'], ['a', 'b'], None)
    """
    if asked is None:
        return None
    is_array = isinstance(asked, np.ndarray)
    is_several = asked.ndim if is_array else isinstance(asked, Iterable)
    return [asked] if isinstance(asked, str | type) or not is_several else list(asked)


def repeated(names: Iterable[Any]) -> list[Any]:
    """Return what occurs more than once, in order of first occurrence.

    >>> repeated(["a", "b", "a"])
    ['a']
    """
    counts: dict[Any, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return [name for name, count in counts.items() if count > 1]


def _holds_bool(asked: Sequence[int] | int) -> bool:
    """Say whether numpy has taken a truth value among whole numbers for one of them."""
    return not isinstance(asked, np.ndarray) and any(
        isinstance(item, bool) for item in listed(asked) or []
    )
