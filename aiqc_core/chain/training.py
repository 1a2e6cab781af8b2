"""The stages from hyperparameters to trained Jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.chain import data
from aiqc_core.chain.stage import find_or_make, row_of, today
from aiqc_core.errors import TrainingError
from aiqc_core.orm import Algorithm, Declared, Hyperparamset, Job, Queue, Splitset
from aiqc_core.train.fingerprint import fingerprint

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment

FUNCTIONS = ("fn_build", "fn_train", "fn_predict", "fn_lose", "fn_optimize")


def hyperparamset(experiment: Experiment) -> Hyperparamset | None:
    """Register the Algorithm and its combinations; None without hyperparameters."""
    training = experiment.training
    algorithm = _algorithm(experiment)
    if not training.hyperparameters:
        return None
    search: dict[str, Any] = {
        "hyperparameters": training.hyperparameters,
        "search_count": training.search_count,
        "search_percent": training.search_percent,
        "seed": experiment.seed,
    }

    def make() -> Hyperparamset:
        return Hyperparamset.from_algorithm(algorithm.id, **search)

    inputs = [algorithm.id, list(training.hyperparameters), search]
    return Declared.find_or_make(Hyperparamset, experiment.name, "hyperparamset", inputs, make)


def queue(experiment: Experiment, snapshot: str) -> Queue:
    """Make the Jobs of a snapshot; unchanged inputs give the same Queue."""
    cut = row_of(experiment, snapshot, Splitset, "splitset")
    combos = hyperparamset(experiment)
    algorithm = _algorithm(experiment)
    training = experiment.training
    counts: dict[str, Any] = {
        "repeat_count": training.repeat_count,
        "permute_count": training.permute_count,
        "seed": experiment.seed,
        "hyperparamset_id": None if combos is None else combos.id,
    }

    def make() -> Queue:
        return Queue.from_algorithm(
            algorithm.id, cut.id, description=experiment.description, **counts
        )

    inputs = [algorithm.id, cut.id, counts]
    return find_or_make(experiment, snapshot, Queue, "queue", inputs, make)


def job(experiment: Experiment, snapshot: str, job_key: str) -> Job:
    """Return the Job with this key in a snapshot's Queue.

    Raises:
        TrainingError: the Queue has no such Job; the message lists those there are.
    """
    jobs = {row.key: row for row in row_of(experiment, snapshot, Queue, "queue").jobs}
    if job_key not in jobs:
        message = f"job: {job_key!r} is none of {sorted(jobs)}."
        raise TrainingError(message)
    return jobs[job_key]


def prepare(experiment: Experiment, snapshot: str) -> Queue:
    """Walk from the source to the Queue, and return it untrained."""
    data.dataset(experiment, snapshot)
    data.feature(experiment, snapshot)
    if experiment.pipeline.label_columns:
        data.label(experiment, snapshot)
    data.splitset(experiment, snapshot)
    return queue(experiment, snapshot)


def run(
    experiment: Experiment, *, snapshot: str | None = None, workers: int | None = None
) -> Queue:
    """Walk the whole chain and train what is missing; no Dagster needed.

    Args:
        experiment: the declaration.
        snapshot: the key of "the data as of"; today's date by default.
        workers: processes that train side by side.

    Raises:
        TrainingError: Jobs failed; the others are recorded.
    """
    row = prepare(experiment, snapshot or today())
    row.run_jobs(workers=workers)
    return row


def _algorithm(experiment: Experiment) -> Algorithm:
    training = experiment.training
    given = {role: getattr(training, role) for role in FUNCTIONS}

    def make() -> Algorithm:
        return Algorithm.make(training.library, training.analysis_type, **given)

    inputs = [
        training.library,
        training.analysis_type,
        {role: None if fn is None else fingerprint(fn) for role, fn in given.items()},
    ]
    return Declared.find_or_make(Algorithm, experiment.name, "algorithm", inputs, make)
