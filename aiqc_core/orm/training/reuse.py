"""Adopt Predictors of other Queues: equal inputs give equal Predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import JOIN

from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo
from aiqc_core.orm.tables.job import Job
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.queue import Queue
from aiqc_core.orm.tables.splitset import Fold
from aiqc_core.orm.training.pending import pending

if TYPE_CHECKING:
    from collections.abc import Collection

    from aiqc_core.orm.store.model import BaseModel


def adopt(queue: Queue, *, but: Collection[str] = ()) -> int:
    """Copy Predictors of equal Jobs of other Queues to pending Jobs; return how many.

    A training follows from the Algorithm, the Splitset, the Queue's seed, the fold, the
    combination and the repeat, so a Queue over an edited grid trains only what changed. A copy
    notes its original, and shares its bytes. Jobs with the keys `but` stay pending.
    """
    wanted = {(job.key, i): job for job, i in pending(queue) if job.key not in but}
    if not wanted:
        return 0
    with metastore.atomic():
        found = {(p.job.key, p.repeat_index): p for p in _equals(queue)}
        taken = [(wanted[key], found[key]) for key in wanted if key in found]
        for job, predictor in taken:
            copy = _copied(predictor, job=job, adopted_from=predictor.id)
            _copied(predictor.prediction, predictor=copy)
    return len(taken)


def _equals(queue: Queue) -> Any:
    """Return the Predictors of other Queues with equal inputs, the newest last."""
    return (
        Predictor.select(Predictor, Job, Fold, Hyperparamcombo)
        .join(Job)
        .join(Fold, JOIN.LEFT_OUTER)
        .switch(Job)
        .join(Hyperparamcombo, JOIN.LEFT_OUTER)
        .switch(Job)
        .join(Queue)
        .where(
            Queue.id != queue.id,
            Queue.algorithm == queue.algorithm_id,
            Queue.splitset == queue.splitset_id,
            Queue.seed == queue.seed,
            Queue.permute_count == queue.permute_count,
        )
        .order_by(Predictor.id)
    )


def _copied(row: BaseModel, **changes: Any) -> Any:
    """Write a copy of a row; of its bytes only their digests are read."""
    values = {name: value for name, value in row.__data__.items() if name != "id"}
    return type(row).get_by_id(type(row).insert(values | changes).execute())
