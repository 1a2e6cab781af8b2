"""`AIQC_EXECUTOR=celery`: steps run in Celery workers, on this machine or on others.

As in `warm_pool`, scheduling stays with Dagster's `StepDelegatingExecutor`, which follows the
event log. dagster-celery's own executor follows Celery's results instead: it waits for good for
a killed worker, stops all other steps when a child process is lost, and lets cancelled steps run
on.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import dagster as dg

import aiqc_dagster.executors._dagster_internals as internals
from aiqc_core.errors import TrainingError
from aiqc_dagster.executors import delegating, versions
from aiqc_dagster.executors.celery import app
from aiqc_dagster.executors.celery.watch import OUTAGES, Watch, broker_fault
from aiqc_dagster.executors.gpu import DEFAULT_QUEUE, QUEUE_TAG
from aiqc_dagster.executors.run_cleanup import slots_given_back
from aiqc_dagster.settings import settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_SLEEP_SECONDS = 0.1  # between two looks at the event log, which is PostgreSQL as a rule
_GRACE_SECONDS = 5.0  # between asking a step to end and killing its process
_RESEND_SECONDS = 1.0
# One more attempt: the connection at hand may belong to a broker that has restarted.
_ONE_MORE = {"max_retries": 1, "interval_start": 0, "interval_step": 0, "interval_max": 0}

logger = logging.getLogger(__name__)


@dg.executor(
    name="celery",
    config_schema=delegating.config_schema(
        "The most steps in the broker at a time; by default what the pools admit."
    ),
    requirements=dg.multiple_process_executor_requirements(),
)
def celery_executor(init_context: dg.InitExecutorContext) -> CeleryStepExecutor:
    """Execute the steps of a run in Celery workers; the broker is named by the environment."""
    return CeleryStepExecutor(delegating.settings(init_context))


class CeleryStepExecutor(internals.StepDelegatingExecutor):
    """Dagster's delegating executor around one Celery application."""

    def __init__(self, settings: dict[str, Any]) -> None:
        """Set up; the broker is asked first when a run is executed."""
        self._handler = _CeleryStepHandler()
        super().__init__(self._handler, sleep_seconds=_SLEEP_SECONDS, **settings)

    def execute(
        self,
        plan_context: internals.PlanOrchestrationContext,
        execution_plan: internals.ExecutionPlan,
    ) -> Generator[dg.DagsterEvent]:
        """Run the plan; steps that were terminated have ended when this returns or raises.

        Raises:
            TrainingError: the broker does not answer.
        """
        self._handler.open()
        with slots_given_back(plan_context.instance, plan_context.run_id):
            try:
                yield from super().execute(plan_context, execution_plan)
            finally:
                self._handler.close()


class _CeleryStepHandler(delegating.DelegatedSteps):
    """Send steps to the broker, and report those that ended without an event."""

    _app: Any  # an application of Celery, which has no types
    _watch: Watch

    def __init__(self) -> None:
        super().__init__()
        self._terminated = False

    @property
    def name(self) -> str:
        return "Celery workers"

    def open(self) -> None:
        """Connect; raise at once where the broker does not answer, before anything is sent."""
        self._app = app.make_app()
        # Only here: a worker waits for its next step on a connection that is rightly silent.
        self._app.conf.update(
            redis_socket_timeout=app.ANSWER_SECONDS,
            broker_transport_options={
                "socket_connect_timeout": app.CONNECT_SECONDS,
                "socket_timeout": app.ANSWER_SECONDS,
            },
        )
        self._watch = Watch(self._app, settings.celery_patience)
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, timeout=app.CONNECT_SECONDS)
            self._app.backend.get_task_meta("probe")
        except OUTAGES as error:
            # Without its cause, which is fifty lines of Celery's retries around the same sentence.
            raise TrainingError(broker_fault(error)) from None

    def close(self) -> None:
        """Wait until terminated steps have ended, so that nothing trains on after the run."""
        if self._terminated:
            deadline = time.monotonic() + 2 * _GRACE_SECONDS
            while self._watch.running() and time.monotonic() < deadline:
                time.sleep(_SLEEP_SECONDS)
                self._watch.look(at_once=True)
            if self._watch.running():
                logger.warning(
                    "Celery did not say within %g s that all steps ended", _GRACE_SECONDS
                )
        self._app.close()

    def launch_step(
        self, step_handler_context: internals.StepHandlerContext
    ) -> Iterator[dg.DagsterEvent]:
        step_key, tags, limit = delegating.step_of(step_handler_context)
        queue = tags.get(QUEUE_TAG, DEFAULT_QUEUE)
        arguments = internals.serialize_value(step_handler_context.execute_step_args)
        task_id = self._send([step_key, arguments, versions.of_this_process()], queue, limit)
        self._watch.add(delegating.attempt_key(step_handler_context), task_id, queue)
        yield from ()

    def _send(self, payload: list[Any], queue: str, time_limit: float | None) -> str:
        """Send a step, waiting a while for a broker that went away."""
        deadline = time.monotonic() + settings.celery_patience
        while True:
            try:
                options = {"queue": queue, "time_limit": time_limit, "retry_policy": _ONE_MORE}
                task = self._app.send_task(app.RUN_STEP, args=payload, **options)
            except OUTAGES as error:
                if time.monotonic() > deadline or internals.check_captured_interrupt():
                    raise TrainingError(broker_fault(error)) from None
                time.sleep(_RESEND_SECONDS)
            else:
                return task.id

    def end_of(self, key: str) -> str | None:
        try:
            return self._watch.end_of(key)
        except KeyError:
            return "It was sent by an earlier run worker."

    def terminate_step(
        self, step_handler_context: internals.StepHandlerContext
    ) -> Iterator[dg.DagsterEvent]:
        """End all steps of the run: Dagster terminates them only together."""
        del step_handler_context
        if not self._terminated:
            self._terminated = True
            task_ids = self._watch.running()
            try:
                self._app.control.revoke(task_ids)  # those that wait
                for task_id in task_ids:
                    self._app.control.broadcast(
                        app.END_STEP, arguments={"task_id": task_id, "grace": _GRACE_SECONDS}
                    )
            except OUTAGES as error:
                logger.warning("The steps could not be ended. %s", broker_fault(error))
        yield from ()
