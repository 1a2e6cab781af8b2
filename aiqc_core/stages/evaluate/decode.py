"""Convert between outputs of a model, encoded values, and the values and units of a label."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError, TrainingError
from aiqc_core.stages.preprocess import encode, pipeline, reshape, samples
from aiqc_core.stages.preprocess.samples import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.preprocess.pipeline import FittedLabel
    from aiqc_core.stages.preprocess.values import Array, Floats, Ints

TOLERANCE = 1e-5


def to_ordinal(encoded: Array) -> Ints:
    """Return the class codes of `(samples, 1)` ordinal or `(samples, classes)` one-hot rows.

    >>> to_ordinal(np.array([[0, 0, 1], [1, 0, 0]])).tolist()
    [2, 0]
    """
    if encoded.shape[1] == 1:
        return encoded.ravel().astype(np.int64)
    return encoded.argmax(axis=1).astype(np.int64)


def refuse_other_codes(encoded: Array, class_count: int) -> None:
    """Raise unless an encoded label is one-hot, or the ordinal codes of its classes.

    Raises:
        TrainingError: another coding, such as -1 and 1.
    """
    width, last = encoded.shape[1], class_count - 1
    wanted = range(class_count) if width == 1 else range(2)
    fits = width in {1, class_count} and not np.setdiff1d(encoded, list(wanted)).size
    if not fits or (width > 1 and (encoded.sum(axis=1) != 1).any()):
        raise TrainingError(
            f"label: is encoded in {width} column(s) with values such as "
            f"{np.unique(encoded)[:3].tolist()}, neither one-hot nor the codes 0…{last} of "
            f"its {class_count} classes. Use a LabelBinarizer(), OrdinalEncoder() or "
            "OneHotEncoder()."
        )


def to_classes(ordinal: Ints, classes: Sequence[Any]) -> Array:
    """Return the label's own values for ordinal predictions."""
    values = np.empty(len(classes), dtype=object)
    values[:] = list(classes)
    kinds = {type(value) for value in classes}
    table = np.array(list(classes)) if kinds in ({int}, {bool}, {str}) else values
    return table[ordinal]


def from_classes(values: Array, classes: Sequence[Any]) -> Ints:
    """Return the ordinal of each prediction; undoes `to_classes`."""
    ordinals = {value: code for code, value in enumerate(classes)}
    return np.array([ordinals[value] for value in values.tolist()], dtype=np.int64)


def checked_classes(
    predicted: Array, probabilities: Array | None, class_count: int, *, binary: bool
) -> tuple[Ints, Floats | None]:
    """Return ordinal predictions `(samples,)` and probabilities, as `metrics` takes them.

    Raises:
        TrainingError: predictions that are no class, probabilities of another width or outside
            [0, 1].
    """
    flat = np.asarray(predicted).reshape(len(predicted), -1)
    if flat.shape[1] != 1:
        raise TrainingError(
            f"fn_predict: predictions have shape {np.shape(predicted)}; give ordinal classes "
            "(samples,), never one-hot."
        )
    ordinal = flat.ravel()
    finite = np.isfinite(ordinal).all()
    whole = ordinal.astype(np.int64) if finite else np.zeros(len(ordinal), np.int64)
    if not (whole == ordinal).all() or (whole < 0).any() or (whole >= class_count).any():
        raise TrainingError(
            f"fn_predict: predictions {np.unique(ordinal)[:5].tolist()} are not ordinal classes "
            f"0…{class_count - 1}."
        )
    return whole, _checked_probabilities(probabilities, class_count, binary=binary)


def _checked_probabilities(
    probabilities: Array | None, class_count: int, *, binary: bool
) -> Floats | None:
    if probabilities is None:
        return None
    given = np.asarray(probabilities, dtype=np.float64).reshape(len(probabilities), -1)
    if binary and given.shape[1] == 2:  # noqa: PLR2004 - one column for each of the two classes
        given = given[:, 1:]
    if given.shape[1] != (1 if binary else class_count):
        raise TrainingError(
            f"fn_predict: probabilities have shape {np.shape(probabilities)}; give "
            f"{'(samples,)' if binary else f'(samples, {class_count})'}."
        )
    finite = given[np.isfinite(given)]
    if finite.size and (finite.min() < -TOLERANCE or finite.max() > 1 + TOLERANCE):
        raise TrainingError(
            f"fn_predict: probabilities are in [{finite.min():.4g}, {finite.max():.4g}], not in "
            "[0, 1]. End the model with a sigmoid or softmax, or give fn_predict."
        )
    return given.ravel() if binary else given


def is_encoded(label: FittedLabel | Target) -> bool:
    """Say whether a model computes in other units than the label's own."""
    return isinstance(label, Target) or label.encoder is not None


def to_units(label: FittedLabel | Target, values: Floats) -> Array:
    """Return `(samples, width)`, or outputs for a target, in the label's own units.

    Rows that are not finite are NaN; a target with columns of words gives objects.
    """
    if isinstance(label, Target):
        return label.decode(values)
    if label.encoder is None:
        return values
    finite = np.isfinite(values).all(axis=1)
    back = np.full((len(values), len(label.columns)), np.nan)
    if finite.any():
        meant = encode.nearest_codes([label.encoder], values[finite])
        back[finite] = encode.invert(label.encoder, meant).to_numpy(dtype=np.float64)
    return back


def from_units(label: FittedLabel | Target, values: Array) -> Floats | None:
    """Encode values in the label's own units, `(samples,)` or `(samples, …, columns)`.

    It undoes `to_units`; None where the encoder refuses the values, as a binning between its bins.
    """
    if not is_encoded(label):
        return values
    try:
        if not isinstance(label, Target):
            rows = samples.as_rows(values.reshape(len(values), -1), label.columns)
            return pipeline.apply_label(label, rows).astype(np.float64)
        rows = samples.as_rows(values, label.fitted.columns).infer_objects()
        flat = pipeline.apply_feature(label.fitted, rows).astype(np.float64)
        whole = flat.reshape(*values.shape[:-1], flat.shape[-1])
        indices = label.reshape_indices
        return whole if indices is None else reshape.apply(whole, indices)
    except PreprocessError:
        return None


def numeric(*values: Array) -> list[Floats]:
    """Return the columns of decoded arrays that are numbers in all of them.

    >>> rows = np.array([["a", 1.0], ["b", 2.0]], dtype=object)
    >>> numeric(rows)[0].tolist()
    [[1.0], [2.0]]
    """
    if all(each.dtype.kind in "biuf" for each in values):
        return [each.astype(np.float64) for each in values]
    columns = [
        index
        for index in range(values[0].shape[-1])
        if all(isinstance(v, Number) for each in values for v in each[..., index].flat)
    ]
    return [each[..., columns].astype(np.float64) for each in values]


def count_not_finite(values: Array) -> int:
    """Count the decoded values that are not finite; of objects, those that are missing."""
    return int((pd.isna(values) if values.dtype == object else ~np.isfinite(values)).sum())
