"""Ask broker and workers what happened to the steps that were sent to Celery.

Celery never reports that a worker was killed with its step, that a broker restarted without the
steps that waited in it, or that nobody listens to a queue: the result stays pending for good.
`Watch` detects each of these, and waits no longer than its patience.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery import states
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from aiqc_core.errors import TrainingError
from aiqc_dagster.executors.celery.app import BROKER_VARIABLE, shown
from aiqc_dagster.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOK_SECONDS = 2.0  # between two looks at what is running
PEEK_SECONDS = 5.0  # how long nothing moves in a queue before broker and workers are asked why
REPLY_SECONDS = 2.0  # how long the workers have to answer
OUTAGES = (OperationalError, RedisError, OSError)


def broker_fault(error: BaseException) -> str:
    """Return the message that the broker does not answer, and what to do."""
    return (
        f"The Celery broker at {shown(settings.celery_broker)} "
        f"({BROKER_VARIABLE}) does not answer: {str(error).rstrip('.')}. Start Redis "
        "there (`make up-celery` starts one on this machine) or correct the variable, then run "
        "the same command again: what is recorded is not trained twice."
    )


@dataclass(slots=True)
class Sent:
    """A step that was sent: when it last gave a sign of life, and which worker has it."""

    task_id: str
    queue: str
    sign: float
    worker: str = ""
    lost: bool = False


class Watch:
    """Follows steps from the broker to their end.

    Args:
        app: the application of Celery that sends.
        patience: seconds without a sign after which a step counts as lost.
    """

    def __init__(self, app: Any, patience: float) -> None:
        """Set up; nothing is asked before there is a step."""
        self._app, self._patience = app, patience
        self._peek = min(PEEK_SECONDS, patience / 2)
        self._sent: dict[str, Sent] = {}
        self._ended: dict[str, dict[str, Any]] = {}
        self._looked = self._answered = time.monotonic()
        self._outage: BaseException | None = None
        self._idle: dict[str, str] = {}  # why nothing moves in a queue

    def add(self, key: str, task_id: str, queue: str) -> None:
        """Follow a step that was just sent."""
        self._sent[key] = Sent(task_id, queue, time.monotonic())

    def running(self) -> list[str]:
        """Return the ids of the tasks that are not known to have ended."""
        return [sent.task_id for key, sent in self._sent.items() if key not in self._ended]

    def end_of(self, key: str) -> str | None:
        """Return what ended a step, in words; None while it waits or runs.

        Raises:
            KeyError: no such step was added.
        """
        sent = self._sent[key]
        self.look()
        if key in self._ended:
            return _reason(self._ended[key], sent)
        now = time.monotonic()
        if self._outage is not None:
            silent = now - self._answered > self._patience
            return broker_fault(self._outage) if silent else None
        if sent.lost:
            return (
                f"The Celery worker {sent.worker} no longer has this step: it was killed or "
                "restarted. Run the job again: what is recorded is not trained twice."
            )
        if now - sent.sign <= self._patience:
            return None
        if sent.worker:
            return f"The Celery worker {sent.worker} has been silent for {self._patience:g} s."
        return self._idle.get(sent.queue, "The Celery broker no longer has this step.")

    def look(self, *, at_once: bool = False) -> None:
        """Ask for news, unless that was done a moment ago."""
        now = time.monotonic()
        if not at_once and now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            for key, sent in self._open():
                meta = self._app.backend.get_task_meta(sent.task_id)
                if meta["status"] in states.READY_STATES:
                    self._ended[key] = meta
                elif meta["status"] == states.STARTED and not sent.worker:
                    sent.worker, sent.sign = meta["result"]["hostname"], time.monotonic()
            self._ask_workers()
            self._ask_idle_queues()
        except OUTAGES as error:
            self._outage = error
            return
        if self._outage is not None:  # workers need a moment, too, to find the broker again
            for sent in self._sent.values():
                sent.sign = time.monotonic()
        self._answered, self._outage = time.monotonic(), None

    def _open(self) -> list[tuple[str, Sent]]:
        return [(key, sent) for key, sent in self._sent.items() if key not in self._ended]

    def _ask_workers(self) -> None:
        """Ask workers whether they still have their steps; a restarted one does not."""
        started = [sent for _, sent in self._open() if sent.worker]
        workers = sorted({sent.worker for sent in started})
        if not workers:
            return
        inspect = self._app.control.inspect(destination=workers, timeout=REPLY_SECONDS)
        replies = inspect.query_task(*[sent.task_id for sent in started]) or {}
        now, meta_of = time.monotonic(), self._app.backend.get_task_meta
        for sent in started:
            if sent.worker in replies:
                sent.sign = now
                sent.lost = (  # a worker stores that a step has ended, then forgets it
                    sent.task_id not in replies[sent.worker]
                    and meta_of(sent.task_id)["status"] not in states.READY_STATES
                )

    def _ask_idle_queues(self) -> None:
        """Find out why a queue is idle; a queue with running steps is only full."""
        now = time.monotonic()
        waiting = [sent for _, sent in self._open() if not sent.worker]
        busy = {sent.queue for _, sent in self._open() if sent.worker and not sent.lost}
        for sent in waiting:
            if sent.queue in busy:
                sent.sign = now
        still = {sent.queue for sent in waiting if now - sent.sign > self._peek}
        if not still:
            return
        replies = self._app.control.inspect(timeout=REPLY_SECONDS).active_queues() or {}
        listeners = {queue["name"] for queues in replies.values() for queue in queues}
        for queue in still:
            self._idle[queue] = self._why_idle(queue, listeners)
            if not self._idle[queue]:  # others' steps are in front of ours
                for sent in waiting:
                    sent.sign = now if sent.queue == queue else sent.sign

    def _why_idle(self, queue: str, listeners: Iterable[str]) -> str:
        if queue not in listeners:
            return (
                f"No Celery worker listens to the queue {queue!r} of "
                f"{shown(settings.celery_broker)}. Start one, with the code and the "
                "settings of this run: "
                f"celery -A aiqc_dagster.executors.celery.app worker -Q {queue}"
            )
        with self._app.connection_for_read() as connection:
            declared = connection.default_channel.queue_declare(queue=queue, passive=True)
        if declared.message_count == 0:
            return (
                f"The Celery broker lost a step of the queue {queue!r}; was it restarted? Run "
                "the job again: what is recorded is not trained twice."
            )
        return ""


def _reason(meta: dict[str, Any], sent: Sent) -> str:
    """Return why a task ended although the event log has no end of its step."""
    if meta["status"] == states.SUCCESS:
        return "The Celery worker ended the step without recording a success or a failure."
    if meta["status"] == states.REVOKED:
        return "The Celery task was revoked."
    fault = meta["result"]
    if isinstance(fault, TrainingError):  # ours says all there is to say
        return str(fault)
    at = f" on {sent.worker}" if sent.worker else ""
    return f"Its Celery task failed{at}: {type(fault).__name__}: {fault}"
