"""Feature: the columns that a model learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import ForeignKeyField

from aiqc_core.errors import SelectionError
from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.dataset import Dataset
from aiqc_core.orm.tables.selection import DatasetColumns
from aiqc_core.stages.ingest.selection import checked_columns
from aiqc_core.stages.preprocess.pipeline import FeaturePlan
from aiqc_core.stages.preprocess.samples import FeatureRecipe, trial_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


class Feature(DatasetColumns, BaseModel):
    """Columns of a Dataset, with their coders."""

    columns = JSONField()
    columns_excluded = JSONField(null=True)
    dataset = ForeignKeyField(Dataset, backref="features")

    @classmethod
    def from_dataset(
        cls,
        dataset_id: int,
        include_columns: Sequence[str] | None = None,
        exclude_columns: Sequence[str] | None = None,
    ) -> Feature:
        """Choose columns of a Dataset; all of them by default.

        Args:
            dataset_id: the Dataset's id.
            include_columns: only these, in this order.
            exclude_columns: all but these, in the Dataset's order.

        Raises:
            SelectionError: both are given, a column is unknown, or none is left.
        """
        dataset = Dataset.get_by_id(dataset_id)
        if include_columns is not None and exclude_columns is not None:
            message = "include_columns and exclude_columns: give one of the two, not both."
            raise SelectionError(message)
        if exclude_columns is not None:
            dropped = checked_columns("exclude_columns", exclude_columns, dataset.columns)
            columns = [name for name in dataset.columns if name not in dropped]
        else:
            columns = checked_columns("include_columns", include_columns, dataset.columns)
        if not columns:
            raise SelectionError(
                f"exclude_columns: leaves no column of {dataset.columns}; a Feature needs one."
            )
        excluded = [name for name in dataset.columns if name not in columns]
        return cls.create(columns=columns, columns_excluded=excluded or None, dataset=dataset)

    def trial_rows(self, columns: Sequence[str]) -> pd.DataFrame:
        """Return the rows of all samples `(samples × …, columns)`, filled, to try a coder on."""
        return trial_rows(self.dataset.load(columns, None), columns, self.recipe().fills)

    def plan(self) -> FeaturePlan:
        """Return the encoding of these columns as a value."""
        steps = tuple(coder.step() for coder in self.ordered_coders())
        return FeaturePlan(columns=tuple(self.columns), steps=steps)

    def recipe(self) -> FeatureRecipe:
        """Return the preprocessing of this Feature as a value."""
        return FeatureRecipe(
            plan=self.plan(),
            fills=tuple(row.step() for row in self.ordered_interpolaters()),
            windows=next((row.rule() for row in self.windows), None),
            reshape_indices=next((row.reshape_indices for row in self.featureshapers), None),
        )

    def sample_count(self) -> int:
        """Return how many samples it gives: those of its Window, else rows."""
        rows = self.dataset.shape["samples"]
        return next((row.window_count for row in self.windows), rows)

    def preprocessed_shape(self) -> tuple[int, ...]:
        """Return the shape of its samples before a FeatureShaper: `(samples, …, columns)`."""
        taken = {name for row in self.ordered_coders() for name in row.matching_columns}
        encoded = sum(len(row.encoded_column_names) for row in self.ordered_coders())
        width = encoded + sum(name not in taken for name in self.columns)
        middle = list(self.dataset.shape.values())[1:-1]
        windows = [row.size_window for row in self.windows]
        return (self.sample_count(), *windows, *middle, width)

    def ordered_interpolaters(self) -> list[BaseModel]:
        """Return the FeatureInterpolaters in the order in which they were attached."""
        return sorted(self.featureinterpolaters, key=lambda row: row.idx)

    def ordered_coders(self) -> list[BaseModel]:
        """Return the FeatureCoders in the order in which they were attached."""
        return sorted(self.featurecoders, key=lambda coder: coder.idx)

    @property
    def fitted_featurecoders(self) -> object:
        """The coders as fitted by the latest Splitset without Folds; None before that."""
        for use in sorted(self.splitset_uses, key=lambda use: use.splitset_id, reverse=True):
            fitted = None if use.splitset.fold_count else use.splitset.fitted
            if fitted is not None:
                return fitted.features[use.splitset.feature_ids.index(self.id)]
        return None
