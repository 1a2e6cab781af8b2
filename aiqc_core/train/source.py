"""The source text of a function, given only where it is the text that this function came from."""

from __future__ import annotations
import __future__

import ast
import functools
import inspect
import linecache
import operator
import textwrap
import types
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FUTURES = functools.reduce(
    operator.or_, (getattr(__future__, n).compiler_flag for n in __future__.all_feature_names)
)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef


def source_of(function: Callable[..., object]) -> str | None:
    """Return the dedented source text of a function, or None when it cannot be known.

    The text is compiled and compared with the function, so that a file edited since its import,
    or two lambdas on one line, never give the text of something else.
    """
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return None
    try:
        text = textwrap.dedent(inspect.getsource(inner))
        tree = ast.parse(text)
    except (OSError, TypeError, SyntaxError):  # none kept, or a piece of a longer expression
        return None
    if code.co_name == "<lambda>":
        found = {ast.get_source_segment(text, node) for node in _lambdas(tree, code)}
        return found.pop() if len(found) == 1 else None
    is_it = any(_same(code, compiled) for compiled in _compiled(tree, code))
    return text if is_it else None


def is_text_of(function: Callable[..., object], source: str) -> bool:
    """Say whether a stored text is that of a function, as `source_of` found it then."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return False
    return code is not None and any(_same(code, made) for made in _compiled(tree, code))


def show_lines(function: Callable[..., object], source: str) -> None:
    """Let tracebacks show the text of a function that was made from bytes.

    Python looks lines up by the name of the file that the code names: the text is put there under
    a name of its own, at the line numbers that the code carries.
    """
    if not isinstance(function, types.FunctionType):
        return
    code = function.__code__
    name = f"<{code.co_name} as stored {zlib.crc32(source.encode()):08x}>"
    lines = ["\n"] * (code.co_firstlineno - 1) + source.splitlines(keepends=True)
    linecache.cache[name] = (len(source), None, lines, name)
    function.__code__ = _renamed(code, name)


def _renamed(code: types.CodeType, name: str) -> types.CodeType:
    """Return a code, with the functions and classes inside it, that names another file."""
    inside = (
        _renamed(constant, name) if isinstance(constant, types.CodeType) else constant
        for constant in code.co_consts
    )
    return code.replace(co_filename=name, co_consts=tuple(inside))


def _lambdas(tree: ast.Module, code: types.CodeType) -> Iterator[ast.Lambda]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            module = ast.Module([ast.Expr(node)], type_ignores=[])
            if any(_same(code, compiled) for compiled in _compiled(module, code)):
                yield node


def _compiled(tree: ast.Module, code: types.CodeType) -> Iterator[types.CodeType]:
    """Compile statements inside a function that binds the names which the code closes over."""
    parameters = ast.arguments(
        posonlyargs=[], args=[ast.arg(n) for n in code.co_freevars], kwonlyargs=[],
        kw_defaults=[], defaults=[],
    )  # fmt: skip
    outer = ast.FunctionDef("outer", parameters, [_bare(node) for node in tree.body], [])
    module = ast.fix_missing_locations(ast.Module([outer], type_ignores=[]))
    try:
        compiled = compile(module, "<source>", "exec", code.co_flags & _FUTURES, dont_inherit=True)
    except SyntaxError:
        return
    yield from (c for c in _nested(compiled) if c.co_name == code.co_name)


def _bare(node: ast.stmt) -> ast.stmt:
    if isinstance(node, _Definition):  # decorators and annotations may need names we do not bind
        node.decorator_list = []
    return node


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _nested(constant)


def _same(real: types.CodeType, compiled: types.CodeType) -> bool:
    """Say whether two codes do the same.

    pytest rewrites `assert`: there, the names that the text uses have to be among the real ones.
    """
    arguments = compiled.co_argcount + compiled.co_kwonlyargcount
    if real.co_varnames[:arguments] != compiled.co_varnames[:arguments]:
        return False
    if "@pytest_ar" in real.co_names:
        return set(compiled.co_names) - {"AssertionError"} <= set(real.co_names)
    mine, theirs = list(_nested(real)), list(_nested(compiled))
    return (
        (real.co_code, real.co_names, _plain(real))
        == (compiled.co_code, compiled.co_names, _plain(compiled))
        and len(mine) == len(theirs)
        and all(_same(a, b) for a, b in zip(mine, theirs, strict=True))
    )


def _plain(code: types.CodeType) -> list[str]:
    """Return the constants that are not code; by their text, as 1 and 1.0 and True are equal."""
    return [repr(c) for c in code.co_consts if not isinstance(c, types.CodeType)]
