"""Heartbeats of claims, for processes that cannot see each other: on other hosts, in containers.

A process that holds claims writes the time to all of them at once, five times in each
`AIQC_LEASE_SECONDS`. The time is the database's own, so the hosts' clocks may differ. A claim
that another host has not heard of for that long is void, and its Job is pending again. Its holder
may only have been stopped; when it wakes up it finds that its claim is not its own any more and
records nothing (`Attempt.finish`).
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from peewee import PeeweeException

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store.database import metastore

if TYPE_CHECKING:
    from aiqc_core.orm.store.model import BaseModel

logger = logging.getLogger(__name__)

BEATS_IN_A_LEASE = 5


def now() -> int:
    """Return the database's time, in whole seconds since 1970."""
    (given,) = metastore.execute_sql("SELECT CURRENT_TIMESTAMP").fetchone()
    # SQLite gives text in UTC without saying so; PostgreSQL a time with its zone.
    said = given if isinstance(given, datetime) else datetime.fromisoformat(str(given))
    return int((said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp())


class Heart:
    """Beats for the claims of this process, in a thread that lives while there are any.

    Args:
        attempts: the table of claims, with the columns `holder`, `status` and `beat`.
        running: the status of those that are to be kept alive.

    Attributes:
        name: of this process, as `holder` of its claims.
    """

    def __init__(self, attempts: type[BaseModel], running: str) -> None:
        self._attempts: Any = attempts
        self._running = running
        self._start_anew()
        os.register_at_fork(after_in_child=self._start_anew)

    def _start_anew(self) -> None:
        self.name = uuid.uuid4().hex
        self._held: dict[tuple[str, int], None] = {}  # in which store, and the claim's id
        self._lock = threading.Lock()
        self._is_beating = False
        self._interval = 0.0
        self._wake = threading.Event()

    def hold(self, attempt: int) -> None:
        """Keep a claim alive from now on, by its id."""
        with self._lock:
            self._held[_place(), attempt] = None
            if not self._is_beating:
                self._is_beating, self._interval = True, _interval()
                threading.Thread(target=self._beat, name="aiqc-heartbeat", daemon=True).start()
            elif _interval() < self._interval:  # the setting was changed
                self._wake.set()

    def drop(self, attempt: int) -> None:
        """Let go of a claim. The thread waits for another one, and ends at its next beat."""
        with self._lock:
            self._held.pop((_place(), attempt), None)

    def _beat(self) -> None:
        while True:
            self._wake.wait(self._interval)
            with self._lock:
                self._interval = _interval()
                self._wake.clear()
                places = {place for place, _ in self._held}
                self._is_beating = bool(places)
                if not places:
                    return
            # Where AIQC_HOME has changed since, its store is not there to be beaten for.
            if _place() in places and _is_there():
                self._write()

    def _write(self) -> None:
        table = self._attempts
        own = (table.holder == self.name) & (table.status == self._running)
        try:
            table.update(beat=now()).where(own).execute()
        except (PeeweeException, MetastoreError) as error:
            logger.warning("The heartbeat of this process could not be written: %s", error)
        finally:
            with suppress(PeeweeException):
                metastore.close()  # this thread's own connection


def is_overdue(beat: int | None, claimed: datetime) -> bool:
    """Say whether a claim has not been heard of for a lease.

    Args:
        beat: when it was last, by the database's time; None of a process that knew no heartbeats.
        claimed: when it was made.
    """
    last = claimed.timestamp() if beat is None else beat
    return now() - last > config.lease_seconds()


def _interval() -> float:
    try:
        return config.lease_seconds() / BEATS_IN_A_LEASE
    except MetastoreError:  # told where it is asked for; here there is nobody to tell
        return config.LEASE_SECONDS / BEATS_IN_A_LEASE


def _place() -> str:
    return config.database_url() or str(config.database_path())


def _is_there() -> bool:
    """Say whether the store is still there: a file that was deleted is not made anew."""
    return config.database_url() is not None or config.database_path().is_file()
