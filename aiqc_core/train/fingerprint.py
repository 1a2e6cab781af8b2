"""A digest of what a function does: its code, its defaults, and what it reads from its module.

Unlike a pickle it does not move when the function does, when a comment changes, or from one
process to the next; unlike the source text it sees a helper or a constant that changed.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def fingerprint(function: Callable[..., Any]) -> str:
    """Return 64 hex digits that change when the function, a helper or a constant changes."""
    digest = hashlib.sha256()
    for part in _parts(function, set()):
        digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _parts(function: Any, seen: set[int]) -> Iterator[str]:
    if id(function) in seen:
        return
    seen.add(id(function))
    code = function.__code__
    yield from _code_parts(code)
    yield repr(function.__defaults__)
    yield repr(sorted((function.__kwdefaults__ or {}).items()))
    for cell in function.__closure__ or ():
        yield from _value_parts("cell", cell.cell_contents, seen)
    for name in sorted(_names(code)):
        if name in function.__globals__:
            yield from _value_parts(name, function.__globals__[name], seen)


def _value_parts(name: str, value: Any, seen: set[int]) -> Iterator[str]:
    yield name
    if isinstance(value, types.FunctionType):
        yield from _parts(value, seen)
    elif isinstance(value, types.ModuleType | type):
        yield getattr(value, "__qualname__", value.__name__)
    else:
        yield _constant(value)


def _constant(value: Any) -> str:
    if isinstance(value, set | frozenset):
        return repr(sorted(map(repr, value)))  # a set's own order moves with the hash seed
    try:
        return hashlib.sha256(pickle.dumps(value, protocol=5)).hexdigest()
    except (pickle.PicklingError, AttributeError, TypeError):
        return ADDRESS.sub("", repr(value))


def _code_parts(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code_parts(constant)
        else:
            is_set = isinstance(constant, frozenset)  # whose order moves with the hash seed
            yield repr(sorted(map(repr, constant)) if is_set else constant)


def _names(code: types.CodeType) -> set[str]:
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*(_names(constant) for constant in nested))
