"""Whether two objects behave alike: same class, same code, same values, whoever made them.

User functions are restored for every Job, so that classes made inside of `fn_build`, lambdas and
closures are other objects each time though they are the same.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from aiqc_core.stages.train.stacking.dropout import StackedDropout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

DROPOUTS = (nn.Dropout, nn.Dropout2d)
OWN = {"_parameters", "_buffers", "_modules", "training"}
# Of a class: what does not tell how its objects behave; what `__init__` did is compared.
OF_CLASSES = {"__init__", "__dict__", "__weakref__", "__doc__", "__module__", "__annotations__"}


def difference(one: nn.Module, other: nn.Module) -> str | None:
    """Return in what two models differ beyond the values of parameters, buffers and dropout.

    >>> difference(nn.LeakyReLU(0.1), nn.LeakyReLU(0.2))
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
    names = sorted((set(vars(one)) | set(vars(other))) - skipped)
    for name in names:
        if name not in vars(one) or name not in vars(other):
            return name
        if not same(vars(one)[name], vars(other)[name]):
            return name
    return None


def _sizes(tensors: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if t is None else (tuple(t.shape), t.dtype, t.device, t.requires_grad)
        for name, t in tensors.items()
    }


def same(one: Any, other: Any) -> bool:
    """Say whether two objects are certain to behave alike; False where that cannot be told."""
    return _same(one, other, set())


def _same(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    if one is other or (id(one), id(other)) in seen:
        return True
    seen.add((id(one), id(other)))  # assumed while it is looked into: a class refers to itself
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


def _same_class(one: type, other: type, seen: set[tuple[int, int]]) -> bool:
    made_anew = one.__qualname__ == other.__qualname__ and one.__module__ == other.__module__
    if not made_anew or "<locals>" not in one.__qualname__:
        return False
    return _same(one.__bases__, other.__bases__, seen) and _same(
        _members(one), _members(other), seen
    )


def _members(kind: type) -> dict[str, Any]:
    return {name: value for name, value in vars(kind).items() if name not in OF_CLASSES}


def _same_function(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    if one.__code__ != other.__code__:
        return False
    return all(
        _same(a, b, seen)
        for a, b in (
            (one.__defaults__, other.__defaults__),
            (one.__kwdefaults__, other.__kwdefaults__),
            (_cells(one), _cells(other)),
            (_globals_read(one), _globals_read(other)),
        )
    )


def _cells(function: types.FunctionType) -> list[Any]:
    return [cell.cell_contents for cell in function.__closure__ or ()]


def _globals_read(function: types.FunctionType) -> dict[str, Any]:
    names = function.__code__.co_names
    return {name: function.__globals__[name] for name in names if name in function.__globals__}


def _each(parts: Callable[[Any], Iterable[Any]]) -> Callable[..., bool]:
    """Return a rule: what `parts` gives of both is the same, one by one."""

    def rule(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
        mine, theirs = list(parts(one)), list(parts(other))
        return len(mine) == len(theirs) and all(
            _same(a, b, seen) for a, b in zip(mine, theirs, strict=True)
        )

    return rule


def _same_dict(one: dict[Any, Any], other: dict[Any, Any], seen: set[tuple[int, int]]) -> bool:
    return list(one) == list(other) and all(_same(v, other[k], seen) for k, v in one.items())


_RULES: tuple[tuple[Any, Callable[..., bool]], ...] = (
    (
        torch.Tensor,
        lambda a, b, _: a.dtype == b.dtype and torch.equal(a, b),
    ),
    (np.ndarray, lambda a, b, _: a.dtype == b.dtype and np.array_equal(a, b)),
    (dict, _same_dict),
    ((list, tuple), _each(list)),
    (types.FunctionType, _same_function),
    (types.MethodType, _each(lambda m: (m.__func__, m.__self__))),
    ((staticmethod, classmethod), _each(lambda m: (m.__func__,))),
    (property, _each(lambda p: (p.fget, p.fset, p.fdel))),
    (functools.partial, _each(lambda p: (p.func, p.args, p.keywords))),
)
