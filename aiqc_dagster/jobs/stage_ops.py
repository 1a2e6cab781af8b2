"""The steps of a job around its training: choosing a snapshot, and walking the stages."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from typing import Any

import dagster as dg
from pydantic import Field

from aiqc_core.experiment import Experiment, workflow
from aiqc_core.orm import Queue
from aiqc_dagster.assets import checks, partitions
from aiqc_dagster.assets.stages import Stage
from aiqc_dagster.resources import REQUIRED

PARTITION_TAG = "dagster/partition"


class SnapshotConfig(dg.Config):
    """As of which data to train."""

    snapshot: str = Field(
        default="",
        description="Key of the snapshot, such as 2026-11-25. If empty, the run's tag "
        "dagster/partition, else today's date, with the time where that names other content.",
    )


class QueueConfig(dg.Config):
    """Which Queue to train."""

    queue_id: int = Field(description="Id of the Queue, as queue.id gives it in a notebook.")


def queue_op() -> dg.OpDefinition:
    """Return the step that opens a Queue."""

    @dg.op(required_resource_keys=REQUIRED)
    def open_queue(context: dg.OpExecutionContext, config: QueueConfig) -> str:
        """Find the Queue; an unknown one fails the run before anything is trained."""
        queue = Queue.get_by_id(config.queue_id)
        context.instance.add_run_tags(context.run_id, {"aiqc/queue": str(queue.id)})
        context.log.info("Queue %d: %d runs in all", queue.id, queue.total_runs)
        return str(queue.id)

    return open_queue


def snapshot_op(experiment: Experiment) -> dg.OpDefinition:
    """Return the step that chooses a snapshot and makes it known to Dagster."""

    @dg.op(name=f"{experiment.name}_open_snapshot", required_resource_keys=REQUIRED)
    def open_snapshot(context: dg.OpExecutionContext, config: SnapshotConfig) -> str:
        """Choose the snapshot, and make it known to Dagster."""
        tagged = context.run.tags.get(PARTITION_TAG)
        key = partitions.checked_snapshot(
            config.snapshot or tagged or workflow.present_snapshot(experiment)
        )
        partitions.add_snapshot(context.instance, experiment, key)
        context.instance.add_run_tags(context.run_id, {"aiqc/snapshot": key})
        context.log.info("%s: snapshot %s", experiment.name, key)
        return key

    return open_snapshot


def snapshot_config(experiment: Experiment, key: str) -> dict[str, Any]:
    """Return the run config of `retrain_<experiment>` that chooses a snapshot."""
    return {"ops": {f"{experiment.name}_open_snapshot": {"config": {"snapshot": key}}}}


def stage_op(experiment: Experiment, stage: Stage) -> dg.OpDefinition:
    """Return a stage as a step that materialises and checks all its cells of a snapshot."""

    @dg.op(
        name=f"{experiment.name}_{stage.name}",
        description=stage.description,
        ins={"snapshot": dg.In(str), "upstream": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=REQUIRED,
    )
    def materialise(context: dg.OpExecutionContext, snapshot: str) -> None:
        for key in stage.dimension_keys(experiment):
            cell = stage.materialise(experiment, snapshot, key)
            event = cell.as_event(stage.key(experiment), stage.cell_key(snapshot, key))
            context.log_event(event)
            checks.report(context, experiment, stage, snapshot, key)

    return materialise
