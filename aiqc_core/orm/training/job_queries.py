"""Find the Jobs of a Queue with Fold and combination, in a few queries however many they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.job_keys import NO_COMBINATION
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo
from aiqc_core.orm.tables.job import Job
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.queue import Queue

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

FEW = 500  # most ids in one query; SQLite takes 32,766


def jobs_of(queue: Queue, *, combos: Any = None, most: int | None = None) -> list[Job]:
    """Return at most `most` Jobs of a Queue in order, with Queue, Fold and combination filled in.

    `combos` (ids of combinations, or a query for them) limits them to the Jobs of these.
    """
    query = Job.select().where(Job.queue == queue).order_by(Job.id).limit(most)
    if combos is not None:
        query = query.where(Job.hyperparamcombo.in_(combos))
    rows: list[Job] = list(query)
    folds = {fold.id: fold for fold in queue.splitset.ordered_folds}
    ids = {row.hyperparamcombo_id for row in rows}
    wanted = (
        Hyperparamcombo.hyperparamset == queue.hyperparamset_id
        if len(ids) > FEW
        else Hyperparamcombo.id.in_(ids)
    )
    names: Any = {combo.id: combo for combo in Hyperparamcombo.select().where(wanted)}
    for row in rows:
        row.queue = queue
        if row.fold_id is not None:
            row.fold = folds[row.fold_id]
        if row.hyperparamcombo_id is not None:
            row.hyperparamcombo = names[row.hyperparamcombo_id]
    return rows


def jobs_with_keys(queue: Queue, keys: Sequence[str]) -> dict[str, Job]:
    """Return the Jobs that have these keys; a few are found without reading the rest."""
    wanted = {key.partition("_")[2] for key in keys} - {NO_COMBINATION}
    jobs = jobs_of(queue, combos=_combos_with(queue, Hyperparamcombo.key, wanted))
    found = {job.key: job for job in jobs}
    return {key: found[key] for key in keys if key in found}


def jobs_with_indices(queue_id: int, combos: Collection[int]) -> list[Job]:
    """Return the Jobs of the combinations with these indices, or all where none is given."""
    queue = Queue.get_or_none(Queue.id == queue_id)
    if queue is None:
        return []
    return jobs_of(queue, combos=_combos_with(queue, Hyperparamcombo.idx, set(combos)))


def _combos_with(queue: Queue, field: Any, values: set[Any]) -> Any:
    """Return the query for a Queue's combinations with a few values; None for all."""
    if not values or len(values) > FEW:
        return None
    own = Hyperparamcombo.hyperparamset == queue.hyperparamset_id
    return Hyperparamcombo.select(Hyperparamcombo.id).where(own, field.in_(sorted(values)))


def predictors_of(queue: Queue) -> Any:
    """Return the query for the Predictors of a Queue, in the order they were recorded."""
    return Predictor.select().join(Job).where(Job.queue == queue).order_by(Predictor.id)
