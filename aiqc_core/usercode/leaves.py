"""Values that a digest takes as they are, and the parts of composed ones."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

ATOMS = {type(None), bool, int, float, complex, str, types.EllipsisType, types.NotImplementedType}
ADDRESSES = {"_stop_words_id"}  # attributes that say where something is in memory


def plain(value: Any) -> list[str | bytes] | None:
    """Return what stands for a plain value, or a list or tuple of such; None for others."""
    kind = type(value)
    if kind in ATOMS:
        return [kind.__name__, repr(value)]
    if kind in {bytes, bytearray, memoryview}:
        return [kind.__name__, bytes(value)]
    if kind in {list, tuple}:
        return [kind.__name__, repr(value)] if set(map(type, value)) <= ATOMS else None
    # An object of a class of the user's is more than its numbers.
    package = kind.__module__.partition(".")[0]
    if isinstance(value, np.ndarray | np.generic) and package == "numpy":
        is_known = not value.dtype.hasobject
        text = ["array", str(value.dtype), repr(value.shape)]
        return [*text, value.tobytes()] if is_known else None
    if isinstance(value, _tensor()) and package == "torch" and not vars(value):
        return _of_tensor(value)
    return None


def parts(value: Any) -> list[Any] | None:
    """Return what makes up an object that a pickle does not know, or knows with chance in it."""
    if isinstance(value, _tensor()):
        is_plain = type(value).__module__.partition(".")[0] == "torch" and not vars(value)
        detached = value.detach().as_subclass(_tensor())
        return None if is_plain else [detached, value.requires_grad, dict(vars(value))]
    return next((of(value) for kind, of in _PARTS.items() if isinstance(value, kind)), None)


def attributes(state: Any) -> dict[str, Any] | None:
    """Return the attributes in the state of an object, slots too; None of another state."""
    found: dict[Any, Any] = {}
    for part in state if type(state) is tuple else (state,):
        if part is not None and type(part) is not dict:
            return None
        found |= part or {}
    if not all(type(key) is str for key in found):
        return None
    return {name: value for name, value in found.items() if name not in ADDRESSES}


def _tensor() -> Any:
    """Return the class of tensors; nothing where torch was not imported."""
    return getattr(sys.modules.get("torch"), "Tensor", ())


def _of_tensor(value: Any) -> list[str | bytes] | None:
    if value.is_sparse or value.is_quantized or value.device.type == "meta":
        return None
    flat = value.detach().cpu().contiguous().reshape(-1)
    data = flat.view(sys.modules["torch"].uint8).numpy().tobytes()
    about = (tuple(value.shape), value.requires_grad, str(value.device))
    return ["tensor", str(value.dtype), repr(about), data]


def _array_parts(value: Any) -> list[Any]:
    if value.dtype.hasobject:
        return [str(value.dtype), value.shape, value.tolist()]
    return [np.asarray(value), dict(getattr(value, "__dict__", {}))]


_PARTS: dict[Any, Callable[[Any], list[Any]]] = {
    np.ndarray: _array_parts,
    pd.DataFrame: lambda v: [
        list(v.columns), v.index, v.attrs, *(v.iloc[:, i].array for i in range(v.shape[1]))
    ],
    pd.Series: lambda v: [str(v.dtype), v.name, v.attrs, v.array],
    pd.Index: lambda v: [str(v.dtype), v.name, v.array],
    pd.api.extensions.ExtensionArray: lambda v: [str(v.dtype), np.asarray(v, object).tolist()],
    staticmethod: lambda v: [v.__func__],
    classmethod: lambda v: [v.__func__],
    property: lambda v: [v.fget, v.fset, v.fdel],
    functools.cached_property: lambda v: [v.func, v.attrname],
    type(functools.lru_cache(len)): lambda v: [
        v.__wrapped__, sorted(v.cache_parameters().items())
    ],
    types.MappingProxyType: lambda v: [dict(v)],
    types.CellType: lambda v: [v.cell_contents],
    weakref.ReferenceType: lambda v: [v()],
    types.GetSetDescriptorType: lambda v: [v.__name__],
    (types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType):
        lambda v: [v.__objclass__, v.__name__],
    types.MethodWrapperType: lambda v: [v.__self__, v.__name__],
}  # fmt: skip
