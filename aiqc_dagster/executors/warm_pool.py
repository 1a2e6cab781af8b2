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
from dagster._cli.api import _execute_step_command_body  # pyright: ignore[reportPrivateUsage]
from dagster._core.execution.plan.step import UnresolvedMappedExecutionStep
from dagster._core.execution.retries import RetryMode, get_retries_config
from dagster._core.execution.tags import get_tag_concurrency_limits_config
from dagster._core.executor.step_delegating import (
    CheckStepHealthResult,
    StepDelegatingExecutor,
    StepHandler,
    StepHandlerContext,
)
from dagster._core.instance import InstanceRef
from dagster._core.origin import JobPythonOrigin
from dagster._grpc.types import ExecuteStepArgs
from dagster._serdes import deserialize_value, serialize_value
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts

from aiqc_core.errors import TrainingError
from aiqc_core.workers.pool import Finished, WarmPool
from aiqc_dagster.executors.gpu import DEVICE_TAG, TIME_LIMIT_TAG, limit_pool
from aiqc_dagster.executors.run_cleanup import slots_given_back

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan

WORKERS_VARIABLE = "AIQC_WORKERS"
_SLEEP_SECONDS = 0.02  # between two rounds of Dagster's loop
_NEWS_SECONDS = 0.5  # the event log is read that often while no step ends, and when one does
_HEALTH_SECONDS = 1  # between two looks at the workers
_PREPARED = 4  # workers started at once when steps are mapped; idle ones cost memory
_PREPARE = "aiqc_dagster.executors.warm_pool:prepare"
_RUN_STEP = "aiqc_dagster.executors.warm_pool:run_step"


def config_schema(max_concurrent: str) -> dict[str, Any]:
    """Return what can be configured of an executor.

    Args:
        max_concurrent: what the most steps at a time are, and are by default.
    """
    return {
        "max_concurrent": dg.Field(
            dg.Noneable(int), default_value=None, description=max_concurrent
        ),
        "tag_concurrency_limits": get_tag_concurrency_limits_config(),
        "retries": get_retries_config(),
    }


@dg.executor(
    name="warm_pool",
    config_schema=config_schema(
        "The most worker processes, and so steps, at a time. By default the environment"
        f" variable {WORKERS_VARIABLE}, else the number of cores."
    ),
    requirements=dg.multiple_process_executor_requirements(),
)
def warm_pool_executor(init_context: dg.InitExecutorContext) -> WarmPoolExecutor:
    """Execute the steps of a run in warm worker processes, one step after another in each."""
    config: dict[str, Any] = dict(init_context.executor_config)
    return WarmPoolExecutor(
        max_concurrent=worker_count(config.get("max_concurrent")),
        retries=RetryMode.from_config(config["retries"]) or RetryMode.ENABLED,
        tag_concurrency_limits=config.get("tag_concurrency_limits"),
    )


def worker_count(configured: int | None) -> int:
    """Return how many workers a run may have: as configured, else `$AIQC_WORKERS`, else cores.

    Raises:
        TrainingError: The number is below 1, or the variable holds no whole number.
    """
    name = "max_concurrent" if configured is not None else WORKERS_VARIABLE
    value = configured if configured is not None else os.environ.get(WORKERS_VARIABLE)
    if value is None or value == "":
        return os.cpu_count() or 1
    try:
        count = int(value)
    except ValueError:
        count = 0
    if count < 1:
        raise TrainingError(
            f"{name}={value!r}: give a whole number of at least 1, or leave it out."
        )
    return count


class WarmPoolExecutor(StepDelegatingExecutor):
    """Dagster's delegating executor around one `WarmPool`."""

    def __init__(
        self,
        max_concurrent: int,
        retries: RetryMode,
        tag_concurrency_limits: list[dict[str, Any]] | None = None,
    ) -> None:
        """Set up; no process is started before there is a step to run."""
        self._handler = _WarmStepHandler()
        self._size = max_concurrent
        super().__init__(
            self._handler,
            retries=retries,
            sleep_seconds=_SLEEP_SECONDS,
            check_step_health_interval_seconds=_HEALTH_SECONDS,
            max_concurrent=max_concurrent,
            tag_concurrency_limits=tag_concurrency_limits,
        )

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Generator[dg.DagsterEvent]:
        """Run the plan; the workers are gone when this returns, raises or is abandoned."""
        limit_pool(plan_context.instance)
        held = slots_given_back(plan_context.instance, plan_context.run_id)
        with held, WarmPool(self._size) as pool:
            self._handler.pool = pool
            if _maps_steps(execution_plan):
                origin = serialize_value(plan_context.reconstructable_job.get_python_origin())
                for number in range(min(self._size, _PREPARED)):
                    pool.submit(f"prepare {number}", _PREPARE, origin)
            yield from super().execute(plan_context, execution_plan)

    def _pop_events(
        self, instance: dg.DagsterInstance, run_id: str, seen_storage_ids: set[int]
    ) -> Sequence[dg.DagsterEvent]:
        """Read the event log once a step has ended, or after a while.

        Dagster reads it in every round of its loop, which takes a third of a core from the steps.
        """
        self._handler.await_news(_NEWS_SECONDS)
        return super()._pop_events(instance, run_id, seen_storage_ids)


