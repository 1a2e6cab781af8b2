"""Compare objects by behaviour: same class, same code, same values.

User functions are restored for every Job, so classes made in `fn_build`, lambdas and closures are
other objects each time.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from aiqc_core.stages.train.stacking.model import DROPOUTS, StackedDropout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import nn

OWN = {"_parameters", "_buffers", "_modules", "training"}
# Members of a class that do not decide how its objects behave; what `__init__` did is compared.
IGNORED = {"__init__", "__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"}

Seen = dict[tuple[int, int], tuple[Any, Any]]  # pairs by their ids; kept, so that no id returns


def difference(one: nn.Module, other: nn.Module) -> str | None:
    """Return in what two models differ beyond the values of parameters, buffers and dropout.

    >>> difference(torch.nn.LeakyReLU(0.1), torch.nn.LeakyReLU(0.2))
    'negative_slope of the LeakyReLU'
    """
    modules, others = dict(one.named_modules()), dict(other.named_modules())
    if list(modules) != list(others):
        return "the names of their layers"
    for name, module in modules.items():
        part = _module_difference(module, others[name])
        if part is not None:
            return f"{part} of the {type(module).__name__}" + (f" {name!r}" if name else "")
    return None


def _module_difference(one: nn.Module, other: nn.Module) -> str | None:
    if isinstance(other, StackedDropout):
        return None
    if not same(type(one), type(other)):
        return "the class"
    for kind in ("_parameters", "_buffers"):
        if _sizes(vars(one)[kind]) != _sizes(vars(other)[kind]):
            return "the shapes"
    skipped = OWN | ({"p", "inplace"} if isinstance(one, DROPOUTS) else set())
    mine, theirs = vars(one), vars(other)
    for name in sorted((set(mine) | set(theirs)) - skipped):
        if name not in mine or name not in theirs or not same(mine[name], theirs[name]):
            return name
    return None


def _sizes(tensors: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if t is None else (tuple(t.shape), t.dtype, t.device, t.requires_grad)
        for name, t in tensors.items()
    }


def same(one: Any, other: Any) -> bool:
    """Say whether two objects are certain to behave alike; False where that is unknown."""
    return _same(one, other, {})


def _same(one: Any, other: Any, seen: Seen) -> bool:
    if one is other or (id(one), id(other)) in seen:
        return True
    seen[id(one), id(other)] = one, other  # assumed meanwhile: a class refers to itself
    if isinstance(one, type) and isinstance(other, type):
        return _same_class(one, other, seen)
    if type(one) is not type(other) and not _same(type(one), type(other), seen):
        return False
    for kinds, rule in _RULES:
        if isinstance(one, kinds):
            return rule(one, other, seen)
    if hasattr(one, "__dict__") and type(one).__eq__ is object.__eq__:
        return _same(vars(one), vars(other), seen)
    return bool(one == other)


def _same_class(one: type, other: type, seen: Seen) -> bool:
    has_same_name = one.__qualname__ == other.__qualname__ and one.__module__ == other.__module__
    if not has_same_name or "<locals>" not in one.__qualname__:
        return False
    mine, theirs = (
        (kind.__bases__, {name: v for name, v in vars(kind).items() if name not in IGNORED})
        for kind in (one, other)
    )
    return _same(mine, theirs, seen)


def _same_function(one: Any, other: Any, seen: Seen) -> bool:
    def parts(function: types.FunctionType) -> Iterable[Any]:
        names, known = function.__code__.co_names, function.__globals__
        yield from (function.__defaults__, function.__kwdefaults__)
        yield [cell.cell_contents for cell in function.__closure__ or ()]
        yield {name: known[name] for name in names if name in known}

    return one.__code__ == other.__code__ and _each(parts)(one, other, seen)


def _each(parts: Callable[[Any], Iterable[Any]]) -> Callable[..., bool]:
    """Return a rule: the parts of both are the same, one by one."""

    def rule(one: Any, other: Any, seen: Seen) -> bool:
        mine, theirs = list(parts(one)), list(parts(other))
        pairs = zip(mine, theirs, strict=False)
        return len(mine) == len(theirs) and all(_same(a, b, seen) for a, b in pairs)

    return rule


def _same_dict(one: dict[Any, Any], other: dict[Any, Any], seen: Seen) -> bool:
    return list(one) == list(other) and all(_same(v, other[k], seen) for k, v in one.items())


_RULES: tuple[tuple[Any, Callable[..., bool]], ...] = (
    (torch.Tensor, lambda a, b, _: a.dtype == b.dtype and torch.equal(a, b)),
    (np.ndarray, lambda a, b, _: a.dtype == b.dtype and np.array_equal(a, b)),
    (dict, _same_dict),
    ((list, tuple), _each(list)),
    (types.FunctionType, _same_function),
    (types.MethodType, _each(lambda m: (m.__func__, m.__self__))),
    ((staticmethod, classmethod), _each(lambda m: (m.__func__,))),
    (property, _each(lambda p: (p.fget, p.fset, p.fdel))),
    (functools.partial, _each(lambda p: (p.func, p.args, p.keywords))),
)
