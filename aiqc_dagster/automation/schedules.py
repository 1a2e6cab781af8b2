"""The schedule of an experiment: a snapshot for each content that a tick finds due."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from typing import Any

import dagster as dg

from aiqc_core.experiment import Experiment, workflow
from aiqc_dagster.automation import requests


def retrain(experiment: Experiment, job: dg.JobDefinition) -> list[dg.ScheduleDefinition]:
    """Return the schedule that the declaration asks for, if it does; a person turns it on."""
    if experiment.schedule is None:
        return []

    @dg.schedule(
        name=f"{experiment.name}_schedule",
        cron_schedule=experiment.schedule,
        execution_timezone=experiment.timezone,
        job=job,
        description=f"Looks at the source of {experiment.name}; adds a snapshot and "
        "retrains when its content moved or trainings are missing, else says that it skips.",
        required_resource_keys={"metastore"},
    )
    def tick(context: dg.ScheduleEvaluationContext) -> Any:
        found, when = workflow.due(experiment), context.scheduled_execution_time
        return requests.retrain(context.instance, experiment, found, when=when)

    return [tick]
