"""The schedule of an experiment: today's snapshot, trained when the source's content moved."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
from typing import Any

import dagster as dg

from aiqc_core import chain
from aiqc_core.experiment import Experiment
from aiqc_dagster import ops, partitions


def retrain(experiment: Experiment, job: dg.JobDefinition) -> list[dg.ScheduleDefinition]:
    """Return the schedule that the declaration asks for, if it does; a person turns it on."""
    if experiment.schedule is None:
        return []

    @dg.schedule(
        name=f"{experiment.name}_schedule",
        cron_schedule=experiment.schedule,
        execution_timezone=experiment.timezone,
        job=job,
        description=f"Looks at the source of {experiment.name}; adds the day's snapshot and "
        "retrains when its content moved or trainings are missing, else says that it skips.",
        required_resource_keys={"metastore"},
    )
    def tick(context: dg.ScheduleEvaluationContext) -> Any:
        found = chain.due(experiment)
        if not found.is_due:
            return dg.SkipReason(found.reason)
        when = context.scheduled_execution_time
        return request(context.instance, experiment, f"{when:%Y-%m-%d}", found.reason)

    return [tick]


def request(
    instance: dg.DagsterInstance,
    experiment: Experiment,
    snapshot: str,
    reason: str,
    *,
    run_key: str | None = None,
) -> dg.RunRequest:
    """Add a snapshot, and ask for the run that trains it; with a key it is asked for once."""
    partitions.add_snapshot(instance, experiment, snapshot)
    return dg.RunRequest(
        run_key=run_key,
        run_config=ops.snapshot_config(experiment, snapshot),
        tags={"aiqc/snapshot": snapshot, "aiqc/reason": reason},
    )
