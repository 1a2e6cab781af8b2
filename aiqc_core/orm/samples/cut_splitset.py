"""Make a Splitset: cut the samples of Features into splits and Folds."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from aiqc_core.orm.samples import leaks, split_inputs, to_predict
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import PositionsField
from aiqc_core.orm.tables import numbering
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.label import Label
from aiqc_core.orm.tables.splitset import SEED_LIMIT, Splitset
from aiqc_core.stages.split.cut import cut

if TYPE_CHECKING:
    from collections.abc import Sequence


def make(
    feature_ids: Sequence[int] | int,
    label_id: int | None = None,
    size_test: float | None = None,
    size_validation: float | None = None,
    bin_count: int | None = None,
    fold_count: int | None = None,
    unsupervised_stratify_col: str | None = None,
    name: str | None = None,
    description: str | None = None,
    predictor_id: int | None = None,
    seed: int | None = None,
    groups: str | None = None,
    time_ordered: bool = False,
    gap: int = 0,
) -> Splitset:
    """Cut the samples of Features, stratified by their Label.

    The test split is cut first, then validation (its size is a share of the whole); the rest
    trains. All draws come from `seed`.

    Args:
        feature_ids: ids of Features with as many samples as the Label.
        label_id: the Label's id; without one a single Feature is its own target: its future
            windows where it has a Window, else its samples.
        size_test: share of the samples, between 0 and 1, for the test split.
        size_validation: share of all samples for the validation split.
        bin_count: quantiles by which a continuous Label is stratified; 3 by default.
        fold_count: number of cross-validation Folds cut from train.
        unsupervised_stratify_col: without a Label, a column of the first Feature to stratify
            by: of each sample its median, or its commonest value.
        name: makes this cut a version of that name; an equal cut returns the row there is.
        predictor_id: take all samples for this Predictor to predict: nothing is cut or
            fitted, and columns are matched by name to those that trained it.
        seed: the draw; `None` draws one, which is stored.
        groups: a column of the Label's Dataset, or of the first Feature's; no group of it is
            in two splits or Folds.
        time_ordered: cut by position, train first; Folds learn from the past only.
        gap: samples left out between the parts of a cut in order.

    Raises:
        SplitError: a split would be empty, a class too small to be in each, a size out of
            range, or the sample counts differ.
        SelectionError: with `predictor_id`, columns that are missing or incompatible.
    """
    features = [Feature.get_by_id(pk) for pk in split_inputs.listed_ids(feature_ids)]
    label = None if label_id is None else Label.get_by_id(label_id)
    samples = split_inputs.sample_count(features, label)
    asked: dict[str, Any] = {
        "size_test": size_test, "size_validation": size_validation, "bin_count": bin_count,
        "fold_count": fold_count, "time_ordered": time_ordered, "gap": gap,
    }  # fmt: skip
    if predictor_id is not None:
        to_predict.refuse_cut(asked | {"groups": groups, "stratify": unsupervised_stratify_col})
        return to_predict.make(predictor_id, features, label, (name, description))
    if label is None:
        split_inputs.refuse_as_own_target(features)
    drawn = secrets.randbelow(SEED_LIMIT) if seed is None else seed
    made = cut(
        samples,
        stratify_by=split_inputs.stratified_by(features, label, unsupervised_stratify_col),
        groups=None if groups is None else split_inputs.grouped_by(features, label, groups),
        seed=drawn,
        **asked,
    )
    columns: dict[str, Any] = asked | {
        "label": label,
        "bin_count": made.bin_count,
        "groups": groups,
        "unsupervised_stratify_col": unsupervised_stratify_col,
    }
    for rows in (made.splits, *map(made.fold_splits, range(len(made.folds)))):
        PositionsField().send_ahead(rows)  # to the object store, before the transaction
    report = leaks.of_cut(features, label, made, groups=groups, in_order=time_ordered)
    with metastore.atomic():
        found = split_inputs.same_cut(Splitset, name, features, seed, columns)
        if found is not None:
            return found
        leaks.warn(report)
        splitset = Splitset.create(
            samples=Splitset.samples.store(made.splits),
            sizes=split_inputs.sizes_of(made.splits, samples),
            supervision="unsupervised" if label is None else "supervised",
            has_validation="validation" in made.splits,
            seed=drawn,
            shared_rows=split_inputs.shared_rows(features, made),
            given_away=report,
            version=numbering.next_version(Splitset, name),
            name=name,
            description=description,
            **split_inputs.keys_of(made),
            **columns,
        )
        to_predict.add_parts(splitset, features, made)
    return splitset
