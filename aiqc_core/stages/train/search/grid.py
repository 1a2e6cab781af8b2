"""Plan which combinations a search tries: all, a draw of them, or what results suggest."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.counts import real, whole
from aiqc_core.errors import AlgorithmError
from aiqc_core.stages.train.search import space

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GRID, RANDOM, TPE = SEARCHES = ("grid", "random", "tpe")
MOST_COMBINATIONS = 100_000
LEAST_COUNT = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search will try; `combinations` is None where results have yet to suggest them."""

    search: str
    count: int
    combinations: list[dict[str, Any]] | None


def plan(
    hyperparameters: Mapping[str, Any] | None,
    *,
    search: str | None = None,
    search_count: int | None = None,
    search_percent: float | None = None,
    seed: int,
) -> Plan:
    """Plan a search.

    Args:
        hyperparameters: `{name: [value, …] | range}`, see `search.space`.
        search: `'grid'` tries every combination, `'random'` a draw of them, `'tpe'` those that the
            results so far suggest. None draws when a count is given.
        search_count: how many combinations, at least 2; more than there are means all.
        search_percent: the share of the combinations, in (0, 1], rounded up.
        seed: of the draw.

    Raises:
        AlgorithmError: impossible hyperparameters, search or counts.
    """
    counted = search_count is not None or search_percent is not None
    kind = search or (RANDOM if counted else GRID)
    if search is not None and search not in SEARCHES:
        raise AlgorithmError(f"search: {search!r}; choose among {SEARCHES}, or None.")
    if counted == (kind == GRID):
        fix = "tries as many as are asked for; give a search_count"
        if counted:
            fix = "tries every combination; leave search_count and search_percent out"
        raise AlgorithmError(f"search: {search!r} {fix}.")
    dimensions = space.parse(hyperparameters, warn=kind == TPE)  # else `grid` warns
    available = space.size(dimensions)
    is_few = available is not None and available <= MOST_COMBINATIONS
    if kind == GRID or (kind == RANDOM and is_few):
        counts: dict[str, Any] = {"search_count": search_count, "search_percent": search_percent}
        chosen = sample(grid(hyperparameters), **counts, seed=seed)
        return Plan(kind, len(chosen), chosen)
    count = _count(available, search_count, search_percent)
    if count > MOST_COMBINATIONS:
        raise AlgorithmError(f"search_count: {count:,}; at most {MOST_COMBINATIONS:,} are tried.")
    if kind == TPE:
        return Plan(kind, count, None)
    generator = np.random.default_rng(seed)
    found: dict[str, dict[str, Any]] = {}
    while len(found) < count:  # one by one, from more than can be listed
        key, drawn = space.draw_new(dimensions, generator, found)
        found[key] = drawn
    return Plan(kind, count, list(found.values()))


def grid(hyperparameters: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Return every combination of the values, the last name varying fastest.

    Values differ as their JSON does (`1`, `1.0` and `true` differ); a repeated one is used once. A
    value that is no list counts as a list of one, a range with a step as the list of its numbers.

    Raises:
        AlgorithmError: as `space.parse`; a range of real numbers; more than 100,000 combinations.

    >>> grid({"neurons": [8, 16], "bias": True})
    [{'neurons': 8, 'bias': True}, {'neurons': 16, 'bias': True}]
    """
    dimensions = space.parse(hyperparameters)
    if real_ranges := [name for name, each in dimensions.items() if each.size is None]:
        raise AlgorithmError(
            f"hyperparameters: {real_ranges} are ranges of real numbers, which have no grid. Give "
            "them a 'step', or use search='random' or search='tpe' with a search_count."
        )
    count = math.prod(dimension.size or 0 for dimension in dimensions.values())
    if count > MOST_COMBINATIONS:
        raise AlgorithmError(
            f"hyperparameters: {count:,} combinations; at most {MOST_COMBINATIONS:,} are allowed. "
            "Give fewer values for some names, or draw: search='random' or search='tpe'."
        )
    values = [dimension.values for dimension in dimensions.values()]
    return [dict(zip(dimensions, chosen, strict=True)) for chosen in itertools.product(*values)]


def sample(
    combinations: Sequence[dict[str, Any]],
    *,
    search_count: int | None = None,
    search_percent: float | None = None,
    seed: int,
) -> list[dict[str, Any]]:
    """Draw combinations of a grid without replacement, in its order; counts as of `plan`.

    The same seed draws the same; a larger count adds to what a smaller one drew.

    >>> len(sample(grid({"a": list(range(10))}), search_percent=0.25, seed=1))
    3
    """
    count = _count(len(combinations), search_count, search_percent)
    drawn = np.random.default_rng(seed).permutation(len(combinations))[:count]
    return [combinations[position] for position in sorted(drawn.tolist())]


def combination_key(combination: dict[str, Any]) -> str:
    """Return 8 hex digits that follow from the content, whatever the order of its names."""
    return hashlib.sha256(space.canonical(combination).encode()).hexdigest()[:8]


def _count(available: int | None, search_count: Any, search_percent: Any) -> int:
    if search_count is not None and search_percent is not None:
        raise AlgorithmError(
            f"search_count: {search_count!r} and search_percent: {search_percent!r}; give one."
        )
    if search_count is not None:
        count = whole("search_count", search_count, least=LEAST_COUNT)
        return count if available is None else min(count, available)
    if available is None:
        raise AlgorithmError(
            "search_percent: a range of real numbers has no share; give a search_count."
        )
    if search_percent is None:
        return available
    wanted = "a share above 0 and up to 1.0"
    real("search_percent", search_percent, lambda share: 0 < share <= 1, wanted)
    # In decimals, as 0.07 * 100 is 7.000000000000001 in binary and would be rounded up to 8.
    return math.ceil(Decimal(repr(float(search_percent))) * available)
