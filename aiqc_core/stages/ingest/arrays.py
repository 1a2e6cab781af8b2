"""Check, read and write arrays: sequences (3D) and images (4D), stored without any change."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest.objects import is_plain_number
from aiqc_core.stages.ingest.paths import local_path, open_source
from aiqc_core.stages.ingest.retype import retyped
from aiqc_core.stages.ingest.selection import checked_columns, checked_positions, column_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NPY_ENDING = ".npy"
AXES = {
    "sequence": ("samples", "rows", "columns"),
    "image": ("samples", "channels", "rows", "columns"),
}


def read_npy(path: str | Path) -> tuple[NDArray[Any], str]:
    """Open a `.npy` file and return its array and `'npy'`.

    A local file is memory-mapped and read-only, any other is read whole. Pickled objects are
    never loaded, since loading them would run their code.

    Raises:
        IngestError: another ending, a missing or damaged file, or Python objects in it.
    """
    if Path(str(path)).suffix.lower() != NPY_ENDING:
        raise IngestError(f"npy path: {path} must end in {NPY_ENDING}.")
    local = local_path(path)
    try:
        with open_source(path) as stream:
            if local is None:
                return np.lib.format.read_array(stream, allow_pickle=False), "npy"
        return np.lib.format.open_memmap(local, mode="r"), "npy"
    except (ValueError, EOFError, OSError) as error:
        if isinstance(error, IngestError):
            raise
        raise IngestError(
            f"npy path: {path} is no readable .npy file of plain values: {error}. Write it with "
            "numpy.save(path, array, allow_pickle=False)."
        ) from error


def conform(
    array: NDArray[Any],
    *,
    ndim: int,
    rename_columns: Sequence[str] | None = None,
    retype: object = None,
) -> tuple[NDArray[Any], list[str]]:
    """Return an array that can be stored and given back exactly, and its column names.

    The array has the byte order of this machine and is not copied where nothing changes.

    Args:
        array: numbers, truth values or text; no axis of length 0.
        ndim: 3 for a sequence, 4 for images.
        rename_columns: names along the last axis; `'0', '1', …` when None.
        retype: one dtype for all values.

    Raises:
        IngestError: another number of axes, an empty, masked, structured or object array, names
            that do not fit, or a dtype that would lose values.
    """
    argument = f"arr{ndim}D_or_npyPath"
    _refuse_array(array, argument, ndim)
    columns = column_names(
        range(array.shape[-1]), rename_columns, argument, place=" (the last axis)"
    )
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return (native if retype is None else _retyped(native, columns, retype)), columns


def take(
    array: NDArray[Any],
    names: Sequence[str],
    samples: Sequence[int] | int | None = None,
    columns: Sequence[str] | str | None = None,
) -> NDArray[Any]:
    """Return samples by position and columns by name, in the order asked for.

    The array is `(samples, …, columns)`, with `names` of all its columns; a memory-mapped one is
    read at these samples only. None selects all.

    Raises:
        SelectionError: an unknown or repeated column or position, or an empty list.
    """
    chosen = checked_columns("columns", columns, list(names))
    positions = checked_positions("samples", samples, len(array))
    rows = array if samples is None else array[positions]
    return rows if columns is None else rows[..., [list(names).index(name) for name in chosen]]


def to_npy(array: NDArray[Any]) -> bytes:
    """Return an array as `.npy` bytes, the same whatever its memory layout."""
    sink = io.BytesIO()
    np.lib.format.write_array(sink, np.ascontiguousarray(array), allow_pickle=False)
    return sink.getvalue()


def from_npy(data: bytes | memoryview) -> NDArray[Any]:
    """Return the array that `to_npy` wrote."""
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def to_frames(array: NDArray[Any], columns: Sequence[str]) -> list[Any]:
    """Return a DataFrame per sample of a sequence, a list of one per channel of an image."""
    if array.ndim == len(AXES["image"]):
        return [to_frames(part, columns) for part in array]
    return [pd.DataFrame(np.asarray(table), columns=list(columns)) for table in array]


def _refuse_array(array: Any, argument: str, ndim: int) -> None:
    fault = None
    if not isinstance(array, np.ndarray):
        fault = f"{type(array).__name__} given; give a numpy array"
    elif isinstance(array, np.ma.MaskedArray):
        fault = "a masked array: its mask would be lost. Give array.filled(numpy.nan)"
    elif array.ndim != ndim:
        axes = next(names for names in AXES.values() if len(names) == ndim)
        fault = f"its shape is {array.shape}; give {ndim} axes: {', '.join(axes)}"
    elif 0 in array.shape:
        fault = f"its shape is {array.shape}; give no axis of length 0"
    elif array.dtype.names:
        fault = (
            f"it has the fields {list(array.dtype.names)}. Give plain numbers, e.g. with "
            "numpy.lib.recfunctions.structured_to_unstructured"
        )
    elif not (is_plain_number(array.dtype) or array.dtype.kind == "U"):
        fault = (
            f"dtype {array.dtype} cannot be stored exactly. Give numbers of at most 64 bits, "
            "truth values or text, e.g. array.astype('float64')"
        )
    if fault:
        raise IngestError(f"{argument}: {fault}.")


def _retyped(array: NDArray[Any], columns: list[str], retype: Any) -> NDArray[Any]:
    shown = getattr(retype, "__name__", str(retype))
    if isinstance(retype, dict):
        raise IngestError(
            f"retype: {shown}; an array has one dtype for all columns, so give that one."
        )
    try:
        target = np.dtype(retype).newbyteorder("=")
    except (TypeError, ValueError) as error:
        raise IngestError(f"retype: {shown!r} is no dtype of numpy: {error}.") from error
    if not is_plain_number(target):
        raise IngestError(
            f"retype: an array cannot become {shown}; give numbers of at most 64 bits or bool."
        )
    before = array.dtype  # numpy's 'safe' also rounds 64 bits to float
    is_rounded = before.kind in "iu" and target.kind == "f" and before.itemsize >= target.itemsize
    if np.can_cast(before, target, "safe") and not is_rounded:
        return array.astype(target, copy=False)
    try:
        table = pd.DataFrame(array.reshape(-1, len(columns)), columns=columns)
    except UnicodeEncodeError as error:
        raise IngestError(
            f"retype: an array with text that is no Unicode cannot become {shown}: {error}."
        ) from error
    try:
        return retyped(table, target).to_numpy().reshape(array.shape)
    except IngestError as error:
        raise IngestError(f"{error} Rows are counted on from sample to sample.") from error


def contains_nan(array: NDArray[Any]) -> bool:
    """Say whether a value is NaN; text is none."""
    if array.dtype.kind != "f":
        return False
    with np.errstate(invalid="ignore"):
        return bool(np.isnan(np.min(array)))  # a minimum passes NaN on, and needs no second array
