"""Thresholds of a training history at which training may stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEYS = {"metric", "cutoff", "above_or_below"}
SIDES = ("above", "below")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A metric, and the value that it has to reach: at least (`above`) or at most the cutoff."""

    metric: str
    cutoff: float
    above: bool

    def holds(self, value: float) -> bool:
        """Say whether a value is at the cutoff or beyond it; NaN never is."""
        return value >= self.cutoff if self.above else value <= self.cutoff


def thresholds(given: Sequence[Mapping[str, Any]]) -> tuple[Threshold, ...]:
    """Check dicts `{metric, cutoff, above_or_below}`, the last `'above'` or `'below'`.

    Raises:
        ValueError: none at all, other keys, a cutoff that is no finite number, another side.

    >>> thresholds([{"metric": "loss", "cutoff": 0.1, "above_or_below": "below"}])[0].holds(0.1)
    True
    """
    listed: list[Any] = [given] if isinstance(given, dict) else list(given)
    if not listed:
        raise ValueError("thresholds: none given; list dicts of metric, cutoff, above_or_below.")
    found: list[Threshold] = []
    for one in listed:
        if not isinstance(one, dict) or set(one) != KEYS:
            raise ValueError(
                f"thresholds: {one!r}; give dicts with the keys {sorted(KEYS)}, no others."
            )
        metric, cutoff, side = one["metric"], one["cutoff"], one["above_or_below"]
        if not isinstance(metric, str):
            raise ValueError(f"metric: {metric!r}; give its name in the history.")  # noqa: TRY004
        is_number = isinstance(cutoff, int | float) and not isinstance(cutoff, bool)
        if not is_number or not math.isfinite(cutoff):
            raise ValueError(f"cutoff: {cutoff!r}; give a finite number.")
        if side not in SIDES:
            raise ValueError(f"above_or_below: {side!r}; give 'above' or 'below'.")
        found.append(Threshold(metric, float(cutoff), side == "above"))
    return tuple(found)


def all_hold(wanted: Sequence[Threshold], latest: Mapping[str, float]) -> bool:
    """Say whether every threshold holds for an epoch's values; raise for an unknown metric."""
    unknown = sorted({one.metric for one in wanted} - set(latest))
    if unknown:
        raise ValueError(
            f"metric: {', '.join(map(repr, unknown))} is not in the history, which has "
            f"{sorted(latest)}. Name one of these; val_* needs evaluation samples."
        )
    return all(one.holds(float(latest[one.metric])) for one in wanted)
