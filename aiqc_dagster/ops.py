"""The steps that train, shared by the asset `predictor` and the jobs, and those before them."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from collections.abc import Iterator
from typing import Any, NamedTuple

import dagster as dg
from pydantic import Field

from aiqc_core import chain
from aiqc_core.experiment import Experiment
from aiqc_core.orm import Job, Predictor
from aiqc_core.orm.running import train_one
from aiqc_dagster import checks, metadata, partitions
from aiqc_dagster.stages import Stage, asset_key

TRAIN_POOL = "train"
RESOURCES = {"metastore"}
HELD_WAIT_SECONDS = 5
HELD_RETRIES = 720  # an hour, after which the run says that the Job is still missing


class SnapshotConfig(dg.Config):
    """As of which data to train."""

    snapshot: str = Field(
        default="",
        description="Key of the snapshot, such as 2026-11-25; today's date if empty.",
    )


def snapshot_op(experiment: Experiment) -> dg.OpDefinition:
    """Return the step that chooses a snapshot and makes it known to Dagster."""

    @dg.op(name=f"{experiment.name}_open_snapshot", required_resource_keys=RESOURCES)
    def open_snapshot(context: dg.OpExecutionContext, config: SnapshotConfig) -> str:
        """Choose the snapshot, and make it known to Dagster."""
        key = partitions.checked_snapshot(config.snapshot or chain.today())
        partitions.add_snapshot(context.instance, experiment, key)
        context.log.info("%s: snapshot %s", experiment.name, key)
        return key

    return open_snapshot


def stage_op(experiment: Experiment, stage: Stage) -> dg.OpDefinition:
    """Return a stage as a step that materialises and checks all its cells of a snapshot."""

    @dg.op(
        name=f"{experiment.name}_{stage.name}",
        description=stage.description,
        ins={"snapshot": dg.In(str), "upstream": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=RESOURCES,
    )
    def materialise(context: dg.OpExecutionContext, snapshot: str) -> None:
        for key in stage.dimension_keys(experiment):
            cell = stage.materialise(experiment, snapshot, key)
            event = cell.as_event(stage.key(experiment), stage.cell_key(snapshot, key))
            context.log_event(event)
            checks.report(context, experiment, stage, snapshot, key)

    return materialise


class TrainingOps(NamedTuple):
    """The three steps that train; one object each, for the asset and the job share them."""

    plan_jobs: dg.OpDefinition
    train_job: dg.OpDefinition
    finish_queue: dg.OpDefinition


def training_ops(experiment: Experiment) -> TrainingOps:
    """Return the steps that train the Jobs of an experiment."""
    return TrainingOps(_plan_jobs(experiment), _train_job(experiment), _finish_queue(experiment))


def _plan_jobs(experiment: Experiment) -> dg.OpDefinition:
    @dg.op(
        name=f"{experiment.name}_plan_jobs",
        ins={
            "snapshot": dg.In(str, default_value=""),
            "upstream": dg.In(dg.Nothing),
        },
        out={"selection": dg.Out(list), "missing": dg.DynamicOut(list)},
        required_resource_keys=RESOURCES,
    )
    def plan_jobs(context: dg.OpExecutionContext, snapshot: str) -> Iterator[Any]:
        """Find which of the selected Jobs lack a Predictor; report those that have one."""
        selection = _selected(context, experiment, snapshot)
        jobs = [_planned(experiment, *names) for names in selection]
        for names, job in zip(selection, jobs, strict=True):
            if job.missing():
                yield dg.DynamicOutput(names, partitions.mapping_key(names), "missing")
            else:
                _log_cell(context, experiment, names, job, found=True)
        lacking = sum(bool(job.missing()) for job in jobs)
        context.log.info(
            "%s: %d of %d Jobs are to be trained", experiment.name, lacking, len(jobs)
        )
        yield dg.Output([*selection, lacking], "selection")

    return plan_jobs


def _train_job(experiment: Experiment) -> dg.OpDefinition:
    @dg.op(
        name=f"{experiment.name}_train_job",
        ins={"names": dg.In(list)},
        out=dg.Out(int),
        pool=TRAIN_POOL,
        required_resource_keys=RESOURCES,
    )
    def train_job(context: dg.OpExecutionContext, names: list[str]) -> int:
        """Train one Job and report its cell the moment it is recorded."""
        job = _planned(experiment, *names)
        missing = job.missing()
        for repeat_index in missing:
            _refuse_failure(job, train_one(job, repeat_index))
        predictor = _log_cell(context, experiment, names, job, found=not missing)
        context.log.info(_line(experiment, job, predictor))
        return predictor.id

    return train_job


def _finish_queue(experiment: Experiment) -> dg.OpDefinition:
    @dg.op(
        name=f"{experiment.name}_finish_queue",
        ins={"selection": dg.In(list), "trained": dg.In(list)},
        # Inside a partitioned asset each cell was reported by its own step: yielding an output
        # would add a second, empty materialisation to each.
        out=dg.Out(dg.Nothing, is_required=False),
        required_resource_keys=RESOURCES,
    )
    def finish_queue(
        context: dg.OpExecutionContext, selection: list[Any], trained: list[int]
    ) -> Iterator[Any]:
        """Count what is recorded, and fail when anything that was selected is missing."""
        *cells, planned = selection
        lacking = [names for names in cells if _planned(experiment, *names).missing()]
        if lacking or len(trained) != planned:
            raise dg.Failure(_lacking(experiment, lacking, len(cells)), allow_retries=False)
        context.log.info(_finished(experiment, len(trained), len(cells)))
        if not context.has_partition_key and not context.has_partition_key_range:
            yield dg.Output(None)

    return finish_queue


def _selected(
    context: dg.OpExecutionContext, experiment: Experiment, snapshot: str
) -> list[list[str]]:
    """Return `[snapshot, job key]` of each cell: the run's partitions, or a whole snapshot."""
    if snapshot:
        chain.queue(experiment, snapshot)
        return [[snapshot, key] for key in experiment.job_keys()]
    cells = [partitions.split_cell(key, partitions.JOB) for key in context.partition_keys]
    for key in dict.fromkeys(snapshot for snapshot, _ in cells):
        chain.queue(experiment, key)
    return [list(cell) for cell in cells]


