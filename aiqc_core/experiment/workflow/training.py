"""The stages from hyperparameters to trained Jobs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import TrainingError
from aiqc_core.experiment.workflow import data, versions
from aiqc_core.experiment.workflow.due import present_snapshot
from aiqc_core.experiment.workflow.versions import find_or_make, row_of
from aiqc_core.orm import Algorithm, Declared, Hyperparamset, Job, Queue, Snapshot, Splitset
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.training import search as searching
from aiqc_core.orm.training.job_queries import jobs_of, jobs_with_keys
from aiqc_core.orm.training.measure import Measure
from aiqc_core.orm.training.options import Options
from aiqc_core.orm.training.reuse import adopt

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from aiqc_core.experiment import Experiment
    from aiqc_core.stages.train.search.pruning import Pruner

logger = logging.getLogger(__name__)


def hyperparamset(
    experiment: Experiment, algorithm: Algorithm | None = None
) -> Hyperparamset | None:
    """Register the Algorithm and its combinations; None without hyperparameters."""
    training = experiment.training
    algorithm = algorithm or _algorithm(experiment)
    if not training.hyperparameters:
        return None
    search: dict[str, Any] = {
        "hyperparameters": training.hyperparameters,
        "search_count": training.search_count,
        "search_percent": training.search_percent,
        "seed": experiment.seed,
    }
    if training.search is not None:  # else it is the input of before, which finds its rows
        search["search"] = training.search
    parts = [algorithm.id, list(training.hyperparameters), search]
    return Declared.find_or_make(
        Hyperparamset, experiment.name, "hyperparamset", parts,
        lambda: Hyperparamset.from_algorithm(algorithm.id, **search),
    )  # fmt: skip


def queue(experiment: Experiment, snapshot: str) -> Queue:
    """Make the Jobs of a snapshot; unchanged inputs give the same Queue.

    Over an edited grid a new one is made, which takes over what equal Jobs have trained before.
    """
    make, parts = _queue(experiment, snapshot, adopt_all_but=())
    row = find_or_make(experiment, snapshot, Queue, "queue", parts, make)
    versions.note_declaration(experiment, row)
    return _ranked_as_declared(experiment, snapshot, row)


def queue_of(experiment: Experiment, snapshot: str) -> Queue:
    """Return a snapshot's Queue, made before, which ranks by the metric that is declared now."""
    return _ranked_as_declared(experiment, snapshot, row_of(experiment, snapshot, Queue, "queue"))


def jobs(experiment: Experiment, snapshot: str, job_keys: Sequence[str]) -> list[Job | None]:
    """Return the Jobs with these keys in a snapshot's Queue; None for what is not suggested yet.

    Raises:
        TrainingError: the Queue has no such Job; the message lists those there are.
    """
    row = row_of(experiment, snapshot, Queue, "queue")
    if experiment.is_adaptive:
        trials = searching.trial_ids(row)
        found = {f"{job.fold_key}_{job.hyperparamcombo_id}": job for job in jobs_of(row)}
        places = [(key.partition("_")[0], int(key.rpartition("_t")[2])) for key in job_keys]
        return [
            found.get(f"{fold}_{trials[number]}") if number < len(trials) else None
            for fold, number in places
        ]
    found = jobs_with_keys(row, job_keys)
    unknown = [key for key in job_keys if key not in found]
    if unknown:
        known = [job.key for job in jobs_of(row, most=20)]
        message = f"job: {unknown[:10]} are no Jobs of Queue {row.id}; those are {known}."
        raise TrainingError(message)
    return [found[key] for key in job_keys]


def job(experiment: Experiment, snapshot: str, job_key: str, *, in_flight: int = 1) -> Job:
    """Return one Job; an adaptive search suggests its combination now.

    `in_flight` is how many Jobs train at a time, see `searching.ask`.
    """
    (found,) = jobs(experiment, snapshot, [job_key])
    while found is None:
        row = row_of(experiment, snapshot, Queue, "queue")
        if not searching.ask(row, in_flight=in_flight):
            message = f"job: the search of Queue {row.id} suggests no {job_key!r}."
            raise TrainingError(message)
        (found,) = jobs(experiment, snapshot, [job_key])
    return found


