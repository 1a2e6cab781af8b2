"""The encoders of a feature or a label: fitted on train, applied to any rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.ingest.selection import SHOWN, checked_columns
from aiqc_core.stages.preprocess import encode, naming
from aiqc_core.stages.preprocess.encoders import known_categories
from aiqc_core.stages.preprocess.values import LARGEST, not_finite, refuse_not_finite, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiqc_core.stages.preprocess.encode import FittedEncoder
    from aiqc_core.stages.preprocess.values import Array, Ints

LEAST_CLASSES = 2


@dataclass(frozen=True, slots=True)
class EncoderStep:
    """One encoder and its columns, before it is fitted."""

    columns: tuple[str, ...]
    encoder: Any
    dimension: str  # how it takes columns, see `encode.fit`
    fit_on_all: bool  # whether it is fitted on all rows: categorical encoders are


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """What is done to a feature's columns."""

    columns: tuple[str, ...]
    steps: tuple[EncoderStep, ...] = ()


@dataclass(frozen=True, slots=True)
class FittedFeature:
    """What was learned from a feature's training rows."""

    columns: tuple[str, ...]
    encoders: tuple[FittedEncoder, ...]
    leftover: tuple[str, ...]  # columns that none encodes, after the encoded ones
    output_columns: tuple[str, ...]  # a name for each column of the result


@dataclass(frozen=True, slots=True)
class FittedLabel:
    """What was learned from a label."""

    columns: tuple[str, ...]
    encoder: FittedEncoder | None
    classes: tuple[Any, ...] | None  # in the order of their codes; None for a continuous label
    positive: Any = None  # of two classes, set by who scores, as the Label has it; None is code 1

    @property
    def positive_code(self) -> int:
        """The code of the positive class, 1 unless another was chosen."""
        chosen = getattr(self, "positive", None)  # a fit of an earlier version has none
        if chosen is None:
            return 1
        return list(map(str, self.classes or ())).index(str(chosen))  # a time is kept as text


def fit_feature(frame: pd.DataFrame, plan: FeaturePlan, train: Ints | None) -> FittedFeature:
    """Fit a feature's encoders on training rows, categorical ones on all rows.

    `train` holds positions of training rows; None means that all rows of the frame are.

    Raises:
        PreprocessError: an encoder that cannot be fitted.
        SelectionError: a column of the plan is missing.
    """
    checked_columns("columns", list(plan.columns), list(frame.columns))
    encoded = {name for step in plan.steps for name in step.columns}
    leftover = tuple(name for name in plan.columns if name not in encoded)
    fitted: list[FittedEncoder] = []
    names = list(leftover)
    for step in plan.steps:
        encoder = _fit_step(frame, step, train)
        own = naming.unique(encoder.output_columns, taken=names)
        names += own
        fitted.append(replace(encoder, output_columns=tuple(own)))
    ordered = (*names[len(leftover) :], *leftover)
    return FittedFeature(plan.columns, tuple(fitted), leftover, ordered)


def apply_feature(fitted: FittedFeature, frame: pd.DataFrame) -> Array:
    """Return a feature's rows as numbers, `(samples, output columns)`.

    The encoded columns come first, coder by coder, then the columns that none encodes.

    Raises:
        PreprocessError: a column that is neither numeric nor encoded, or a value that is missing
            or infinite in float32.
        SelectionError: a column is missing.
    """
    checked_columns("columns", list(fitted.columns), list(frame.columns))
    blocks = [encode.apply(encoder, frame) for encoder in fitted.encoders]
    if fitted.leftover:
        blocks.append(_numbers(frame.loc[:, list(fitted.leftover)]))
    values = blocks[0] if len(blocks) == 1 else np.hstack(blocks)
    is_float = values.dtype.kind == "f"
    if is_float and not (values.max(initial=0) <= LARGEST and values.min(initial=0) >= -LARGEST):
        refuse_not_finite("a model", _not_finite(values, fitted, frame))
    return values


def invert_feature(fitted: FittedFeature, values: Array) -> Array:
    """Turn `(samples, output columns)` back into the feature's own `(samples, columns)`.

    Raises:
        PreprocessError: an encoder without a true inverse.
    """
    columns: dict[str, Any] = {}
    start = 0
    for encoder in fitted.encoders:
        stop = start + len(encoder.output_columns)
        back = encode.invert(encoder, values[:, start:stop])
        columns |= {str(name): column for name, column in back.items()}
        start = stop
    columns |= dict(zip(fitted.leftover, values[:, start:].T, strict=False))
    return pd.DataFrame({name: columns[name] for name in fitted.columns}).to_numpy()


def column_groups(fitted: FittedFeature) -> dict[str, tuple[int, ...]]:
    """Return for each original column the positions of the output columns made from it."""
    groups: dict[str, tuple[int, ...]] = {}
    start = 0
    for encoder in fitted.encoders:
        for name, positions in zip(encoder.columns, encoder.groups, strict=True):
            groups[name] = tuple(start + position for position in positions)
        start += len(encoder.output_columns)
    groups |= {name: (start + i,) for i, name in enumerate(fitted.leftover)}
    return {name: groups[name] for name in fitted.columns}