def _planned(experiment: Experiment, snapshot: str, job_key: str) -> Job:
    return chain.job(experiment, snapshot, job_key)


def _refuse_failure(job: Job, outcome: Any) -> None:
    if outcome is None:
        # Another run trains the same Job: two snapshots of equal content share their Queue.
        raise dg.RetryRequested(max_retries=HELD_RETRIES, seconds_to_wait=HELD_WAIT_SECONDS)
    if outcome.failure is not None:
        raise dg.Failure(
            f"Job {job.id} ({job.key}) failed: {outcome.failure.message}",
            metadata={
                "hyperparameters": job.hyperparameters,
                "reason": outcome.failure.kind,
                "traceback": dg.MetadataValue.md(f"```\n{outcome.failure.traceback}\n```"),
            },
            allow_retries=False,
        )


def _log_cell(
    context: dg.OpExecutionContext,
    experiment: Experiment,
    names: list[str],
    job: Job,
    *,
    found: bool,
) -> Predictor:
    """Report the cell of a trained Job, with the numbers of its first Predictor."""
    predictor = min(job.predictors, key=lambda row: row.repeat_index)
    snapshot, job_key = names
    context.log_event(
        dg.AssetMaterialization(
            asset_key=asset_key(experiment, "predictor"),
            partition=partitions.cell(snapshot, job=job_key),
            metadata=metadata.of_predictor(job, predictor, found=found),
            tags={"dagster/data_version": f"predictor_{predictor.id}"},
        )
    )
    return predictor


def _line(experiment: Experiment, job: Job, predictor: Predictor) -> str:
    metric = experiment.leading_metric
    scores = {s: m[metric] for s, m in predictor.predictions[0].metrics.items()}
    shown = ", ".join(f"{split} {score:.4f}" for split, score in scores.items())
    return f"{job.key} {job.hyperparameters}: {metric} {shown}"


def _lacking(experiment: Experiment, lacking: list[Any], selected: int) -> str:
    keys = ", ".join(job_key for _, job_key in lacking[:10]) or "their number differs"
    return (
        f"{experiment.name}: {len(lacking)} of {selected} selected Jobs have no Predictor "
        f"({keys}). Materialise them again: what is recorded is not trained twice."
    )


def _finished(experiment: Experiment, trained: int, selected: int) -> str:
    if trained == 0:
        return f"{experiment.name}: nothing to do, all {selected} Jobs were trained before"
    return f"{experiment.name}: {trained} trained, {selected - trained} found, of {selected} Jobs"
