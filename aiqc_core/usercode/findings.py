"""What the walk through a user's code finds, and the warnings about it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import types

MB = 1_000_000
LARGE_BYTES = 10 * MB
# Of a module: where it is, and what the interpreter notes there.
UNSAID = {
    "__name__", "__file__", "__doc__", "__package__", "__spec__", "__loader__", "__path__",
    "__cached__", "__builtins__", "__annotations__",
}  # fmt: skip
WHOLE = "*"
# In the globals of a restored function: modules that it imports, and what it finds by a text.
CARRIED, IN_DOUBT = "__aiqc_modules__", "__aiqc_by_text__"


@dataclass(slots=True)
class Identity:
    """What identifies a value, and what was found on the way.

    Attributes:
        home: the module of a function, which is followed even where it is installed.
        digest: 64 hex digits.
        missing: names that the code reads and nothing defines, with the function that reads them.
        unfollowed: objects with a state that cannot be read: files, locks, generators.
        by_text: what the code looks up by a text that is not known before it runs.
        large: `(name, bytes)` of what holds more than `LARGE_BYTES`.
        uses: of each module of the user's that is reached, the names read from it; `'*'` for all.
        imported: those of them that an import statement inside a function reaches.
        parts: what each function does and each plain variable is, by name.
    """

    home: str | None = None
    digest: str = ""
    missing: set[str] = field(default_factory=set)
    unfollowed: list[str] = field(default_factory=list)
    by_text: list[str] = field(default_factory=list)
    large: list[tuple[str, int]] = field(default_factory=list)
    uses: dict[str, set[str]] = field(default_factory=dict)
    imported: dict[str, types.ModuleType] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The digest; a new key each time for code that may change unseen."""
        return uuid.uuid4().hex if self.unfollowed or self.by_text else self.digest

    def doubts(self, size: int) -> list[str]:
        """Return warnings about a value that takes `size` bytes."""
        unseen = "A change would not be noticed, so what follows from it is not used again."
        parts = ", ".join(f"{name!r} ({held / MB:.0f} MB)" for name, held in self.large)
        warnings = {
            f"uses objects with a state that cannot be read: {', '.join(self.unfollowed)}. "
            f"{unseen} Create them inside the function.": self.unfollowed,
            f"finds code by a text: {', '.join(dict.fromkeys(self.by_text))}. Only what it "
            "reads by name, or imports by a statement or a constant text, is stored with it; "
            f"the rest is whatever is there when it runs. {unseen} Choose from a dict, as "
            "{'Net': Net}[name].": self.by_text,
            f"takes {size / MB:.0f} MB of data with it{': ' if parts else ''}{parts}. Each "
            "row that has it stores them, and each process reads them. Give data as a "
            "Dataset, or read a file inside the function.": size > LARGE_BYTES,
        }
        return [text for text, applies in warnings.items() if applies]
