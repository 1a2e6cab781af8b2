"""Compare two values leaf by leaf: bit-equal, near, or different and where.

One rule compares weights, predictions, samples and fitted encoders: numbers may differ by
`tolerance` times the size of the number (or 1 where it is smaller), all else has to be equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.usercode import leaves as held
from aiqc_core.usercode.identity import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TOLERANCE = 1e-4  # far above the rounding of another order of sums, far below what an epoch moves
NUMERIC = "biufc"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two values agree.

    Attributes:
        near: whether every number is within the tolerance, and all else equal.
        largest: the largest difference of two numbers; None where something other differs.
        where: the leaf with that difference; None where there is none.
        then: its value on the left, as text; `now` that on the right.
    """

    bit_equal: bool
    near: bool
    largest: float | None
    where: str | None = None
    then: str | None = None
    now: str | None = None


EQUAL = Comparison(bit_equal=True, near=True, largest=0.0)


def compare(then: Any, now: Any, *, tolerance: float = TOLERANCE) -> Comparison:
    """Compare two values: nested mappings, sequences, dataclasses, arrays, fitted estimators."""
    left, right = dict(leaves(then)), dict(leaves(now))
    if list(left) != list(right):
        only = next(iter(set(left) ^ set(right)), "order")
        shown = (_shown(side.get(only, "nothing")) for side in (left, right))
        return Comparison(False, False, None, only, *shown)  # noqa: FBT003 - names above
    found = (_leaf(place, value, right[place], tolerance) for place, value in left.items())
    unlike = [each for each in found if not each.bit_equal]
    if not unlike:
        return EQUAL
    worst = max(unlike, key=lambda each: float("inf") if each.largest is None else each.largest)
    return replace(worst, near=all(each.near for each in unlike))


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `(path, leaf)`; a leaf is an array, a number, a text or another plain value."""
    if hasattr(value, "toarray"):  # sparse
        value = value.toarray()
    if isinstance(value, pd.Series | pd.Index):
        value = value.to_numpy()
    parts = _parts(value)
    if parts is None:
        is_value = _is_plain(value) or isinstance(value, np.ndarray)
        # The text of code may hold where it is in memory: what it does is compared.
        is_code = not is_value and (callable(value) or " at 0x" in repr(value))
        yield place, fingerprint(value) if is_code else value
    for name, part in (parts or {}).items():
        yield from leaves(part, f"{place}.{name}" if place else str(name))


def _parts(value: Any) -> Mapping[Any, Any] | None:
    """Return what a value is made of; None for a leaf."""
    if isinstance(value, pd.DataFrame):
        return {str(name): column.to_numpy() for name, column in value.items()}
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list | tuple):
        return None if all(_is_plain(v) for v in value) else dict(enumerate(value))
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if hasattr(value, "get_params") and not isinstance(value, type):
        return {"kind": type(value).__name__} | (held.attributes(vars(value)) or {})
    return None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bytes | bool | int | float | np.generic | None)


def _leaf(place: str, then: Any, now: Any, tolerance: float) -> Comparison:
    a, b = _array(then), _array(now)
    if a.shape == b.shape and a.dtype.kind in NUMERIC and b.dtype.kind in NUMERIC:
        return _numbers(place, a, b, tolerance)
    if a.shape == b.shape and a.dtype.kind == b.dtype.kind:
        if a.dtype.kind == "O":
            a, b = np.asarray(repr(a.tolist())), np.asarray(repr(b.tolist()))
        if (a == b).all():
            return EQUAL
    return Comparison(False, False, None, place, _shown(then), _shown(now))  # noqa: FBT003


def _numbers(place: str, a: NDArray[Any], b: NDArray[Any], tolerance: float) -> Comparison:
    if a.dtype == b.dtype and a.tobytes() == b.tobytes():
        return EQUAL
    wide = complex if "c" in a.dtype.kind + b.dtype.kind else float
    x, y = a.astype(wide), b.astype(wide)
    same = (x == y) | (np.isnan(x) & np.isnan(y))
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.where(same, 0.0, np.abs(x - y))
    apart = np.where(np.isnan(apart), np.inf, apart)
    size = np.maximum(np.where(np.isfinite(x), np.abs(x), 1.0), 1.0)
    worst = int(np.argmax(apart)) if apart.size else 0
    return Comparison(
        bit_equal=False,
        near=bool((apart <= tolerance * size).all()),
        largest=float(apart.max(initial=0.0)),
        where=f"{place}[{worst}]" if a.ndim else place,
        then=_shown(a.ravel()[worst]) if a.size else None,
        now=_shown(b.ravel()[worst]) if b.size else None,
    )


def _array(value: Any) -> NDArray[Any]:
    try:
        return np.asanyarray(value)
    except (TypeError, ValueError):
        return np.asarray(repr(value))


def _shown(value: Any) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 120 else f"{text[:117]}..."  # noqa: PLR2004 - a line
