"""From a source to samples: label, features, their preprocessing, and the splits."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from aiqc_core.experiment.model.base import Declared, shown
from aiqc_core.experiment.model.possible import impossible
from aiqc_core.stages.preprocess import reshape
from aiqc_core.stages.preprocess.columns import dtype_written
from aiqc_core.stages.preprocess.encoders import checked
from aiqc_core.stages.preprocess.interpolate import FLOATING, checked_kwargs
from aiqc_core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
DTYPES = ("float64", "float32", "int64", "int32", "uint8", "str", "string", "category", "bool")


def _encoder(value: Any) -> Any:
    if value is not None:
        checked(value)  # refuses what is no encoder
    return value


def _class(value: Any) -> Any:
    is_class = value is None or isinstance(value, bool | int | str | np.generic)
    if not is_class or (isinstance(value, float) and not value.is_integer()):
        message = (
            f"{shown(value)}; give a class of the label: text, a whole number, True or False. A "
            "column of floats is continuous; retype it to make classes of its values."
        )
        raise ValueError(message)
    return value


def _shape(value: Any) -> Any:
    if value is not None:
        reshape.checked(value, sys.maxsize, f"reshape_indices: {shown(value)}")
    return value


def _dtypes(value: list[str]) -> list[str]:
    for name in value:
        if (written := dtype_written(name)) != name:
            hint = f"It is written {written!r}." if written else did_you_mean(name, DTYPES)
            message = f"{name!r} is no dtype of a column. {hint}"
            raise ValueError(message)
    return value


def _floating(value: list[str]) -> list[str]:
    if other := [name for name in value if name not in FLOATING]:
        message = f"{other} are not floating; only {list(FLOATING)} are interpolated."
        raise ValueError(message)
    return value


Encoder = Annotated[Any, AfterValidator(_encoder)]


class FeatureEncoder(Declared):
    """One scikit-learn encoder and the columns that its filter matches.

    Attributes:
        encoder: an instance of a class of `sklearn.preprocessing`.
        include: whether the filter names the columns to encode, or those to leave out.
        dtypes: dtypes of the filter.
        columns: columns of the filter. Without any filter: all columns.
    """

    path: ClassVar[tuple[str, ...]] = ("pipeline", "feature_encoders")

    encoder: Encoder
    include: bool = True
    dtypes: Annotated[list[str], AfterValidator(_dtypes)] | None = None
    columns: list[str] | None = None


class Interpolation(Declared):
    """One interpolater and the floating columns that its filter matches.

    Attributes:
        interpolate_kwargs: see `FeatureInterpolater.from_feature`, as are the others.
        process_separately: whether rows that do not train stay unseen by those that do.
        dtypes: dtypes of the filter.
        columns: columns of the filter. Without any filter: all floating columns.
    """

    path: ClassVar[tuple[str, ...]] = ("pipeline", "interpolations")

    interpolate_kwargs: Annotated[dict[str, Any], AfterValidator(checked_kwargs)] | None = None
    process_separately: bool = True
    dtypes: Annotated[list[str], AfterValidator(_floating)] | None = None
    columns: list[str] | None = None


class Windowing(Declared):
    """Sliding windows over the rows, see `Window.from_feature`.

    Attributes:
        size_window: rows of a window.
        size_shift: rows to the next window, and to a window's target.
    """

    path: ClassVar[tuple[str, ...]] = ("pipeline", "window")

    size_window: Annotated[int, Field(ge=1)]
    size_shift: Annotated[int, Field(ge=1)]


class Pipeline(Declared):
    """From a source to samples: label, features, their preprocessing, and the splits.

    Attributes:
        label: the column to predict, or the columns of a one-hot label; None learns the features
            themselves: their future where there is a window.
        positive: of a label of two classes the one that precision, recall, f1 and their curves
            are of; by default that of code 1, see `Label.from_dataset`.
        features: the columns to learn from; all but the label by default.
        label_interpolation: how blanks of the label are filled.
        label_encoder: an encoder with an inverse.
        interpolations: how blanks of the features are filled, each on columns that are left.
        feature_encoders: encoders, each on the columns that earlier ones left.
        window: sliding windows, which become the samples.
        reshape_indices: the shape that a model gets, see `FeatureShaper.from_feature`.
        size_test: share of the samples kept for the last judgement.
        size_validation: share of the samples kept to judge training.
        fold_count: number of cross-validation folds.
        bin_count: quantiles by which a continuous label is stratified.
        unsupervised_stratify_col: without a label, a column to stratify by.
        groups: a column of which no value is in two splits.
        time_ordered: cut by position, train first.
        gap: samples left out between parts of a cut in order.
    """

    path: ClassVar[tuple[str, ...]] = ("pipeline",)

    label: str | list[str] | None = None
    positive: Annotated[bool | int | str | None, BeforeValidator(_class)] = None
    features: list[str] | None = None
    label_interpolation: Interpolation | None = None
    label_encoder: Encoder = None
    interpolations: list[Interpolation] = Field(default_factory=list[Interpolation])
    feature_encoders: list[FeatureEncoder] = Field(default_factory=list[FeatureEncoder])
    window: Windowing | None = None
    reshape_indices: Annotated[list[int | str | list[int]] | None, BeforeValidator(_shape)] = None
    size_test: Share | None = None
    size_validation: Share | None = None
    fold_count: Annotated[int, Field(ge=2)] | None = None
    bin_count: Annotated[int, Field(ge=2)] | None = None
    unsupervised_stratify_col: str | None = None
    groups: str | None = None
    time_ordered: bool = False
    gap: Annotated[int, Field(ge=0)] = 0

    def faults(self) -> Iterator[str]:
        """Yield what no data can make work."""
        return impossible(self)

    @property
    def label_columns(self) -> list[str]:
        """The label's columns; empty without a label."""
        if self.label is None:
            return []
        return [self.label] if isinstance(self.label, str) else self.label

    @property
    def encodes_target(self) -> bool:
        """Whether what is learned has an encoder, so that it has units of its own beside it."""
        return self.label_encoder is not None or (
            self.label is None and bool(self.feature_encoders)
        )
