"""What a code object does and what it reads, apart from where it stands and how it is laid out."""

from __future__ import annotations

import dis
import inspect
import types
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of the layout, or of how an attribute is called, which hangs on whether a file's top imports it.
SILENT = {"NOP", "EXTENDED_ARG", "CACHE", "PRECALL", "PUSH_NULL", "RESUME"}
LIKE = {"LOAD_METHOD": "LOAD_ATTR"}
ABOUT = {"__doc__", "__qualname__", "__firstlineno__", "__static_attributes__"}
READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ATTRIBUTE = {"LOAD_ATTR", "LOAD_METHOD"}
KINDS = (
    inspect.CO_VARARGS | inspect.CO_VARKEYWORDS | inspect.CO_GENERATOR | inspect.CO_COROUTINE
    | inspect.CO_ASYNC_GENERATOR
)  # fmt: skip


@dataclass(slots=True)
class Reads:
    """What a code reads from outside, nested functions and classes included.

    Attributes:
        names: `{global: {attributes read from it, one after the other}}`; an empty tuple where
            it is used as it is.
        needed: those of them that nothing of the code itself may set.
        written: names that it sets in its module.
        imports: `(module, names taken from it, level)` of each import statement.
    """

    names: dict[str, set[tuple[str, ...]]] = field(default_factory=dict)
    needed: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    imports: set[tuple[str, tuple[str, ...], int]] = field(default_factory=set)


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
            (LIKE.get(each.opname, each.opname),
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
    _read(code, found)
    return found


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the codes inside a code, from the outside in."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from nested(constant)


def constant_text(constant: Any) -> Any:
    """Return a constant as what compares: 1, 1.0 and True apart, a set in an order of its own."""
    if isinstance(constant, types.CodeType):
        return canonical(constant)
    if isinstance(constant, frozenset):  # its own order moves with the hash seed
        return ("frozenset", *sorted(map(repr, constant)))
    return repr(constant)


def _kept(instructions: list[dis.Instruction]) -> Iterator[dis.Instruction]:
    for one, following in zip(instructions, [*instructions[1:], None], strict=True):
        stores = following is not None and following.opname == "STORE_NAME"
        if one.opname in SILENT:
            continue
        if one.opname == "STORE_NAME" and one.argval in ABOUT:
            continue
        if one.opname == "LOAD_CONST" and stores and following.argval in ABOUT:  # type: ignore[union-attr]
            continue
        yield one


def _operand(instruction: dis.Instruction, code: types.CodeType) -> Any:
    if instruction.opcode in dis.hasconst:  # dis itself does not look up all of them
        return constant_text(code.co_consts[instruction.arg or 0])
    value = instruction.argval
    return value if isinstance(value, str | int | None) else repr(value)


def _read(code: types.CodeType, found: Reads) -> None:
    instructions = [i for i in dis.get_instructions(code) if i.opname not in SILENT]
    own = {i.argval for i in instructions if i.opname == "STORE_NAME"}  # of the body of a class
    found.written |= {i.argval for i in instructions if i.opname == "STORE_GLOBAL"}
    for i, each in enumerate(instructions):
        if each.opname in READS:
            found.names.setdefault(each.argval, set()).add(_chain(instructions[i + 1 :]))
            if each.opname == "LOAD_GLOBAL" or each.argval not in own:
                found.needed.add(each.argval)
        elif each.opname == "IMPORT_NAME":
            level, names = instructions[i - 2].argval, instructions[i - 1].argval
            found.imports.add((each.argval, tuple(names or ()), level))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _read(constant, found)


def _chain(following: list[dis.Instruction]) -> tuple[str, ...]:
    names: list[str] = []
    for each in following:
        if each.opname not in ATTRIBUTE:
            break
        names.append(each.argval)
    return tuple(names)