def _maps_steps(plan: ExecutionPlan) -> bool:
    return any(isinstance(step, UnresolvedMappedExecutionStep) for step in plan.steps)


class _WarmStepHandler(StepHandler):
    """Hands steps to the workers and says what became of those that fell silent."""

    pool: WarmPool

    def __init__(self) -> None:
        self._launched: set[str] = set()
        self._finished: dict[str, Finished] = {}
        self._suspects: set[str] = set()

    @property
    def name(self) -> str:
        return "warm worker pool"

    def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[dg.DagsterEvent]:
        key = attempt_key(step_handler_context)
        self._launched.add(key)
        arguments = step_handler_context.execute_step_args
        (step_key,) = arguments.step_keys_to_execute or ("",)  # always one
        tags = step_handler_context.step_tags[step_key]
        limit = tags.get(TIME_LIMIT_TAG)
        self.pool.submit(
            key,
            _RUN_STEP,
            serialize_value(arguments),
            time_limit=float(limit) if limit else None,
            on="slot" if DEVICE_TAG in tags else "cpu",
        )
        yield from ()

    def await_news(self, seconds: float) -> None:
        """Wait until a task ends, but not longer than that."""
        with contextlib.suppress(TrainingError):  # the pool broke: the next health check tells it
            self._collect(seconds)

    def _collect(self, seconds: float) -> None:
        self._finished |= {finished.key: finished for finished in self.pool.wait(seconds)}

    def check_step_health(self, step_handler_context: StepHandlerContext) -> CheckStepHealthResult:
        """Report a step whose task is over although the event log shows no end of it.

        The log may hold the end unread when the task is first seen to be over. It is read once
        more before the next check, so the second look is the one that counts.
        """
        key = attempt_key(step_handler_context)
        if key not in self._launched:
            return CheckStepHealthResult.unhealthy("Its worker ended with an earlier run worker.")
        try:
            self._collect(0)
        except TrainingError as fault:  # the pool broke: no step of this run can end any more
            return CheckStepHealthResult.unhealthy(
                f"{fault} {type(fault.__cause__).__name__}: {fault.__cause__}"
            )
        if key not in self._finished:
            return CheckStepHealthResult.healthy()
        if key not in self._suspects:
            self._suspects.add(key)
            return CheckStepHealthResult.healthy()
        return CheckStepHealthResult.unhealthy(_reason(self._finished[key]))

    def terminate_step(
        self, step_handler_context: StepHandlerContext
    ) -> Iterator[dg.DagsterEvent]:
        self.pool.cancel(attempt_key(step_handler_context))
        yield from ()


def attempt_key(context: StepHandlerContext) -> str:
    """Name one attempt of a step: a retry can start before the pool reports the attempt before."""
    arguments = context.execute_step_args
    step_key = ",".join(arguments.step_keys_to_execute or ())  # always one
    known = arguments.known_state
    attempts = known.get_retry_state().get_attempt_count(step_key) if known else 0
    return f"{step_key} attempt {attempts + 1}"


def _reason(finished: Finished) -> str:
    error = finished.error
    if error is None:
        return "The worker ended the step without recording a success or a failure."
    return f"{error.message}\n{error.traceback}".rstrip()


# What runs in a worker.


def prepare(job_origin: str) -> None:
    """Load the job's code while the run still plans what to map.

    Args:
        job_origin: Serialized `JobPythonOrigin`.
    """
    recon_job_from_origin(deserialize_value(job_origin, JobPythonOrigin)).get_definition()


def run_step(arguments: str) -> None:
    """Run one step in this process, as `dagster api execute_step` does.

    The loaded definitions stay cached in Dagster and the instance stays open here, for the steps
    to come: a worker serves one run only, so neither can grow stale.

    Args:
        arguments: Serialized `ExecuteStepArgs`.
    """
    with capture_interrupts():  # SIGTERM interrupts the op, which can still tidy up
        step = deserialize_value(arguments, ExecuteStepArgs)
        instance = _instance(serialize_value(step.instance_ref))
        run = instance.get_run_by_id(step.run_id)
        if run is None:
            raise TrainingError(
                f"The run {step.run_id} is not in the Dagster instance. Was it deleted?"
            )
        for _ in _execute_step_command_body(step, instance, run):
            pass  # events reach the executor through the event log


@lru_cache(maxsize=1)
def _instance(instance_ref: str) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_ref(deserialize_value(instance_ref, InstanceRef))
