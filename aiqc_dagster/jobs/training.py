"""The three steps that train: `plan_jobs`, `train_job` for each missing Job, `finish_queue`.

What they train is a `Work`: the Jobs of an experiment's snapshots, or those of a Queue that a
notebook made. An asset and a job share one set of steps.
"""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import dagster as dg
from pydantic import Field

from aiqc_core import frames
from aiqc_core.orm import Job, Predictor
from aiqc_core.orm.store import working_for
from aiqc_core.orm.training import Measure, train_one
from aiqc_dagster.assets import partitions
from aiqc_dagster.assets.partitions import CellKey
from aiqc_dagster.executors import gpu, kubernetes
from aiqc_dagster.resources import REQUIRED
from aiqc_dagster.ui import metadata
from aiqc_dagster.ui.markdown import fenced

BEFORE, HERE, MEANWHILE = "before this run", "in this run", "by another run"
HELD_WAIT_SECONDS = 5
HELD_RETRIES = 720  # an hour, after which the run says that the Job is still missing


class TrainingConfig(dg.Config):
    """What to train of what is selected."""

    force: bool = Field(
        default=False,
        description="Train the selected Jobs again although they have a Predictor. They get a new "
        "Queue, to which the others are taken over; the earlier Predictors stay.",
    )


@dataclass(frozen=True, slots=True)
class Selection:
    """What `plan_jobs` hands on to `finish_queue`.

    Attributes:
        cells: the selected Jobs.
        pending: how many of them lack a training.
        is_walk: whether a job walks all stages; else the cells of an asset are materialised.
    """

    cells: list[CellKey]
    pending: int
    is_walk: bool


class Work(Protocol):
    """Which Jobs there are to train, and the cells of the asset that shows them."""

    name: str
    asset: dg.AssetKey
    time_limit: float | None
    checkpoint_seconds: float | None

    def select(self, context: dg.OpExecutionContext, target: str, *, force: bool) -> list[CellKey]:
        """Return the cell of each selected Job: of a target, or of the run's partitions."""
        ...

    def job(self, cell: CellKey) -> Job:
        """Return the Job of a cell, which is about to be trained."""
        ...

    def jobs(self, cells: Sequence[CellKey]) -> Sequence[Job | None]:
        """Return the Jobs of cells; None for what a search has yet to suggest."""
        ...


class TrainingOps(NamedTuple):
    """The three steps that train; one object each, for the asset and the job share them."""

    plan_jobs: dg.OpDefinition
    train_job: dg.OpDefinition
    finish_queue: dg.OpDefinition

    def invoke(self, **inputs: Any) -> Any:
        """Connect the three inside a graph; `inputs` are those of `plan_jobs`."""
        selection, missing = self.plan_jobs(**inputs)
        trained = missing.map(self.train_job).collect()
        return self.finish_queue(selection=selection, trained=trained)


def steps(work: Work) -> TrainingOps:
    """Return the steps that train a work."""
    return TrainingOps(_plan_jobs(work), _train_job(work), _finish_queue(work))


def _plan_jobs(work: Work) -> dg.OpDefinition:
    @dg.op(
        name=f"{work.name}_plan_jobs",
        ins={"target": dg.In(str, default_value=""), "upstream": dg.In(dg.Nothing)},
        out={"selection": dg.Out(Selection), "missing": dg.DynamicOut(dict)},
        required_resource_keys=REQUIRED,
    )
    def plan_jobs(
        context: dg.OpExecutionContext, config: TrainingConfig, target: str
    ) -> Iterator[Any]:
        """Find which of the selected Jobs lack a Predictor; report those that have one."""
        gpu.limit_pool(context.instance)
        cells = work.select(context, target, force=config.force)
        pending = 0
        for cell, job in zip(cells, work.jobs(cells), strict=True):
            if job is None or job.missing():
                pending += 1
                kubernetes.refuse_too_many(pending)
                yield dg.DynamicOutput(cell, partitions.mapping_key(cell.values()), "missing")
            elif job.predictors.count():
                _log_cell(context, work, cell, job, BEFORE)
            else:
                context.log.info("%s: %s was pruned; it has no model to show", work.name, cell)
        context.log.info("%s: %d of %d Jobs are to be trained", work.name, pending, len(cells))
        yield dg.Output(Selection(cells, pending, bool(target)), "selection")

    return plan_jobs


