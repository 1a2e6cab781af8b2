"""Resolve what code finds by a text, as `importlib.import_module("helper")`, `globals()[name]`."""

from __future__ import annotations

import builtins
import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any

from aiqc_core.usercode import owned

if TYPE_CHECKING:
    from aiqc_core.usercode.bytecode import Lookup

SUBCLASSES, MODULES = "__subclasses__", "sys.modules"
IMPORTS = {"importlib.import_module", "builtins.__import__"}
EVALUATES = {"builtins.eval", "builtins.exec", "builtins.globals"}
FINDERS = {
    *IMPORTS, *EVALUATES, "pydoc.locate", "pkgutil.resolve_name", "runpy.run_path",
    "runpy.run_module", "_frozen_importlib_external.spec_from_file_location",
}  # fmt: skip


def resolved(lookup: Lookup, space: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the full name of the module that a lookup imports, or what finds the unknown.

    Neither where it finds nothing by a text, what is installed, or what `bytecode.reads` follows.
    """
    finder = _finder(lookup, space)
    if finder is None or lookup.given == ():
        return None, None
    found = [
        value if is_constant else space.get(value) for is_constant, value in lookup.given or ()
    ]
    text, package = (*(t if isinstance(t, str) else None for t in found), None, None)[:2]
    try:
        name = text and importlib.util.resolve_name(text, package)
    except ImportError:
        name = None
    is_read = finder in EVALUATES and lookup.given and lookup.given[0][0]
    if is_read or (name and owned.is_installed(name.replace(":", "."))):
        return None, None
    return (name, None) if name and finder in IMPORTS else (None, ".".join(lookup.path))


def _finder(lookup: Lookup, space: dict[str, Any]) -> str | None:
    """Return the name of what finds things by a text, if a lookup reads that."""
    first, *further = lookup.path
    if first == SUBCLASSES:
        return SUBCLASSES
    found = (sys.modules if lookup.is_imported else space).get(first, vars(builtins).get(first))
    for name in further:
        if not isinstance(found, types.ModuleType):
            break
        found = vars(found).get(name)
    if found is sys.modules:
        return MODULES
    is_function = isinstance(found, types.FunctionType | types.BuiltinFunctionType)
    name = f"{found.__module__}.{found.__qualname__}" if is_function else ""
    return name if name in FINDERS else None
