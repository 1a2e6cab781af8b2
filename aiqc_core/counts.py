"""Check arguments that are numbers, flags or texts; errors name the argument."""

from __future__ import annotations

import functools
import inspect
import math
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = 2**31  # what a column of counts can hold, on PostgreSQL too
SEEDS = 2**63  # what a column of seeds can hold


def whole(
    argument: str, given: Any, *, least: int, below: int = COUNTS, exact: bool = True
) -> int:
    """Return a whole number, also one of numpy, from `least` to below `below`.

    Raises:
        ArgumentError: `given` is None, text, a truth value, no whole number (`exact` refuses 3.0,
            which hyperparameters may hold) or out of range.
    """
    kinds: Any = Integral if exact else Real
    is_whole = not isinstance(given, bool) and isinstance(given, kinds) and given % 1 == 0
    if is_whole and least <= given < below:
        return int(given)
    is_relevant = below != COUNTS or (is_whole and given >= below)
    bound = f" and below 2**{below.bit_length() - 1}" if is_relevant else ""
    raise ArgumentError(f"{argument}: {given!r}; give a whole number of at least {least}{bound}.")


def seed(given: object) -> int:
    """Return a seed; errors as `whole`."""
    return whole("seed", given, least=0, below=SEEDS)


def real(argument: str, given: Any, fits: Callable[[Any], bool], wanted: str) -> float:
    """Return a real number, also one of numpy, that `fits`; `wanted` is the range in words.

    Raises:
        ArgumentError: it is None, text, a truth value, NaN or out of range.
    """
    if is_number(given) and not math.isnan(given) and fits(given):
        return given
    raise ArgumentError(f"{argument}: {given!r}; give {wanted}.")


def share(argument: str, given: Any) -> float:
    """Return a number between 0 and 1; errors as `real`."""
    return real(argument, given, lambda level: 0 < level < 1, "a number between 0 and 1")


def is_number(given: Any) -> bool:
    """Say whether a value is a real number, of Python or numpy; truth values are none."""
    return not isinstance(given, bool) and isinstance(given, Real)


def flag(argument: str, given: Any) -> bool:
    """Return a truth value, also one of numpy; else raise ArgumentError."""
    if not isinstance(given, bool | np.bool_):
        raise ArgumentError(f"{argument}: {given!r}; give True or False.")
    return bool(given)


def text(argument: str, given: Any) -> str:
    """Return a text; else raise ArgumentError."""
    if not is_text(given):
        raise ArgumentError(f"{argument}: {given!r} is no {argument}; give text.")
    return given


def is_text(given: object) -> bool:
    """Say whether a value is text, without halves of characters as a file's name may hold."""
    return isinstance(given, str) and given == given.encode(errors="ignore").decode()


def plain(_: str, given: Any) -> Any:
    """Return a number of numpy as Python's, an array of no axis too; all else as it is."""
    is_one = isinstance(given, np.generic | np.ndarray) and np.ndim(given) == 0
    return given.item() if is_one else given


NONE = " | None"
CHECKS = {"bool": flag, "str": text, "int": plain, "float": plain}


def as_annotated(body: Callable[..., Any]) -> Callable[..., Any]:
    """Let a method refuse arguments that its signature calls flag or text and that are none."""
    signature = inspect.signature(body)
    kinds = {name: str(part.annotation) for name, part in signature.parameters.items()}
    checks = {n: check for n, k in kinds.items() if (check := CHECKS.get(k.removesuffix(NONE)))}

    @functools.wraps(body)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        for name, value in given.arguments.items():
            if name in checks and not (value is None and kinds[name].endswith(NONE)):
                given.arguments[name] = checks[name](name, value)
        return body(*given.args, **given.kwargs)

    return checked if checks else body
