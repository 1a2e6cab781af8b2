"""Keep the values that this process used last, so that it does not decode them again."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Hashable

    from numpy.typing import NDArray

MOST_BYTES = 2**28


class Recent:
    """The values used last, up to `MOST_BYTES`; safe between threads.

    It returns a frame that copies on write, as always in pandas 3, and a copy of an array.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> Any:
        """Return the values of a key, None where they are not held."""
        with self._lock:
            if key not in self._held:
                return None
            self._held.move_to_end(key)
            return _own(self._held[key][0])

    def put(self, key: Hashable, values: pd.DataFrame | NDArray[Any]) -> None:
        """Hold values and drop those used longest ago; too large ones are not held."""
        size = _size(values)
        if size > MOST_BYTES:
            return
        with self._lock:
            self._held.pop(key, None)
            self._held[key] = (_own(values), size)
            while sum(held for _, held in self._held.values()) > MOST_BYTES:
                self._held.popitem(last=False)


def _own(values: Any) -> Any:
    return values.copy(deep=False) if isinstance(values, pd.DataFrame) else values.copy()


def _size(values: Any) -> int:
    if isinstance(values, pd.DataFrame):
        return int(values.memory_usage(index=False, deep=True).sum())
    return int(values.nbytes)
