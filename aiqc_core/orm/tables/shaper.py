"""FeatureShaper: the shape of a Feature's samples for a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import ForeignKeyField, IntegerField

from aiqc_core.errors import PreprocessError
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import PickleField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.stages.preprocess import reshape

if TYPE_CHECKING:
    from collections.abc import Sequence


class FeatureShaper(BaseModel):
    """A reshape by indices, the last step of a Feature's preprocessing."""

    reshape_indices = PickleField()
    column_position = IntegerField()
    feature = ForeignKeyField(Feature, backref="featureshapers", unique=True)

    @classmethod
    def from_feature(cls, feature_id: int, reshape_indices: Sequence[Any]) -> FeatureShaper:
        """Attach a reshape to a Feature, after its coders and its Window.

        Args:
            feature_id: the Feature's id; it may have one FeatureShaper.
            reshape_indices: whole numbers stand for the axes of that index, text for a length of
                its own, tuples merge axes: `(0, '1', 1, 2)`, `(0, (1, 2), 3)`. Index 0, the
                samples, comes first.

        Raises:
            PreprocessError: indices that do not fit; the message shows shape and result.
        """
        feature = Feature.get_by_id(feature_id)
        if list(feature.featureshapers):
            message = f"feature_id: Feature {feature.id} has a shaper; make another Feature."
            raise PreprocessError(message)
        planned = reshape.plan(feature.preprocessed_shape(), reshape_indices)
        with metastore.atomic():
            return cls.create(
                reshape_indices=cls.reshape_indices.store(planned.indices),
                column_position=planned.column_position,
                feature=feature,
            )
