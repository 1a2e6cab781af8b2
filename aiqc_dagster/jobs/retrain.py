"""The jobs: an experiment's whole chain in one run, and a Queue that a notebook made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from aiqc_dagster.assets import stages
from aiqc_dagster.jobs import stage_ops

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment
    from aiqc_dagster.jobs.training import TrainingOps

AFTER_TRAINING = ("leaderboard", "champion")


def retrain(experiment: Experiment, training: TrainingOps) -> dg.JobDefinition:
    """Return `retrain_<experiment>`: from the source to the champion, training what is missing.

    It emits the same events as the assets, so that every cell it touches turns green, and shares
    the steps of `training` with them.
    """
    open_snapshot = stage_ops.snapshot_op(experiment)
    chain = stages.of(experiment)
    steps = {name: stage_ops.stage_op(experiment, stage) for name, stage in chain.items()}

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
    open_queue = stage_ops.queue_op()

    @dg.job(
        name="run_queue",
        description="Train what a Queue of the metastore lacks. Its Jobs appear as cells of "
        "notebook/predictor, so that work done outside of a declaration is seen too.",
        tags={"aiqc/experiment": "notebook"},
    )
    def walk() -> None:
        training.invoke(target=open_queue())

    return walk
