"""A feature's or a label's whole preprocessing: fitted on train, applied to any rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.preprocess import encode
from aiqc_core.preprocess.encode import FittedEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EncoderStep:
    """One encoder and its columns, before it is fitted.

    Attributes:
        columns: what it encodes.
        encoder: an unfitted scikit-learn transformer.
        dimension: how it takes columns, see `encode.fit`.
        fit_on_all: whether it is fitted on all rows: categorical encoders are.
    """

    columns: tuple[str, ...]
    encoder: Any
    dimension: str
    fit_on_all: bool


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What is done to a feature's columns."""

    columns: tuple[str, ...]
    steps: tuple[EncoderStep, ...] = ()


@dataclass(frozen=True, slots=True)
class FittedFeature:
    """What was learned from a feature's training rows.

    Attributes:
        columns: the feature's columns.
        encoders: the fitted encoders, in order.
        leftover: the columns that none encodes; they follow the encoded ones, as they are.
        output_columns: a name for each column of the result.
    """

    columns: tuple[str, ...]
    encoders: tuple[FittedEncoder, ...]
    leftover: tuple[str, ...]
    output_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FittedLabel:
    """What was learned from a label.

    Attributes:
        columns: its columns.
        encoder: the fitted encoder, if any.
        classes: the classes in the order of their codes; None for a continuous label.
    """

    columns: tuple[str, ...]
    encoder: FittedEncoder | None
    classes: tuple[Any, ...] | None


def fit_feature(
    frame: pd.DataFrame, plan: FeaturePlan, train: NDArray[np.int64]
) -> FittedFeature:
    """Fit a feature's encoders.

    Args:
        frame: all rows of the feature.
        plan: what to do to which columns.
        train: positions of the training rows; nothing else teaches, except categorical encoders,
            which see all rows.
    """
    fitted = tuple(_fit_step(frame, step, train) for step in plan.steps)
    encoded = {name for step in plan.steps for name in step.columns}
    leftover = tuple(name for name in plan.columns if name not in encoded)
    names = [name for encoder in fitted for name in encoder.output_columns] + list(leftover)
    return FittedFeature(plan.columns, fitted, leftover, tuple(names))


def apply_feature(fitted: FittedFeature, frame: pd.DataFrame) -> NDArray[Any]:
    """Return a feature's rows as numbers, `(samples, output columns)`.

    The encoded columns come first, coder by coder, then the columns that none encodes.

    Raises:
        PreprocessError: a column that is neither numeric nor encoded, or a missing value left.
    """
    blocks = [encode.apply(encoder, frame) for encoder in fitted.encoders]
    if fitted.leftover:
        blocks.append(_numbers(frame[list(fitted.leftover)]))
    values = blocks[0] if len(blocks) == 1 else np.hstack(blocks)
    _refuse_missing(values, fitted.output_columns)
    return values


def column_groups(fitted: FittedFeature) -> dict[str, tuple[int, ...]]:
    """Return for each original column the positions of the output columns that follow from it."""
    groups: dict[str, tuple[int, ...]] = {}
    start = 0
    for encoder in fitted.encoders:
        for name, positions in zip(encoder.columns, encoder.groups, strict=True):
            groups[name] = tuple(start + position for position in positions)
        start += len(encoder.output_columns)
    for offset, name in enumerate(fitted.leftover):
        groups[name] = (start + offset,)
    return {name: groups[name] for name in fitted.columns}


def fit_label(
    frame: pd.DataFrame,
    step: EncoderStep | None,
    train: NDArray[np.int64],
    *,
    classes: Sequence[Any] | None,
) -> FittedLabel:
    """Fit a label's encoder.

    Args:
        frame: all rows of the label.
        step: its encoder, if any.
        train: positions of the training rows.
        classes: its sorted classes, or its one-hot columns; None when it is continuous.
    """
    encoder = None if step is None else _fit_step(frame, step, train)
    named = None if classes is None else tuple(classes)
    return FittedLabel(tuple(frame.columns), encoder, _coded_order(encoder, named))


def apply_label(fitted: FittedLabel, frame: pd.DataFrame) -> NDArray[Any]:
    """Return a label's rows as numbers, `(samples, width)`.

    Raises:
        PreprocessError: a value that the fit did not see, text without an encoder, or a missing
            value.
    """
    if fitted.encoder is not None:
        values = encode.apply(fitted.encoder, frame)
        names = fitted.encoder.output_columns
    else:
        values, names = _numbers(frame[list(fitted.columns)]), fitted.columns
    _refuse_missing(values, names)
    return values


def _fit_step(
    frame: pd.DataFrame, step: EncoderStep, train: NDArray[np.int64]
) -> FittedEncoder:
    rows = frame[list(step.columns)]
    taught = rows if step.fit_on_all else rows.iloc[train]
    return encode.fit(taught, step.encoder, dimension=step.dimension)


def _coded_order(
    encoder: FittedEncoder | None, classes: tuple[Any, ...] | None
) -> tuple[Any, ...] | None:
    """Return classes in the order of an encoder's codes, which a user may have chosen."""
    if encoder is None:
        return classes
    (inner,) = encoder.encoders[:1]
    if hasattr(inner, "categories_"):
        return tuple(inner.categories_[0].tolist())
    if hasattr(inner, "classes_"):
        return tuple(inner.classes_.tolist())
    return classes


def _numbers(frame: pd.DataFrame) -> NDArray[Any]:
    text = {
        name: str(dtype)
        for name, dtype in frame.dtypes.items()
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype))
    }
    if text:
        raise PreprocessError(
            f"columns {text} are not numeric and no coder encodes them. Attach a FeatureCoder or "
            "LabelCoder, or leave them out."
        )
    values = frame.to_numpy()
    if values.dtype == object:
        values = frame.to_numpy(dtype=float, na_value=np.nan)
    return values.astype(np.float64) if values.dtype == bool else values


def _refuse_missing(values: NDArray[Any], names: Sequence[str]) -> None:
    if values.dtype.kind != "f":
        return
    counts = np.isnan(values).sum(axis=0)
    if counts.any():
        found = {names[i]: int(counts[i]) for i in np.flatnonzero(counts)}
        raise PreprocessError(
            f"missing values are left after preprocessing, by column: {found}. Fill or drop them "
            "before the Dataset is registered, or use an encoder that fills them."
        )
