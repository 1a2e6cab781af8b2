"""The Celery application: the task that a worker runs, and the settings of both ends.

    celery -A aiqc_dagster.executors.celery.app worker -Q gpu -n gpu@%h --concurrency 1

A worker's child process runs step after step and stays warm, as in `warm_pool`. It needs the
run's code, `DAGSTER_HOME` and store; `deploy/celery` sets all of it up.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg
from celery import Celery
from celery.worker import state as worker_state
from celery.worker.control import control_command

from aiqc_core.errors import TrainingError
from aiqc_dagster.executors import versions
from aiqc_dagster.executors._dagster_internals import DagsterImportError
from aiqc_dagster.executors.gpu import DEFAULT_QUEUE
from aiqc_dagster.executors.warm_pool import run_step
from aiqc_dagster.settings import settings

if TYPE_CHECKING:
    from collections.abc import Generator

BROKER_VARIABLE = "AIQC_CELERY_BROKER"
RUN_STEP, END_STEP = "aiqc.run_step", "aiqc_end_step"
CONNECT_SECONDS = 4
ANSWER_SECONDS = 10  # the longest that a run waits for one answer of the broker

SETTINGS: dict[str, Any] = {
    "task_default_queue": DEFAULT_QUEUE,
    "task_serializer": "json",
    "accept_content": ["json"],  # never pickle: whoever reaches the broker would run code
    "task_track_started": True,  # names the worker that has a step, which is then asked for it
    "result_expires": 24 * 3600,
    # A worker takes a step when a child is free. What it had taken in advance would be lost with
    # it, or wait behind a long training while another worker is idle.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    "worker_pool_start_method": "spawn",  # a fork would share CUDA, locks and connections
    "broker_connection_timeout": CONNECT_SECONDS,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,  # a worker waits for its broker as long as it takes
    "redis_socket_connect_timeout": CONNECT_SECONDS,
    "result_backend_transport_options": {"retry_policy": {"timeout": CONNECT_SECONDS}},
}

logger = logging.getLogger(__name__)


def shown(url: str) -> str:
    """Return a broker's address without its password."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def make_app() -> Celery:
    """Return an application that speaks to the broker which the environment names now."""
    made = Celery(
        "aiqc",
        broker=settings.celery_broker,
        backend=settings.celery_backend or settings.celery_broker,
        set_as_current=False,
    )
    made.conf.update(SETTINGS)
    return made


app = make_app()
_HERE = versions.of_this_process()  # now: code that is edited later is not what this runs


@app.task(name=RUN_STEP, bind=True)  # pyright: ignore[reportUntypedFunctionDecorator]
def step_task(task: Any, step: str, arguments: str, sender: dict[str, str]) -> None:
    """Run one step from serialized `ExecuteStepArgs`; its events go to the event log.

    Raises:
        TrainingError: this worker runs other code or libraries than the sender, lacks the job's
            code, or cannot reach Dagster's instance; also when the step was interrupted.
    """
    worker = task.request.hostname
    queue = task.request.delivery_info.get("routing_key")
    logger.info("step %s taken from the queue %s by %s", step, queue, worker)
    versions.refuse_other(sender, worker)
    try:
        with _signals_restored():
            run_step(arguments)
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError) as error:
        raise TrainingError(f"The step {step} was interrupted on {worker}.") from error
    except (ImportError, DagsterImportError) as error:
        raise TrainingError(
            f"The worker {worker} on {_HERE['host']} lacks code of this run: "
            f"{error.__cause__ or error}. Install it there as on {sender['host']}, and start the "
            "worker again."
        ) from error


@contextmanager
def _signals_restored() -> Generator[None]:
    """Restore Celery's handlers of SIGTERM and SIGINT, which Dagster replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@control_command(  # pyright: ignore[reportUntypedFunctionDecorator]
    name=END_STEP, args=[("task_id", str), ("grace", float)]
)
def end_step(state: Any, task_id: str, grace: float) -> dict[str, str]:
    """End a step that runs here: SIGTERM, which the step may heed, and SIGKILL after a grace.

    Celery's own `revoke(terminate=True)` forgets the task with the first signal, so that none
    can follow.
    """
    request = worker_state.requests.get(task_id)
    if request is None or request not in worker_state.active_requests:
        return {"ok": f"{task_id} does not run here"}
    _send_signal(request.worker_pid, signal.SIGTERM)
    state.consumer.timer.call_after(grace, _kill_if_running, (request,))
    return {"ok": f"{task_id} ends within {grace:g} s"}


def _kill_if_running(request: Any) -> None:
    if request in worker_state.active_requests:
        logger.warning("%s did not heed SIGTERM and is killed", request.id)
        _send_signal(request.worker_pid, signal.SIGKILL)


def _send_signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        logger.info("process %d had ended before %s", pid, number.name)
