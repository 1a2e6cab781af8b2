"""The default executor: one pool of warm worker processes for each run.

Dagster's own multiprocess executor starts a process for every step, which imports the frameworks
and loads the definitions before it works for a moment. Here a worker does this once and takes
step after step. Scheduling stays with Dagster's `StepDelegatingExecutor` (pools, tag limits,
retries, dynamic mapping, interrupts); a worker runs what `dagster api execute_step` runs.

The pool lives as long as the run, so a run sees the code as it was when its workers started.
"""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dagster as dg

import aiqc_dagster.executors._dagster_internals as internals
from aiqc_core.errors import TrainingError
from aiqc_core.workers.pool import Finished, WarmPool
from aiqc_dagster.executors import delegating
from aiqc_dagster.executors.gpu import DEVICE_TAG, limit_pool
from aiqc_dagster.executors.run_cleanup import slots_given_back
from aiqc_dagster.settings import settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

_SLEEP_SECONDS = 0.02  # between two rounds of Dagster's loop
_NEWS_SECONDS = 0.5  # the event log is read that often while no step ends, and when one does
_PREPARED = 4  # workers started at once when steps are mapped; idle ones cost memory
_PREPARE = "aiqc_dagster.executors.warm_pool:prepare"
_RUN_STEP = "aiqc_dagster.executors.warm_pool:run_step"


@dg.executor(
    name="warm_pool",
    config_schema=delegating.config_schema(
        "The most worker processes, and so steps, at a time. By default the environment"
        " variable AIQC_WORKERS, else the number of cores."
    ),
    requirements=dg.multiple_process_executor_requirements(),
)
def warm_pool_executor(init_context: dg.InitExecutorContext) -> WarmPoolExecutor:
    """Execute the steps of a run in warm worker processes, one step after another in each."""
    settings = delegating.settings(init_context)
    return WarmPoolExecutor(worker_count(settings.pop("max_concurrent")), settings)


def worker_count(configured: int | None) -> int:
    """Return how many workers a run may have: as configured, else `$AIQC_WORKERS`, else cores.

    Raises:
        TrainingError: The number is below 1, or the variable holds no whole number.
    """
    count = settings.workers if configured is None else configured
    if count is not None and count < 1:
        raise TrainingError(
            f"max_concurrent={count!r}: give a whole number of at least 1, or leave it out."
        )
    return count or os.cpu_count() or 1


class WarmPoolExecutor(internals.StepDelegatingExecutor):
    """Dagster's delegating executor around one `WarmPool`."""

    def __init__(self, size: int, settings: dict[str, Any]) -> None:
        """Set up; no process is started before there is a step to run."""
        self._handler, self._size = _WarmStepHandler(), size
        super().__init__(
            self._handler, sleep_seconds=_SLEEP_SECONDS, max_concurrent=size, **settings
        )

    def execute(
        self,
        plan_context: internals.PlanOrchestrationContext,
        execution_plan: internals.ExecutionPlan,
    ) -> Generator[dg.DagsterEvent]:
        """Run the plan; the workers are gone when this returns, raises or is abandoned."""
        limit_pool(plan_context.instance)
        held = slots_given_back(plan_context.instance, plan_context.run_id)
        with held, WarmPool(self._size) as pool:
            self._handler.pool = pool
            mapped = internals.UnresolvedMappedExecutionStep
            if any(isinstance(step, mapped) for step in execution_plan.steps):
                origin = internals.serialize_value(
                    plan_context.reconstructable_job.get_python_origin()
                )
                for number in range(min(self._size, _PREPARED)):
                    pool.submit(f"prepare {number}", _PREPARE, origin)
            yield from super().execute(plan_context, execution_plan)

    def _pop_events(
        self, instance: dg.DagsterInstance, run_id: str, seen_storage_ids: set[int]
    ) -> Sequence[dg.DagsterEvent]:
        """Read the event log once a step has ended, or after a while.

        Dagster reads it in every round of its loop, which takes a third of a core from the steps.
        """
        with contextlib.suppress(TrainingError):  # the next health check reports a broken pool
            self._handler.collect(_NEWS_SECONDS)
        return super()._pop_events(instance, run_id, seen_storage_ids)


class _WarmStepHandler(delegating.DelegatedSteps):
    """Hand steps to the workers, and report those that ended without an event."""

    pool: WarmPool

    def __init__(self) -> None:
        super().__init__()
        self._launched: set[str] = set()
        self._finished: dict[str, Finished] = {}

    @property
    def name(self) -> str:
        return "warm worker pool"

    def launch_step(
        self, step_handler_context: internals.StepHandlerContext
    ) -> Iterator[dg.DagsterEvent]:
        key = delegating.attempt_key(step_handler_context)
        self._launched.add(key)
        _, tags, limit = delegating.step_of(step_handler_context)
        self.pool.submit(
            key,
            _RUN_STEP,
            internals.serialize_value(step_handler_context.execute_step_args),
            time_limit=limit,
            on="slot" if DEVICE_TAG in tags else "cpu",
        )
        yield from ()

    def collect(self, seconds: float) -> None:
        """Wait until a task ends, but not longer than that."""
        self._finished |= {finished.key: finished for finished in self.pool.wait(seconds)}

    def end_of(self, key: str) -> str | None:
        if key not in self._launched:
            return "Its worker ended with an earlier run worker."
        try:
            self.collect(0)
        except TrainingError as fault:  # the pool broke: no step of this run can end any more
            return f"{fault} {type(fault.__cause__).__name__}: {fault.__cause__}"
        if key not in self._finished:
            return None
        error = self._finished[key].error
        if error is None:
            return "The worker ended the step without recording a success or a failure."
        return f"{error.message}\n{error.traceback}".rstrip()

    def terminate_step(
        self, step_handler_context: internals.StepHandlerContext
    ) -> Iterator[dg.DagsterEvent]:
        self.pool.cancel(delegating.attempt_key(step_handler_context))
        yield from ()


# What runs in a worker.


def prepare(job_origin: str) -> None:
    """Load the code of a serialized `JobPythonOrigin` while the run still plans what to map."""
    internals.recon_job_from_origin(
        internals.deserialize_value(job_origin, internals.JobPythonOrigin)
    ).get_definition()


def run_step(arguments: str) -> None:
    """Run serialized `ExecuteStepArgs` in this process, as `dagster api execute_step` does.

    Definitions stay cached in Dagster and the instance stays open here for the next steps: a
    worker serves one run only, so neither can grow stale.
    """
    with internals.capture_interrupts():  # SIGTERM interrupts the op, which can still tidy up
        step = internals.deserialize_value(arguments, internals.ExecuteStepArgs)
        instance = _instance(internals.serialize_value(step.instance_ref))
        run = instance.get_run_by_id(step.run_id)
        if run is None:
            raise TrainingError(
                f"The run {step.run_id} is not in the Dagster instance. Was it deleted?"
            )
        for _ in internals.execute_step(step, instance, run):
            pass  # events reach the executor through the event log


@lru_cache(maxsize=1)
def _instance(instance_ref: str) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_ref(
        internals.deserialize_value(instance_ref, internals.InstanceRef)
    )
