"""From a source to samples: label, features, their preprocessing, and the splits."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field

from aiqc_core.experiment.model.base import Declared, shown
from aiqc_core.stages.preprocess import reshape
from aiqc_core.stages.preprocess.columns import dtype_written
from aiqc_core.stages.preprocess.encoders import checked, has_inverse, label_fault
from aiqc_core.stages.preprocess.interpolate import FLOATING, checked_kwargs
from aiqc_core.stages.split import answers
from aiqc_core.stages.split.cut import refuse_arguments
from aiqc_core.wording import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
DTYPES = ("float64", "float32", "int64", "int32", "uint8", "str", "string", "category", "bool")


def _encoder(value: Any) -> Any:
    if value is not None:
        checked(value)  # refuses what is no encoder
    return value


def _class(value: Any) -> Any:
    is_fraction = isinstance(value, float) and not value.is_integer()
    kinds: Any = bool | int | str | np.generic | None
    if is_fraction or not isinstance(value, kinds):
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
        for name in ("label", "features"):
            if isinstance(getattr(self, name), list):
                yield from _of_names(name, getattr(self, name))
        if self.groups in self.label_columns:
            yield f"groups: {self.groups!r} {answers.NO_GROUPS}"
        yield from self._of_target()
        for name in ("feature_encoders", "interpolations"):
            yield from _of_steps(name, getattr(self, name), self.features)
        if (self.size_test or 0.0) + (self.size_validation or 0.0) >= 1.0:
            yield (
                f"size_validation: {self.size_validation} beside size_test={self.size_test} "
                "leaves nothing to train. Give shares that are below 1 together."
            )
        refuse_arguments(
            bin_count=self.bin_count,
            groups=self.groups,
            time_ordered=self.time_ordered,
            gap=self.gap,
            has_basis=bool(self.label_columns) or self.unsupervised_stratify_col is not None,
        )

    def _of_target(self) -> Iterator[str]:
        if self.label_columns:
            if self.unsupervised_stratify_col is not None:
                yield "unsupervised_stratify_col: the label stratifies; leave it out."
            coder = self.label_encoder
            if coder is not None and (fault := label_fault(checked(coder))):
                yield f"label_encoder: {fault}"
            return
        for name in ("label_encoder", "label_interpolation"):
            if getattr(self, name) is not None:
                yield f"{name}: there is no label; name its column in label, or leave this out."
        for i, coder in enumerate(self.feature_encoders):
            if coder.encoder is not None and not has_inverse(checked(coder.encoder)):
                yield (
                    f"feature_encoders.{i}: without a label the features are what is learned, and "
                    f"{coder.encoder!r} has no inverse to decode predictions with. Use another."
                )

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


def _of_names(field: str, value: Sequence[str]) -> Iterator[str]:
    if not value:
        yield f"{field}: is empty; name one, or leave it out."
    if twice := sorted({name for name in value if list(value).count(name) > 1}):
        yield f"{field}: names {twice} twice; name each once."


def _of_steps(
    field: str, steps: Sequence[FeatureEncoder | Interpolation], features: Sequence[str] | None
) -> Iterator[str]:
    """Yield steps that can match no column: each takes those that earlier ones left."""
    taken: set[str] = set()
    for i, step in enumerate(steps):
        columns = step.columns
        if step.dtypes is not None:
            yield from _of_names(f"{field}.{i}.dtypes", step.dtypes)
        if columns is not None:
            yield from _of_names(f"{field}.{i}.columns", columns)
            if getattr(step, "include", True):
                if again := sorted(taken & set(columns)):
                    yield f"{field}.{i}.columns: an earlier one takes {again}; name each once."
                taken |= set(columns)
        if features is not None and (unknown := [c for c in columns or () if c not in features]):
            yield f"{field}.{i}.columns: {unknown} are not among the features {list(features)}."
        if columns is None and step.dtypes is None and i + 1 < len(steps):
            yield (
                f"{field}.{i + 1}: the one before has no filter and takes all columns, so none is "
                "left. Give each its columns or dtypes."
            )
