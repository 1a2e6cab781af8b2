"""Make a Splitset of new samples for a Predictor, which matches them and cuts none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aiqc_core.errors import SelectionError, SplitError
from aiqc_core.orm.samples import new_data, schema_match
from aiqc_core.orm.samples.split_inputs import sizes_of
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import digest_of
from aiqc_core.orm.tables import numbering
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.splitset import Fold, Splitset, SplitsetFeature
from aiqc_core.stages.split.cut import Cut

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiqc_core.orm.tables.feature import Feature
    from aiqc_core.orm.tables.label import Label


def make(predictor_id: int, features: list[Feature], label: Label | None, called: Any) -> Splitset:
    """Make a Splitset of all samples of Features, for a Predictor to predict."""
    predictor = Predictor.get_by_id(predictor_id)
    trained, samples = predictor.job.queue.splitset, features[0].sample_count()
    own, positive = trained.label, None if label is None else label.positive
    if label is not None and own is not None and positive not in {None, own.positive_class}:
        message = (
            f"label_id: the positive class of Label {label.id} is {positive!r}, that of the "
            f"Predictor {own.positive_class!r}, which its metrics are of. Leave it out."
        )
        raise SelectionError(message)
    offers = [new_data.of_row(feature) for feature in features]
    schema_match.match(trained, offers, None if label is None else new_data.of_row(label))
    with metastore.atomic():
        # Numbers count from 0 and never repeat: files of deleted predictions may have the name.
        names = [name for row in predictor.inference_splitsets for name in row.sizes]
        used = max((1 + int(name.rpartition("_")[2]) for name in names), default=0)
        number = numbering.next_number(f"infer of Predictor {predictor.id}", after=used) - 1
        made = Cut({f"infer_{number}": np.arange(samples)}, [], None)
        splitset = Splitset.create(
            samples=Splitset.samples.store(made.splits),
            sizes=sizes_of(made.splits, samples),
            supervision=trained.supervision,
            has_validation=False,
            seed=trained.seed,
            predictor=predictor,
            fitted_preprocessing=digest_of(predictor, "fitted_preprocessing"),
            label=label,
            version=numbering.next_version(Splitset, called[0]),
            name=called[0],
            description=called[1],
        )
        add_parts(splitset, features, made)
    return splitset


def refuse_cut(asked: Mapping[str, Any]) -> None:
    """Refuse arguments that cut samples which are only to be predicted."""
    given = sorted(name for name, value in asked.items() if value)
    if given:
        message = (
            f"predictor_id: with it all samples are predicted and none is cut; leave out {given}."
        )
        raise SplitError(message)


def refuse_training(splitset: Splitset) -> None:
    """Refuse to train on a Splitset that was made for a Predictor."""
    if splitset.predictor_id is not None:
        message = (
            f"splitset_id: Splitset {splitset.id} holds new data for Predictor "
            f"{splitset.predictor_id} and is not cut. Make one without predictor_id to train."
        )
        raise SplitError(message)


def add_parts(splitset: Splitset, features: list[Feature], made: Cut) -> None:
    """Write the Features and Folds of a Splitset, inside the transaction that makes it."""
    for idx, feature in enumerate(features):
        SplitsetFeature.create(splitset=splitset, feature=feature, idx=idx)
    for idx in range(len(made.folds)):
        rows = Fold.samples.store(made.fold_splits(idx))
        Fold.create(splitset=splitset, idx=idx, samples=rows)
