"""Request runs of `retrain_<e>`, each once, whatever Dagster has seen before."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

import dagster as dg

from aiqc_core.experiment import workflow
from aiqc_dagster.assets import partitions
from aiqc_dagster.build import stores
from aiqc_dagster.executors import run_cleanup

if TYPE_CHECKING:
    from datetime import datetime

    from aiqc_core.experiment import Experiment
    from aiqc_core.experiment.workflow import Due

SNAPSHOT_TAG, REASON_TAG, CONTENT_TAG = "aiqc/snapshot", "aiqc/reason", "aiqc/content"
RUN_KEY_TAG, SENSOR_TAG = "dagster/run_key", "dagster/sensor_name"
DIGITS = 16  # of a content's digest
RECORDS = 50  # of the newest runs of a job's name, of whatever code location
LAUNCH_SECONDS = 300  # a run that nothing has launched by then never will be
_Status = dg.DagsterRunStatus
UNDER_WAY = [
    _Status.NOT_STARTED, _Status.MANAGED, _Status.QUEUED, _Status.STARTING, _Status.STARTED,
    _Status.CANCELING,
]  # fmt: skip


def retrain(
    instance: dg.DagsterInstance,
    experiment: Experiment,
    found: Due,
    *,
    when: datetime | None = None,
    run_key: str | None = None,
) -> dg.RunRequest | dg.SkipReason:
    """Request the run that trains what is due, or say why there is none.

    The snapshot is the day's, by the time of a schedule's tick, `when`; where that names other
    content, or another run is about to fill it, it is named by date and time. Without `when` it is
    named by date and time. Dagster runs a request once by its `run_key`.
    """
    if not found.is_due:
        return dg.SkipReason(found.reason)
    stores.claim(instance, experiment)
    runs = _under_way(instance, experiment)
    content = found.digest[:DIGITS]
    for run in runs:
        same_snapshot = found.is_moved is False and run.tags.get(SNAPSHOT_TAG) == found.snapshot
        if run.tags.get(CONTENT_TAG) == content or same_snapshot:
            return dg.SkipReason(f"Run {run.run_id} is under way and trains this content.")
    taken = {run.tags[SNAPSHOT_TAG] for run in runs if SNAPSHOT_TAG in run.tags}
    snapshot = workflow.free_key(experiment, found.digest, when, finest=when is None, taken=taken)
    partitions.add_snapshot(instance, experiment, snapshot)
    config = {"config": {"snapshot": snapshot}}
    return dg.RunRequest(
        run_key=run_key,
        run_config={"ops": {f"{experiment.name}_open_snapshot": config}},
        tags={SNAPSHOT_TAG: snapshot, REASON_TAG: found.reason, CONTENT_TAG: content},
    )


def unseen_key(instance: dg.DagsterInstance, sensor: str, wanted: str) -> str:
    """Return a run key under which Dagster has no run of a sensor: else it drops the request.

    Asked twice before the run is there, it is the same key, and the run is made once.
    """
    names = (wanted if number == 1 else f"{wanted}_{number}" for number in count(1))
    return next(
        key
        for key in names
        if not instance.get_runs(
            dg.RunsFilter(tags={RUN_KEY_TAG: key, SENSOR_TAG: sensor}), limit=1
        )
    )


def own_records(context: dg.SensorEvaluationContext, job: str) -> list[dg.RunRecord]:
    """Return the newest run of a job: of this code location, or of a command that names none."""
    origin = context.code_location_origin
    location = None if origin is None else origin.location_name
    found: Any = context.instance.get_run_records(dg.RunsFilter(job_name=job), limit=RECORDS)
    origins = ((record, record.dagster_run.remote_job_origin) for record in found)
    return [record for record, of in origins if of is None or of.location_name == location][:1]


def _under_way(instance: dg.DagsterInstance, experiment: Experiment) -> list[dg.DagsterRun]:
    """Return the runs of `retrain_<e>` that have not ended; those that were killed are ended."""
    wanted: Any = dg.RunsFilter(job_name=f"retrain_{experiment.name}", statuses=UNDER_WAY)
    run_cleanup.end_killed_runs(instance, job=wanted.job_name)
    oldest = time.time() - LAUNCH_SECONDS
    return [
        record.dagster_run
        for record in instance.get_run_records(wanted)
        if record.dagster_run.status != _Status.NOT_STARTED
        or record.create_timestamp.timestamp() > oldest
    ]
