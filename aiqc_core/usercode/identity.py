"""The identity of code: a digest of all that a function, a class or an object is made of.

It follows what the user's own code reaches: helpers, classes with their bases and members, project
modules, values in containers, closures, defaults. It stays the same when the code moves, when a
comment or a docstring changes, and from one process to the next.
"""

from __future__ import annotations

import builtins
import copyreg
import hashlib
import importlib
import importlib.util
import io
import logging
import types
from contextlib import contextmanager, nullcontext
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from aiqc_core.usercode import bytecode, importing, leaves, owned
from aiqc_core.usercode.findings import CARRIED, LARGE_BYTES, UNSAID, WHOLE, Identity

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

# Members of a class that say where it is, follow from the rest, or that each process makes.
DERIVED = {
    "__module__", "__doc__", "__dict__", "__weakref__", "__qualname__", "__firstlineno__",
    "__slotnames__", "__static_attributes__", "__abstractmethods__", "_abc_impl", "__signature__",
    "__pydantic_core_schema__", "__pydantic_validator__", "__pydantic_serializer__",
    "__pydantic_parent_namespace__", "__pydantic_complete__",
}  # fmt: skip
HEAP_TYPE = 1 << 9  # made by a class statement or a call, not by an extension


def fingerprint(value: Any) -> str:
    """Return 64 hex digits that change when a function or an object does something else."""
    return identity_of(value).digest


def identity_of(value: Any) -> Identity:
    """Return what identifies a function, a class, a module or an object.

    A function is followed even where its module is installed, and what it reaches there is not.
    """
    walk = _Walk(value.__module__ if isinstance(value, types.FunctionType) else None)
    walk.value(value)
    walk.found.digest = walk.hasher.hexdigest()
    return walk.found


