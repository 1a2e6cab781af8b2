"""What a Splitset is cut by, and what its splits have in common: load, one call to a stage."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from aiqc_core.errors import PreprocessError, SplitError
from aiqc_core.preprocess import window
from aiqc_core.preprocess.encoders import has_inverse
from aiqc_core.preprocess.samples import fill_rows
from aiqc_core.split import leaks
from aiqc_core.split.cut import Cut, per_sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from aiqc_core.orm.feature import Feature
    from aiqc_core.orm.label import Label


def refuse_without_inverse(features: Sequence[Feature]) -> None:
    """Refuse coders whose output cannot be decoded, for features that are their own target.

    Raises:
        PreprocessError: naming the coder.
    """
    for feature in features:
        for coder in feature.ordered_coders():
            encoder = coder.sklearn_preprocess
            if not has_inverse(encoder):
                message = (
                    f"feature_ids: without a Label, Feature {feature.id} is its own target, and "
                    f"{encoder!r} has no inverse to decode predictions with. Use another coder."
                )
                raise PreprocessError(message)


def stratified_by(
    features: Sequence[Feature], label: Label | None, column: str | None
) -> NDArray[Any] | None:
    """Return what each sample is stratified by; None for a purely random cut.

    Blanks of a Label that an interpolater fills are filled among all rows for this alone.

    Raises:
        SplitError: a column is named beside a Label.
        PreprocessError: blanks of the Label that its interpolater cannot fill.
    """
    if label is not None:
        if column is not None:
            message = "unsupervised_stratify_col: the Label stratifies; leave it out."
            raise SplitError(message)
        everything = {"all": np.arange(label.dataset.shape["samples"])}
        values = fill_rows(label.to_df(), label.fills(), everything)["all"].to_numpy()
        return values[:, 0] if values.shape[1] == 1 else values
    if column is None:
        return None
    values = features[0].to_arr([column])
    windows = features[0].recipe().windows
    return per_sample(values if windows is None else window.view(values, windows))


def grouped_by(features: Sequence[Feature], label: Label | None, column: str) -> NDArray[Any]:
    """Return the group of each sample.

    Raises:
        SplitError: no table that pairs with the samples has this column.
    """
    sources = [label.dataset] if label is not None else []
    sources += [feature.dataset for feature in features if feature.recipe().windows is None]
    tables = [source for source in sources if source.typ == "tabular"]
    for source in tables:
        if column in source.columns:
            return source.to_df([column])[column].to_numpy()
    known = sorted({name for source in tables for name in source.columns})
    message = f"groups: no table has a column {column!r}; there are {known}."
    raise SplitError(message)


def shared_rows(features: Sequence[Feature], made: Cut) -> dict[str, Any] | None:
    """Count the rows that windows of train share with other splits, and warn; None without any."""
    windows = next((r.windows for f in features if (r := f.recipe()).windows is not None), None)
    if windows is None:
        return None
    parts = {f"fold_{idx}": made.fold_splits(idx) for idx in range(len(made.folds))}
    report = {
        name: leaks.shared_rows(windows, splits)
        for name, splits in (parts or {"no_fold": made.splits}).items()
    }
    for name, splits in report.items():
        for split, shared in splits.items():
            if shared["rows"]:
                warnings.warn(
                    f"Splitset.make: the windows of train share {shared['rows']} rows "
                    f"({shared['share']:.1%} of its own) with {split!r} ({name}). Use "
                    f"time_ordered=True with gap={leaks.least_gap(windows)} or more.",
                    stacklevel=3,
                )
    return report


def near_duplicates(
    features: Sequence[Feature], splits: Mapping[str, NDArray[np.int64]]
) -> dict[str, int] | None:
    """Count the rows of each split that equal one of train after rounding; None for windows."""
    if any(f.recipe().windows is not None or f.dataset.typ != "tabular" for f in features):
        return None
    frame = pd.concat([feature.to_df() for feature in features], axis=1)
    codes = [
        column.to_numpy(dtype=float, na_value=float("nan"))
        if pd.api.types.is_numeric_dtype(column.dtype)
        else pd.factorize(column)[0].astype(float)
        for _, column in frame.items()
    ]
    return leaks.near_duplicates(pd.DataFrame(dict(enumerate(codes))).to_numpy(), splits)
