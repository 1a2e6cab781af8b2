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
    from aiqc_core.orm.tables.queue import Queue

logger = logging.getLogger(__name__)

STATES: dict[str, tpe.State] = {PRUNED: "pruned", FAILED: "failed"}


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
    states = _states(queue)
    query: Any = Hyperparamcombo.select(Hyperparamcombo.id, Hyperparamcombo.hyperparameters)
    of_queue = Job.select(Job.hyperparamcombo).where(Job.queue == queue)
    values = dict(query.where(Hyperparamcombo.id.in_(of_queue)).tuples())
    found: list[tpe.Trial] = []
    for combo in trial_ids(queue):
        complete = scores.complete(combo, folds)
        state = "complete" if len(complete) == len(folds) else states.get(combo, "running")
        has_scores = state in {"complete", "pruned"}
        means = (scores.running_means(combo, complete) or ()) if has_scores else ()
        found.append(tpe.Trial(values[combo], state, means))
    return found


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
        with metastore.atomic():
            jobs: list[Job] = []
            if len(trial_ids(queue)) == number:  # no other process has added a trial meanwhile
                combo = _combo(hyperparamset, chosen)
                add_jobs(queue, [combo.id])
                jobs = jobs_of(queue, combos=[combo.id])
        if jobs:
            logger.info("Queue %d: combination %d of %d: %s", queue.id, number + 1, count, chosen)
            return jobs


def _states(queue: Queue) -> dict[int, tpe.State]:
    """Return which combinations failed, or were pruned, at the last attempt."""
    query: Any = (
        Attempt.select(Job.hyperparamcombo, Attempt.job, Attempt.repeat_index, Attempt.status)
        .join(Job)
        .where(Job.queue == queue)
        .order_by(Attempt.id)
        .tuples()
    )
    last = {(c, job, index): status for c, job, index, status in query}
    found: dict[int, tpe.State] = {}
    for wanted, state in STATES.items():  # one failed training outweighs pruned ones
        found |= {combo: state for (combo, _, _), status in last.items() if status == wanted}
    return found


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
