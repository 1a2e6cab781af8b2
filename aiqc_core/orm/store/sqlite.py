"""The metastore as a SQLite file, with a log (WAL mode) on local disks; see `contract`.

Each statement and each commit first checks that the file at the path is the one that is open:

* Deleted or moved away: a warning, and the next statement begins an empty store.
* Replaced by another file, or cut to nothing: a `MetastoreError`, once. The next statement opens
  the file that is there, if it is a store.
* Its log deleted: this connection writes its log into the file, with a warning.
* Its log replaced by that of another process: a `MetastoreError` until this process ends.

The commit of a transaction whose file has left its path raises `MetastoreError`.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import sqlite3
from contextlib import closing, contextmanager, nullcontext, suppress
from itertools import count
from threading import Thread
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from peewee import PeeweeException, SqliteDatabase, __exception_wrapper__

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store import file_systems, refusals, sqlite_files
from aiqc_core.orm.store.contract import StoreDatabase
from aiqc_core.orm.store.sqlite_files import Change, OpenFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from aiqc_core.orm.store.sqlite_files import Identity

logger = logging.getLogger(__name__)

PAGE_BYTES = 2**16  # blobs are written twice as fast as in pages of 4 KiB
PAGES_HELD = 256
PAGES_TO_CHECKPOINT = 500
LARGE_BYTES = 2**24
END = "What this process wrote last may be lost. End it, look with aiqc doctor, and start it again"
CHECKPOINT = "aiqc-checkpoint"  # the name of the thread that copies the log into the file
OPENINGS = count()  # of connections of this process


class SqliteStore(StoreDatabase, SqliteDatabase):
    """A SQLite file."""

    reading = "DEFERRED"

    def __init__(
        self, place: Callable[[], Path], when_opened: Sequence[Callable[[], None]] = ()
    ) -> None:
        super().__init__(
            place,
            when_opened,
            pragmas={
                "page_size": PAGE_BYTES,  # of a new file; others keep theirs
                "cache_size": PAGES_HELD,
                "busy_timeout": int(refusals.BUSY_TIMEOUT_SECONDS * 1000),
                "synchronous": "normal",
                "wal_autocheckpoint": PAGES_TO_CHECKPOINT,
                "foreign_keys": 1,
                "trusted_schema": 0,  # what the file's own schema calls must be harmless
            },
            lock_type="IMMEDIATE",
            timeout=refusals.BUSY_TIMEOUT_SECONDS,
            uri=True,
        )
        self._refused: set[Identity | None] = set()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open the file, and make its folder and tables the first time.

        Raises:
            MetastoreError: another file is there than this thread had open; raised once.
        """
        self._set_stale_aside()
        lost, self._state.lost = getattr(self._state, "lost", None), None
        if lost is not None:
            raise MetastoreError(lost)
        path = self.place()
        file = sqlite_files.identity(path)
        if file in self._refused:
            raise MetastoreError(self._lost(Change.LOG_REPLACED, END))
        if (os.getpid(), path, file) in self._prepared:
            return self._open(reuse_if_open)
        if not is_read_only(path):
            config.make_folder(path.parent, config.HOME_VARIABLE)
        # One process at a time: SQLite's busy timeout does not cover a change of the journal mode.
        with nullcontext() if is_read_only(path) else FileLock(path.with_suffix(".lock")):
            files = OpenFiles.of(path)
            if (
                files.file is None
            ):  # of a store that is gone: a new one would take them for its own
                files.remove_log()
            opened = self._open(reuse_if_open)
            self._prepare(nullcontext())
        self._prepared.add((os.getpid(), path, self._state.files.file))
        return opened

    def _open(self, reuse_if_open: bool) -> bool:
        with self._explained():
            return super().connect(reuse_if_open=reuse_if_open)

    def close(self) -> bool:
        """Close this thread's connection."""
        self._set_stale_aside()
        return super().close()

    def describe(self) -> str:
        """Return the store's place, for people."""
        return str(self.place())

    def columns(self) -> dict[str, set[str]]:
        """Return the names of each table's columns."""
        return {table: {c.name for c in self.get_columns(table)} for table in self.get_tables()}

    def written(self) -> tuple[int, ...] | None:
        """Return numbers that change with each write of anybody; None inside a transaction."""
        connection = self.connection()
        if connection.in_transaction:
            return None
        with self._explained(), __exception_wrapper__:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
        return (os.getpid(), self._state.opening, version, connection.total_changes)

    def programs(self) -> list[tuple[str, str]]:
        """Return kind and name of the file's triggers and views, of which AIQC makes none."""
        return programs(self)

    def backup(self, suffix: str) -> str:
        """Copy the store beside itself to one whole file, while others may write."""
        path = self.place()
        copy = path.with_suffix(f".{suffix}.sqlite")
        if copy.exists():  # from an earlier migration of a store that was restored since
            copy = path.with_suffix(f".{suffix}-{config.timezone_now():%Y%m%dT%H%M%S%f}.sqlite")
        with closing(sqlite3.connect(path)) as store, closing(sqlite3.connect(copy)) as other:
            store.backup(other)
        return f"its former state is in {copy}"

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction, and wait until no other process is in one."""
        with self._explained():
            super().begin(lock_type)

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            MetastoreError: the file is not at its path any more, or the disk is full.
        """
        change = self._change()
        if change is not None and change is not Change.LOG_DELETED:  # a log is saved afterwards
            raise MetastoreError(self._lost(change, "Nothing of this was kept; run it again"))
        super().commit()

    def rollback(self) -> None:
        """Undo the transaction; if the disk was full, SQLite has done so by itself."""
        if self.is_closed():  # with the file that it was on
            return
        if self.connection().in_transaction:
            super().rollback()
            return
        with suppress(sqlite3.Error):  # free the log's space if possible
            self.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def last_id(self, table: str) -> int:
        """Return the newest id of a table, also of a deleted row; 0 for none."""
        sql = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        return (self.execute_sql(sql, (table,)).fetchone() or (0,))[0]

    def set_last_id(self, table: str, last: int) -> None:
        """Give the next row the id after this one."""
        self.execute_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        self.execute_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))

    @contextmanager
    def checkpoint_later(self, size: int) -> Generator[None]:
        """Commit many bytes to the log alone; a thread then copies it into the file.

        SQLite would do that before the commit returns. What was committed can be read at once, and
        outlives this process, either way.
        """
        if size < LARGE_BYTES:
            yield
            return
        self.execute_sql("PRAGMA wal_autocheckpoint = 0")
        try:
            yield
        finally:
            self.execute_sql(f"PRAGMA wal_autocheckpoint = {PAGES_TO_CHECKPOINT}")
            Thread(target=copy_log, args=(self.place(),), name=CHECKPOINT).start()

    def refuse_without_room(self, size: int) -> None:
        """Raise MetastoreError for more bytes than fit: a log that filled the disk would stay."""
        if size < LARGE_BYTES:
            return
        free = shutil.disk_usage(self.place().parent).free
        if free < size:
            raise MetastoreError(
                f"metastore: {size / 2**20:,.0f} MiB are to be written, and the disk of "
                f"{self.describe()} has {free / 2**20:,.0f} MiB left. Free some room, set "
                f"AIQC_HOME to another disk or {config.ARTIFACTS_VARIABLE} to an object store, or "
                "leave data where they are (ingest=False)."
            )

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (PeeweeException, OverflowError) as error:
            fault = refusals.refused(error) or refusals.sqlite_fault(error, self.describe())
            if fault is None:
                raise
            self.forget_prepared()
            raise fault from error

    def _connect(self) -> sqlite3.Connection:
        path = self.place()
        self.database = str(path)
        if is_read_only(path):  # SQLite makes a log unless `immutable`, and reads none then
            log = path.with_name(f"{path.name}-wal")
            alone = "" if log.exists() and log.stat().st_size else "&immutable=1"
            self.database = f"{path.as_uri()}?mode=ro{alone}"
        before = sqlite_files.identity(path)
        connection = super()._connect()
        state: Any = self._state
        state.files, state.opening = OpenFiles.of(path), next(OPENINGS)
        if before not in {None, state.files.file}:  # replaced meanwhile: which one is open?
            connection.close()
            return self._connect()
        state.origin = (os.getpid(), path)
        return connection

    def _set_pragmas(self, conn: sqlite3.Connection) -> None:
        super()._set_pragmas(conn)
        file_systems.choose_journal(conn, self.place(), is_read_only=is_read_only(self.place()))

    def _leave_stale(self, place: Path) -> None:
        if place != self.place():
            super().close()
        elif (change := self._change()) is not None:
            self._leave(change)

    def _change(self) -> Change | None:
        state: Any = self._state
        change = state.files.change()
        if change is not Change.TRUNCATED:
            return change
        with suppress(sqlite3.Error):
            pages, size = (
                state.conn.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "page_size")
            )
            if 0 < pages * size <= state.files.size:
                return None  # somebody has removed free pages by VACUUM
        return change

    def _leave(self, change: Change) -> None:
        """Close the connection to a file that is not at its path any more."""
        state: Any = self._state
        self.forget_prepared()
        if change is Change.LOG_DELETED:
            self._save_log()
        elif change is Change.LOG_REPLACED:
            # Closing would copy this connection's log over the other one, and all connections of
            # a process share the old index: none may be opened or closed, even at its exit.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(state.conn))
            self._refused.add(state.files.file)
            state.reset()
        else:
            # Into the moved file: SQLite would read the log into the one at the path.
            if change is not Change.TRUNCATED and state.files.has_log_at_path():
                with suppress(sqlite3.Error):
                    state.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                state.files.remove_log()
            super().close()
        if change is Change.DELETED:
            logger.warning("%s", self._lost(change, "An empty store is begun"))
        elif change in {Change.REPLACED, Change.TRUNCATED}:
            state.lost = self._lost(
                change,
                "Rows that this process holds are of the former store: get them again. The next "
                "use opens what is there; see aiqc doctor, and restore a backup if data are "
                "missing",
            )

    def _save_log(self) -> None:
        """Write this connection's log into the file, which stayed the same."""
        is_kept = False
        with suppress(sqlite3.Error):
            cursor = self._state.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_kept = cursor.fetchone()[0] == 0
        super().close()
        if not is_read_only(self.place()):
            outcome = "What it held is in the file now" if is_kept else "Some of it may be lost"
            logger.warning("%s", self._lost(Change.LOG_DELETED, outcome))

    def _lost(self, change: Change, then: str) -> str:
        return f"metastore: {self.describe()} {change} while it was open. {then}."


def is_read_only(path: Path) -> bool:
    """Return whether a store is in a folder that this process may not write to."""
    return path.exists() and not os.access(path.parent, os.W_OK)


def programs(database: SqliteDatabase) -> list[tuple[str, str]]:
    """Return kind (`'trigger'` or `'view'`) and name of the programs in a file's schema."""
    return database.execute_sql(
        "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name"
    ).fetchall()


def copy_log(path: Path) -> None:
    """Copy a store's log into its file; a store that is gone is not made again."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.OperationalError as error:  # it was deleted, or the next commit does this
        logger.debug("The log of %s was not copied into it now: %s.", path, error)
