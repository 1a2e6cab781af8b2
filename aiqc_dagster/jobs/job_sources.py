"""What there is to train: the Jobs of a declared experiment, and those of a notebook's Queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from aiqc_core.experiment import workflow
from aiqc_core.orm import Queue
from aiqc_core.orm.training import jobs_of, jobs_with_indices
from aiqc_dagster.assets import partitions
from aiqc_dagster.assets.stages import asset_key
from aiqc_dagster.build import stores
from aiqc_dagster.executors.warm_pool import worker_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.experiment import Experiment
    from aiqc_core.orm import Job
    from aiqc_dagster.jobs.training import Names


ADAPTIVE = (
    "force: a search that results steer is not trained again by parts; change the experiment's "
    "seed to search again."
)


class ExperimentWork:
    """The Jobs of an experiment's snapshots; a name is `[snapshot, job key]`."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.name = experiment.name
        self.asset = asset_key(experiment, "predictor")
        limit, repeats = experiment.training.time_limit, experiment.training.repeat_count
        self.checkpoint_seconds = experiment.training.checkpoint_seconds
        self.time_limit = None if limit is None else limit * repeats

    def select(self, context: dg.OpExecutionContext, target: str, *, force: bool) -> list[Names]:
        """Return every Job of the snapshot `target`, or the cells of the run."""
        stores.claim(context.instance, self.experiment)
        if target:
            names = [[target, key] for key in self.experiment.job_keys()]
        else:
            cells = context.partition_keys
            names = [list(partitions.split_cell(cell, partitions.JOB)) for cell in cells]
        for snapshot in dict.fromkeys(name[0] for name in names):
            if force and self.experiment.is_adaptive:
                raise dg.Failure(ADAPTIVE, allow_retries=False)
            if force:
                chosen = {key for other, key in names if other == snapshot}
                workflow.renew(self.experiment, snapshot, chosen)
            else:
                workflow.queue(self.experiment, snapshot)
        return names

    def job(self, names: Names) -> Job:
        """Return one Job; of a search that results steer, its combination is suggested now."""
        snapshot, key = names
        return workflow.job(self.experiment, snapshot, key, in_flight=worker_count(None))

    def jobs(self, names: Sequence[Names]) -> list[Job | None]:
        """Return the Jobs with these names, a query for each snapshot."""
        found: dict[tuple[str, str], Job | None] = {}
        for snapshot in dict.fromkeys(name[0] for name in names):
            keys = [key for other, key in names if other == snapshot]
            rows = workflow.jobs(self.experiment, snapshot, keys)
            found |= {(snapshot, key): row for key, row in zip(keys, rows, strict=True)}
        return [found[snapshot, key] for snapshot, key in names]

    def cell(self, names: Names) -> str:
        """Return the cell `snapshot × job`."""
        snapshot, job_key = names
        return partitions.cell(snapshot, **{partitions.JOB: job_key})


class NotebookWork:
    """The Jobs of Queues that notebooks made; a name is `[partition key]`."""

    name = "notebook"
    asset = dg.AssetKey(["notebook", "predictor"])
    time_limit: float | None = None
    checkpoint_seconds: float | None = None

    def select(self, context: dg.OpExecutionContext, target: str, *, force: bool) -> list[Names]:
        """Return every Job of the Queue `target`, made known to Dagster, or the run's cells."""
        if force:
            raise dg.Failure(
                "force: a Queue of a notebook is not trained again; make another one with "
                "Queue.from_algorithm.",
                allow_retries=False,
            )
        stores.claim(context.instance, stores.NOTEBOOK)
        if not target:
            return [[key] for key in context.partition_keys]
        keys = [_key(job) for job in jobs_of(Queue.get_by_id(int(target)))]
        partitions.add_notebook_jobs(context.instance, keys)
        return [[key] for key in keys]

    def job(self, names: Names) -> Job:
        """Return one Job."""
        return self.jobs([names])[0]

    def jobs(self, names: Sequence[Names]) -> list[Job]:
        """Return the Jobs with these names, a query for each Queue."""
        keys = [key for (key,) in names]
        wanted: dict[int, set[int]] = {}
        for queue_id, _, combo in map(partitions.split_notebook_job, keys):
            wanted.setdefault(queue_id, set()).update(() if combo is None else (combo,))
        rows = [
            job for queue, combos in wanted.items() for job in jobs_with_indices(queue, combos)
        ]
        found = {_key(job): job for job in rows}
        unknown = [key for key in keys if key not in found]
        if unknown:
            message = (
                f"partition: {unknown[:10]} name no Job; those there are: {list(found)[:20]}."
            )
            raise dg.Failure(message, allow_retries=False)
        return [found[key] for key in keys]

    def cell(self, names: Names) -> str:
        """Return the partition key."""
        return names[0]


def _key(job: Job) -> str:
    combo = None if job.hyperparamcombo is None else job.hyperparamcombo.idx
    fold = None if job.fold is None else job.fold.idx
    return partitions.notebook_job(job.queue_id, fold, combo)
