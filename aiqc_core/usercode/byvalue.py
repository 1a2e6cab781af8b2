"""Pickle the user's own code by value, so that it loads where that code is missing.

What is written here stays readable: pickles name `make_class`, `set_class`, `make_function`,
`set_function`, `make_module`, `fill_module`, `make_cached` and `restored` by their place.
"""

from __future__ import annotations

import functools
import importlib
import io
import pickle
import platform
import sys
import threading
import types
import warnings
import weakref
from typing import TYPE_CHECKING, Any

import cloudpickle

from aiqc_core.usercode import bytecode, importing, owned
from aiqc_core.usercode.findings import CARRIED, IN_DOUBT, UNSAID, WHOLE, Identity
from aiqc_core.usercode.identity import fingerprint, identity_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiqc_core.errors import AIQCError

MOVED = {  # modules of classes, as earlier versions stored their names
    "aiqc_core.orm.sampling": "aiqc_core.orm.samples.cache",
    "aiqc_core.train.outcome": "aiqc_core.stages.train.spec",
    "aiqc_core.train.history": "aiqc_core.stages.train.history",
}

_CACHED = type(functools.lru_cache(len))
_registry = threading.RLock()  # cloudpickle's list of modules is one for the whole process
# Classes by their identity: those of the user's that were stored here, and those made from bytes.
_classes: weakref.WeakValueDictionary[str, type] = weakref.WeakValueDictionary()
_whole: weakref.WeakSet[type] = weakref.WeakSet()  # those that are filled in


class NamedOnlyError(pickle.PicklingError):
    """Something of the user's that a pickle can only name, so that it would not load elsewhere."""


def dumps(value: Any, identity: Identity | None = None) -> bytes:
    """Pickle an object, the user's own code in it by value, and make sure that it loads.

    Raises:
        NamedOnlyError: it holds what would only be named.
        Exception: whatever pickling raises.
    """
    data = _dumped(value, identity or identity_of(value))
    _Checker(io.BytesIO(data)).load()
    return data


def packed(what: str, value: Any, refusal: type[AIQCError]) -> bytes:
    """Pickle a function, or an object that holds some, and warn of what may change unseen.

    `what` names the argument in messages. Where the value uses a name that nothing defines, or
    holds what cannot be stored, `refusal` is raised.
    """
    identity = identity_of(value)
    if identity.missing:
        raise refusal(
            f"{what}: uses names that are not defined: {', '.join(sorted(identity.missing))}. "
            "Define or import them first, or inside the function."
        )
    try:
        payload = dumps(value, identity)
    except Exception as error:
        named = f", by name: {', '.join(identity.unfollowed)}" if identity.unfollowed else ""
        raise refusal(
            f"{what}: cannot be stored, for something it uses cannot be pickled "
            f"({type(error).__name__}: {error}){named}. Create that inside the function that uses "
            "it, one made by def."
        ) from error
    for doubt in identity.doubts(len(payload)):
        warnings.warn(f"{what}: {doubt}", stacklevel=4)
    return payload


def sent(value: Any) -> bytes:
    """Pickle what goes to another process of this program, the user's code in it by value."""
    return _dumped(value, Identity())


def restored(data: bytes) -> Any:
    """Return what `dumps` pickled. Unpickling runs code: the caller has checked its origin."""
    return _Unpickler(io.BytesIO(data)).load()


def is_own(value: Any, home: str | None = None) -> bool:
    """Say whether a pickle has to hold an object by value: code of the user's, or of `home`."""
    if isinstance(value, types.ModuleType):
        return not owned.is_installed(value.__name__)
    if not isinstance(value, types.FunctionType | type | _CACHED):
        return False
    return value.__module__ == home or not owned.is_installed(value.__module__)


def unreadable(what: str, stored: str | None, error: Exception | None = None) -> str:
    """Return the error text for stored code that cannot be read.

    `what` is the object, such as `'fn_build'`, `stored` the version of Python that stored it,
    where it was noted, `error` what unpickling raised, where it was tried.
    """
    reason = "" if error is None else f" ({type(error).__name__}: {error})"
    return (
        f"{what}: cannot be read{reason}. Python {stored or '(version not noted)'} stored it, and "
        f"this is Python {platform.python_version()}. Use it with that Python and the libraries "
        "it was stored with, or make it and what follows from it again with this one."
    )


def _dumped(value: Any, identity: Identity) -> bytes:
    stream = io.BytesIO()
    pickler = _Pickler(stream, identity)
    with _registry:
        try:
            pickler.dump(value)
        finally:  # leave cloudpickle's list of modules as it was
            for module in pickler.added:
                cloudpickle.unregister_pickle_by_value(module)
    return stream.getvalue()


