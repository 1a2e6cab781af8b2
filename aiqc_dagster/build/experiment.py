"""Definitions of experiments, and of the Queues that notebooks made: a code location."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_dagster.assets import assets, checks, prediction
from aiqc_dagster.automation import schedules, sensors
from aiqc_dagster.automation.notify import NotifierResource, on_failure
from aiqc_dagster.executors import choose
from aiqc_dagster.jobs import gc, training
from aiqc_dagster.jobs import retrain as jobs
from aiqc_dagster.jobs.job_sources import ExperimentWork, NotebookWork
from aiqc_dagster.resources import CacheResource, MetastoreResource, handed_on

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment


def build(found: list[Experiment]) -> dg.Definitions:
    """Return assets, their checks and jobs of experiments, run by the warm pool."""
    return whole(*map(of_experiment, found))


def whole(*parts: dg.Definitions) -> dg.Definitions:
    """Return a code location: these parts, and what all experiments share."""
    return dg.Definitions.merge(*parts, of_notebooks(), of_everything())


def of_experiment(experiment: Experiment) -> dg.Definitions:
    """Return the assets, checks, jobs, schedule and sensors of an experiment."""
    with warnings.catch_warnings():
        # Mappings, backfill policies and partitioned checks are beta or preview, and wanted.
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        steps = training.steps(ExperimentWork(experiment))
        retrain = jobs.retrain(experiment, steps)
        return dg.Definitions(
            assets=[*assets.build(experiment, steps), prediction.asset(experiment)],
            asset_checks=[*checks.build(experiment), prediction.check(experiment)],
            jobs=[retrain, prediction.job(experiment)],
            schedules=schedules.retrain(experiment, retrain),
            sensors=sensors.build(experiment, retrain),
        )


def of_notebooks() -> dg.Definitions:
    """Return the asset and the job that train Queues which a notebook made."""
    steps = training.steps(NotebookWork())
    return dg.Definitions(assets=[assets.notebook(steps)], jobs=[jobs.run_queue(steps)])


def of_everything() -> dg.Definitions:
    """Return what all experiments share: resources, notifications, and the executor."""
    return dg.Definitions(
        resources={
            "metastore": MetastoreResource(),
            "cache": CacheResource(),
            "notifier": NotifierResource(),
            **handed_on(),
        },
        jobs=[gc.job()],
        sensors=[on_failure()],
        executor=choose.chosen(),
    )
