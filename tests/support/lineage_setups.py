"""Queues whose Predictors cost nothing to make, for tests that read what rows remember."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from inference_setups import flat_build

from aiqc_core.orm import Algorithm, Queue
from aiqc_core.orm.training.record import record
from aiqc_core.orm.training.spec import spec_of
from aiqc_core.stages.train import run

if TYPE_CHECKING:
    from aiqc_core.orm import Splitset
    from aiqc_core.stages.train.spec import JobOutcome


def untrained(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Learn nothing: only what the rows remember matters."""
    return {}, model


def queued(splitset: Splitset, repeat_count: int = 1, seed: int = 1) -> Queue:
    """Return a Queue of a regression that learns nothing."""
    algorithm = Algorithm.make("pytorch", "regression", flat_build, untrained)
    return Queue.from_algorithm(
        algorithm.id, splitset.id, repeat_count=repeat_count, permute_count=0, seed=seed
    )


def recorded(splitset: Splitset, repeat_count: int = 1) -> Queue:
    """Record a Predictor for each Job, all of them with one outcome."""
    queue = queued(splitset, repeat_count)
    for job in queue.jobs:
        for index in range(repeat_count):
            attempt = job.claim(index)
            record(job, attempt, replace(_outcome(job), job_id=job.id, repeat_index=index))
    return queue


_kept: dict[str, JobOutcome] = {}


def _outcome(job: Any) -> JobOutcome:
    if not _kept:
        _kept["any"] = run.run(spec_of(job, 0))
        assert _kept["any"].failure is None
    return _kept["any"]
