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
    from aiqc_dagster.assets.partitions import CellKey


ADAPTIVE = (
    "force: a search that results steer is not trained again by parts; change the experiment's "
    "seed to search again."
)


class ExperimentWork:
    """The Jobs of an experiment's snapshots; a cell is `snapshot × job`."""

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.name = experiment.name
        self.asset = asset_key(experiment, "predictor")
        limit, repeats = experiment.training.time_limit, experiment.training.repeat_count
        self.checkpoint_seconds = experiment.training.checkpoint_seconds
        self.time_limit = None if limit is None else limit * repeats

    def select(self, context: dg.OpExecutionContext, target: str, *, force: bool) -> list[CellKey]:
        """Return every Job of the snapshot `target`, or the cells of the run."""
        stores.claim(context.instance, self.experiment)
        if target:
            jobs = self.experiment.job_keys()
            cells: list[CellKey] = [{"snapshot": target, "job": key} for key in jobs]
        else:
            cells = [partitions.split_cell(key, partitions.JOB) for key in context.partition_keys]
        for snapshot, keys in _by_snapshot(cells).items():
            if force and self.experiment.is_adaptive:
                raise dg.Failure(ADAPTIVE, allow_retries=False)
            if force:
                workflow.renew(self.experiment, snapshot, set(keys))
            else:
                workflow.queue(self.experiment, snapshot)
        return cells

    def job(self, cell: CellKey) -> Job:
        """Return one Job; of a search that results steer, its combination is suggested now."""
        in_flight = worker_count(None)
        return workflow.job(self.experiment, cell["snapshot"], cell["job"], in_flight=in_flight)

    def jobs(self, cells: Sequence[CellKey]) -> list[Job | None]:
        """Return the Jobs of these cells, a query for each snapshot."""
        found: dict[tuple[str, str], Job | None] = {}
        for snapshot, keys in _by_snapshot(cells).items():
            rows = workflow.jobs(self.experiment, snapshot, keys)
            found |= {(snapshot, key): row for key, row in zip(keys, rows, strict=True)}
        return [found[cell["snapshot"], cell["job"]] for cell in cells]


def _by_snapshot(cells: Sequence[CellKey]) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for cell in cells:
        keys.setdefault(cell["snapshot"], []).append(cell["job"])
    return keys


class NotebookWork:
    """The Jobs of Queues that notebooks made."""

    name = "notebook"
    asset = dg.AssetKey(["notebook", "predictor"])
    time_limit: float | None = None
    checkpoint_seconds: float | None = None

    def select(self, context: dg.OpExecutionContext, target: str, *, force: bool) -> list[CellKey]:
        """Return every Job of the Queue `target`, made known to Dagster, or the run's cells."""
        if force:
            raise dg.Failure(
                "force: a Queue of a notebook is not trained again; make another one with "
                "Queue.from_algorithm.",
                allow_retries=False,
            )
        stores.claim(context.instance, stores.NOTEBOOK)
        if target:
            keys: Sequence[str] = [_key(job) for job in jobs_of(Queue.get_by_id(int(target)))]
            partitions.add_notebook_jobs(context.instance, keys)
        else:
            keys = context.partition_keys
        return [{partitions.NOTEBOOK: key} for key in keys]

    def job(self, cell: CellKey) -> Job:
        """Return one Job."""
        return self.jobs([cell])[0]

    def jobs(self, cells: Sequence[CellKey]) -> list[Job]:
        """Return the Jobs of these cells, a query for each Queue."""
        keys = [cell[partitions.NOTEBOOK] for cell in cells]
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


def _key(job: Job) -> str:
    combo = None if job.hyperparamcombo is None else job.hyperparamcombo.idx
    fold = None if job.fold is None else job.fold.idx
    return partitions.notebook_job(job.queue_id, fold, combo)
