"""Which columns a filter of dtypes and names matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiqc_core.errors import SelectionError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Selection:
    """What a filter matched, and what it left.

    Attributes:
        matching: matched columns, in the order of the feature.
        leftover: columns that neither this nor an earlier coder takes.
        leftover_dtypes: their dtypes, each once, in order.
    """

    matching: list[str]
    leftover: list[str]
    leftover_dtypes: list[str]


def select(
    available: Mapping[str, str],
    *,
    include: bool = True,
    dtypes: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    taken: Collection[str] = (),
) -> Selection:
    """Match columns by dtype and by name.

    Args:
        available: `{column: dtype}` of the whole feature, in order.
        include: whether the filter names what is matched, or what is left out. Without any filter
            both mean all columns that are not taken.
        dtypes: dtypes of the filter.
        columns: columns of the filter, beside those of `dtypes`.
        taken: columns that earlier coders took.

    Raises:
        SelectionError: an unknown or repeated name, a column that `dtypes` has already matched or
            that an earlier coder took, or no match.

    >>> select({"a": "float64", "b": "str"}, dtypes=["float64"]).matching
    ['a']
    >>> select({"a": "float64", "b": "str"}, include=False, columns=["a"]).matching
    ['b']
    """
    by_dtype = _by_dtype(available, _listed("dtypes", dtypes), taken)
    by_name = _by_name(available, _listed("columns", columns), by_dtype)
    named = {*by_dtype, *by_name}
    free = [name for name in available if name not in taken]
    if not named:
        matching = free
    elif include:
        _refuse_taken(by_name, taken)
        matching = [name for name in available if name in named]
    else:
        matching = [name for name in free if name not in named]
    if not matching:
        raise SelectionError(
            f"include={include}, dtypes={dtypes}, columns={columns}: no column matches; earlier "
            f"coders took {sorted(taken)}, there are {dict(available)}."
        )
    leftover = [name for name in free if name not in matching]
    return Selection(matching, leftover, list(dict.fromkeys(available[name] for name in leftover)))


def _listed(argument: str, given: Sequence[str] | str | None) -> list[str]:
    if given is None:
        return []
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    if not names or len(set(names)) != len(names):
        raise SelectionError(f"{argument}: {names}; name at least one, and each once.")
    return names


def _by_dtype(
    available: Mapping[str, str], dtypes: list[str], taken: Collection[str]
) -> list[str]:
    unknown = [dtype for dtype in dtypes if dtype not in available.values()]
    if unknown:
        raise SelectionError(
            f"dtypes: no column is of {unknown}; there are {sorted(set(available.values()))}."
        )
    return [name for name, dtype in available.items() if dtype in dtypes and name not in taken]


def _by_name(
    available: Mapping[str, str], columns: list[str], by_dtype: list[str]
) -> list[str]:
    unknown = [name for name in columns if name not in available]
    if unknown:
        raise SelectionError(f"columns: unknown {unknown}; there are {list(available)}.")
    doubled = [name for name in columns if name in by_dtype]
    if doubled:
        raise SelectionError(f"columns: {doubled} are matched by dtypes already; name them once.")
    return columns


def _refuse_taken(columns: list[str], taken: Collection[str]) -> None:
    again = [name for name in columns if name in taken]
    if again:
        raise SelectionError(f"columns: an earlier coder took {again}; a column is encoded once.")
