"""Make a Queue: check what it joins, and write its Jobs."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pandas.api import types
from peewee import chunked

from aiqc_core import counts
from aiqc_core.analysis import AnalysisType
from aiqc_core.errors import AlgorithmError
from aiqc_core.orm.samples import to_predict
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.tables.algorithm import Algorithm
from aiqc_core.orm.tables.hyperparameter import (
    ROWS_A_STATEMENT,
    Hyperparamcombo,
    Hyperparamset,
    refuse_unfit,
)
from aiqc_core.orm.tables.job import Job
from aiqc_core.orm.tables.queue import Queue, positive_of
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.seeds import SEED_BITS
from aiqc_core.stages.evaluate.ranking import checked_metric
from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.train import label_check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.tables.label import Label


def from_algorithm(
    algorithm_id: int,
    splitset_id: int,
    repeat_count: int = 1,
    permute_count: int = 3,
    hyperparamset_id: int | None = None,
    description: str | None = None,
    seed: int | None = None,
    metric: str | None = None,
) -> Queue:
    """Make the Jobs: combinations × Folds, each trained `repeat_count` times.

    Args:
        algorithm_id: the functions that train.
        splitset_id: the samples that train.
        repeat_count: Predictors a Job, each with a seed of its own.
        permute_count: permutations of each column for its importance; 0 skips that.
        hyperparamset_id: the combinations; `None` trains one model without hyperparameters.
        seed: from which each Job's seed follows; `None` draws one, which is stored.
        metric: what ranks the models in search, pruning, comparison, figures and leaderboard
            wherever a call names none; `None` is accuracy, or r2 for a regression.

    A search by TPE adds its combinations and their Jobs one by one while it runs; `total_runs`
    counts them from the start.

    Raises:
        AlgorithmError: the label does not fit the analysis type, its coder merges classes, it
            has a positive class and the analysis is not binary, a column is neither numeric
            nor encoded, a count is out of range, or there is no such metric.
    """
    algorithm = Algorithm.get_by_id(algorithm_id)
    splitset = Splitset.get_by_id(splitset_id)
    to_predict.refuse_training(splitset)
    combos, count = _combos(algorithm, hyperparamset_id)
    repeat_count = counts.whole("repeat_count", repeat_count, least=1)
    permute_count = counts.whole("permute_count", permute_count, least=0)
    seed = secrets.randbits(SEED_BITS) if seed is None else counts.seed(seed)
    label = splitset.label
    if metric is not None:
        coder = splitset.features[0].ordered_coders() if label is None else label.step()
        checked_metric(metric, algorithm.analysis_type, has_units=bool(coder))
    label_check.refuse_mismatch(algorithm.analysis_type, _label_facts(label))
    if (
        label is not None
        and label.positive is not None
        and algorithm.analysis_type != AnalysisType.BINARY
    ):
        message = (
            f"positive: {label.positive!r} of Label {label.id}; {algorithm.analysis_type!r} "
            "averages over all classes. Use 'classification_binary', or a Label without a "
            "positive class."
        )
        raise AlgorithmError(message)
    _refuse_text_columns(splitset)
    parts, positive = splitset.parts(), positive_of(algorithm, splitset)
    with metastore.atomic():
        queue = Queue.create(
            metric=metric,
            repeat_count=repeat_count,
            total_runs=count * len(parts) * repeat_count,
            permute_count=permute_count,
            seed=seed,
            positive=positive,
            algorithm=algorithm,
            splitset=splitset,
            hyperparamset=hyperparamset_id,
            description=description,
        )
        add_jobs(queue, combos)
    return queue


def add_jobs(queue: Queue, combos: Sequence[int | None]) -> None:
    """Write a Job for each combination on each Fold, inside the caller's transaction."""
    rows = (
        {
            "repeat_count": queue.repeat_count,
            "queue": queue.id,
            "hyperparamcombo": combo,
            "fold": fold and fold.id,
        }
        for parts in [queue.splitset.parts()]
        for combo in combos
        for fold in parts
    )
    for chunk in chunked(rows, ROWS_A_STATEMENT):
        Job.insert_many(chunk).execute()


def _combos(algorithm: Algorithm, hyperparamset_id: int | None) -> tuple[list[int | None], int]:
    """Return the ids of the existing combinations, and how many there will be."""
    if hyperparamset_id is None:
        refuse_unfit(algorithm, None)
        return [None], 1
    hyperparamset = Hyperparamset.get_by_id(hyperparamset_id)
    if hyperparamset.algorithm_id != algorithm.id:
        message = (
            f"hyperparamset_id: Hyperparamset {hyperparamset.id} belongs to Algorithm "
            f"{hyperparamset.algorithm_id}, not to Algorithm {algorithm.id}."
        )
        raise AlgorithmError(message)
    if hyperparamset.is_adaptive:
        return [], hyperparamset.planned().count
    query = hyperparamset.hyperparamcombos.order_by(Hyperparamcombo.idx)
    ids = [combo for (combo,) in query.select(Hyperparamcombo.id).tuples()]
    return ids, len(ids)


def _label_facts(label: Label | None) -> label_check.LabelFacts | None:
    if label is None:
        return None
    step, ordered = label.step(), label.classes_by_code()
    encoded = None if step is None else encode.fit(label.to_df(), step.encoder)
    return label_check.LabelFacts(
        columns=tuple(label.columns),
        dtypes=tuple(label.get_dtypes().values()),
        classes=ordered or label.classes(),
        encoder=None if step is None else step.encoder,
        encoded_width=len(label.columns) if encoded is None else len(encoded.output_columns),
        tells_apart=ordered is not None or label.classes() is None,
    )


def _refuse_text_columns(splitset: Splitset) -> None:
    for feature in splitset.features:
        coded = {name for coder in feature.ordered_coders() for name in coder.matching_columns}
        text = {
            name: dtype
            for name, dtype in feature.get_dtypes().items()
            if name not in coded
            and not types.is_numeric_dtype(dtype)
            and not types.is_bool_dtype(dtype)
        }
        if text:
            message = (
                f"splitset_id: Feature {feature.id} has columns that a model cannot take: {text}. "
                "Attach a FeatureCoder to them, or leave them out (exclude_columns)."
            )
            raise AlgorithmError(message)
