"""LabelCoder and FeatureCoder: which scikit-learn encoder is applied to which columns."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from pandas.api import types
from peewee import BooleanField, CharField, ForeignKeyField, IntegerField

from aiqc_core.errors import PreprocessError
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField, PickleField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.label import Label
from aiqc_core.orm.tables.selection import matched
from aiqc_core.stages.preprocess import columns as column_filter
from aiqc_core.stages.preprocess import encode, pipeline, unknown
from aiqc_core.stages.preprocess.encoders import label_fault
from aiqc_core.stages.preprocess.pipeline import EncoderStep
from aiqc_core.stages.preprocess.samples import trial_rows
from aiqc_core.stages.train import label_check

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

logger = logging.getLogger(__name__)


class _Encodes:
    if TYPE_CHECKING:
        matching_columns: Any
        sklearn_preprocess: Any
        encoding_dimension: Any
        only_fit_train: Any

    def step(self) -> EncoderStep:
        """Return the coder as a value."""
        return EncoderStep(
            columns=tuple(self.matching_columns),
            encoder=self.sklearn_preprocess,
            dimension=self.encoding_dimension,
            fit_on_all=not self.only_fit_train,
        )


class LabelCoder(_Encodes, BaseModel):
    """The one encoder of a Label, with an inverse that decodes predictions."""

    only_fit_train = BooleanField()
    is_categorical = BooleanField()
    sklearn_preprocess = PickleField()
    matching_columns = JSONField()
    encoding_dimension = CharField()
    label = ForeignKeyField(Label, backref="labelcoders", unique=True)

    @classmethod
    def from_label(cls, label_id: int, sklearn_preprocess: object) -> LabelCoder:
        """Attach an encoder to a Label.

        Args:
            label_id: the Label's id.
            sklearn_preprocess: an instance of a class of `sklearn.preprocessing`; it is cloned.

        Raises:
            PreprocessError: no such instance, no inverse, it does not fit these values, it gives
                two classes of text one code (of numbers `Queue.from_algorithm` checks this), or
                the Label has a coder already.
        """
        label = Label.get_by_id(label_id)
        encoder = encode.checked(sklearn_preprocess)
        if fault := label_fault(encoder):
            raise PreprocessError(f"sklearn_preprocess: {fault}")
        if label.step() is not None:
            message = f"label_id: Label {label.id} has a LabelCoder already; make another Label."
            raise PreprocessError(message)
        rows = trial_rows(label.to_df(), label.columns, label.fills())
        fitted = encode.fit(rows, encoder)
        _refuse_mixed_classes(label, rows, fitted)
        categorical = encode.is_categorical(encoder)
        with metastore.atomic():
            return cls.create(
                only_fit_train=not categorical,
                is_categorical=categorical,
                sklearn_preprocess=cls.sklearn_preprocess.store(encoder),
                matching_columns=label.columns,
                encoding_dimension=fitted.dimension,
                label=label,
            )


class FeatureCoder(_Encodes, BaseModel):
    """One encoder of a Feature, applied to the columns that its filter matched."""

    idx = IntegerField()
    sklearn_preprocess = PickleField()
    encoded_column_names = JSONField()
    matching_columns = JSONField()
    leftover_columns = JSONField()
    leftover_dtypes = JSONField()
    original_filter = JSONField()
    encoding_dimension = CharField()
    only_fit_train = BooleanField()
    is_categorical = BooleanField()
    feature = ForeignKeyField(Feature, backref="featurecoders")

    class Meta:
        indexes = ((("feature", "idx"), True),)

    @classmethod
    def from_feature(
        cls,
        feature_id: int,
        sklearn_preprocess: object,
        include: bool = True,
        dtypes: Sequence[str] | None = None,
        columns: Sequence[str] | None = None,
        verbose: bool = True,
    ) -> FeatureCoder:
        """Attach an encoder to the columns of a Feature that a filter matches.

        A trial fit on all rows finds how it takes columns and the names of its output. The encoder
        in use is fitted on the training rows of each Splitset or Fold (on all rows for categorical
        encoders, as in the reference).

        Args:
            feature_id: the Feature's id.
            sklearn_preprocess: an instance of a class of `sklearn.preprocessing`; it is cloned.
            include: whether the filter names the columns to encode or those to leave out.
            dtypes: dtypes of the filter, e.g. `['float64']`.
            columns: columns of the filter, beside those that `dtypes` match.
            verbose: whether the match is logged at INFO, else at DEBUG.

        Raises:
            PreprocessError: the encoder cannot work on these columns.
            SelectionError: the filter matches nothing, or what an earlier coder took.
        """
        feature = Feature.get_by_id(feature_id)
        encoder = encode.checked(sklearn_preprocess)
        earlier = feature.ordered_coders()
        place = 1 + earlier[-1].idx if earlier else 0  # one may have been deleted
        taken = [name for coder in earlier for name in coder.matching_columns]
        chosen = column_filter.select(
            feature.get_dtypes(), include=include, dtypes=dtypes, columns=columns, taken=taken
        )
        trial = feature.trial_rows(chosen.matching)
        fitted = encode.fit(trial, encoder)
        if found := unknown.found([fitted], trial):
            warnings.warn(
                f"sklearn_preprocess: {encoder!r} passes over values of these rows. {found}. Add "
                "them to its categories if the model is to know them.",
                stacklevel=2,
            )
        categorical = encode.is_categorical(encoder)
        logger.log(
            logging.INFO if verbose else logging.DEBUG,
            "FeatureCoder %d of Feature %d: %r takes %s; left over: %s.",
            place, feature.id, encoder, chosen.matching, chosen.leftover or "none",
        )  # fmt: skip
        with metastore.atomic():
            return cls.create(
                idx=place,
                sklearn_preprocess=cls.sklearn_preprocess.store(encoder),
                encoded_column_names=list(fitted.output_columns),
                encoding_dimension=fitted.dimension,
                only_fit_train=not categorical,
                is_categorical=categorical,
                feature=feature,
                **matched(chosen, dtypes, columns, include=include),
            )


def _refuse_mixed_classes(label: Label, rows: pd.DataFrame, fitted: encode.FittedEncoder) -> None:
    """Refuse an encoder that gives two classes of text one code."""
    is_text = not all(types.is_numeric_dtype(dtype) for dtype in rows.dtypes)
    known = label.classes()
    if is_text and known is not None and pipeline.classes_by_code(fitted, rows, known) is None:
        message = (
            f"sklearn_preprocess: {fitted.encoders[0]!r} {label_check.not_distinguished(known)}"
        )
        raise PreprocessError(message)
