"""What a code object does, what it reads and what it finds by a text, as `globals()[name]`."""

from __future__ import annotations

import builtins
import dis
import importlib.util
import inspect
import sys
import types
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from aiqc_core.usercode import owned

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Of the layout, or of how an attribute is called, which hangs on whether a file's top imports it.
SILENT = {"NOP", "EXTENDED_ARG", "CACHE", "PRECALL", "PUSH_NULL", "RESUME"}
ABOUT = {"__doc__", "__qualname__", "__firstlineno__", "__static_attributes__"}
READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}
LOADS = {"LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF", *READS}
USES = {"CALL", "KW_NAMES", "BINARY_SUBSCR", "STORE_SUBSCR", "DELETE_SUBSCR"}
CALLED = ("CALL", 0)  # without arguments
TEXTS = {"eval", "exec", "globals"}  # a constant text that they take names globals
SUBCLASSES, MODULES = "__subclasses__", "sys.modules"
IMPORTS = {"importlib.import_module", "builtins.__import__"}
EVALUATES = {"builtins.eval", "builtins.exec", "builtins.globals"}
FINDERS = {
    *IMPORTS, *EVALUATES, "pydoc.locate", "pkgutil.resolve_name", "runpy.run_path",
    "runpy.run_module", "_frozen_importlib_external.spec_from_file_location",
}  # fmt: skip
KINDS = (
    inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)  # fmt: skip


class Lookup(NamedTuple):
    """A name that a code reads, and what it is called with or asked for.

    Attributes:
        path: the name, or the full name of what an import inside binds, and attributes read of it.
        is_imported: which of the two.
        arguments: `(is it a constant, the constant or a name)` of each argument or key; None where
            they are something else, empty where it is only asked what is in it.
    """

    path: tuple[str, ...]
    is_imported: bool = False
    arguments: tuple[tuple[bool, Any], ...] | None = None


@dataclass(slots=True)
class Reads:
    """What a code reads from outside, nested functions and classes included.

    Attributes:
        names: `{global: {attributes read from it, one after the other}}`; an empty tuple where
            it is used as it is.
        needed: those of them that nothing of the code itself may set.
        written: names that it sets in its module.
        imports: `(module, names taken from it, level)` of each import statement.
        lookups: each use of a global or of what is imported inside.
    """

    names: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    imports: set[tuple[str, tuple[str, ...], int]] = field(default_factory=set)
    lookups: list[Lookup] = field(default_factory=list)


def canonical(code: types.CodeType) -> tuple[Any, ...]:
    """Return what a code does as texts and numbers: equal for equal code at any place.

    Lines, file, name, docstrings, and the numbering of constants do not count.
    """
    kept = list(_kept(list(dis.get_instructions(code))))
    ends = [each.offset for each in kept]
    at = {offset: i for i, offset in enumerate(ends)}

    def position(offset: int) -> int:
        found = at.get(offset)
        return sum(end < offset for end in ends) if found is None else found

    jumps = {*dis.hasjrel, *dis.hasjabs}
    arguments = code.co_argcount + code.co_kwonlyargcount
    return (
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & KINDS),
        code.co_varnames[:arguments], code.co_freevars, code.co_cellvars,
        tuple(
            ("LOAD_ATTR" if each.opname == "LOAD_METHOD" else each.opname,
             position(each.argval) if each.opcode in jumps else _operand(each, code))
            for each in kept
        ),
        tuple(
            (position(e.start), position(e.end), position(e.target), e.depth, e.lasti)
            for e in getattr(dis.Bytecode(code), "exception_entries", ())
        ),
    )  # fmt: skip


def reads(code: types.CodeType) -> Reads:
    """Return what a code reads from its module."""
    found = Reads()
    _add_reads(code, found, {})
    return found


def resolved(lookup: Lookup, space: dict[str, Any]) -> tuple[str | None, str | None]:
    """Return the full name of the module that a lookup imports, or what finds the unknown.

    Neither where it finds nothing by a text, what is installed, or what `bytecode.reads` follows.
    """
    finder = _finder(lookup, space)
    if finder is None or lookup.arguments == ():
        return None, None
    found = [
        value if is_constant else space.get(value) for is_constant, value in lookup.arguments or ()
    ]
    text, package = (*(t if isinstance(t, str) else None for t in found), None, None)[:2]
    try:
        name = text and importlib.util.resolve_name(text, package)
    except ImportError:
        name = None
    is_read = finder in EVALUATES and lookup.arguments and lookup.arguments[0][0]
    if is_read or (name and owned.is_installed(name.replace(":", "."))):
        return None, None
    return (name, None) if name and finder in IMPORTS else (None, ".".join(lookup.path))


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the codes inside a code, from the outside in."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from nested(constant)