class _Unpickler(pickle.Unpickler):
    """Finds classes of ours that stores of earlier versions name by an earlier module."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("aiqc_core.preprocess."):
            module = module.replace(".preprocess.", ".stages.preprocess.")
        return super().find_class(MOVED.get(module, module), name)


class _Checker(pickle.Unpickler):
    """Loads what was just written, and finds names of modules that are not there elsewhere."""

    def find_class(self, module: str, name: str) -> Any:
        if not owned.is_installed(module):
            raise NamedOnlyError(f"{module}.{name} would be stored by its name only")
        return super().find_class(module, name)


class _Pickler(cloudpickle.Pickler):
    """cloudpickle, for modules of the user's too, and for what it leaves behind."""

    def __init__(self, stream: io.BytesIO, identity: Identity) -> None:
        super().__init__(stream, protocol=5)
        self.identity = identity
        self.added: list[types.ModuleType] = []

    def reducer_override(self, obj: Any) -> Any:
        if not is_own(obj, self.identity.home):
            return _reduced(obj) or super().reducer_override(obj)
        if isinstance(obj, types.ModuleType):
            used = self.identity.uses.get(obj.__name__, {WHOLE})
            names = used | (vars(obj).keys() - UNSAID if WHOLE in used else set[str]())
            names |= {"__name__", "__package__", "__file__"}
            taken = {name: value for name, value in vars(obj).items() if name in names}
            return make_module, (obj.__name__,), taken, None, None, fill_module
        if isinstance(obj, _CACHED):
            return make_cached, (obj.cache_parameters(), obj.__wrapped__), dict(obj.__dict__)
        module = sys.modules.get(obj.__module__ or "")
        known = cloudpickle.list_registry_pickle_by_value()
        if module is not None and obj.__module__ not in known:
            cloudpickle.register_pickle_by_value(module)
            self.added.append(module)
        made: Any = super().reducer_override(obj)
        if not isinstance(made, tuple) or len(made) != 6:  # noqa: PLR2004 - it is named
            return made
        return self.made_class(obj, made) if isinstance(obj, type) else self.function(obj, made)

    def function(self, obj: types.FunctionType, made: Any) -> Any:
        """Add what the bodies of nested classes read, and the modules that are imported inside."""
        make, arguments, (state, slots), _, _, setter = made
        space = obj.__globals__
        names = bytecode.reads(obj.__code__).names
        read = {n: space[n] for n in names if n in space and n not in UNSAID}
        slots["__globals__"] = read | slots["__globals__"]
        carried = self.identity.imported | space.get(CARRIED, {})
        doubts = self.identity.by_text or space.get(IN_DOUBT)
        if not carried and not doubts:
            return make, arguments, (state, slots), None, None, setter
        slots["__globals__"] |= {CARRIED: carried, IN_DOUBT: doubts}
        return make_function, arguments, (setter, (state, slots)), None, None, set_function

    @staticmethod
    def made_class(obj: type, made: Any) -> Any:
        """Let what is the same class be one class where it loads, and no other."""
        make, arguments, state, _, _, setter = made
        known = fingerprint(obj)
        _classes[known] = obj
        _whole.add(obj)
        untracked = (*arguments[:-2], None, None)  # cloudpickle would know it by its object
        return make_class, (known, make, untracked), (setter, state), None, None, set_class


def _reduced(value: Any) -> Any:
    """Return how to make again what cloudpickle refuses, or takes in its present state."""
    if type(value) is functools.cached_property:  # it holds a lock, which no pickle takes
        return functools.cached_property, (value.func,), {"attrname": value.attrname}
    if isinstance(value, types.BuiltinFunctionType | types.MethodType) and owned.is_shared(value):
        return getattr, (sys.modules[type(value.__self__).__module__], value.__name__)
    if value is importlib or value is importing.IMPORTLIB:
        return getattr, (importing, "IMPORTLIB")
    if value is importlib.import_module or value is importing.import_module:
        return getattr, (importing, "import_module")
    return None


def make_class(known: str, make: Callable[..., type], arguments: tuple[Any, ...]) -> type:
    """Return the class with this identity: one that is here and unchanged, or a new one."""
    found = _classes.get(known)
    if found is None or found not in _whole or fingerprint(found) != known:
        found = _classes[known] = make(*arguments)
    return found


def set_class(made: type, state: Any) -> None:
    """Fill in a class that `make_class` made; one that was here, the user's own, stays."""
    if made not in _whole:
        setter, values = state
        setter(made, values)
        _whole.add(made)


def make_function(code: types.CodeType, space: dict[str, Any], *rest: Any) -> types.FunctionType:
    """Make a function that imports the modules that were stored with it."""
    space["__builtins__"] = importing.BUILTINS
    return types.FunctionType(code, space, *rest)


def set_function(function: types.FunctionType, state: Any) -> None:
    """Fill in what `make_function` made."""
    setter, values = state
    setter(function, values)
    function.__globals__["__builtins__"] = importing.BUILTINS


def make_module(name: str) -> types.ModuleType:
    """Make a module that only what was stored with it knows."""
    return types.ModuleType(name)


def fill_module(module: types.ModuleType, names: dict[str, Any]) -> None:
    """Fill in what was used of it."""
    vars(module).update(names)


def make_cached(parameters: dict[str, Any], function: Callable[..., Any]) -> Any:
    """Make a function that caches, its cache empty."""
    return functools.lru_cache(**parameters)(function)
