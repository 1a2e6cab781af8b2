"""What comes to light when code of a user's is followed, and the words for it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import types

LARGE_BYTES = 10_000_000
# Of a module: where it is, and what the interpreter notes there.
UNSAID = {
    "__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__path__",
    "__cached__", "__builtins__", "__annotations__",
}  # fmt: skip
WHOLE = "*"
CARRIED = "__aiqc_modules__"  # in the globals of a restored function: modules that it imports


@dataclass(slots=True)
class Identity:
    """What identifies a value, and what came to light on the way.

    Attributes:
        home: the module of a function, which is followed even where it is installed.
        digest: 64 hex digits.
        missing: names that the code reads and nothing defines, with the function that reads them.
        unfollowed: objects with a state that cannot be read: files, locks, generators.
        large: `(name, bytes)` of what holds more than `LARGE_BYTES`.
        uses: of each module of the user's that is reached, the names read from it; `'*'` for all.
        imported: those of them that an import statement inside a function reaches.
        parts: what each function does and each plain variable is, by name.
    """

    home: str | None = None
    digest: str = ""
    missing: set[str] = field(default_factory=set)
    unfollowed: list[str] = field(default_factory=list)
    large: list[tuple[str, int]] = field(default_factory=list)
    uses: dict[str, set[str]] = field(default_factory=dict)
    imported: dict[str, types.ModuleType] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)


def chains_of(taken: tuple[str, ...]) -> set[tuple[str, ...]]:
    """Return what an import statement reads of a module: these names, or it as it is."""
    return {(name,) for name in taken} or {()}


def prefixes(name: str) -> list[str]:
    """Return the packages of a module, and itself."""
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def imported(name: str) -> types.ModuleType | None:
    """Import a module; None where that fails."""
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - the function may guard it, or never come there
        return None