def _kept(instructions: list[dis.Instruction]) -> Iterator[dis.Instruction]:
    for one, following in zip(instructions, [*instructions[1:], instructions[-1]], strict=True):
        store = following if one.opname == "LOAD_CONST" else one
        is_about = store.opname == "STORE_NAME" and store.argval in ABOUT
        if one.opname not in SILENT and not is_about:
            yield one


def _operand(instruction: dis.Instruction, code: types.CodeType) -> Any:
    """Return what an instruction takes: of constants, 1, 1.0 and True differ."""
    value = instruction.argval
    if instruction.opcode not in dis.hasconst:
        return value if isinstance(value, str | int | None) else repr(value)
    constant = code.co_consts[instruction.arg or 0]  # dis itself does not look up all of them
    if isinstance(constant, types.CodeType):
        return canonical(constant)
    if isinstance(constant, frozenset):  # its own order moves with the hash seed
        return ("frozenset", *sorted(map(repr, constant)))
    return repr(constant)


def _add_reads(code: types.CodeType, found: Reads, around: dict[str, str]) -> None:
    instructions = [i for i in dis.get_instructions(code) if i.opname not in SILENT]
    own = {i.argval for i in instructions if i.opname == "STORE_NAME"}  # of the body of a class
    found.written |= {i.argval for i in instructions if i.opname == "STORE_GLOBAL"}
    bound = around | _imported_names(instructions)
    for i, each in enumerate(instructions):
        name = each.argval
        if each.opname in READS or (each.opname in LOADS and name in bound):
            following = instructions[i + 1 :]
            chain = _chain(following)
            if each.opname in READS:
                found.names.setdefault(name, set()).add(chain)
            if each.opname == "LOAD_GLOBAL" or (each.opname in READS and name not in own):
                found.needed.add(name)
            path = (*str(bound.get(name, name)).split("."), *chain)
            found.lookups.append(Lookup(path, name in bound, _arguments(following)))
            for text in _globals_in(found.lookups[-1]):
                found.names.setdefault(text, set()).add(())
        elif each.opname == "IMPORT_NAME":
            level, names = instructions[i - 2].argval, instructions[i - 1].argval
            found.imports.add((name, tuple(names or ()), level))
        elif name == "__subclasses__" and each.opname in ATTRIBUTE:
            found.lookups.append(Lookup((name,)))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _add_reads(constant, found, bound)


def _imported_names(instructions: list[dis.Instruction]) -> dict[str, str]:
    """Return `{name: full name of the module, or of what is taken from it}` of imports inside."""
    found: dict[str, str] = {}
    module = full = ""
    for each in instructions:
        if each.opname == "IMPORT_NAME":
            module = full = each.argval
        elif each.opname == "IMPORT_FROM":
            full = f"{module}.{each.argval}"
        elif full and each.opname.startswith("STORE_"):
            found[each.argval] = module.partition(".")[0] if module == full else full
            full = ""
    return found


def _chain(following: list[dis.Instruction]) -> tuple[str, ...]:
    """Return the attributes that are read, one after the other."""
    return tuple(i.argval for i in takewhile(lambda i: i.opname in ATTRIBUTE, following))


def _arguments(following: list[dis.Instruction]) -> tuple[tuple[bool, Any], ...] | None:
    """Return what a call or a lookup is given: constants and names, or None."""
    rest = list(
        dropwhile(lambda i: i.opname in ATTRIBUTE or (i.opname, i.arg) == CALLED, following)
    )
    loads = list(takewhile(lambda i: i.opname in {"LOAD_CONST", *LOADS}, rest))
    end = rest[len(loads)]
    if end.opname == "CONTAINS_OP" and not loads:
        return ()
    if end.opname not in USES or (end.opname == "CALL" and end.arg != len(loads)):
        return None
    return tuple((i.opname == "LOAD_CONST", i.argval) for i in loads) or None


def _globals_in(lookup: Lookup) -> Iterable[str]:
    """Return the globals that a constant text names, of `eval`, `exec` and `globals()`."""
    is_constant, text = (lookup.arguments or ((False, None),))[0]
    if not is_constant or not isinstance(text, str) or lookup.path[0] not in TEXTS:
        return ()
    if lookup.path[0] == "globals":
        return (text,)
    try:
        return reads(compile(text, "<text>", "exec")).names
    except (SyntaxError, ValueError):
        return ()


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
