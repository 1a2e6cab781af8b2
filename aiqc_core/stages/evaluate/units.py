"""Convert between the encoded values of a model and the units of a label."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess import encode, pipeline, reshape, samples
from aiqc_core.stages.preprocess.nearest import nearest_codes
from aiqc_core.stages.preprocess.samples import Target

if TYPE_CHECKING:
    from aiqc_core.stages.preprocess.pipeline import FittedLabel
    from aiqc_core.stages.preprocess.values import Array, Floats


def is_encoded(label: FittedLabel | Target) -> bool:
    """Say whether a model computes in other units than the label's own."""
    return isinstance(label, Target) or label.encoder is not None


def decoded(label: FittedLabel | Target, values: Floats) -> Array:
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
        meant = nearest_codes([label.encoder], values[finite])
        back[finite] = encode.invert(label.encoder, meant).to_numpy(dtype=np.float64)
    return back


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


def unknown(values: Array) -> int:
    """Count the decoded values that are not finite."""
    if values.dtype == object:
        return int(pd.isna(values).sum())
    return int((~np.isfinite(values)).sum())


def encoded(label: FittedLabel | Target, values: Array) -> Floats | None:
    """Encode values in the label's own units, `(samples,)` or `(samples, …, columns)`.

    It undoes `decoded`; None where the encoder refuses the values, as a binning between its bins.
    """
    if not is_encoded(label):
        return values
    try:
        if isinstance(label, Target):
            return _as_target(label, values)
        rows = samples.as_rows(values.reshape(len(values), -1), label.columns)
        return pipeline.apply_label(label, rows).astype(np.float64)
    except PreprocessError:
        return None


def _as_target(label: Target, values: Array) -> Floats:
    rows = samples.as_rows(values, label.fitted.columns)
    flat = pipeline.apply_feature(label.fitted, rows.infer_objects()).astype(np.float64)
    whole = flat.reshape(*values.shape[:-1], flat.shape[-1])
    indices = label.reshape_indices
    return whole if indices is None else reshape.apply(whole, indices)
