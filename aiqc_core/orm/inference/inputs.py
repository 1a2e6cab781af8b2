"""Take values of any form in the place of a Feature or a Label, checked as if registered."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import SelectionError
from aiqc_core.orm.inference import row_forms
from aiqc_core.orm.samples.new_data import Offer
from aiqc_core.orm.tables.dataset import Dataset
from aiqc_core.stages.ingest import content
from aiqc_core.stages.ingest.content import Content, Source
from aiqc_core.stages.preprocess import window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label

KINDS = {2: content.TABULAR, 3: content.SEQUENCE, 4: content.IMAGE}


@dataclass(frozen=True, slots=True)
class Input:
    """The input for a Feature or a Label."""

    offer: Offer  # how the Predictor reads it
    found: Content | Dataset  # the values, or the Dataset that holds them
    source: Source | None = None  # the file or folder that they were read from, if any
    index: pd.Index | None = None  # of the DataFrame, if it was one

    def register(self) -> Dataset:
        """Return the Dataset of these values; register it if it is not."""
        if isinstance(self.found, Dataset):
            return self.found
        return Dataset._register(self.found, self.source)  # noqa: SLF001 - it is read already


def take_as(called: str, value: Any, old: Feature | None) -> Input:
    """Return values as they would be registered.

    Args:
        called: what messages call them.
        value: a DataFrame, an array, a path or a Dataset; for a Feature see `row_forms.usual`.
        old: the Feature that they stand for; None for a label.
    """
    source = index = None
    value = value if old is None else row_forms.usual(called, value, old)
    if isinstance(value, Dataset):
        found: Content | Dataset = value
    elif isinstance(value, pd.DataFrame):
        index = value.index
        found = content.of_table(value.reset_index(drop=True), "dataframe")
    elif isinstance(value, str | PurePath):
        source = Source(content.TABULAR if old is None else old.dataset.typ, str(value))
        found = _renamed(called, content.read(source, known=old and old.get_dtypes()), old)
    else:
        found = _of_array(called, value, old)
    dtypes = found.dtypes
    offer = Offer(
        called=called,
        typ=found.typ if isinstance(found, Dataset) else found.kind,
        shape=found.shape,
        dtypes=dict.fromkeys(found.columns, dtypes) if isinstance(dtypes, str) else dict(dtypes),
        load=lambda columns: (
            found.load(columns, None)
            if isinstance(found, Dataset)
            else content.take(found.values, found.columns, None, columns)
        ),
        digest=lambda: found.sha256_hexdigest if isinstance(found, Dataset) else found.digest(),
    )
    rules = [row.rule() for row in old.windows] if old and offer.typ == old.dataset.typ else []
    for rule in rules[:1]:  # windows as in training, the last of them at the end of the rows
        rows, size, shift = offer.shape["samples"], rule.size_window, rule.size_shift
        offer = replace(offer, windows=window.plan(rows, size, shift, record_shifted=False))
    return Input(offer, found, source, index)


def _of_array(called: str, value: Any, old: Feature | None) -> Content:
    if hasattr(value, "toarray"):
        message = f"{called}: {type(value).__name__} is sparse; give it dense, by .toarray()."
        raise SelectionError(message)
    try:
        array: NDArray[Any] = np.asarray(value)
    except ValueError:  # parts of several shapes
        array = np.empty(0)
    if array.ndim not in KINDS:
        columns = ", ".join(f"{name!r}: …" for name in (["y"] if old is None else old.columns))
        raise SelectionError(
            f"{called}: {type(value).__name__} of {array.ndim} axes; give a DataFrame, an array "
            "(samples, columns), (samples, rows, columns) or (samples, channels, rows, columns), "
            f"a path, a Dataset, or one row as {{{columns}}}."
        )
    names = None if old is None else row_forms.names_of(called, array.shape[-1], old)
    if array.ndim == row_forms.TABLE_AXES:
        frame = pd.DataFrame(array, columns=names or [str(i) for i in range(array.shape[1])])
        return content.of_table(frame.infer_objects(), "ndarray")
    return content.of_array(array, KINDS[array.ndim], "ndarray", rename_columns=names)


def _renamed(called: str, found: Content, old: Feature | None) -> Content:
    """Name the columns of arrays from a file as in training, by position."""
    if old is None or found.kind == content.TABULAR:
        return found
    names = row_forms.names_of(called, len(found.columns), old)
    return found if names is None else replace(found, columns=names)


def as_label(label: Any, old: Label | None) -> Any:
    """Return a label as a table with the column names of training."""
    if old is None:
        message = "label: the Predictor was trained without one, on its Feature; leave it out."
        raise SelectionError(message)
    table = row_forms.usual("label", label, old)
    if isinstance(table, pd.DataFrame):
        chosen = [name for name in old.columns if name in table.columns]
        return table[chosen] if len(chosen) == len(old.columns) else table
    if not isinstance(table, np.ndarray):
        return table
    table = table.reshape(len(table), -1)
    if table.shape[1] != len(old.columns):
        message = f"label: {table.shape[1]} columns; the Predictor's label is {old.columns}."
        raise SelectionError(message)
    return pd.DataFrame(table, columns=old.columns).infer_objects()
