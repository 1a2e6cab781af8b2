"""The Jobs of a Queue, found with what names them in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import JOIN

from aiqc_core.orm.hyperparameter import Hyperparamcombo
from aiqc_core.orm.job import Job
from aiqc_core.orm.splitset import Fold

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from aiqc_core.orm.queue import Queue

FEW = 500


def jobs_of(queue: Queue | int) -> Any:
    """Return the query for the Jobs of a Queue with their Folds and combinations, in order."""
    return (
        Job.select(Job, Fold, Hyperparamcombo)
        .join(Fold, JOIN.LEFT_OUTER)
        .switch(Job)
        .join(Hyperparamcombo, JOIN.LEFT_OUTER)
        .where(Job.queue == queue)
        .order_by(Job.id)
    )


def jobs_with_keys(queue: Queue, keys: Sequence[str]) -> dict[str, Job]:
    """Return the Jobs with these keys, those that there are; a few are found without the rest."""
    query = jobs_of(queue)
    combos = {key.partition("_")[2] for key in keys} - {"default"}
    if combos and len(combos) <= FEW:
        query = query.where(Hyperparamcombo.key.in_(sorted(combos)))
    found = {job.key: job for job in query}
    return {key: found[key] for key in keys if key in found}


def jobs_with_indices(queue_id: int, combos: Collection[int]) -> list[Job]:
    """Return the Jobs of the combinations with these indices, or all where none is given."""
    query = jobs_of(queue_id)
    if combos and len(combos) <= FEW:
        query = query.where(Hyperparamcombo.idx.in_(sorted(combos)))
    return list(query)
