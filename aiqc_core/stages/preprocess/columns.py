"""Which columns a filter of dtypes and names matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pandas.api import types

from aiqc_core.errors import SelectionError
from aiqc_core.stages.ingest.selection import checked_columns, listed, repeated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Selection:
    """Columns that a filter matched, and columns left by this and earlier coders, in order."""

    matching: list[str]
    leftover: list[str]
    leftover_dtypes: list[str]


def select(
    available: Mapping[str, str],
    *,
    include: bool = True,
    dtypes: Sequence[str] | str | None = None,
    columns: Sequence[str] | str | None = None,
    taken: Collection[str] = (),
) -> Selection:
    """Match columns by dtype and by name.

    `available` is `{column: dtype}` of the whole feature; earlier coders took the `taken` ones.
    `include` says whether the filter names what is matched, or what is left out; without a filter
    both mean all columns that are not taken.

    Raises:
        SelectionError: no match, an unknown or repeated name, or a named column that `dtypes` or
            an earlier coder has.

    >>> select({"a": "float64", "b": "str"}, dtypes=["float64"]).matching
    ['a']
    >>> select({"a": "float64", "b": "str"}, include=False, columns=["a"]).matching
    ['b']
    """
    free = {name: dtype for name, dtype in available.items() if name not in taken}
    named = _named(available, free, dtypes, columns)
    matching = [name for name in free if named is None or (name in named) == include]
    if not matching:
        gone = [name for name in available if name in taken]
        raise SelectionError(
            f"include={include}, dtypes={dtypes}, columns={columns}: no column matches; free are "
            f"{free or 'none'}, earlier coders took {gone or 'none'}."
        )
    leftover = [name for name in free if name not in set(matching)]
    return Selection(matching, leftover, list(dict.fromkeys(free[name] for name in leftover)))


def dtype_names(dtypes: Sequence[Any] | str | type | None) -> list[str] | None:
    """Return the names of dtypes, given as names or as types; None for no filter."""
    names = listed(dtypes)
    if names is None:
        return None
    return [n if isinstance(n, str) else dtype_written(n) or repr(n) for n in names]


def dtype_written(dtype: Any) -> str | None:
    """Return the name of a dtype; None where it is none."""
    try:
        return None if dtype is None else str(types.pandas_dtype(dtype))
    except (TypeError, ValueError):
        return None


def _named(
    available: Mapping[str, str],
    free: Mapping[str, str],
    dtypes: Sequence[str] | str | None,
    columns: Sequence[str] | str | None,
) -> set[str] | None:
    """Return the free columns that a filter names; None where there is no filter."""
    wanted = dtype_names(dtypes)
    if wanted is not None and (not wanted or repeated(wanted)):
        raise SelectionError(f"dtypes: {wanted}; name at least one, and each once.")
    if unknown := [dtype for dtype in wanted or [] if dtype not in available.values()]:
        there = list(dict.fromkeys(available.values()))
        raise SelectionError(f"dtypes: no column is of {unknown}; there are {there}.")
    by_dtype = {name for name, dtype in free.items() if dtype in (wanted or [])}
    if columns is None:
        return None if wanted is None else by_dtype
    names = checked_columns("columns", columns, list(available))
    if again := [name for name in names if name not in free]:
        raise SelectionError(f"columns: an earlier coder took {again}; a column is encoded once.")
    if doubled := [name for name in names if name in by_dtype]:
        raise SelectionError(f"columns: {doubled} are matched by dtypes already; name them once.")
    return {*by_dtype, *names}
