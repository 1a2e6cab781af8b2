"""Imports of stored functions, which take what was stored with them first."""

from __future__ import annotations

import builtins
import functools
import importlib
import importlib.util
import sys
import types
import warnings
from typing import Any

from aiqc_core.usercode import owned
from aiqc_core.usercode.findings import CARRIED


def by_statement(
    name: str, space: Any = None, names: Any = None, taken: Any = (), level: int = 0
) -> Any:
    """Import as `__import__` does, but first what was stored with the function that imports."""
    caller = _callers() if space is None else space
    package = caller.get("__package__") or ""
    full = importlib.util.resolve_name("." * level + name, package) if level and package else name
    carried = caller.get(CARRIED, {})
    if full in carried:
        return carried[full if taken else full.partition(".")[0]]
    module = builtins.__import__(name, space, names, taken, level)
    _say_live(full, caller)
    return IMPORTLIB if module is importlib else module


@functools.wraps(importlib.import_module)
def import_module(name: str, package: str | None = None) -> Any:
    """Import as `importlib.import_module` does, but first what was stored with who calls."""
    caller = _callers()
    full = importlib.util.resolve_name(name, package)
    if full in caller.get(CARRIED, {}):
        return caller[CARRIED][full]
    module = importlib.import_module(full)
    _say_live(full, caller)
    return module


class _Importlib(types.ModuleType):
    """The module `importlib`, as stored functions see it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib, name)


IMPORTLIB = _Importlib("importlib")
IMPORTLIB.import_module = import_module  # type: ignore[attr-defined]
BUILTINS: dict[str, Any] = vars(builtins) | {"__import__": by_statement}


def _callers() -> dict[str, Any]:
    return sys._getframe(2).f_globals  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


def _say_live(name: str, space: dict[str, Any]) -> None:
    """Warn where a stored function runs code of the user's that is no part of it."""
    if CARRIED in space and not owned.is_installed(name):
        warnings.warn(
            f"A stored function imports {name!r}, which was not stored with it: it runs the code "
            "that is there now. Import it by a statement or a constant text.",
            stacklevel=3,
        )
