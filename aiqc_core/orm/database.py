"""The connection to the metastore: SQLite in WAL mode, one connection a thread and process.

The file is opened on first use, never at import, and never across a fork: a child that inherits a
connection sets it aside and opens its own. When `AIQC_HOME` changes, the next query opens the
store that lies there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from peewee import SqliteDatabase

from aiqc_core import config

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

BUSY_TIMEOUT_SECONDS = 30.0


class Metastore(SqliteDatabase):
    """A SQLite database whose place is looked up when it is opened."""

    def __init__(self) -> None:
        super().__init__(
            "unopened",
            pragmas={
                "busy_timeout": int(BUSY_TIMEOUT_SECONDS * 1000),
                "journal_mode": "wal",
                "synchronous": "normal",
                "foreign_keys": 1,
            },
            lock_type="IMMEDIATE",
            timeout=BUSY_TIMEOUT_SECONDS,
        )
        self.when_opened: list[Callable[[], None]] = []
        self._prepared: set[tuple[int, Path]] = set()
        self._inherited: list[object] = []

    def is_closed(self) -> bool:
        """Say whether this thread has no connection to the present store in this process."""
        self._set_stale_aside()
        return super().is_closed()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open the store, making its folder and tables when this is the first time."""
        self._set_stale_aside()
        path = config.database_path()
        if (os.getpid(), path) in self._prepared:
            return super().connect(reuse_if_open=reuse_if_open)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Only one process at a time may turn on WAL and make tables: SQLite's busy timeout does
        # not cover the change of the journal mode.
        with FileLock(path.with_suffix(".lock")):
            opened = super().connect(reuse_if_open=reuse_if_open)
            try:
                for prepare in self.when_opened:
                    prepare()
            except BaseException:
                self.close()
                raise
        self._prepared.add((os.getpid(), path))
        return opened

    def _connect(self) -> sqlite3.Connection:
        path = config.database_path()
        self.database = str(path)
        self._state.origin = (os.getpid(), path)
        return super()._connect()

    def _set_stale_aside(self) -> None:
        state: Any = self._state
        if state.closed:
            return
        pid, path = state.origin
        if pid != os.getpid():
            # Closing it here would drop the parent's file locks: keep it open, unused.
            self._inherited.append(state.conn)
            state.reset()
        elif path != config.database_path():
            self.close()


metastore = Metastore()
