"""The weights of a stored model as arrays, read without running or building it."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train.backends.arrays import as_array
from aiqc_core.stages.train.backends.base import get_backend

if TYPE_CHECKING:
    from numpy.typing import NDArray

KERAS_WEIGHTS = "model.weights.h5"
KERAS_OPTIMIZER = "optimizer"


def weights_of(library: str, data: bytes) -> dict[str, NDArray[Any]]:
    """Return the weights of a model that `Backend.save` gave, by name, without its optimizer's.

    Of Keras the HDF5 part is read, without TensorFlow, which takes seconds to load.

    Raises:
        TrainingError: the bytes are damaged.
    """
    if library != "keras":
        backend: Any = get_backend(library)
        return backend.weights(data)
    import h5py  # noqa: PLC0415 - comes with Keras alone

    found: dict[str, NDArray[Any]] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and not name.startswith(KERAS_OPTIMIZER):
            found[name] = as_array(node[()])

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            held = io.BytesIO(archive.read(KERAS_WEIGHTS))
        with h5py.File(held, "r") as file:
            file.visititems(visit)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise TrainingError(
            f"the stored model cannot be read: its bytes are damaged ({error}). Restore the store "
            "from a backup, or train again."
        ) from error
    return found
