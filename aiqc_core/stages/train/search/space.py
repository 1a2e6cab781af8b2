"""The space of hyperparameters: for each name its choices, or a range of numbers.

A range goes beyond the reference: a bare dictionary `{"low": …, "high": …}` with `"log": True` or
`"step": …` where wanted. It is of whole numbers when all of its numbers are; both ends belong to
it. A dictionary that is meant as a value stands in a list.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Collection, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from aiqc_core.errors import AlgorithmError

logger = logging.getLogger(__name__)

RANGE_KEYS = ("low", "high", "log", "step")


@dataclass(frozen=True, slots=True)
class Choices:
    """Values without an order, distinct as JSON."""

    values: tuple[Any, ...]

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    def value(self, position: float) -> Any:
        """Return the value at a position."""
        return self.values[int(position)]

    def position(self, value: Any) -> int:
        """Return where a value stands."""
        return [canonical(v) for v in self.values].index(canonical(value))

    def draw(self, generator: np.random.Generator) -> Any:
        """Draw a value, each as likely."""
        return self.values[int(generator.integers(self.size))]


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`: with a `step` the grid on it, else all of them.

    Attributes:
        log: whether equal ratios are as likely as each other, rather than equal differences.
        step: None for real numbers; whole numbers have one, 1 at least.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def size(self) -> int | None:
        """How many numbers there are; None when they are real numbers."""
        if self.step is None:
            return None
        width = Decimal(repr(self.high)) - Decimal(repr(self.low))
        return int(width // Decimal(repr(self.step))) + 1

    def value(self, position: float) -> float:
        """Return the number at a step, counted from 0; without one, and with log, the position."""
        if self.step is None:
            return float(position)
        if self.log:
            return int(position)
        if isinstance(self.low, int) and isinstance(self.step, int):
            return self.low + int(position) * self.step
        # In decimals, as 3 * 0.1 is 0.30000000000000004 in binary.
        return float(Decimal(repr(self.low)) + int(position) * Decimal(repr(self.step)))

    def position(self, value: float) -> float:
        """Return the step on which a number stands: the inverse of `value`."""
        if self.step is None or self.log:
            return value
        return round((value - self.low) / self.step)

    @property
    def values(self) -> tuple[float, ...]:
        """Every number of a range with a step, from low to high."""
        first = self.low if self.log else 0
        return tuple(self.value(first + step) for step in range(self.size or 0))

    def draw(self, generator: np.random.Generator) -> float:
        """Draw a number, uniformly or with `log` uniformly in its logarithm."""
        if not self.log:
            if self.size is not None:
                return self.value(int(generator.integers(self.size)))
            return float(generator.uniform(self.low, self.high))
        whole = self.step is not None
        margin = 0.5 if whole else 0.0  # so that the ends come up as often as their neighbours
        ends = math.log(self.low - margin), math.log(self.high + margin)
        drawn = math.exp(generator.uniform(*ends))
        return min(max(round(drawn) if whole else drawn, self.low), self.high)


Dimension = Choices | Range


def parse(hyperparameters: Mapping[str, Any] | None, *, warn: bool = True) -> dict[str, Dimension]:
    """Read `{name: [value, …] | range | value}`; a value that is no list is the only choice.

    `warn` logs values that are given repeatedly.

    Raises:
        AlgorithmError: an empty list, a value that JSON would change (tuple, integer key, NaN,
            numpy scalar), or an impossible range.

    >>> parse({"rate": {"low": 0.001, "high": 0.1, "log": True}})["rate"].size is None
    True
    """
    if hyperparameters is not None and not isinstance(hyperparameters, Mapping):
        raise AlgorithmError(
            f"hyperparameters: {hyperparameters!r} is a {type(hyperparameters).__name__}; give "
            "{name: [value, …]}."
        )
    found: dict[str, Dimension] = {}
    for name, values in (hyperparameters or {}).items():
        if not isinstance(name, str):
            raise AlgorithmError(
                f"hyperparameters: the name {name!r} is a {type(name).__name__}; give a string."
            )
        if isinstance(values, Mapping) and {"low", "high"} <= set(values):
            found[name] = _range(name, values)
            continue
        choices = found[name] = Choices(tuple(_unique(name, values)))
        if warn and isinstance(values, list) and choices.size != len(values):
            message = "hyperparameters: repeated values of %r are used once: %r"
            logger.warning(message, name, list(choices.values))
    return found


def size(dimensions: Mapping[str, Dimension]) -> int | None:
    """Return how many combinations there are; None when a range of real numbers is among them."""
    sizes = [dimension.size for dimension in dimensions.values()]
    return None if None in sizes else math.prod(s for s in sizes if s is not None)


def draw_new(
    dimensions: Mapping[str, Dimension], generator: np.random.Generator, known: Collection[str]
) -> tuple[str, dict[str, Any]]:
    """Draw until a combination is not among those known by `canonical`; return it with that."""
    while True:
        drawn = {name: each.draw(generator) for name, each in dimensions.items()}
        key = canonical(drawn)
        if key not in known:
            return key, drawn


def canonical(value: Any) -> str:
    """Return the JSON that distinguishes values and combinations."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _range(name: str, given: Any) -> Range:
    low, high, log, step = map(given.get, RANGE_KEYS)
    for wrong in _faults_of_range(given):
        raise AlgorithmError(
            f"hyperparameters: the range {dict(given)!r} of {name!r} {wrong}. A range is "
            "{'low': …, 'high': …} with 'log': True or 'step': … where wanted; a dictionary that "
            "is meant as a value stands in a list."
        )
    if {type(low), type(high), type(step)} <= {int, type(None)}:
        return Range(low, high, bool(log), 1 if step is None else step)
    return Range(float(low), float(high), bool(log), None if step is None else float(step))


