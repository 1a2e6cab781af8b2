"""Whole numbers that people give: checked, or refused by the argument's name."""

from __future__ import annotations

from numbers import Real
from typing import Any

from aiqc_core.errors import AIQCError, AlgorithmError

SEEDS = 2**63  # what a column of numbers can hold


def whole(
    argument: str,
    given: Any,
    *,
    least: int,
    below: int | None = None,
    exact: bool = False,
    error: type[AIQCError] = AlgorithmError,
) -> int:
    """Return a whole number, also one of numpy or one such as `3.0`.

    Args:
        argument: what the number is called.
        given: the number.
        least: the least that is allowed.
        below: what it must be below; None for no bound.
        exact: refuse `3.0` too.
        error: the class of the refusal.

    Raises:
        AIQCError: of that class: it is None, text, a truth value, no whole number or too small.
    """
    is_whole = is_number(given) and given % 1 == 0 and not (exact and isinstance(given, float))
    if is_whole and least <= given and (below is None or given < below):
        return int(given)
    bound = "" if below is None else f" and below {below}"
    raise error(f"{argument}: {given!r}; give a whole number of at least {least}{bound}.")


def is_number(given: Any) -> bool:
    """Say whether a value is a real number, of Python or numpy; truth values are none."""
    return not isinstance(given, bool) and isinstance(given, Real)


def seed(given: object, error: type[AIQCError] = AlgorithmError) -> int:
    """Return a seed; errors as `whole`."""
    return whole("seed", given, least=0, below=SEEDS, error=error)
