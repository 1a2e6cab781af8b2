"""Runs that end in any way hold no slot of a pool, and are not shown as running for good.

Dagster frees a slot when its step ends. Of a run that is cancelled, steps end unheard; of one that
is killed, so does the run itself. Its daemon frees the slots of runs that ended, some time later,
and fails killed runs, if it launched them. Without a daemon, or after `dagster job execute`, a
pool of one slot would be blocked for good. So a run gives back what it holds when it ends, and
looks for killed ones when it begins.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from aiqc_core.orm import liveness

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger(__name__)

PROCESS_TAG = "aiqc/process"  # of a run: which process executes it
_GOING_ON = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@contextmanager
def slots_given_back(instance: dg.DagsterInstance, run_id: str) -> Generator[None]:
    """Execute a run in the block: killed runs are ended first, and its own slots freed after."""
    end_killed_runs(instance)
    # With the run's id, since a run that is executed again inherits its parent's tags.
    owner = liveness.this_process() | {"run": run_id}
    instance.add_run_tags(run_id, {PROCESS_TAG: json.dumps(owner)})
    try:
        yield
    finally:
        free_slots(instance, run_id)


def end_killed_runs(instance: dg.DagsterInstance, job: str | None = None) -> list[str]:
    """Record the end of runs whose process is gone, and free their slots; return their ids.

    A process on another machine, or in another container, is not visible and counts as alive.
    """
    ended: list[str] = []
    for run in instance.get_runs(dg.RunsFilter(job_name=job, statuses=_GOING_ON)):
        owner = json.loads(run.tags.get(PROCESS_TAG, "{}"))
        if owner.get("run") != run.run_id or liveness.is_alive(owner):
            continue
        told = f"Its process {owner['pid']} on {owner['host']} is gone: killed, or out of memory."
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, told)
        else:
            instance.report_run_failed(run, told)
        free_slots(instance, run.run_id)
        logger.warning("The run %s had not ended. %s", run.run_id, told)
        ended.append(run.run_id)
    return ended


def free_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free what a run that executes no more still holds in pools."""
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