class _Walk:
    """Feeds a digest with an object and all that it reaches, each thing once."""

    def __init__(self, home: str | None) -> None:
        self.home = home
        self.hasher = hashlib.sha256()
        self.fed = 0
        self.numbers: dict[int, int] = {}
        self.alive: list[Any] = []  # or an id may come again
        self.place = ""
        self.found = Identity(home)

    def feed(self, *parts: str | bytes) -> None:
        """Take in texts and bytes, each with its length."""
        for part in parts:
            data = part if isinstance(part, bytes) else part.encode(errors="surrogatepass")
            self.hasher.update(len(data).to_bytes(8, "big"))
            self.hasher.update(data)
            self.fed += len(data)

    @contextmanager
    def at(self, name: str, *, root: bool = False) -> Generator[None]:
        """Name what is looked at, and note it where it is large and nothing in it is."""
        before, known, outer = self.fed, len(self.found.large), self.place
        self.place = name if root else outer + name
        try:
            yield
            size = self.fed - before
            if size > LARGE_BYTES and len(self.found.large) == known:
                self.found.large.append((self.here, size))
        finally:
            self.place = outer

    @property
    def here(self) -> str:
        return self.place.removeprefix(".") or "itself"

    def is_new(self, value: Any) -> bool:
        """Say whether a value comes for the first time; else feed which one it is."""
        if id(value) in self.numbers:
            self.feed("again", str(self.numbers[id(value)]))
            return False
        self.numbers[id(value)] = len(self.numbers)
        self.alive.append(value)
        return True

    def value(self, value: Any) -> None:
        plain = leaves.plain(value)
        if plain is not None:
            self.feed(*plain)
        elif type(value) is tuple:
            self.feed("tuple", str(len(value)))
            self.all(value)
        elif type(value) is types.MethodType:
            self.bound(value)
        elif isinstance(value, types.ModuleType):
            self.module(value, {()})
        elif value is importing.import_module:
            self.named(importlib.import_module)
        elif isinstance(value, types.FunctionType | type):
            self.named(value)
        elif isinstance(value, types.BuiltinFunctionType):
            self.bound(value)
        elif self.is_new(value):
            self.fresh(value)

    def all(self, values: Iterable[Any]) -> None:
        for each in values:
            self.value(each)

    def mapping(self, values: Iterable[tuple[Any, Any]]) -> None:
        """Take in keys and values in their order."""
        for key, each in values:
            self.value(key)
            with self.at(f"[{key!r}]") if type(key) is str else nullcontext():
                self.value(each)

    def members(self, values: Iterable[tuple[str, Any]]) -> None:
        """Take in attributes, in the order of their names."""
        for name, each in sorted(values, key=lambda pair: pair[0]):
            self.feed(name)
            with self.at(f".{name}"):
                self.value(each)

    def fresh(self, value: Any) -> None:
        parts = leaves.parts(value)
        if isinstance(value, set | frozenset):
            self.value(type(value))
            self.feed("set", *sorted(map(self.apart, value)))
            self.members(getattr(value, "__dict__", {}).items())
        elif type(value) is dict:
            self.feed("dict", str(len(value)))
            self.mapping(value.items())
        elif type(value) is list:
            self.feed("list", str(len(value)))
            self.all(value)
        elif parts is not None:
            self.value(type(value))
            self.all(parts)
        elif isinstance(value, types.CodeType):
            self.feed("code", repr(bytecode.canonical(value)))
        elif isinstance(value, logging.Logger):
            self.feed("logger", value.name)
        elif isinstance(value, io.IOBase):
            self.cannot(value)
        else:
            self.reduced(value)

    def apart(self, value: Any) -> str:
        """Return the digest of an element of a set, in an order of which nothing hangs."""
        walk = _Walk(self.home)
        walk.numbers, walk.found, walk.place = dict(self.numbers), self.found, self.place
        walk.value(value)
        self.alive += walk.alive
        self.fed += walk.fed
        return walk.hasher.hexdigest()

    def reduced(self, value: Any) -> None:
        """Take in an object by what a pickle would hold of it."""
        reduce = copyreg.dispatch_table.get(type(value))
        try:
            made: Any = reduce(value) if reduce else value.__reduce_ex__(4)
        except Exception:  # noqa: BLE001 - each type has its own reason
            self.cannot(value)
            return
        self.alive.append(made)
        if isinstance(made, str):
            self.feed("name", type(value).__module__, made)
            return
        parts: Any = (*made, None, None, None)
        function, arguments, state, items, pairs = parts[:5]
        self.feed("object")
        self.value(function)
        self.all(arguments)
        attributes = leaves.attributes(state)
        if attributes is None:
            self.value(state)
        else:
            self.members(attributes.items())
        self.all(items or ())
        self.mapping(pairs or ())

    def cannot(self, value: Any) -> None:
        """Note an object that cannot be followed."""
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        self.found.unfollowed.append(f"{self.here} ({kind})")
        self.feed("unfollowed", kind)

    def bound(self, value: types.BuiltinFunctionType | types.MethodType) -> None:
        """Take in a method by its name where its module shares it, else with what it is bound to.

        A function of C is bound to its module, which counts by name.
        """
        holder, is_c = value.__self__, isinstance(value, types.BuiltinFunctionType)
        if is_c and isinstance(holder, types.ModuleType | None):
            self.feed("builtin", value.__module__ or "", value.__qualname__)
        elif owned.is_shared(value):
            self.feed("builtin", type(holder).__module__, value.__name__)
        elif isinstance(value, types.MethodType):
            self.feed("bound")
            self.value(value.__func__)
            self.value(holder)
        else:
            self.feed("bound", value.__name__)
            self.value(holder)

    def named(self, value: Any) -> None:
        """Take in a function or a class: by name what is installed, else by what it is."""
        name, is_class = owned.name_of(value), isinstance(value, type)
        if value.__module__ == self.home:
            name = None
        if name is None and is_class and not value.__flags__ & HEAP_TYPE:
            name = f"{value.__module__}.{value.__qualname__}"
        if name is not None:
            self.feed("installed", name, owned.version_of(name))
        elif self.is_new(value):
            with self.at(value.__name__ if is_class else value.__qualname__, root=True):
                (self.made_class if is_class else self.function)(value)

    def made_class(self, value: type) -> None:
        self.feed("class", value.__name__)
        self.value(type(value))
        self.all(value.__bases__)
        slots = types.MemberDescriptorType  # made by __slots__
        self.members(
            (n, v) for n, v in vars(value).items() if n not in DERIVED and type(v) is not slots
        )

    def function(self, value: types.FunctionType) -> None:
        code, module = value.__code__, value.__globals__.get("__name__")
        text = self.found.parts[value.__qualname__] = repr(bytecode.canonical(code))
        self.feed("function", "code", text)
        for part in (value.__defaults__, sorted((value.__kwdefaults__ or {}).items())):
            with self.at(" (a default)"):
                self.value(part)
        self.members(value.__dict__.items())
        if "__wrapped__" in value.__dict__:  # its decorator may read them
            self.value(value.__annotations__)
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            try:
                content = cell.cell_contents
            except ValueError:  # the enclosing function never set it
                self.found.missing.add(f"{name!r} (in {value.__qualname__})")
                continue
            self.feed(name)
            self.plain_part(name, content)
            with self.at(name, root=True):
                self.value(content)
        if module == self.home or not owned.is_installed(module):
            self.read(value)
        else:
            self.feed("library", str(module), owned.version_of(str(module)))

    def plain_part(self, name: str, value: Any) -> None:
        plain = leaves.plain(value)
        if plain is not None:
            self.found.parts[name] = repr(plain)

    def read(self, function: types.FunctionType) -> None:
        """Take in what a function reads from its module, and what it imports."""
        space, read = function.__globals__, bytecode.reads(function.__code__)
        for name in sorted(read.names):
            if name in space:
                self.feed(name)
                with self.at(name, root=True):
                    self.variable(name, space[name], read.names[name])
            elif name in read.needed - read.written and not hasattr(builtins, name):
                self.found.missing.add(f"{name!r} (in {function.__qualname__})")
        for lookup in read.lookups:
            module, doubt = bytecode.resolved(lookup, space)
            if module:
                read.imports.add((module, (), 0))
            if doubt:
                self.found.by_text.append(f"{doubt} (in {function.__qualname__})")
        for name, taken, level in sorted(read.imports):
            self.imports(space, name, taken, level)

    def variable(self, name: str, value: Any, chains: set[tuple[str, ...]]) -> None:
        if isinstance(value, types.ModuleType):
            self.module(value, chains)
        elif name not in UNSAID:
            self.plain_part(name, value)
            self.value(value)

    def module(self, module: types.ModuleType, chains: set[tuple[str, ...]]) -> None:
        """Take in what is used of a module: all of it where that cannot be known."""
        name = module.__name__
        if owned.is_installed(name):
            self.feed("module", name, owned.version_of(name))
            return
        used = self.found.uses.setdefault(name, set())
        if any(chain == () or chain[0] == "__dict__" for chain in chains):
            used.add(WHOLE)
            if self.is_new(module):
                self.members((n, v) for n, v in vars(module).items() if n not in UNSAID)
            return
        read = {chain[0] for chain in chains}
        for first in sorted(read if read <= {*vars(module)} else {*read, "__getattr__"}):
            used.add(first)
            if first not in vars(module):
                self.feed("absent", first)
                continue
            with self.at(f".{first}"):
                further = {chain[1:] for chain in chains if chain[0] == first}
                self.variable(first, vars(module)[first], further)

    def imports(
        self, space: dict[str, Any], name: str, taken: tuple[str, ...], level: int
    ) -> None:
        """Take in what an import statement inside a function brings, of the user's modules."""
        package = space.get("__package__") or ""
        try:
            full = importlib.util.resolve_name("." * level + name, package) if level else name
        except ImportError:
            full = name
        self.feed("import", full, *taken)
        if owned.is_installed(full):
            self.feed(owned.version_of(full))
            return
        taken_chains = {(each,) for each in taken} or {()}  # these names, or the module as it is
        carried = space.get(CARRIED, {})
        if full not in carried:
            _imported(full)  # before its package is looked at, which then has it as an attribute
        for part in accumulate(full.split("."), "{}.{}".format):  # its packages, and itself
            module = carried.get(part) or _imported(part)
            if module is None:
                self.feed("absent", part)
                return
            self.found.imported[part] = module
            is_last = part == full
            child = full.removeprefix(f"{part}.").partition(".")[0]
            for each in taken if is_last else ():
                if not hasattr(module, each):
                    submodule = _imported(f"{part}.{each}")
                    if submodule is not None:
                        self.found.imported[f"{part}.{each}"] = submodule
            self.module(module, taken_chains if is_last else {(child, "__name__")})


def _imported(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except Exception:  # noqa: BLE001 - the function may guard it, or never come there
        return None
