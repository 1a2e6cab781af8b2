"""Between what a model computes in and the units of the user's own label."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError
from aiqc_core.stages.preprocess import encode, pipeline, reshape
from aiqc_core.stages.preprocess.nearest import nearest_codes
from aiqc_core.stages.preprocess.samples import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.pipeline import FittedLabel

    Floats = NDArray[np.float64]


def is_encoded(label: FittedLabel | Target) -> bool:
    """Say whether a model computes in other units than the label's own."""
    return isinstance(label, Target) or label.encoder is not None


def decoded(label: FittedLabel | Target, values: Floats) -> NDArray[Any]:
    """Return encoded values in the label's own units; rows that are not finite are NaN.

    An array of objects where the target has columns of words.

    Args:
        label: what was fitted on the label, or on the feature that is its own target.
        values: `(samples, width)`, or as a model gives a target back.
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


def numeric(*values: NDArray[Any]) -> list[Floats]:
    """Return the columns that are numbers in all of some decoded arrays; words have no errors.

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


def unknown(values: NDArray[Any]) -> int:
    """Count the decoded values that are not finite."""
    if values.dtype == object:
        return int(pd.isna(values).sum())
    return int((~np.isfinite(values)).sum())


def encoded(label: FittedLabel | Target, values: NDArray[Any]) -> Floats | None:
    """Return values of the label's own units as a model computes them; undoes `decoded`.

    None where the encoder does not take them, as a binning does not take what lies between bins.

    Args:
        label: see `decoded`.
        values: `(samples,)` or `(samples, columns)`; of a target `(samples, …, columns)`.
    """
    if not is_encoded(label):
        return values
    try:
        if isinstance(label, Target):
            return _as_target(label, values)
        rows = pd.DataFrame(values.reshape(len(values), -1), columns=list(label.columns))
        return pipeline.apply_label(label, rows).astype(np.float64)
    except PreprocessError:
        return None


def _as_target(label: Target, values: NDArray[Any]) -> Floats:
    rows = pd.DataFrame(values.reshape(-1, values.shape[-1]), columns=list(label.fitted.columns))
    flat = pipeline.apply_feature(label.fitted, rows.infer_objects()).astype(np.float64)
    whole = flat.reshape(*values.shape[:-1], flat.shape[-1])
    indices = label.reshape_indices
    return whole if indices is None else reshape.apply(whole, indices)
