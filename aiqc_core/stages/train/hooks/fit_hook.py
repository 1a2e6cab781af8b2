"""The door between `utils.pytorch.fit` and the stacked training that may take over from it.

`train.stacked` opens it around each of its Jobs. It knows no framework.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator


class Door(Protocol):
    """Takes trainings in."""

    def train(self, training: Any) -> bool:
        """Train it as `training.run()` would; False where it has to train itself."""
        ...


_active: ContextVar[Door | None] = ContextVar("stacked_door", default=None)


def active() -> Door | None:
    """Return the door of the Job that runs here; None where it trains alone."""
    return _active.get()


@contextmanager
def opened(door: Door) -> Generator[None]:
    """Make a door the active one inside a `with` block."""
    token = _active.set(door)
    try:
        yield
    finally:
        _active.reset(token)
