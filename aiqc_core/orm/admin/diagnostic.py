"""The result of one health check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

OK, WARN, FAIL = "ok", "warn", "fail"
Verdict = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One part of a store and its state."""

    part: str  # its name
    verdict: Verdict  # `'ok'`, `'warn'` (worth a look, nothing is lost) or `'fail'`
    found: str  # what there is
    remedy: str = ""  # what mends it, mostly a command; empty where nothing is to be done


def first_of(names: Sequence[object], count: int) -> str:
    """Return the first names in a line, and how many more there are.

    >>> first_of(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(map(str, names[:count])) + more
