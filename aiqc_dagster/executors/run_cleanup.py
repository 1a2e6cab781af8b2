"""Release concurrency slots of runs that were cancelled or killed.

Dagster frees a slot when the step ends. A cancelled run does not see its steps end, a killed one
not even its own end. Dagster's daemon frees slots of ended runs later, and fails killed runs that
it launched. Without a daemon, or after `dagster job execute`, a pool of one slot would stay
blocked. So a run frees its slots when it ends, and ends killed runs when it begins.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dagster as dg

from aiqc_core.orm.store import is_alive, this_process
from aiqc_dagster.executors._dagster_internals import EngineEventData

if TYPE_CHECKING:
    from collections.abc import Generator

logger = logging.getLogger(__name__)

PROCESS = "aiqc/process"  # metadata of an event in a run's log: the process that executes it
FIRST_EVENTS = 200  # among which it is
_GOING_ON = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


@contextmanager
def slots_given_back(instance: dg.DagsterInstance, run_id: str) -> Generator[None]:
    """Execute a run in the block: killed runs are ended first, and its own slots freed after.

    The process is noted in the run's own log: a tag would show in the list of all runs, and be
    inherited by a run that is executed again.
    """
    end_killed_runs(instance)
    owner = this_process()
    instance.report_engine_event(
        f"Process {owner['pid']} on {owner['host']} executes this run.",
        instance.get_run_by_id(run_id),
        EngineEventData(metadata={PROCESS: dg.MetadataValue.json(owner)}),
    )
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
        owner = _process_of(instance, run.run_id)
        if owner is None or is_alive(owner):
            continue
        process = f"{owner['pid']} on {owner['host']}"
        reason = f"Its process {process} is gone: killed, or out of memory."
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
        free_slots(instance, run.run_id)
        logger.warning("The run %s had not ended. %s", run.run_id, reason)
        ended.append(run.run_id)
    return ended


def _process_of(instance: dg.DagsterInstance, run_id: str) -> dict[str, Any] | None:
    """Return which process executes a run; None where no executor of ours noted it."""
    kind = dg.DagsterEventType.ENGINE_EVENT
    found = instance.get_records_for_run(run_id, of_type=kind, limit=FIRST_EVENTS)
    events = [record.event_log_entry.dagster_event for record in found.records]
    noted: Any = (e.engine_event_data.metadata.get(PROCESS) for e in events if e is not None)
    return next((process.value for process in noted if process is not None), None)


def free_slots(instance: dg.DagsterInstance, run_id: str) -> None:
    """Free the slots of pools that an ended run still holds."""
    if instance.event_log_storage.supports_global_concurrency_limits:
        instance.event_log_storage.free_concurrency_slots_for_run(run_id)
