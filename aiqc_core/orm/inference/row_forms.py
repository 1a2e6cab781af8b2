"""Convert new samples of any usual form to a DataFrame or an array."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from numbers import Number
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types
from pandas.api.types import is_list_like
from PIL.Image import Image

from aiqc_core.errors import SelectionError
from aiqc_core.orm.tables.dataset import Dataset
from aiqc_core.stages.ingest import content, images, tabular
from aiqc_core.stages.ingest.arrays import NPY_ENDING
from aiqc_core.stages.ingest.paths import local_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label

TABLE_AXES, SEQUENCE_AXES, IMAGE_AXES = 2, 3, 4
Paths = str | PurePath
WHOLE = (pd.DataFrame, np.ndarray, str, PurePath, Dataset)
USUAL = (*WHOLE, pd.Series, np.generic, Mapping, list, tuple, bytes)


def of_each(features: Any, known: Sequence[Feature]) -> list[Any]:
    """Return the values of each Feature; for one Feature a list holds samples where it can."""
    if not isinstance(features, list | tuple) or hasattr(features, "_asdict"):
        return [features]
    if len(known) > 1 or (len(features) == 1 and isinstance(features[0], WHOLE)):
        return list(features)
    samples = {content.SEQUENCE: pd.DataFrame, content.IMAGE: Paths}.get(known[0].dataset.typ, ())
    are_whole = all(_is_whole(f) and not isinstance(f, samples) for f in features)
    return list(features) if features and are_whole else [features]


def usual(called: str, value: Any, old: Feature | Label) -> Any:
    """Return usual forms of samples as a DataFrame or an array; all others as they are.

    Args:
        called: what messages call them.
        value: of a table: one row as a dict, a Series of its columns or a list; several as a dict
            of columns (`DataFrame.to_dict`) or a list or an iterator of rows; values alone of
            an only column; a tensor; a table of Arrow or Polars. Of a sequence: one sample as
            `(rows, columns)`, be it a DataFrame, or a list of samples. Of images: one of Pillow,
            one file, the bytes of one, one array `(channels, rows, columns)`, or a list of such.
        old: the Feature or Label that they stand for.

    Raises:
        SelectionError: rows of another width than its columns, or columns of several lengths.
    """
    value = _plain(value)
    if isinstance(value, list | tuple):
        value = [_plain(item) for item in value]
    shape = old.dataset.shape
    if old.dataset.typ == content.TABULAR:
        table = _as_table(called, value, old)
        return _typed(table, old) if isinstance(table, pd.DataFrame) else table
    if old.dataset.typ == content.IMAGE:
        return _as_images(value, (shape["channels"], shape["rows"]))
    return _as_sequences(called, value, old)


def names_of(called: str, width: int, old: Feature | Label) -> list[str] | None:
    """Return names for unnamed columns: those of training, or with a warning of its Dataset."""
    every = old.dataset.columns
    if width == len(old.columns) or width != len(every):
        return list(old.columns) if width == len(old.columns) else None
    if old.dataset.typ == content.TABULAR:
        message = (
            f"{called}: {width} columns without names are taken for all of the Dataset, {every}, "
            f"of which the Predictor takes {old.columns}. Give these alone, or names."
        )
        warnings.warn(message, stacklevel=2)
    return list(every)


def _is_whole(value: Any) -> bool:
    """Say whether a value holds all samples of a Feature, rather than one."""
    if isinstance(value, str):
        return value.lower().endswith(tuple(tabular.FORMATS))
    return isinstance(value, WHOLE) and not isinstance(value, np.ndarray)


def _plain(value: Any) -> Any:
    """Return other packages' tables and tensors, records and iterators as usual containers."""
    if hasattr(value, "to_pandas"):  # a table of Arrow or Polars
        return value.to_pandas()
    if hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, (*USUAL, Image)) or hasattr(value, "toarray"):
        is_one = isinstance(value, np.ndarray) and not value.ndim and not value.dtype.names
        return value.item() if is_one else value
    if hasattr(value, "detach"):  # a tensor of PyTorch that may have a gradient
        value = value.detach().cpu()
    if hasattr(value, "__array__"):
        return _plain(np.asarray(value))
    if is_list_like(value, allow_sets=False):
        return list(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _as_table(called: str, value: Any, old: Feature | Label) -> Any:
    if isinstance(value, Mapping):
        return _of_mapping(called, {name: _plain(item) for name, item in value.items()}, old)
    if isinstance(value, np.ndarray | np.void) and value.dtype.names:
        return pd.DataFrame(np.atleast_1d(value))
    is_series, is_column = isinstance(value, pd.Series), len(old.columns) == 1
    if is_series and is_column and old.columns[0] not in value.index:
        return value.to_frame(old.columns[0])
    is_word = is_column and isinstance(value, str) and not PurePath(value).suffix
    if is_word or isinstance(value, Number | np.bool_):
        value = [value]
    is_array = isinstance(value, np.ndarray) and value.ndim < TABLE_AXES
    if not (is_series or is_array or isinstance(value, list)):
        return value
    is_rows = isinstance(value, list) and any(is_list_like(row) for row in value)
    if is_column and not is_rows and not is_series:
        return pd.DataFrame({old.columns[0]: value})
    return _of_rows(called, value if is_rows else [value], old)


def _of_mapping(called: str, values: dict[Any, Any], old: Feature | Label) -> pd.DataFrame:
    if not set(old.columns) <= set(map(str, values)):
        if {"columns", "data"} <= values.keys():  # DataFrame.to_dict("split")
            return _framed(called, values["data"], values.get("index"), values["columns"])
        if values and all(isinstance(row, Mapping) for row in values.values()):
            return pd.DataFrame.from_dict(values, orient="index")
    is_many = any(is_list_like(item) for item in values.values())
    return _framed(called, values if is_many else [values])


def _of_rows(called: str, values: Any, old: Feature | Label) -> Any:
    """Return rows as a table: by name where they have names, else by position."""
    rows = [_cells(value, old) for value in values]
    if isinstance(rows[0], list) and any(is_list_like(cell) for cell in rows[0]):
        return values  # of more axes
    widths = sorted({len(row) for row in rows if isinstance(row, list)})
    names = names_of(called, widths[0], old) if len(widths) == 1 else None
    if widths and not names:
        given = f"{'rows of ' if len(rows) > 1 else ''}{' and '.join(map(str, widths))} values"
        raise SelectionError(
            f"{called}: {given} given; a row has the {len(old.columns)} columns {old.columns}. "
            f"Give a dict of them, or pandas.DataFrame([[…]], columns={old.columns})."
        )
    if all(isinstance(row, list) for row in rows):
        return pd.DataFrame(rows, columns=names)
    labels = [row.name for row in values if isinstance(row, pd.Series) and row.name is not None]
    named = [
        row if isinstance(row, dict) else dict(zip(names or [], row, strict=True)) for row in rows
    ]
    return _framed(called, named, labels if len(labels) == len(rows) else None)


def _cells(row: Any, old: Feature | Label) -> dict[Any, Any] | list[Any]:
    """Return the values of a row, by name where it has names."""
    if isinstance(row, tuple) and len(row) == 2 and isinstance(row[1], pd.Series):  # noqa: PLR2004
        row = row[1]  # of DataFrame.iterrows
    if isinstance(row, pd.Series):
        is_named = set(old.columns) <= set(map(str, row.index))
        row = row.to_dict() if is_named or row.index.inferred_type != "integer" else row.tolist()
    if isinstance(row, Mapping):
        return dict(row)
    return list(row) if is_list_like(row) else [row]


def _typed(table: pd.DataFrame, old: Feature | Label) -> pd.DataFrame:
    """Convert columns of Python's numbers to the dtypes that training had."""
    for name, dtype in old.get_dtypes().items():
        column = table[name].infer_objects() if name in table and table.columns.is_unique else None
        is_number = types.is_any_real_numeric_dtype(dtype) or types.is_bool_dtype(dtype)
        if not is_number or column is None or column.dtype != object:
            continue
        if any(isinstance(value, str) for value in column):
            continue
        parsed: Any = types.pandas_dtype(dtype)
        plain = "boolean" if parsed.kind == "b" else "float64"
        wanted = plain if isinstance(parsed, np.dtype) else dtype  # else it holds blanks itself
        with suppress(TypeError, ValueError):
            table = table.assign(**{name: column.where(column.notna()).astype(wanted)})
    return table


def _framed(called: str, values: Any, index: Any = None, columns: Any = None) -> pd.DataFrame:
    try:
        return pd.DataFrame(values, index, columns)
    except ValueError as error:
        message = f"{called}: no table can be made of {type(values).__name__}: {error}."
        raise SelectionError(message) from error


def _as_sequences(called: str, value: Any, old: Feature | Label) -> Any:
    if isinstance(value, Mapping):
        value = _framed(called, dict(value))
    if isinstance(value, list | tuple) and any(isinstance(v, pd.DataFrame) for v in value):
        return np.stack([_of_frame(called, frame, old) for frame in value])
    if isinstance(value, pd.DataFrame):
        return _of_frame(called, value, old)[np.newaxis]
    array = _as_array(value)
    is_one = isinstance(array, np.ndarray) and array.ndim == TABLE_AXES
    return array[np.newaxis] if is_one else array


def _of_frame(called: str, frame: pd.DataFrame, old: Feature | Label) -> Any:
    """Return the sample in a DataFrame, its columns found by name."""
    frame = frame.rename(columns=str)
    for names in (old.dataset.columns, old.columns):
        if set(names) <= set(frame.columns):
            return frame[list(names)].to_numpy()
    missing = [name for name in old.columns if name not in frame.columns]
    message = f"{called}: columns {missing} are missing in a sample, which has {list(frame)}."
    raise SelectionError(message)


def _as_images(value: Any, known: tuple[int, int]) -> Any:
    items: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    if items and all(_is_picture(item) for item in items):
        named: list[tuple[str, Any]] = [
            (str(item) if isinstance(item, Paths) else f"image {i}", item)
            for i, item in enumerate(items)
        ]
        return images.read_images(named)[0]
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


def _as_array(value: Any) -> Any:
    if isinstance(value, Paths | pd.DataFrame | Dataset):
        return value
    try:
        return np.asarray(value)
    except ValueError:  # parts of several shapes: refused by what follows
        return value