def _train_job(work: Work) -> dg.OpDefinition:
    @dg.op(
        name=f"{work.name}_train_job",
        ins={"cell": dg.In(dict)},
        out=dg.Out(str),
        pool=gpu.train_pool(),
        tags=gpu.train_tags(work.time_limit),
        required_resource_keys=REQUIRED,
    )
    def train_job(context: dg.OpExecutionContext, cell: dict[str, str]) -> str:
        """Train one Job and report its cell the moment it is recorded; return who trained it."""
        job = work.job(cell)
        with working_for(context.run_id):
            for repeat_index in job.missing():
                outcome = train_one(job, repeat_index, checkpoint_seconds=work.checkpoint_seconds)
                _refuse_failure(context, job, outcome)
        trained = HERE if job.is_trained_in(context.run_id) else MEANWHILE
        predictor = _log_cell(context, work, cell, job, trained)
        metric = Measure.of_queue(job.queue).metric
        scores = {s: m.get(metric, math.nan) for s, m in predictor.prediction.metrics.items()}
        shown = ", ".join(f"{split} {score:.4f}" for split, score in scores.items())
        context.log.info("%s %s: %s %s", job.key, job.hyperparameters, metric, shown)
        return trained

    return train_job


def _finish_queue(work: Work) -> dg.OpDefinition:
    @dg.op(
        name=f"{work.name}_finish_queue",
        ins={"selection": dg.In(Selection), "trained": dg.In(list)},
        # Inside a partitioned asset each cell was reported by its own step: yielding an output
        # would add a second, empty materialisation to each.
        out=dg.Out(dg.Nothing, is_required=False),
        required_resource_keys=REQUIRED,
    )
    def finish_queue(
        context: dg.OpExecutionContext, selection: Selection, trained: list[str]
    ) -> Iterator[Any]:
        """Count what is recorded, and fail when anything that was selected is missing."""
        cells = selection.cells
        pairs = zip(cells, work.jobs(cells), strict=True)
        missing = [cell for cell, job in pairs if job is None or job.missing()]
        if missing or len(trained) != selection.pending:
            names = [[*cell.values()][-1] for cell in missing[:10]] or ["their number differs"]
            message = (
                f"{work.name}: {len(missing)} of {len(cells)} selected Jobs have no Predictor "
                f"({', '.join(names)}). Materialise them again: what is recorded is not trained "
                "twice."
            )
            raise dg.Failure(message, allow_retries=False)
        context.log.info(_finished(work, trained, len(cells)))
        if selection.is_walk:
            yield dg.Output(None)

    return finish_queue


def _refuse_failure(context: dg.OpExecutionContext, job: Job, outcome: Any) -> None:
    if outcome is None:
        # Another run trains the same Job: two snapshots of equal content share their Queue.
        raise dg.RetryRequested(max_retries=HELD_RETRIES, seconds_to_wait=HELD_WAIT_SECONDS)
    if outcome.failure is not None:
        # What is only metadata is seen in the UI, and not where a run is read as a log.
        context.log.error(
            "%s: %s\n%s", job.key, outcome.failure.message, frames.tail(outcome.failure.traceback)
        )
        raise dg.Failure(
            f"Job {job.id} ({job.key}) failed: {outcome.failure.message}",
            metadata={
                "hyperparameters": job.hyperparameters,
                "reason": outcome.failure.kind,
                "traceback": dg.MetadataValue.md(fenced(outcome.failure.traceback)),
            },
            allow_retries=False,
        )


def _log_cell(
    context: dg.OpExecutionContext, work: Work, cell: CellKey, job: Job, trained: str
) -> Predictor:
    """Report the cell of a trained Job, with the numbers of its first Predictor."""
    predictor = min(job.predictors, key=lambda row: row.repeat_index)
    context.log_event(
        dg.AssetMaterialization(
            asset_key=work.asset,
            partition=partitions.cell(**cell),
            metadata=metadata.of_predictor(job, predictor, trained),
            tags={"dagster/data_version": f"predictor_{predictor.id}"},
        )
    )
    return predictor


def _finished(work: Work, trained: list[str], selected: int) -> str:
    """Say how many Jobs this run trained, by what each step has seen of the record."""
    if not trained:
        return f"{work.name}: nothing to do, all {selected} Jobs were trained before"
    here, meanwhile = trained.count(HERE), trained.count(MEANWHILE)
    text = f"{work.name}: {here} trained, {selected - here} found, of {selected} Jobs"
    return f"{text}; {meanwhile} of those found were trained {MEANWHILE}" if meanwhile else text
