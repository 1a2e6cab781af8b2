"""The jobs: an experiment's whole chain in one run, and a Queue that a notebook made."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
import dagster as dg
from pydantic import Field

from aiqc_core.experiment import Experiment, workflow
from aiqc_core.orm import Queue
from aiqc_dagster.assets import checks, partitions, stages
from aiqc_dagster.assets.stages import Stage
from aiqc_dagster.jobs.training import TrainingOps
from aiqc_dagster.resources import REQUIRED

PARTITION_TAG = "dagster/partition"
AFTER_TRAINING = ("leaderboard", "champion")


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


def retrain(experiment: Experiment, training: TrainingOps) -> dg.JobDefinition:
    """Return `retrain_<experiment>`: from the source to the champion, training what is missing.

    It emits the same events as the assets, so that every cell it touches turns green, and shares
    the steps of `training` with them.
    """
    chain = stages.of(experiment)
    steps = {name: _stage_op(experiment, stage) for name, stage in chain.items()}

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

    @dg.graph(name=f"{experiment.name}_retrain_walk")
    def walk() -> None:
        key = open_snapshot()
        done = {}
        for name, stage in chain.items():
            if name not in AFTER_TRAINING:
                upstream = [done[up] for up in stage.upstream]
                done[name] = steps[name](snapshot=key, upstream=upstream)
        finished = training.invoke(target=key, upstream=[done["samples"], done["hyperparamcombo"]])
        ranked = steps["leaderboard"](snapshot=key, upstream=[finished])
        steps["champion"](snapshot=key, upstream=[ranked])

    # A name of its own: retrain_a_label may be the job of a_label and a step of retrain_a.
    return walk.to_job(
        name=f"retrain_{experiment.name}",
        description=f"Retrain {experiment.name} on the source's present content, in one run.",
        tags={"aiqc/experiment": experiment.name},
    )


def run_queue(training: TrainingOps) -> dg.JobDefinition:
    """Return `run_queue`: train what a notebook's Queue lacks; its Jobs appear as cells."""

    @dg.op(required_resource_keys=REQUIRED)
    def open_queue(context: dg.OpExecutionContext, config: QueueConfig) -> str:
        """Find the Queue; an unknown one fails the run before anything is trained."""
        queue = Queue.get_by_id(config.queue_id)
        context.instance.add_run_tags(context.run_id, {"aiqc/queue": str(queue.id)})
        context.log.info("Queue %d: %d runs in all", queue.id, queue.total_runs)
        return str(queue.id)

    @dg.job(
        name="run_queue",
        description="Train what a Queue of the metastore lacks. Its Jobs appear as cells of "
        "notebook/predictor, so that work done outside of a declaration is seen too.",
        tags={"aiqc/experiment": "notebook"},
    )
    def walk() -> None:
        training.invoke(target=open_queue())

    return walk


def _stage_op(experiment: Experiment, stage: Stage) -> dg.OpDefinition:
    """Return a stage as a step that materialises and checks all its cells of a snapshot."""

    @dg.op(
        name=f"{experiment.name}_{stage.name}",
        description=stage.description,
        ins={"snapshot": dg.In(str), "upstream": dg.In(dg.Nothing)},
        out=dg.Out(dg.Nothing),
        required_resource_keys=REQUIRED,
    )
    def materialise(context: dg.OpExecutionContext, snapshot: str) -> None:
        for cell in stage.cells(experiment, snapshot):
            made = stage.materialise(experiment, **cell)
            context.log_event(made.as_event(stage.key(experiment), partitions.cell(**cell)))
            checks.report(context, experiment, stage, cell)

    return materialise
