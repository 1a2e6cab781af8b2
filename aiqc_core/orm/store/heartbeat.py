"""Heartbeats of claims, for processes that cannot see each other: on other hosts, in containers.

A process that holds claims writes the time to all of them, five times in each
`AIQC_LEASE_SECONDS`. The time is the database's own, so the hosts' clocks may differ. A claim
without a heartbeat for that long is void, and its Job is pending again. If its holder was only
stopped and wakes up, it finds that it lost its claim and records nothing (`Attempt.finish`).
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
from aiqc_core.orm.store.database import is_there, metastore

if TYPE_CHECKING:
    from aiqc_core.orm.store.model import BaseModel

logger = logging.getLogger(__name__)

BEATS_IN_A_LEASE = 5


def now() -> int:
    """Return the database's time, in whole seconds since 1970."""
    (value,) = metastore.execute_sql("SELECT CURRENT_TIMESTAMP").fetchone()
    # SQLite gives text in UTC without a zone; PostgreSQL a time with its zone.
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())


class Heart:
    """Write heartbeats for the claims of this process, in a thread that ends with the last one.

    Args:
        attempts: the table of claims, with the columns `holder`, `status` and `beat`.
        running: the status of claims to keep alive.

    Attributes:
        name: of this process, as `holder` of its claims.
    """

    def __init__(self, attempts: type[BaseModel], running: str) -> None:
        self._attempts: Any = attempts
        self._running = running
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
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
        """Let go of a claim; without another one the thread ends at its next beat."""
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
            # AIQC_HOME may have changed, or its store be deleted: no new one is made.
            if _place() not in places or not is_there():
                continue
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
    """Return whether a claim has had no heartbeat for a lease.

    Args:
        beat: the last, by the database's time; None of an old version's process, without any.
        claimed: when it was made.
    """
    last = claimed.timestamp() if beat is None else beat
    return now() - last > config.settings.lease_seconds


def _interval() -> float:
    try:
        return config.settings.lease_seconds / BEATS_IN_A_LEASE
    except MetastoreError:  # raised where it is asked for; nobody would see it here
        return config.Settings.model_fields["lease_seconds"].default / BEATS_IN_A_LEASE


def _place() -> str:
    return config.settings.database_url or str(config.database_path())
