"""Sensors: a source that changed, a run that failed."""

# Dagster compares the annotation of `context` itself, so annotations are not postponed here.
import time
from pathlib import Path
from typing import Any

import dagster as dg

from aiqc_core.experiment import Experiment, workflow
from aiqc_dagster.automation import requests

SOURCE_SECONDS = 30
CURSOR_SEPARATOR = "#"  # between the file's stamp and the number of looks that found a new one
RETRY_SECONDS = 30
RETRY_TAG = "aiqc/retry"
MAX_RETRIES = 3
FIRST_WAIT_SECONDS = 60
WAIT_GROWTH = 5  # after 1, 5 and 25 minutes


def build(experiment: Experiment, job: dg.JobDefinition) -> list[dg.SensorDefinition]:
    """Return the sensors of an experiment; a person turns them on."""
    watching = [_source(experiment, job)] if isinstance(experiment.source, Path) else []
    return [*watching, _retry(experiment, job)]


def _source(experiment: Experiment, job: dg.JobDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{experiment.name}_source",
        job=job,
        minimum_interval_seconds=SOURCE_SECONDS,
        description=f"Looks at the file of {experiment.name}; when it changed and its content "
        "moved, adds a snapshot and retrains.",
        required_resource_keys={"metastore"},
    )
    def source(context: dg.SensorEvaluationContext) -> Any:
        try:
            stamp = _stamp(experiment)
        except OSError as error:
            return dg.SkipReason(f"{experiment.source} is not there: {error.strerror}.")
        seen, _, number = (context.cursor or "").partition(CURSOR_SEPARATOR)
        if stamp == seen:
            return dg.SkipReason("The file is as it was at the last look.")
        asked = (int(number) if number.isdecimal() else 0) + 1  # a person may edit the cursor
        found = workflow.due(experiment)
        # Never of content alone: Dagster runs a key once, and content may come back.
        wanted = f"{stamp}_{asked}_{found.digest[: requests.DIGITS]}"
        key = requests.unseen_key(context.instance, f"{experiment.name}_source", wanted)
        answer = requests.retrain(context.instance, experiment, found, run_key=key)
        if not found.is_due or isinstance(answer, dg.RunRequest):
            # Else a run is under way, which may be cancelled: the next tick looks again.
            context.update_cursor(f"{stamp}{CURSOR_SEPARATOR}{asked}")
        return answer

    return source


def _retry(experiment: Experiment, job: dg.JobDefinition) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{experiment.name}_retry",
        job=job,
        minimum_interval_seconds=RETRY_SECONDS,
        description=f"Runs {job.name} again when its newest run failed, after 1, 5 and 25 "
        "minutes; only what is missing is trained.",
    )
    def retry(context: dg.SensorEvaluationContext) -> Any:
        records = requests.own_records(context, job.name)
        if not records or records[0].dagster_run.status != dg.DagsterRunStatus.FAILURE:
            return dg.SkipReason(f"The newest run of {job.name} did not fail.")
        run, ended = records[0].dagster_run, records[0].end_time
        tried = int(run.tags.get(RETRY_TAG, "0"))
        if tried >= MAX_RETRIES:
            return dg.SkipReason(f"Run {run.run_id} was the last of {MAX_RETRIES} retries.")
        wait = FIRST_WAIT_SECONDS * WAIT_GROWTH**tried
        left = (ended or time.time()) + wait - time.time()
        if left > 0:
            return dg.SkipReason(f"Run {run.run_id} failed; it is tried again in {left:.0f} s.")
        kept = {name: value for name, value in run.tags.items() if name.startswith("aiqc/")}
        return dg.RunRequest(
            run_key=requests.unseen_key(
                context.instance, f"{experiment.name}_retry", f"retry_{run.run_id}"
            ),
            run_config=run.run_config,
            tags=kept | {RETRY_TAG: str(tried + 1), "aiqc/retry_of": run.run_id},
        )

    return retry


def _stamp(experiment: Experiment) -> str:
    stat = Path(str(experiment.source)).stat()
    # With the time of the last change of any kind, which no program that copies a file sets.
    return f"{stat.st_mtime_ns}_{stat.st_size}_{stat.st_ctime_ns}"