def renew(experiment: Experiment, snapshot: str, job_keys: Collection[str]) -> Queue:
    """Replace a snapshot's Queue by one in which these Jobs are untrained.

    The others are taken over; nothing of the earlier Queue is lost, and equal snapshots go on with
    the new one.
    """
    make, parts = _queue(experiment, snapshot, adopt_all_but=job_keys)
    row = Declared.replace_row(experiment.name, "queue", parts, make)
    Snapshot.put(experiment.name, snapshot, "queue", row)
    versions.note_declaration(experiment, row)
    return row


def prepare(experiment: Experiment, snapshot: str) -> Queue:
    """Walk from the source to the Queue, and return it untrained."""
    data.dataset(experiment, snapshot)
    data.feature(experiment, snapshot)
    if experiment.pipeline.label_columns:
        data.label(experiment, snapshot)
    data.splitset(experiment, snapshot)
    return queue(experiment, snapshot)


def run(  # noqa: PLR0913 - a method of Experiment, with the arguments of run_jobs
    experiment: Experiment,
    workers: int | None = None,
    snapshot: str | None = None,
    *,
    raise_on_error: bool = True,
    progress: bool = True,
    time_limit: float | None = None,
    checkpoint_seconds: float | None = None,
    stack: bool = False,
    pruner: Pruner | None = None,
) -> Queue:
    """Walk the whole chain and train what is missing, as Dagster's `retrain_<name>` does.

    `snapshot` is the key of "the data as of": by default today's date, and the time where that
    names other content already. All else means what it does in `Queue.run_jobs`; `workers`,
    `time_limit` and `checkpoint_seconds` are those of the declaration where they are None.

    Raises:
        TrainingError: an argument is out of range, before anything is written; or Jobs failed, and
            the others are recorded.
    """
    options: dict[str, Any] = {
        "workers": workers, "time_limit": time_limit, "checkpoint_seconds": checkpoint_seconds,
    }  # fmt: skip
    declared = experiment.training
    options = {name: getattr(declared, name) if v is None else v for name, v in options.items()}
    options |= {
        "raise_on_error": raise_on_error, "progress": progress, "stack": stack, "pruner": pruner,
    }  # fmt: skip
    Options.checked(**options)
    row = prepare(experiment, snapshot or present_snapshot(experiment))
    row.run_jobs(**options)
    return row


def _ranked_as_declared(experiment: Experiment, snapshot: str, row: Queue) -> Queue:
    """Note the declared metric on a snapshot and on its Queue; it ranks, and trains nothing.

    Snapshots that share a Queue keep their own; the Queue has that of the last walk.
    """
    before, now = Measure.of_queue(row).metric, experiment.leading_metric
    with metastore.atomic():
        of_it = (Snapshot.experiment == experiment.name) & (Snapshot.key == snapshot)
        Snapshot.update(metric=now).where(of_it).execute()
        if row.metric != experiment.metric:
            row.metric = experiment.metric
            row.save(only=[Queue.metric])
    if before != now:
        logger.info(
            "Queue %d ranks by %s now, no longer by %s; other snapshots keep their own metric.",
            row.id, now, before,
        )  # fmt: skip
    return row


def _queue(
    experiment: Experiment, snapshot: str, *, adopt_all_but: Collection[str]
) -> tuple[Callable[[], Queue], list[object]]:
    """Return what makes a snapshot's Queue, and all that it follows from."""
    cut = row_of(experiment, snapshot, Splitset, "splitset")
    algorithm = _algorithm(experiment)
    combos = hyperparamset(experiment, algorithm)
    training = experiment.training
    counts: dict[str, Any] = {
        "repeat_count": training.repeat_count,
        "permute_count": training.permute_count,
        "seed": experiment.seed,
        "hyperparamset_id": None if combos is None else combos.id,
    }

    def make() -> Queue:
        about: dict[str, Any] = {
            "description": experiment.description,
            "metric": experiment.metric,
        }
        row = Queue.from_algorithm(algorithm.id, cut.id, **about, **counts)
        adopt(row, but=adopt_all_but)
        return row

    return make, [algorithm.id, cut.id, counts]


def _algorithm(experiment: Experiment) -> Algorithm:
    training = experiment.training
    kind = training.library, training.analysis_type
    parts = [*kind, versions.of_functions(training, "key"), *versions.of_outputs(training)]
    return Declared.find_or_make(
        Algorithm, experiment.name, "algorithm", parts,
        lambda: Algorithm.make(*kind, outputs=training.outputs, **training.functions),
    )  # fmt: skip
