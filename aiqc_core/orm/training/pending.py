"""Find the pending trainings of a Queue, in a few queries however many they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.orm.tables.job import PRUNED, Attempt, Job
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.training.job_queries import jobs_of, predictors_of
from aiqc_core.stages.train.hooks.observer import PRUNER

if TYPE_CHECKING:
    from aiqc_core.orm.tables.queue import Queue


def skipped_of(queue: Queue) -> Any:
    """Return the query for the trainings that a pruner stopped before they began."""
    pruned = (Job.queue == queue) & (Attempt.status == PRUNED)
    return Attempt.select().join(Job).where(pruned)


def pending(queue: Queue) -> list[tuple[Job, int]]:
    """Return `(Job, repeat index)` of each training without a Predictor that was not pruned."""
    trained = Predictor.select(Predictor.job, Predictor.repeat_index).join(Job)
    done = set(trained.where(Job.queue == queue).tuples())
    done.update(skipped_of(queue).select(Attempt.job, Attempt.repeat_index).tuples())
    repeats = range(queue.repeat_count)
    ids: Any = Job.select(Job.id).where(Job.queue == queue).tuples()
    wanted = {job: [i for i in repeats if (job, i) not in done] for (job,) in ids}
    if not any(wanted.values()):
        return []
    return [(job, index) for job in jobs_of(queue) for index in wanted[job.id]]


def runs_completed(queue: Queue) -> int:
    """How many Predictors are recorded."""
    return predictors_of(queue).count()


def runs_skipped(queue: Queue) -> int:
    """How many runs a pruner stopped before they began; they count as done."""
    return skipped_of(queue).count()


def runs_pruned(queue: Queue) -> int:
    """How many runs a pruner stopped: before they began, or after some of their epochs.

    The latter have a Predictor, marked `stopped='pruner'`, and so are among those completed.
    """
    cut_short = (Job.queue == queue) & (Predictor.stopped == PRUNER)
    return skipped_of(queue).count() + Predictor.select().join(Job).where(cut_short).count()
