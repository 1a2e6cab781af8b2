"""Which combinations of hyperparameters are tried."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import AlgorithmError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

logger = logging.getLogger(__name__)

MOST_COMBINATIONS = 100_000
LEAST_COUNT = 2


def grid(hyperparameters: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return every combination of the values, the last name varying fastest.

    Values are told apart as JSON (`1`, `1.0` and `true` differ); a repeated one is used once.

    Args:
        hyperparameters: `{name: [value, …]}`; a value that is no list counts as a list of one.
            None or an empty dictionary is one combination of nothing.

    Raises:
        AlgorithmError: an empty list, a value that JSON would change (tuple, integer key, NaN,
            numpy scalar), or more combinations than 100,000.

    >>> grid({"neurons": [8, 16], "bias": True})
    [{'neurons': 8, 'bias': True}, {'neurons': 16, 'bias': True}]
    """
    named = hyperparameters or {}
    values = [_unique(name, given) for name, given in named.items()]
    count = math.prod(map(len, values))
    if count > MOST_COMBINATIONS:
        message = (
            f"hyperparameters: {count:,} combinations; at most {MOST_COMBINATIONS:,} are allowed. "
            "Give fewer values for some names."
        )
        raise AlgorithmError(message)
    return [dict(zip(named, chosen, strict=True)) for chosen in itertools.product(*values)]


def sample(
    combinations: Sequence[dict[str, Any]],
    *,
    search_count: int | None = None,
    search_percent: float | None = None,
    seed: int,
) -> list[dict[str, Any]]:
    """Draw combinations without replacement, in the order of the grid.

    Args:
        combinations: what `grid` returned.
        search_count: how many, at least 2; more than there are means all.
        search_percent: the share, in (0, 1], rounded up.
        seed: the same seed draws the same; a larger count adds to what a smaller one drew.

    Raises:
        AlgorithmError: both are given, or one is out of range.

    >>> len(sample(grid({"a": list(range(10))}), search_percent=0.25, seed=1))
    3
    """
    count = _count(len(combinations), search_count, search_percent)
    drawn = np.random.default_rng(seed).permutation(len(combinations))[:count]
    return [combinations[position] for position in sorted(drawn.tolist())]


def combination_key(combination: dict[str, Any]) -> str:
    """Return 8 hex digits that follow from the content, whatever the order of its names."""
    return hashlib.sha256(_canonical(combination).encode()).hexdigest()[:8]


def _count(available: int, search_count: Any, search_percent: Any) -> int:
    if search_count is not None and search_percent is not None:
        message = (
            f"search_count: {search_count!r} and search_percent: {search_percent!r}; give one."
        )
        raise AlgorithmError(message)
    if search_count is not None:
        if type(search_count) is not int or search_count < LEAST_COUNT:
            message = (
                f"search_count: {search_count!r}; give a whole number of at least {LEAST_COUNT}, "
                "or None for all combinations."
            )
            raise AlgorithmError(message)
        return min(search_count, available)
    if search_percent is not None:
        if type(search_percent) not in {int, float} or not 0 < search_percent <= 1:
            message = f"search_percent: {search_percent!r}; give a share above 0 and up to 1.0."
            raise AlgorithmError(message)
        # In decimals, as 0.07 * 100 is 7.000000000000001 in binary and would be rounded up to 8.
        share = Decimal(repr(search_percent)) * available
        return int(share.to_integral_value(ROUND_CEILING))
    return available


def _unique(name: Any, given: Any) -> list[Any]:
    if not isinstance(name, str):
        message = f"hyperparameters: the name {name!r} is a {type(name).__name__}; give a string."
        raise AlgorithmError(message)
    values = given if isinstance(given, list) else [given]
    if not values:
        message = f"hyperparameters: {name!r} has no values; give at least one, or leave it out."
        raise AlgorithmError(message)
    for value in values:
        for part, fix in _changed_by_json(value):
            message = (
                f"hyperparameters: {name!r} holds {part!r} ({type(part).__name__}), which JSON "
                f"would change; {fix}."
            )
            raise AlgorithmError(message)
    unique = list({_canonical(value): value for value in values}.values())
    if len(unique) < len(values):
        logger.warning("hyperparameters: repeated values of %r are used once: %r", name, unique)
    return unique


def _changed_by_json(value: Any) -> Iterator[tuple[Any, str]]:
    """Yield each part that would come back from JSON as something else, with the remedy."""
    if type(value) is list:
        for part in value:
            yield from _changed_by_json(part)
    elif type(value) is dict:
        for key, part in value.items():
            if type(key) is not str:
                yield key, "use string keys"
            yield from _changed_by_json(part)
    elif type(value) is float and not math.isfinite(value):
        yield value, "use None or a string, and turn it into a float inside the function"
    elif isinstance(value, tuple):
        yield value, "use a list, and tuple(…) inside the function"
    elif isinstance(value, np.generic | np.ndarray):
        yield value, "use .tolist()"
    elif value is not None and type(value) not in {str, int, float, bool}:
        yield value, "use a string, and look the object up inside the function"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
