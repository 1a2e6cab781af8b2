"""Prepare the inputs of a cut, and describe the cut."""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any

from aiqc_core.counts import plain
from aiqc_core.errors import PreprocessError, SplitError
from aiqc_core.stages.ingest.selection import listed
from aiqc_core.stages.preprocess import window
from aiqc_core.stages.preprocess.encoders import has_inverse
from aiqc_core.stages.preprocess.samples import trial_rows
from aiqc_core.stages.split import answers, leaks
from aiqc_core.stages.split.cut import Cut, per_sample
from aiqc_core.stages.split.stratify import Basis

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.tables.splitset import Splitset

logger = logging.getLogger(__name__)


def listed_ids(feature_ids: Any) -> list[int]:
    """Return the ids of one or several Features, or refuse none and repeated ones."""
    ids = [plain("feature_ids", pk) for pk in listed(feature_ids) or []]
    if not ids or any(pk in ids[:place] for place, pk in enumerate(ids)):
        message = f"feature_ids: {ids}; give at least one Feature, and each once."
        raise SplitError(message)
    return ids


def sample_count(features: Sequence[Feature], label: Label | None) -> int:
    """Return how many samples there are, or refuse Features and Label that do not pair."""
    counts = {f"Feature {f.id}": f.sample_count() for f in features}
    if label is not None:
        counts[f"Label {label.id}"] = label.dataset.shape["samples"]
    if len(set(counts.values())) != 1:
        message = f"feature_ids and label_id: their samples do not pair: {counts}."
        raise SplitError(message)
    return next(iter(counts.values()))


def refuse_as_own_target(features: Sequence[Feature]) -> None:
    """Refuse Features that cannot be learned without a Label."""
    if len(features) > 1:
        message = (
            f"feature_ids: {len(features)} Features, no Label; without one, give one Feature."
        )
        raise SplitError(message)
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
) -> Basis | None:
    """Return what stratifies each sample; None for a purely random cut.

    Blanks of a Label that an interpolater fills are filled among all rows for this alone.
    """
    if label is not None:
        if column is not None:
            message = "unsupervised_stratify_col: the Label stratifies; leave it out."
            raise SplitError(message)
        values = trial_rows(label.to_df(), label.columns, label.fills()).to_numpy()
        return Basis(values[:, 0]) if values.shape[1] == 1 else Basis(values, tuple(label.columns))
    if column is None:
        return None
    values = features[0].to_arr([column])
    windows = features[0].recipe().windows
    samples = per_sample(values if windows is None else window.view(values, windows))
    return Basis(samples, argument="unsupervised_stratify_col")


def grouped_by(features: Sequence[Feature], label: Label | None, column: str) -> NDArray[Any]:
    """Return the group of each sample, from a table that pairs with the samples."""
    if label is not None and column in label.columns:
        message = f"groups: {column!r} {answers.NO_GROUPS}"
        raise SplitError(message)
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
    """Count the rows that windows of train share with other splits, and warn of them."""
    windows = next((r.windows for f in features if (r := f.recipe()).windows is not None), None)
    if windows is None:
        return None
    report = {name: leaks.shared_rows(windows, splits) for name, splits in parts_of(made).items()}
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


def parts_of(made: Cut) -> Mapping[str, Mapping[str, NDArray[np.int64]]]:
    """Return the splits of each Fold, or of `no_fold`; the first of each is train."""
    folds = {f"fold_{idx}": made.fold_splits(idx) for idx in range(len(made.folds))}
    return folds or {"no_fold": made.splits}


def sizes_of(
    positions: Mapping[str, NDArray[np.int64]], samples: int
) -> dict[str, dict[str, float]]:
    """Return count and share of each split."""
    return {
        split: {"percent": len(rows) / samples, "count": len(rows)}
        for split, rows in positions.items()
    }


def keys_of(made: Cut) -> dict[str, str | None]:
    """Return which split trains, which judges training, and which tests."""
    test = "test" if "test" in made.splits else None
    if made.folds:
        train, evaluation = "folds_train_combined", "fold_validation"
    else:
        train, evaluation = "train", "validation" if "validation" in made.splits else test
    return {"key_train": train, "key_evaluation": evaluation, "key_test": test}


def same_cut(
    table: type[Splitset],
    name: str | None,
    features: list[Feature],
    seed: int | None,
    columns: dict[str, Any],
) -> Splitset | None:
    """Return the Splitset of this name that has this cut, if any."""
    if name is None:
        return None
    for row in table.select().where(table.name == name, table.predictor.is_null()):
        same = all(getattr(row, column) == value for column, value in columns.items())
        if same and seed in (None, row.seed) and row.feature_ids == [f.id for f in features]:
            logger.info("Splitset %r has this cut already: version %s.", name, row.version)
            return row
    return None
