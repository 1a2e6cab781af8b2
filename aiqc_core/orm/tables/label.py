"""Label: the columns that a model learns to predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from pandas.api import types
from peewee import ForeignKeyField, IntegerField

from aiqc_core.errors import SelectionError
from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.dataset import Dataset
from aiqc_core.orm.tables.selection import DatasetColumns
from aiqc_core.stages.ingest.content import TABULAR
from aiqc_core.stages.ingest.selection import checked_columns
from aiqc_core.stages.preprocess import encode, pipeline
from aiqc_core.stages.preprocess.samples import trial_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.preprocess.pipeline import EncoderStep
    from aiqc_core.stages.preprocess.samples import FillStep

SHOWN_ROWS = 5
TWO = 2


class Label(DatasetColumns, BaseModel):
    """Columns of a tabular Dataset; several columns are one-hot.

    Attributes:
        unique_classes: sorted; None where the columns are floats.
        positive: of two classes the one that precision, recall and f1 are of, if one was chosen.
    """

    columns = JSONField()
    column_count = IntegerField()
    unique_classes = JSONField(null=True)
    positive = JSONField(null=True)
    dataset = ForeignKeyField(Dataset, backref="labels")

    @classmethod
    def from_dataset(
        cls, dataset_id: int, columns: Sequence[str] | None = None, positive: Any = None
    ) -> Label:
        """Choose the column to predict, or the columns of a one-hot label.

        Args:
            dataset_id: the id of a tabular Dataset.
            columns: which; all by default.
            positive: for `classification_binary`, the class that precision, recall, f1, their
                curves, calibration and thresholds are of, by its value, such as `"fraud"`. By
                default the class of code 1 of the label's coder; without one, or with one that
                sorts, the second of the sorted classes. Training and stored probabilities stay
                with code 1. Another positive class needs a Label, Splitset and Queue of its own.

        Raises:
            SelectionError: the Dataset is not tabular, a column is unknown, several columns are
                not one-hot (the message lists the first such rows), or `positive` is no class of
                a label with two.
        """
        dataset = Dataset.get_by_id(dataset_id)
        if dataset.typ != TABULAR:
            message = f"dataset_id: Dataset {dataset.id} is {dataset.typ}; a Label is tabular."
            raise SelectionError(message)
        chosen = checked_columns("columns", columns, dataset.columns)
        frame = dataset.to_df(chosen)
        if len(chosen) > 1:
            _refuse_not_one_hot(frame)
        classes = _unique_classes(frame)
        return cls.create(
            columns=chosen,
            column_count=len(chosen),
            unique_classes=classes,
            positive=None if positive is None else checked_positive(positive, chosen, classes),
            dataset=dataset,
        )

    def step(self) -> EncoderStep | None:
        """Return the label's coder as a value; None without one."""
        return next((coder.step() for coder in self.labelcoders), None)

    def fills(self) -> tuple[FillStep, ...]:
        """Return the label's interpolater as a value; empty without one."""
        return tuple(row.step() for row in self.labelinterpolaters)

    def classes(self) -> list[object] | None:
        """Return the classes of decoded predictions: values, or the one-hot columns."""
        return self.columns if self.column_count > 1 else self.unique_classes

    @property
    def positive_class(self) -> Any:
        """The positive class of two, chosen or that of code 1; None for other labels."""
        if self.positive is not None:
            return self.positive
        ordered = self.classes_by_code() if self.column_count == 1 else None
        found = ordered[1] if ordered is not None and len(ordered) == TWO else None
        is_json = found is None or isinstance(found, str | int | float)
        return found if is_json else str(found)  # a time, as in `unique_classes`

    def classes_by_code(self) -> tuple[Any, ...] | None:
        """Return the classes by the codes of the label's coder.

        None for a continuous label, and where the coder gives two classes one code.
        """
        known, step = self.classes(), self.step()
        if known is None or step is None:
            return pipeline.classes_by_code(None, pd.DataFrame(), known)
        frame = trial_rows(self.to_df(), self.columns, self.fills())
        return pipeline.classes_by_code(encode.fit(frame, step.encoder), frame, known)

    @property
    def fitted_labelcoder(self) -> object:
        """The coder as fitted by the latest Splitset without Folds; None before that."""
        for splitset in sorted(self.splitsets, key=lambda row: row.id, reverse=True):
            fitted = None if splitset.fold_count else splitset.fitted
            if fitted is not None:
                return fitted.label.encoder
        return None


def positive_of(frame: pd.DataFrame, positive: Any) -> Any:
    """Return a positive class as the label's own value; see `Label.from_dataset`."""
    return checked_positive(positive, list(frame.columns), _unique_classes(frame))


def checked_positive(positive: Any, columns: Sequence[str], classes: list[Any] | None) -> Any:
    """Return the class that `positive` names, as the label has it.

    Raises:
        SelectionError: the label is continuous, one-hot or not of two classes, or has none such.
    """
    about = f"positive: {positive!r}"
    if len(columns) > 1:
        message = (
            f"{about}; label {list(columns)} is one-hot. Only one column of two classes has one."
        )
    elif classes is None:
        message = f"{about}; label {columns[0]!r} is continuous. Only two classes have one."
    elif len(classes) != TWO:
        message = (
            f"{about}; label {columns[0]!r} has {len(classes)} classes, {classes[:SHOWN_ROWS]}. "
            "Only a label of two has a positive one; leave it out."
        )
    elif positive not in classes:
        message = f"{about} is no class of label {columns[0]!r}; give one of {classes}."
    else:
        return classes[classes.index(positive)]
    raise SelectionError(message)


def _refuse_not_one_hot(frame: pd.DataFrame) -> None:
    values = frame.to_numpy()
    if all(types.is_numeric_dtype(kind) or types.is_bool_dtype(kind) for kind in frame.dtypes):
        numbers = values.astype(float)
        is_hot = np.isin(numbers, (0.0, 1.0)).all(axis=1) & (numbers.sum(axis=1) == 1.0)
    else:
        is_hot = np.zeros(len(values), dtype=bool)
    if not is_hot.all():
        rows = np.flatnonzero(~is_hot)
        shown = {int(row): values[row].tolist() for row in rows[:SHOWN_ROWS]}
        raise SelectionError(
            f"columns: {list(frame.columns)} are not one-hot: {len(rows)} rows do not hold "
            f"exactly one 1 and otherwise 0, the first are {shown}. Name one column, or encode "
            "the rows."
        )


def _unique_classes(frame: pd.DataFrame) -> list[object] | None:
    """Return the sorted classes; None for numbers with a fraction part's dtype."""
    if any(types.is_float_dtype(dtype) for dtype in frame.dtypes):
        return None
    values = np.unique(frame.to_numpy()) if len(frame.columns) > 1 else _sorted(frame.iloc[:, 0])
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _sorted(column: pd.Series) -> list[Any]:
    present = column.dropna().unique().tolist()
    return sorted(map(str, present) if _is_time(column) else present)


def _is_time(column: pd.Series) -> bool:
    return types.is_datetime64_any_dtype(column.dtype) or types.is_timedelta64_dtype(column.dtype)
