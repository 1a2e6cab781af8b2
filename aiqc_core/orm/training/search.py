"""Search by results: the rows of the Queue are the trials, and suggest the next combination.

The trials are read from the metastore for each suggestion. The new combination and its Jobs are
written in one transaction, if no other process has added a trial meanwhile. A killed run therefore
finds its trials again, and continues the same sequence.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from peewee import fn

from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.tables import numbering
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo, Hyperparamset
from aiqc_core.orm.tables.job import FAILED, PRUNED, Attempt, Job
from aiqc_core.orm.training.create_queue import add_jobs
from aiqc_core.orm.training.job_queries import jobs_of
from aiqc_core.orm.training.measure import Measure
from aiqc_core.orm.training.scores import Scores
from aiqc_core.stages.train.search import space, tpe
from aiqc_core.stages.train.search.grid import combination_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.tables.queue import Queue

logger = logging.getLogger(__name__)


def trial_ids(queue: Queue) -> list[int]:
    """Return the ids of the combinations of a Queue, in the order of their first Jobs."""
    query: Any = (
        Job.select(Job.hyperparamcombo)
        .where(Job.queue == queue)
        .group_by(Job.hyperparamcombo)
        .order_by(fn.MIN(Job.id))
        .tuples()
    )
    return [combo for (combo,) in query]


def trials(queue: Queue) -> list[tpe.Trial]:
    """Return the trials of a Queue with their results, in the order of the suggestions."""
    measure = Measure.of_queue(queue)
    scores = Scores.read(queue, measure)
    folds = [part and part.id for part in queue.splitset.parts()]
    ended = _ended(queue)
    query: Any = Hyperparamcombo.select(Hyperparamcombo.id, Hyperparamcombo.hyperparameters)
    of_queue = Job.select(Job.hyperparamcombo).where(Job.queue == queue)
    values = dict(query.where(Hyperparamcombo.id.in_(of_queue)).tuples())
    return [
        _trial(values[combo], scores.complete(combo, folds), len(folds), combo, scores, ended)
        for combo in trial_ids(queue)
    ]


def ask(queue: Queue, *, in_flight: int = 1) -> list[Job]:
    """Suggest a combination, and write its Jobs; return none when all were suggested.

    Args:
        in_flight: how many combinations are tried at a time. The results of the newest
            `in_flight - 1` are ignored even where they are known, so that the suggestion does not
            depend on which of them was faster.
    """
    hyperparamset: Any = queue.hyperparamset
    count = hyperparamset.planned().count
    dimensions = space.parse(hyperparamset.hyperparameters)
    below = Measure.of_queue(queue).lower_is_better
    while True:
        history = trials(queue)
        number = len(history)
        if number >= count:
            return []
        known = max(number - in_flight + 1, 0)
        seen = history[:known] + [
            replace(trial, state="running", scores=()) for trial in history[known:]
        ]
        chosen = tpe.suggest(dimensions, seen, seed=hyperparamset.seed, lower_is_better=below)
        jobs = _written(queue, chosen, number)
        if jobs is not None:
            logger.info("Queue %d: combination %d of %d: %s", queue.id, number + 1, count, chosen)
            return jobs


def _trial(
    params: dict[str, Any],
    complete: Sequence[int | None],
    fold_count: int,
    combo: int,
    scores: Scores,
    ended: dict[int, str],
) -> tpe.Trial:
    means = scores.running_means(combo, complete) or ()
    if len(complete) == fold_count:
        return tpe.Trial(params, "complete", means)
    if ended.get(combo) == PRUNED:
        return tpe.Trial(params, "pruned", means)
    return tpe.Trial(params, "failed" if ended.get(combo) == FAILED else "running")


def _ended(queue: Queue) -> dict[int, str]:
    """Return `{combination: status}` of those that failed or were pruned at the last attempt."""
    query: Any = (
        Attempt.select(Job.hyperparamcombo, Attempt.job, Attempt.repeat_index, Attempt.status)
        .join(Job)
        .where(Job.queue == queue)
        .order_by(Attempt.id)
        .tuples()
    )
    last = {(c, job, index): status for c, job, index, status in query}
    found: dict[int, str] = {}
    for (combo, _, _), status in last.items():
        if status == FAILED or (status == PRUNED and combo not in found):
            found[combo] = status
    return found


def _written(queue: Queue, chosen: dict[str, Any], number: int) -> list[Job] | None:
    """Write a trial; None when another process has written one with this number."""
    hyperparamset: Any = queue.hyperparamset
    with metastore.atomic():
        if len(trial_ids(queue)) != number:
            return None
        combo = _combo(hyperparamset, chosen)
        add_jobs(queue, [combo.id])
        return jobs_of(queue, combos=[combo.id])


def _combo(hyperparamset: Hyperparamset, chosen: dict[str, Any]) -> Hyperparamcombo:
    """Return the combination of the set; another Queue may have written it before."""
    of_set = hyperparamset.hyperparamcombos
    alike = of_set.where(Hyperparamcombo.key == combination_key(chosen))
    for combo in alike:
        if space.canonical(combo.hyperparameters) == space.canonical(chosen):
            return combo
    idx = numbering.next_index(of_set, Hyperparamcombo.idx)
    Hyperparamcombo.add(hyperparamset, [chosen], first=idx)
    return hyperparamset.hyperparamcombos.where(Hyperparamcombo.idx == idx).get()
