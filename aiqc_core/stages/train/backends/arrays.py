"""Convert what a framework or a user gives to numpy arrays."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_array(value: Any) -> NDArray[Any]:
    """Return numbers as an array in memory.

    Takes tensors of PyTorch, TensorFlow and Keras of every kind, lists of such, and all that numpy
    takes. Types that numpy lacks, such as bfloat16, become float32, which holds their numbers.
    """
    if isinstance(value, list | tuple):
        is_framework = value and (hasattr(value[0], "detach") or hasattr(value[0], "numpy"))
        return np.stack([as_array(part) for part in value]) if is_framework else np.asarray(value)
    if hasattr(value, "detach") and hasattr(value, "resolve_conj"):
        return _of_torch(value)
    kind = type(value).__name__
    if kind == "RaggedTensor":
        value = value.to_tensor().numpy()
    elif kind == "SparseTensor" or hasattr(value, "sparse_shape"):
        value = sys.modules["tensorflow"].sparse.to_dense(value).numpy()
    elif not isinstance(value, np.ndarray):
        for way in ("numpy", "toarray"):  # of TensorFlow, of scipy
            if hasattr(value, way):
                value = getattr(value, way)()
    array = np.asarray(value)
    # bfloat16 and float8, which other packages add to numpy
    return array.astype(np.float32) if array.dtype.kind == "V" and not array.dtype.names else array


def _of_torch(value: Any) -> NDArray[Any]:
    torch = sys.modules["torch"]
    tensor = value.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_floating_point() and tensor.dtype not in {torch.float64, torch.float32}:
        tensor = tensor.float()
    return tensor.cpu().resolve_conj().resolve_neg().numpy()
