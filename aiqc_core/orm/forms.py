"""New samples in the forms that people have them in, as a DataFrame or an array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api.types import is_list_like
from PIL.Image import Image

from aiqc_core.errors import SelectionError
from aiqc_core.ingest import content, images
from aiqc_core.ingest.arrays import NPY_ENDING
from aiqc_core.ingest.paths import local_path
from aiqc_core.orm.dataset import Dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.feature import Feature

TABLE_AXES, SEQUENCE_AXES, IMAGE_AXES = 2, 3, 4
Paths = str | PurePath
WHOLE = (pd.DataFrame, np.ndarray, str, PurePath, Dataset)


def of_each(features: Any, known: Sequence[Feature]) -> list[Any]:
    """Return the values of each Feature: of one alone, a list is one of samples where it can be.

    Args:
        features: as given.
        known: the Features in whose places they are.
    """
    if not isinstance(features, list | tuple) or hasattr(features, "_asdict"):
        return [features]
    if len(known) > 1 or (len(features) == 1 and isinstance(features[0], WHOLE)):
        return list(features)
    samples = {content.SEQUENCE: pd.DataFrame, content.IMAGE: Paths}.get(known[0].dataset.typ, ())
    are_whole = all(isinstance(f, WHOLE) and not isinstance(f, np.ndarray) for f in features)
    is_several = are_whole and not all(isinstance(f, samples) for f in features)
    return list(features) if is_several else [features]


def as_table(called: str, value: Any) -> Any:
    """Return a label given as a dict, a scalar or a table of Arrow as pandas or numpy has it."""
    if hasattr(value, "to_pandas"):
        value = value.to_pandas()
    if isinstance(value, Mapping):
        many = any(is_list_like(item) for item in value.values())
        return _framed(called, dict(value) if many else [value])
    is_word = isinstance(value, str) and not PurePath(value).suffix
    return [value] if is_word or _is_number(value) or isinstance(value, bool | np.bool_) else value


def usual(called: str, value: Any, old: Feature) -> Any:
    """Return usual forms of samples as a DataFrame or an array; all others as they are.

    Args:
        called: what messages call them.
        value: of a table: one row as a dict, a Series of its columns or a list; several as a dict
            of columns or a list of rows; a table of Arrow or Polars. Of a sequence: one sample as
            `(rows, columns)`, be it a DataFrame, or a list of samples. Of images: one of Pillow,
            one file, the bytes of one, one array `(channels, rows, columns)`, or a list of such.
        old: the Feature in whose place they are.

    Raises:
        SelectionError: rows of another width than its columns, or columns of several lengths.
    """
    if hasattr(value, "to_pandas"):  # a table of Arrow or Polars
        value = value.to_pandas()
    shape = old.dataset.shape
    if old.dataset.typ == content.TABULAR:
        return _as_table(called, value, old)
    if old.dataset.typ == content.IMAGE:
        return _as_images(value, (shape["channels"], shape["rows"]))
    return _as_sequences(called, value, old)


def _as_table(called: str, value: Any, old: Feature) -> Any:
    value = _plain(value)
    if isinstance(value, pd.Series):
        return _of_series(value, old)
    if isinstance(value, Mapping):
        many = any(is_list_like(item) for item in value.values())
        return _framed(called, dict(value) if many else [value])
    if isinstance(value, np.ndarray | np.void) and value.dtype.names:
        return pd.DataFrame(np.atleast_1d(value))
    if isinstance(value, list | tuple):
        return _of_list(called, [_plain(row) for row in value], old)
    if isinstance(value, Paths | pd.DataFrame) or not hasattr(value, "__array__"):
        return _of_scalars(called, [value], old) if _is_number(value) else value
    array = np.asarray(value)
    return _of_scalars(called, np.atleast_1d(array), old) if array.ndim < TABLE_AXES else array


def _plain(row: Any) -> Any:
    """Return a named tuple or a dataclass as a dict."""
    if hasattr(row, "_asdict"):
        return row._asdict()
    return asdict(row) if is_dataclass(row) and not isinstance(row, type) else row


def _of_series(value: pd.Series, old: Feature) -> pd.DataFrame:
    if not set(old.columns) <= set(value.index) and len(old.columns) == 1:
        return value.to_frame(old.columns[0])
    return pd.DataFrame([value.to_dict()], index=[0 if value.name is None else value.name])


def _of_list(called: str, rows: list[Any], old: Feature) -> Any:
    if rows and all(isinstance(row, Mapping) for row in rows):
        return _framed(called, rows)
    if rows and all(isinstance(row, pd.Series) for row in rows):
        return pd.concat([_of_series(row, old) for row in rows])
    if not any(is_list_like(row) for row in rows):
        return _of_scalars(called, rows, old)
    if {np.ndim(row) for row in rows} != {1}:
        return rows
    names = _names(old, len(rows[0]))
    if names is None or any(len(row) != len(names) for row in rows):
        widths = sorted({len(row) for row in rows})
        raise _width_error(called, f"rows of {' and '.join(map(str, widths))} values", old)
    return pd.DataFrame([list(row) for row in rows], columns=names)


def _of_scalars(called: str, values: Any, old: Feature) -> pd.DataFrame:
    """Return values without an axis of columns: one row, or many of the only column."""
    names = _names(old, len(values))
    if names is None and len(old.columns) == 1:
        return pd.DataFrame({old.columns[0]: values})
    if names is None:
        raise _width_error(called, f"{len(values)} values", old)
    return pd.DataFrame([list(values)], columns=names)


def _framed(called: str, values: Any) -> pd.DataFrame:
    try:
        return pd.DataFrame(values)
    except ValueError as error:
        message = f"{called}: no table can be made of {type(values).__name__}: {error}."
        raise SelectionError(message) from error


def _names(old: Feature, width: int) -> list[str] | None:
    known = (old.columns, old.dataset.columns)
    return next((list(names) for names in known if len(names) == width), None)


def _width_error(called: str, given: str, old: Feature) -> SelectionError:
    names = list(old.columns)
    return SelectionError(
        f"{called}: {given} given; a row has the {len(names)} columns {names}. Give a dict of "
        f"them, or pandas.DataFrame([[…]], columns={names})."
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _as_sequences(called: str, value: Any, old: Feature) -> Any:
    if isinstance(value, Mapping):
        value = _framed(called, dict(value))
    if isinstance(value, list | tuple) and any(isinstance(v, pd.DataFrame) for v in value):
        return np.stack([_of_frame(called, frame, old) for frame in value])
    if isinstance(value, pd.DataFrame):
        return _of_frame(called, value, old)[np.newaxis]
    array = _as_array(value)
    return array[np.newaxis] if np.ndim(array) == TABLE_AXES else array


def _of_frame(called: str, frame: pd.DataFrame, old: Feature) -> Any:
    """Return one sample that lies in a DataFrame, its columns found by name."""
    frame = frame.rename(columns=str)
    names = next(
        (n for n in (old.dataset.columns, old.columns) if set(n) <= set(frame.columns)), None
    )
    if names is None:
        missing = [name for name in old.columns if name not in frame.columns]
        message = f"{called}: columns {missing} are missing in a sample, which has {list(frame)}."
        raise SelectionError(message)
    return frame[list(names)].to_numpy()


def _as_images(value: Any, known: tuple[int, int]) -> Any:
    items: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if items and all(_is_picture(item) for item in items):
        return images.read_images([(_shown(i, item), item) for i, item in enumerate(items)])[0]
    if isinstance(value, list | tuple):
        parts = [_one_image(_as_array(item), known) for item in value]
        is_even = len({np.shape(part) for part in parts}) == 1
        return np.concatenate(parts) if is_even and np.ndim(parts[0]) == IMAGE_AXES else value
    return _one_image(_as_array(value), known)


def _one_image(array: Any, known: tuple[int, int]) -> Any:
    """Return one image `(channels, rows, columns)`, or grey ones `(samples, rows, columns)`."""
    if np.ndim(array) == TABLE_AXES:
        return array[np.newaxis, np.newaxis]
    if np.ndim(array) != SEQUENCE_AXES:
        return array
    is_one = array.shape[:2] == known or known[0] > 1
    return array[np.newaxis] if is_one else array[:, np.newaxis]


def _is_picture(value: Any) -> bool:
    if isinstance(value, Paths):
        path = local_path(str(value))
        return path is not None and path.is_file() and path.suffix.lower() != NPY_ENDING
    return isinstance(value, bytes | Image)


def _shown(position: int, value: Any) -> str:
    return str(value) if isinstance(value, Paths) else f"image {position}"


def _as_array(value: Any) -> Any:
    if isinstance(value, Paths | pd.DataFrame | Dataset):
        return value
    try:
        return np.asarray(value)
    except ValueError:  # parts of several shapes: refused by what follows
        return value
