"""The trainings of a Queue that are still to be done, found in a few queries however many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.orm.hyperparameter import Hyperparamcombo
from aiqc_core.orm.job import PRUNED, Attempt, Job
from aiqc_core.orm.predictor import Predictor

if TYPE_CHECKING:
    from aiqc_core.orm.queue import Queue

FEW = 500  # ids that are named in a query; SQLite takes 32,766


def pruned_of(queue: Queue) -> Any:
    """Return the query for the trainings of a Queue that a pruner stopped before they began."""
    pruned = (Job.queue == queue) & (Attempt.status == PRUNED)
    return Attempt.select().join(Job).where(pruned)


def lacking(queue: Queue) -> list[tuple[Job, int]]:
    """Return `(Job, repeat index)` of what has no Predictor and was not pruned, Job by Job."""
    trained = Predictor.select(Predictor.job, Predictor.repeat_index).join(Job)
    done = set(trained.where(Job.queue == queue).tuples())
    done.update(pruned_of(queue).select(Attempt.job, Attempt.repeat_index).tuples())
    repeats = range(queue.repeat_count)
    ids: Any = Job.select(Job.id).where(Job.queue == queue).tuples()
    wanted = {job: [i for i in repeats if (job, i) not in done] for (job,) in ids}
    if not any(wanted.values()):
        return []
    jobs = with_names(queue, Job.select().where(Job.queue == queue).order_by(Job.id))
    return [(job, index) for job in jobs for index in wanted[job.id]]


def jobs_of_combo(queue: Queue, combo: Hyperparamcombo) -> list[Job]:
    """Return the Jobs of one combination in a Queue."""
    of_it = (Job.queue == queue) & (Job.hyperparamcombo == combo)
    return with_names(queue, Job.select().where(of_it).order_by(Job.id))


def with_names(queue: Queue, jobs: Any) -> list[Job]:
    """Give Jobs their Queue, Fold and combination, so that none is looked up Job by Job."""
    rows = list(jobs)
    folds = {fold.id: fold for fold in queue.splitset.ordered_folds}
    wanted = {row.hyperparamcombo_id for row in rows}
    query = (
        Hyperparamcombo.select().where(Hyperparamcombo.hyperparamset == queue.hyperparamset_id)
        if len(wanted) > FEW
        else Hyperparamcombo.select().where(Hyperparamcombo.id.in_(wanted))
    )
    combos = {combo.id: combo for combo in query}
    for row in rows:
        row.queue = queue
        if row.fold_id is not None:
            row.fold = folds[row.fold_id]
        if row.hyperparamcombo_id is not None:
            row.hyperparamcombo = combos[row.hyperparamcombo_id]
    return rows