def _faults_of_range(given: Any) -> Iterator[str]:
    """Yield what is wrong; what comes later relies on what came before."""
    low, high, log, step = map(given.get, RANGE_KEYS)
    numbers = [low, high] if step is None else [low, high, step]
    if unknown := sorted(map(str, set(given).difference(RANGE_KEYS))):
        yield f"has unknown keys {unknown}"
    if not all(type(n) in {int, float} and math.isfinite(n) for n in numbers):
        yield "holds what is no finite int or float of Python"
    if not low < high:
        yield "has a low that is not below its high"
    if log not in {None, True, False}:
        yield f"has log={log!r}, which is neither True nor False"
    if step is not None and not 0 < step <= high - low:
        yield f"has step={step!r}, which is not above 0 and up to high - low"
    if log and step is not None:
        yield "has both log and step"
    if log and low <= 0:
        yield "has log, for which low must be above 0"


def _unique(name: str, given: Any) -> list[Any]:
    if fault := _fault_of_values(given):
        raise AlgorithmError(f"hyperparameters: {name!r} {fault}.")
    values = given if isinstance(given, list) else [given]
    for value in values:
        for part, fix in _changed_by_json(value):
            raise AlgorithmError(
                f"hyperparameters: {name!r} holds {part!r} ({type(part).__name__}), which JSON "
                f"would change; {fix}."
            )
    return list({canonical(value): value for value in values}.values())


def _fault_of_values(given: Any) -> str | None:
    if given is None:
        return "has no values; where None is meant, give [None]"
    if isinstance(given, list | dict) and not given:
        return "has no values; give at least one, or leave it out"
    if isinstance(given, Mapping):
        is_part = set(given).issubset(RANGE_KEYS)
        return f"is {dict(given)!r}; a range has both 'low' and 'high'" if is_part else None
    if isinstance(given, range | AbstractSet | Iterator):
        return f"is a {type(given).__name__}; give a list of at least one value: list(…)"
    return None


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
