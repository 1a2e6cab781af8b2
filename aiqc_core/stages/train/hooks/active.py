"""Values that are active inside of a `with` block, such as the observer of a training."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

Value = TypeVar("Value")


class Active(Generic[Value]):
    """Holds one value of a kind for each context, or none."""

    def __init__(self, name: str) -> None:
        self._value: ContextVar[Value | None] = ContextVar(name, default=None)

    def get(self) -> Value | None:
        """Return the active value; None outside of a Job."""
        return self._value.get()

    @contextmanager
    def opened(self, value: Value | None) -> Generator[None]:
        """Make a value the active one inside a `with` block."""
        token = self._value.set(value)
        try:
            yield
        finally:
            self._value.reset(token)
