"""Compare what the trained and the loaded model hold beside their weights."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.stages.train.backends.arrays import as_array

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLAIN = str | bytes | bool | int | float | complex | type(None) | np.generic
SHOWN = 40


def changed(trained: Mapping[str, Any], loaded: Mapping[str, Any]) -> Iterator[str]:
    """Yield the attributes of an object that differ, as `'scale' (1.0, trained -5.0)`.

    Values of kinds that cannot be compared count as equal.
    """
    for name in sorted({*trained, *loaded}):
        if name not in loaded:
            yield f"{name!r} (set in training)"
        elif name not in trained:
            yield f"{name!r} (deleted in training)"
        elif not equal(trained[name], loaded[name]):
            yield f"{name!r} ({_shown(loaded[name])}, trained {_shown(trained[name])})"


def equal(one: Any, other: Any) -> bool:
    """Say whether two values are equal; True for kinds that cannot be compared."""
    if one is other:
        return True
    if type(one).__qualname__ != type(other).__qualname__:
        return False
    for kind, rule in _RULES:
        if isinstance(one, kind):
            return rule(one, other)
    for read in ("state_dict", "get_weights"):  # of a layer in a list, say
        if hasattr(one, read):
            return equal(getattr(one, read)(), getattr(other, read)())
    return _same_numbers(one, other)


def _same_numbers(one: Any, other: Any) -> bool:
    if not (isinstance(one, np.ndarray) or hasattr(one, "numpy")):
        return True
    try:
        return np.array_equal(as_array(one), as_array(other), equal_nan=True)
    except Exception:  # noqa: BLE001 - texts, or a symbol without a value
        return True


_RULES: tuple[tuple[Any, Callable[[Any, Any], bool]], ...] = (
    (PLAIN | set | frozenset, lambda a, b: bool(a == b or (a != a and b != b))),  # noqa: PLR0124
    (Mapping, lambda a, b: list(a) == list(b) and all(equal(v, b[k]) for k, v in a.items())),
    (list | tuple, lambda a, b: len(a) == len(b) and all(map(equal, a, b))),
    (types.FunctionType, lambda one, other: one.__code__ == other.__code__),
)


def _shown(value: Any) -> str:
    if not isinstance(value, PLAIN) and (hasattr(value, "shape") or hasattr(value, "parameters")):
        return f"a {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