def fit_label(
    frame: pd.DataFrame, step: EncoderStep | None, train: Ints, *, classes: Sequence[Any] | None
) -> FittedLabel:
    """Fit a label's encoder, if it has one; `frame` holds all rows.

    `classes` are its sorted classes, or its one-hot columns; None when it is continuous.

    Raises:
        PreprocessError: a missing value, or a single class.
    """
    _refuse_missing_label(frame)
    if classes is not None and len(classes) < LEAST_CLASSES:
        raise PreprocessError(
            f"label: the columns {list(frame.columns)} hold one class, {list(classes)}; there is "
            "nothing to tell apart. Give rows of another class, or another label."
        )
    encoder = None if step is None else _fit_step(frame, step, train)
    named = None if classes is None else tuple(classes)
    ordered = classes_by_code(encoder, frame, named)
    return FittedLabel(tuple(frame.columns), encoder, ordered or named)


def apply_label(fitted: FittedLabel, frame: pd.DataFrame) -> Array:
    """Return a label's rows as numbers, `(samples, width)`; errors as `apply_feature`."""
    rows = frame.loc[:, checked_columns("columns", list(fitted.columns), list(frame.columns))]
    _refuse_missing_label(rows)
    columns, encoder = fitted.columns, fitted.encoder
    whole = FittedFeature(columns, (), columns, columns)
    if encoder is not None:
        whole = FittedFeature(columns, (encoder,), (), encoder.output_columns)
    return apply_feature(whole, rows)


def _fit_step(frame: pd.DataFrame, step: EncoderStep, train: Ints | None) -> FittedEncoder:
    rows = frame.loc[:, list(step.columns)]
    taught = rows if step.fit_on_all or train is None else rows.iloc[train]
    return encode.fit(taught, step.encoder, dimension=step.dimension)


def _numbers(frame: pd.DataFrame) -> Array:
    foreign = {
        str(name): str(column.dtype)
        for name, column in frame.items()
        if column.dtype.kind not in "biuf" or isinstance(column.dtype, pd.CategoricalDtype)
    }
    if foreign:
        raise PreprocessError(
            f"columns {foreign} are not numeric and no coder encodes them. Attach a FeatureCoder "
            "or LabelCoder, or leave them out."
        )
    values = table(frame)
    return values.astype(np.int8) if values.dtype == bool else values


def _refuse_missing_label(frame: pd.DataFrame) -> None:
    for name, column in frame.items():
        rows = np.flatnonzero(column.isna())
        if len(rows):
            raise PreprocessError(
                f"label: column {name!r} is missing in {len(rows)} rows, the first are "
                f"{rows[:SHOWN].tolist()}. Fill them or leave them out."
            )


def _not_finite(
    values: Array, fitted: FittedFeature, rows: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield where values are not finite: in the rows, else only once encoded."""
    parts: list[Any] = [(each.columns, each.output_columns, each) for each in fitted.encoders]
    start = 0
    for columns, names, step in [*parts, (fitted.leftover, fitted.leftover, None)]:
        part = values[:, start : start + len(names)]
        start += len(names)
        left = pd.DataFrame(~(np.abs(part) <= LARGEST), columns=names)
        invalid = left.any(axis=1).to_numpy()
        before = not_finite(rows.loc[invalid, list(columns)])
        for kind, where in before.items():
            yield f"{kind} are left after preprocessing", where
        if step is not None:
            sound = ~np.hstack(list(before.values())).any(axis=1)
            made = f"NaN or infinity that {step.encoders[0]!r} makes of other values"
            yield made, left.iloc[np.flatnonzero(invalid)[sound]]


def classes_by_code(
    encoder: FittedEncoder | None, frame: pd.DataFrame, classes: Sequence[Any] | None
) -> tuple[Any, ...] | None:
    """Return the classes of a label in the order of their codes.

    Each class is encoded, so that any encoder gives the true order, as
    `OrdinalEncoder(categories=…)` does, with the classes that only it knows. Without an encoder
    the order is that of `classes`: sorted, or one-hot columns; None for a continuous label.
    `frame` holds all classes.

    It is None, too, where codes are neither `0…k-1` in one column nor one-hot in k columns, a
    code stands for several classes, or a class has no code.
    """
    if encoder is None or classes is None:
        return None if classes is None else tuple(classes)
    rows, names = _one_of_each(encoder, frame, classes)
    try:
        encoded = np.asarray(encode.apply(encoder, rows))
    except PreprocessError:  # a class that the encoder does not know
        return None
    codes = encoded.ravel()
    if encoded.shape[1] > 1:
        is_hot = np.isin(encoded, (0, 1)).all(axis=1) & (encoded.sum(axis=1) == 1)
        if not is_hot.all() or encoded.shape[1] != len(encoded):
            return None
        codes = encoded.argmax(axis=1)
    if not np.array_equal(np.sort(codes), np.arange(len(names))):
        return None
    return tuple(names[place] for place in np.argsort(codes))


def _one_of_each(
    encoder: FittedEncoder, frame: pd.DataFrame, classes: Sequence[Any]
) -> tuple[pd.DataFrame, list[Any]]:
    """Return a row for each class, and the classes in the order of these rows."""
    if len(frame.columns) > 1:
        hot = pd.DataFrame(np.eye(len(frame.columns)), columns=frame.columns)
        return hot.astype(dict(frame.dtypes)), list(classes)
    distinct = frame.dropna().drop_duplicates()
    known = known_categories(encoder.encoders[0])
    if known is None or len(known) != 1:
        return distinct, distinct.iloc[:, 0].tolist()
    missed = distinct[~distinct.iloc[:, 0].isin(list(known[0]))]
    rows = pd.DataFrame({frame.columns[0]: known[0]})
    names = known[0].tolist()
    if len(missed):  # the encoder says what it makes of them
        names += missed.iloc[:, 0].tolist()
        rows = pd.DataFrame({frame.columns[0]: pd.Series(names, dtype=object)})
    return rows, names
