"""LabelInterpolater and FeatureInterpolater: they fill blanks of columns."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from peewee import BooleanField, ForeignKeyField, IntegerField

from aiqc_core.errors import PreprocessError
from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.label import Label
from aiqc_core.orm.tables.selection import matched
from aiqc_core.stages.preprocess import interpolate
from aiqc_core.stages.preprocess.samples import FillStep

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)


class _Fills:
    if TYPE_CHECKING:
        matching_columns: Any
        interpolate_kwargs: Any
        process_separately: Any

    def step(self) -> FillStep:
        """Return the interpolater as a value."""
        columns = tuple(self.matching_columns)
        return FillStep(columns, self.interpolate_kwargs, bool(self.process_separately))


class LabelInterpolater(_Fills, BaseModel):
    """The one interpolater of a Label, on floating columns."""

    process_separately = BooleanField()
    interpolate_kwargs = JSONField()
    matching_columns = JSONField()
    label = ForeignKeyField(Label, backref="labelinterpolaters", unique=True)

    @classmethod
    def from_label(
        cls,
        label_id: int,
        process_separately: bool = True,
        interpolate_kwargs: dict[str, Any] | None = None,
    ) -> LabelInterpolater:
        """Attach an interpolater to a Label.

        Args:
            label_id: the Label's id.
            process_separately: fill training rows only from training rows; False fills all rows
                at once, which leaks.
            interpolate_kwargs: what `DataFrame.interpolate` takes; by default a spline of order 1
                in both directions, which smooths (`method='linear'` goes through the points).

        Raises:
            PreprocessError: a column is not floating, arguments that cannot be, or the Label has
                one.
        """
        label = Label.get_by_id(label_id)
        if list(label.labelinterpolaters):
            message = f"label_id: Label {label.id} has a LabelInterpolater; make another Label."
            raise PreprocessError(message)
        kwargs = interpolate.checked_kwargs(interpolate_kwargs)
        chosen = interpolate.matching(label.get_dtypes(), columns=label.columns)
        return cls.create(
            process_separately=process_separately,
            interpolate_kwargs=kwargs,
            matching_columns=chosen.matching,
            label=label,
        )


class FeatureInterpolater(_Fills, BaseModel):
    """One interpolater of a Feature, on the columns that its filter matched."""

    idx = IntegerField()
    process_separately = BooleanField()
    interpolate_kwargs = JSONField()
    matching_columns = JSONField()
    leftover_columns = JSONField()
    leftover_dtypes = JSONField()
    original_filter = JSONField()
    feature = ForeignKeyField(Feature, backref="featureinterpolaters")

    class Meta:
        indexes = ((("feature", "idx"), True),)

    @classmethod
    def from_feature(
        cls,
        feature_id: int,
        process_separately: bool = True,
        interpolate_kwargs: dict[str, Any] | None = None,
        dtypes: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        verbose: bool = True,
    ) -> FeatureInterpolater:
        """Attach an interpolater to the floating columns of a Feature that a filter matches.

        A table is filled split by split in the order of its rows; a sequence sample by sample,
        images channel by channel.

        Args:
            feature_id: the Feature's id.
            process_separately: see `LabelInterpolater.from_label`, as for `interpolate_kwargs`.
            dtypes: dtypes of the filter.
            columns: columns of the filter; without any filter all floating columns that are left.
            verbose: whether the match is logged at INFO, else at DEBUG.

        Raises:
            PreprocessError: a column is not floating, or arguments that cannot be.
            SelectionError: the filter matches nothing, or what an earlier one took.
        """
        feature = Feature.get_by_id(feature_id)
        kwargs = interpolate.checked_kwargs(interpolate_kwargs)
        earlier = feature.ordered_interpolaters()
        place = 1 + earlier[-1].idx if earlier else 0  # one may have been deleted
        taken = [name for row in earlier for name in row.matching_columns]
        chosen = interpolate.matching(
            feature.get_dtypes(), dtypes=dtypes, columns=columns, taken=taken
        )
        logger.log(
            logging.INFO if verbose else logging.DEBUG,
            "FeatureInterpolater %d of Feature %d fills %s; left over: %s.",
            place, feature.id, chosen.matching, chosen.leftover or "none",
        )  # fmt: skip
        return cls.create(
            idx=place,
            process_separately=process_separately,
            interpolate_kwargs=kwargs,
            feature=feature,
            **matched(chosen, dtypes, columns),
        )
