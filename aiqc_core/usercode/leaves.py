"""Values that a digest takes as they are, and the parts of composed ones."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from typing import Any

import numpy as np
import pandas as pd

ATOMS = {type(None), bool, int, float, complex, str, types.EllipsisType, types.NotImplementedType}
ADDRESSES = {"_stop_words_id"}  # attributes that say where something is in memory
SEQUENCES = (list, tuple)


def plain(value: Any) -> list[str | bytes] | None:
    """Return what stands for a plain value, or a list or tuple of such; None for others."""
    kind = type(value)
    if kind in ATOMS:
        return [kind.__name__, repr(value)]
    if kind in {bytes, bytearray, memoryview}:
        return [kind.__name__, bytes(value)]
    if kind in SEQUENCES:
        return [kind.__name__, repr(value)] if set(map(type, value)) <= ATOMS else None
    if isinstance(value, np.ndarray | np.generic) and _is_of("numpy", value):
        return _of_array(value)
    if isinstance(value, _tensor()) and _is_of("torch", value) and not vars(value):
        return _of_tensor(value)
    return None


def parts(value: Any) -> list[Any] | None:
    """Return what makes up an object that a pickle does not know, or knows with chance in it."""
    if isinstance(value, _tensor()):
        is_more = not _is_of("torch", value) or vars(value)  # else it is sparse, say
        bare = value.detach().as_subclass(_tensor())
        return [bare, value.requires_grad, dict(vars(value))] if is_more else None
    of = next((of for kind, of in _PARTS.items() if isinstance(value, kind)), None)
    return None if of is None else of(value)


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


def _is_of(package: str, value: Any) -> bool:
    """Say whether a value is of a class of a package: one of the user's is more than numbers."""
    return type(value).__module__.partition(".")[0] == package


def _of_array(value: Any) -> list[str | bytes] | None:
    if value.dtype.hasobject:
        return None
    return ["array", str(value.dtype), repr(value.shape), value.tobytes()]


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


_PARTS: dict[Any, Any] = {
    np.ndarray: _array_parts,
    pd.DataFrame: lambda v: [
        list(v.columns), v.index, v.attrs, *(v.iloc[:, i].array for i in range(v.shape[1]))
    ],
    pd.Series: lambda v: [str(v.dtype), v.name, v.attrs, v.array],
    pd.Index: lambda v: [str(v.dtype), v.name, v.array],
    pd.api.extensions.ExtensionArray: lambda v: [
        str(v.dtype), np.asarray(v, dtype=object).tolist()
    ],
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
    types.MethodDescriptorType: lambda v: [v.__objclass__, v.__name__],
    types.WrapperDescriptorType: lambda v: [v.__objclass__, v.__name__],
    types.ClassMethodDescriptorType: lambda v: [v.__objclass__, v.__name__],
    types.MethodWrapperType: lambda v: [v.__self__, v.__name__],
}  # fmt: skip
