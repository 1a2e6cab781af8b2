"""Functions of users as bytes: captured by value, so that they run anywhere and years later."""

from __future__ import annotations

import builtins
import dis
import functools
import inspect
import pickle
import site
import sys
import sysconfig
import threading
import types
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from aiqc_core.errors import AlgorithmError
from aiqc_core.train.source import show_lines, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

SIGNATURES = {
    "fn_build": ("features_shape", "label_shape", "**hp"),
    "fn_train": (
        "model", "loser", "optimizer", "train_features", "train_label", "eval_features",
        "eval_label", "**hp",
    ),
    "fn_predict": ("model", "features"),
    "fn_lose": ("**hp",),
    "fn_optimize": ("**hp",),
}  # fmt: skip
_ALSO = {"fn_optimize": " or, for PyTorch, fn_optimize(model, **hp)"}

_registry = threading.Lock()  # cloudpickle's list of modules is one for the whole process


@dataclass(frozen=True, slots=True)
class CapturedFunction:
    """A function as bytes, and its source text where that is known."""

    payload: bytes
    source: str | None


def capture(role: str, fn: Callable[..., Any]) -> CapturedFunction:
    """Pickle a function by value, with the helpers, constants and import aliases that it uses.

    The function's own module, and modules that are not installed (a file beside a notebook), go
    with it; installed packages and `aiqc_core` are imported where it runs.

    Args:
        role: a key of `SIGNATURES`.
        fn: made by `def` or `lambda`.

    Raises:
        AlgorithmError: it is no function, has other arguments than its role asks for, uses a name
            that nothing defines (in a helper too), or holds what cannot be stored.
    """
    if not isinstance(fn, types.FunctionType):
        message = (
            f"{role}: {fn!r} is a {type(fn).__name__}; give a function made by def or lambda. "
            f"Wrap it: def {_wanted(role)}: …"
        )
        raise AlgorithmError(message)
    _refuse_other_arguments(role, fn)
    reach = _Reach(home=fn.__module__)
    reach.visit(fn)
    if reach.missing:
        message = (
            f"{role}: uses names that are not defined: {', '.join(sorted(reach.missing))}. "
            "Define or import them before Algorithm.make, or inside the function."
        )
        raise AlgorithmError(message)
    return CapturedFunction(_pickled(role, fn, reach.modules), source_of(fn))


def restore(payload: bytes, source: str | None = None) -> Callable[..., Any]:
    """Return the function that `capture` stored.

    Unpickling runs code: the caller has checked where the bytes come from.

    Args:
        payload: the captured bytes.
        source: the captured text; with it, tracebacks show the lines of the function.
    """
    function = pickle.loads(payload)  # noqa: S301 - see above
    if source is not None:
        show_lines(function, source)
    return function


def takes_model_first(fn_optimize: Callable[..., Any]) -> bool:
    """Say whether `fn_optimize` takes the model before its hyperparameters."""
    parameters = inspect.signature(fn_optimize).parameters.values()
    return any(p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD} for p in parameters)


def _wanted(role: str) -> str:
    return f"{role}({', '.join(SIGNATURES[role])})"


def _refuse_other_arguments(role: str, fn: types.FunctionType) -> None:
    signature = inspect.signature(fn)
    names = [name for name in SIGNATURES[role] if name != "**hp"]
    takes_hp = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    wants_hp = len(names) < len(SIGNATURES[role])
    try:
        # A parameter beyond those of the role may be a hyperparameter, given by its name.
        (signature.bind_partial if wants_hp else signature.bind)(*names)
        positional_only = [p for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY]
        fits = (takes_hp or not wants_hp) and len(positional_only) <= len(names)
    except TypeError:
        fits = False
    if not fits:
        message = f"{role}: takes {signature}; wanted is {_wanted(role)}{_ALSO.get(role, '')}."
        raise AlgorithmError(message)


def _pickled(role: str, fn: types.FunctionType, modules: set[str]) -> bytes:
    try:
        with _by_value(modules):
            return cloudpickle.dumps(fn)
    except Exception as error:
        message = (
            f"{role}: cannot be stored, for something it uses cannot be pickled "
            f"({type(error).__name__}: {error}). Create that inside the function."
        )
        raise AlgorithmError(message) from error


@contextmanager
def _by_value(names: set[str]) -> Generator[None]:
    with _registry:
        before = cloudpickle.list_registry_pickle_by_value()
        added = [sys.modules[name] for name in sorted(names - before) if name in sys.modules]
        for module in added:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in added:
                cloudpickle.unregister_pickle_by_value(module)


@dataclass(slots=True)
class _Reach:
    """What a function uses, followed through helpers: undefined names, and users' modules."""

    home: str
    missing: set[str] = field(default_factory=set)
    modules: set[str] = field(default_factory=set)
    seen: dict[int, object] = field(default_factory=dict)

    def visit(self, value: object) -> None:
        if id(value) in self.seen:
            return
        self.seen[id(value)] = value  # kept alive, or its id may come again
        module = value.__name__ if isinstance(value, types.ModuleType) else _module_of(value)
        if not _is_users(module, self.home):
            return
        self.modules.add(module)
        if isinstance(value, types.FunctionType):
            self._visit_function(value)
        elif isinstance(value, type):
            for part in (*value.__bases__, *vars(value).values()):
                self.visit(_plain_function(part))

    def _visit_function(self, function: types.FunctionType) -> None:
        for name, cell in zip(
            function.__code__.co_freevars, function.__closure__ or (), strict=True
        ):
            try:
                self.visit(cell.cell_contents)
            except ValueError:  # an empty cell: the enclosing function never set it
                self.missing.add(_place(name, function))
        for name in _globals_read(function.__code__):
            if name in function.__globals__:
                self.visit(function.__globals__[name])
            elif not hasattr(builtins, name):
                self.missing.add(_place(name, function))
        for default in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.visit(default)


def _place(name: str, function: types.FunctionType) -> str:
    return f"{name!r} (in {function.__qualname__})"


def _module_of(value: object) -> str:
    holder = value if isinstance(value, types.FunctionType | type) else type(value)
    return holder.__module__


def _plain_function(part: object) -> object:
    if isinstance(part, staticmethod | classmethod):
        return part.__func__
    return part.fget if isinstance(part, property) else part


def _globals_read(code: types.CodeType) -> set[str]:
    instructions = list(dis.get_instructions(code))
    read = {i.argval for i in instructions if i.opname == "LOAD_GLOBAL"}
    written = {i.argval for i in instructions if i.opname == "STORE_GLOBAL"}
    nested = (c for c in code.co_consts if isinstance(c, types.CodeType))
    return (read - written).union(*(_globals_read(constant) for constant in nested))


def _is_users(module: str, home: str) -> bool:
    """Say whether a module goes with the function: its own, or one that is not installed."""
    if module == home:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or module.partition(".")[0] == "aiqc_core":
        return False
    path = Path(file).resolve()
    return not any(path.is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> set[Path]:
    kinds = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(kind) for kind in kinds]
    folders += [*site.getsitepackages(), site.getusersitepackages()]
    return {Path(folder).resolve() for folder in folders}
