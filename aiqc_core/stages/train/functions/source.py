"""Find the source text of a function, and only the text that this function came from."""

from __future__ import annotations
import __future__

import ast
import inspect
import linecache
import textwrap
import types
import zlib
from typing import TYPE_CHECKING, Any

from aiqc_core.usercode.bytecode import canonical, nested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FUTURES = sum({getattr(__future__, n).compiler_flag for n in __future__.all_feature_names})
_CELL = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # what a notebook compiles its cells with
_Definition = ast.FunctionDef | ast.AsyncFunctionDef


def source_of(function: Callable[..., object]) -> str | None:
    """Return the dedented source text of a function, or None when it cannot be known.

    A decorated function has the text below its decorators, which it shows too. The whole file or
    cell is compiled and the function looked for in it, so that a file edited since its import, or
    two lambdas on one line, never give the text of something else.
    """
    inner: Any = inspect.unwrap(function)
    found = _text(inner)
    if inner is function or (found is not None and found.lstrip().startswith("@")):
        return found
    return _text(function)  # it wraps a function that stands elsewhere: its own text is what runs


def is_text_of(function: Callable[..., object], source: str) -> bool:
    """Say whether a stored text is that of a function, as `source_of` found it then."""
    both = (inspect.unwrap(function), function)
    return any(_is_text(getattr(each, "__code__", None), source) for each in both)


def show_lines(function: Callable[..., object], source: str) -> None:
    """Let tracebacks show the text of a function that was made from bytes.

    The text is cached under a file name of its own, at the line numbers of the code.
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


def _text(function: Any) -> str | None:
    """Return the text of a function in its file, or as it was typed into a console."""
    code = getattr(function, "__code__", None)
    if code is None:
        return None
    linecache.checkcache(code.co_filename)
    unit = "".join(linecache.getlines(code.co_filename, function.__globals__))
    text = _text_in(unit, code) if unit else None
    if text is not None or getattr(function, "__module__", None) != "__main__":
        return text
    import dill.source  # noqa: PLC0415 - rarely needed

    try:
        text = textwrap.dedent(dill.source.getsource(function))
    except Exception:  # noqa: BLE001 - whatever it makes of a history without this function
        return None
    return text if _is_text(code, text) else None


def _text_in(unit: str, code: types.CodeType) -> str | None:
    """Return the text of a code in the file or cell that it came from."""
    flags = code.co_flags & _FUTURES | _CELL
    try:
        tree: ast.Module = compile(
            unit, "<source>", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True
        )
        compiled: types.CodeType = compile(unit, "<source>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    matches = [c for c in nested(compiled) if c.co_name == code.co_name and _same(code, c)]
    on_line = [c for c in matches if c.co_firstlineno == code.co_firstlineno]
    at_place = [c for c in on_line if list(c.co_positions()) == list(code.co_positions())]
    if not on_line and _is_rewritten(code):
        return None
    places = [(c.co_name, c.co_firstlineno, c) for c in at_place or on_line or matches]
    texts: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            body = node.body
            span = body.lineno, body.end_lineno, body.col_offset, body.end_col_offset
            if any(
                (name, line) == ("<lambda>", node.lineno) and span in set(match.co_positions())
                for name, line, match in places
            ):
                texts.add(ast.get_source_segment(unit, node) or "")
        elif isinstance(node, _Definition):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            if any((node.name, first) == each[:2] for each in places):
                text = "".join(unit.splitlines(keepends=True)[first - 1 : node.end_lineno])
                dedented = textwrap.dedent(text)  # unless a text inside would change
                texts.add(dedented if _is_text(code, dedented) else text)
    return texts.pop() if len(texts) == 1 else None


def _is_text(code: types.CodeType | None, source: str) -> bool:
    if code is None:
        return False
    for text in (source, f"if True:\n{source}", f"(\n{source}\n)"):
        try:
            tree = ast.parse(text)
        except SyntaxError:
            continue
        return any(_same(code, made) for made in _compiled(tree, code))
    return False


def _compiled(tree: ast.Module, code: types.CodeType) -> Iterator[types.CodeType]:
    """Compile statements where the names that the code closes over are bound."""
    parameters = ast.arguments(
        posonlyargs=[], args=[ast.arg(n) for n in code.co_freevars], kwonlyargs=[],
        kw_defaults=[], defaults=[],
    )  # fmt: skip
    body: list[ast.stmt] = tree.body
    for node in body:
        if isinstance(node, _Definition):
            node.decorator_list = []  # these may need names that are not bound here
    own = [n.name for n in body if isinstance(n, _Definition) and n.name not in code.co_freevars]
    holder = code.co_qualname.rpartition(".")[0].rpartition(".")[2]
    if holder.isidentifier():  # private names carry the name of the class
        body = [ast.ClassDef(holder, [], [], body, [])]
    elif own:  # a recursive function finds itself in its module
        body = [ast.Global(own), *body]
    outer = ast.FunctionDef("outer", parameters, body, [])
    module = ast.fix_missing_locations(ast.Module([outer], type_ignores=[]))
    try:
        compiled: types.CodeType = compile(
            module, "<source>", "exec", code.co_flags & _FUTURES, dont_inherit=True
        )
    except (SyntaxError, ValueError):
        return
    yield from (c for c in nested(compiled) if c.co_name == code.co_name)


def _is_rewritten(code: types.CodeType) -> bool:
    return "@pytest_ar" in code.co_names


def _same(real: types.CodeType, compiled: types.CodeType) -> bool:
    """Say whether two codes do the same, and have the same docstring.

    pytest rewrites `assert`: there, the names in the text have to be among the real ones.
    """
    if _is_rewritten(real):
        arguments = compiled.co_argcount + compiled.co_kwonlyargcount
        return real.co_varnames[:arguments] == compiled.co_varnames[:arguments] and set(
            compiled.co_names
        ) - {"AssertionError"} <= set(real.co_names)
    return (canonical(real), _texts(real)) == (canonical(compiled), _texts(compiled))


def _texts(code: types.CodeType) -> list[str]:
    """Return the docstrings, among all other texts but where a class says that it stands."""
    here = [c for c in code.co_consts if isinstance(c, str) and c != code.co_qualname]
    return sorted(here) + [text for each in nested(code) for text in _texts(each)]
