"""Check names of columns and positions of samples; keep the order in which they are given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import IngestError, SelectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHOWN = 5


def checked_columns(
    argument: str, asked: Sequence[str] | str | None, available: Sequence[str]
) -> list[str]:
    """Return the requested columns, all when None; a single name counts as a list of one.

    Raises:
        SelectionError: an empty list, an unknown column, or one named twice.
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
    """Return the requested positions, all when None; `3` is always the fourth sample.

    Raises:
        SelectionError: an empty list, no whole number, a position outside, or one given twice.
    """
    if asked is None:
        return np.arange(count, dtype=np.int64)
    given = np.atleast_1d(np.asarray(asked))
    # numpy takes a truth value among whole numbers for one of them
    holds_bool = not isinstance(asked, np.ndarray) and any(
        isinstance(item, bool) for item in listed(asked) or []
    )
    if given.size == 0 or given.ndim > 1 or given.dtype.kind not in "iu" or holds_bool:
        raise SelectionError(
            f"{argument}: {asked!r}; give at least one position, a whole number from 0."
        )
    outside = given[(given < 0) | (given >= count)].tolist()
    if outside:
        raise SelectionError(
            f"{argument}: {outside[:SHOWN]} are outside; there are positions 0 to {count - 1}."
        )
    positions = given.astype(np.int64)
    if len(np.unique(positions)) != len(positions):
        raise SelectionError(
            f"{argument}: {repeated(positions.tolist())[:SHOWN]} given twice; give each once."
        )
    return positions


def column_names(
    names: Sequence[Any], rename_columns: Any, called: str, place: str = ""
) -> list[str]:
    """Return the names of columns as texts, the new ones where there are some, each once.

    None keeps `names`. Errors call the values `called`, and say the `place` of the columns.

    Raises:
        IngestError: new names that do not fit, or names that repeat.

    >>> column_names([0, 1], None, "dataframe"), column_names([0], ["x"], "dataframe")
    (['0', '1'], ['x'])
    """
    given: list[Any] = list(map(str, names))
    if rename_columns is not None:
        called, given = "rename_columns", listed(rename_columns) or []
        is_text = all(isinstance(name, str) for name in given)
        if not is_text or len(given) != len(names):
            raise IngestError(
                f"rename_columns: {given} for {len(names)} columns{place}; give one text for each."
            )
    twice = repeated(given)
    if twice:
        raise IngestError(
            f"{called}: column names repeat: {twice}. Give each column its own name."
        )
    return given


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
    """Return what occurs more than once, in order of first occurrence."""
    return [name for name, count in Counter(names).items() if count > 1]
