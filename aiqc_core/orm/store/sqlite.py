"""The metastore as a SQLite file, one connection a thread and process.

It has a log (WAL mode), but on a network's file system, where that is not safe; see `journal`.

The file is opened on first use, never at import, and never across a fork: a child that inherits a
connection sets it aside and opens its own. When its place changes, the next query opens the file
that lies there.

Each statement and each commit first looks whether the file at the path is the one that is open:

* Deleted or moved away: a warning, and the next statement begins an empty store.
* Replaced by another file, or cut to nothing: a `MetastoreError`, once. The next statement opens
  what lies there, if it is a store.
* Its log deleted: what the log held is written into the file, with a warning.
* Its log deleted, and begun again by another process: a `MetastoreError` until this process ends.

What a transaction wrote to a file that is not at its path any more raises `MetastoreError` at its
commit.
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
from aiqc_core.orm.store import journal, refusals, sqlite_files
from aiqc_core.orm.store.sqlite_files import Change, OpenFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from peewee import Model

    from aiqc_core.orm.store.sqlite_files import Identity

logger = logging.getLogger(__name__)

PAGE_BYTES = 2**16  # blobs are written twice as fast as in pages of 4 KiB
PAGES_HELD = 256
PAGES_TO_CHECKPOINT = 500
LARGE_BYTES = 2**24
END = "What this process wrote last may be lost. End it, look with aiqc doctor, and start it again"
CHECKPOINT = "aiqc-checkpoint"  # the name of the thread that copies the log into the file
OPENINGS = count()  # of connections of this process


class SqliteStore(SqliteDatabase):
    """A SQLite database whose place is looked up when it is opened; transactions write alone."""

    def __init__(
        self, place: Callable[[], Path], when_opened: Sequence[Callable[[], None]] = ()
    ) -> None:
        super().__init__(
            "unopened",
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
        self.place = place
        self.when_opened = when_opened
        self._prepared: set[tuple[int, Path, Identity | None]] = set()
        self._refused: set[Identity | None] = set()
        self._inherited: list[object] = []

    def is_closed(self) -> bool:
        """Say whether this thread has no connection to the present file in this process."""
        self._set_stale_aside()
        return super().is_closed()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Open the file, making its folder and tables when this is the first time.

        Raises:
            MetastoreError: another file lies there than this thread had open, which is told once.
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
        # Only one process at a time may turn on WAL and make tables: SQLite's busy timeout does
        # not cover the change of the journal mode.
        with nullcontext() if is_read_only(path) else FileLock(path.with_suffix(".lock")):
            sqlite_files.remove_leftovers(path)
            opened = self._open(reuse_if_open)
            try:
                for prepare in self.when_opened:
                    prepare()
            except BaseException:
                self.close()
                raise
        self._prepared.add((os.getpid(), path, self._state.files.file))
        return opened

    def _open(self, reuse_if_open: bool) -> bool:
        with self._told():
            return super().connect(reuse_if_open=reuse_if_open)

    def close(self) -> bool:
        """Close this thread's connection."""
        self._set_stale_aside()
        return super().close()

    def forget_prepared(self) -> None:
        """Look at the tables again when a file is opened next: another may lie there."""
        self._prepared.clear()

    def describe(self) -> str:
        """Return where the store lies, for people."""
        return str(self.place())

    def columns(self) -> dict[str, set[str]]:
        """Return the names of each table's columns."""
        return {table: {c.name for c in self.get_columns(table)} for table in self.get_tables()}

    def written(self) -> tuple[int, ...] | None:
        """Return numbers that move with each write of anybody; None inside a transaction."""
        connection = self.connection()
        if connection.in_transaction:
            return None
        with self._told(), __exception_wrapper__:
            version = connection.execute("PRAGMA data_version").fetchone()[0]
        return (os.getpid(), self._state.opening, version, connection.total_changes)

    def programs(self) -> list[tuple[str, str]]:
        """Return kind and name of the file's triggers and views, of which AIQC makes none."""
        return programs(self)

    def finish_tables(self, tables: Iterable[type[Model]]) -> None:
        """Do nothing: what peewee made of tables is as it should be."""

    def backup(self, suffix: str) -> str:
        """Copy the store beside itself, as one whole file whatever else is going on."""
        path = self.place()
        copy = path.with_suffix(f".{suffix}.sqlite")
        if copy.exists():  # of an earlier migration, of a store that was restored since
            copy = path.with_suffix(f".{suffix}-{config.timezone_now():%Y%m%dT%H%M%S%f}.sqlite")
        with closing(sqlite3.connect(path)) as store, closing(sqlite3.connect(copy)) as other:
            store.backup(other)
        return f"as it was it lies in {copy}"

    def snapshot(self) -> AbstractContextManager[Any]:
        """Return a block that sees the store as it is at its first query, and writes nothing."""
        return self.atomic("DEFERRED")

    def execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement with each of many rows."""
        with self._told(), __exception_wrapper__:
            self.cursor().executemany(sql, rows)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement."""
        with self._told():
            return super().execute_sql(sql, params)

    def begin(self, lock_type: str | None = None) -> None:
        """Begin a transaction, and wait until no other process is in one."""
        with self._told():
            super().begin(lock_type)

    def commit(self) -> None:
        """Commit the transaction.

        Raises:
            MetastoreError: the file is not at its path any more, or the disk is full.
        """
        change = self._change()
        if change is not None and change is not Change.LOG_DELETED:  # a log is saved afterwards
            raise MetastoreError(self._lost(change, "Nothing of this was kept; run it again"))
        with self._told():
            super().commit()

    def rollback(self) -> None:
        """Undo the transaction; where the disk was full, SQLite has done so by itself."""
        if self.is_closed():  # with the file that it was on
            return
        if self.connection().in_transaction:
            super().rollback()
            return
        with suppress(sqlite3.Error):  # give back what its log takes, where that can be done
            self.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def last_id(self, table: str) -> int:
        """Return the newest id that a table has given out; 0 for none, or where it gives none."""
        sql = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        return (self.execute_sql(sql, (table,)).fetchone() or (0,))[0]

    def set_last_id(self, table: str, last: int) -> None:
        """Go on with the id after this one."""
        self.execute_sql("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        self.execute_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))

    @contextmanager
    def checkpoint_later(self, size: int) -> Generator[None]:
        """Commit what is written within to the log alone, where it is large.

        SQLite would copy the log into the file before the commit returns. Here a thread does that
        beside whatever comes next; what was committed can be read at once, and outlives this
        process, either way.

        Args:
            size: of what is about to be written, in bytes.
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
        """Refuse bytes, so many, that cannot fit: a log that filled the disk would stay so large.

        Raises:
            MetastoreError: the disk has less room.
        """
        if size < LARGE_BYTES:
            return
        free = shutil.disk_usage(self.place().parent).free
        if free < size:
            message = (
                f"metastore: {size / 2**20:,.0f} MiB are to be written, and the disk of "
                f"{self.describe()} has {free / 2**20:,.0f} MiB left. Free some room, set "
                f"AIQC_HOME to another disk or {config.ARTIFACTS_VARIABLE} to an object store, or "
                "leave data where they are (ingest=False)."
            )
            raise MetastoreError(message)

    @contextmanager
    def _told(self) -> Generator[None]:
        """Turn an error of the disk or the file into one that says which and what to do."""
        try:
            yield
        except (PeeweeException, OverflowError) as error:
            told = refusals.refused(error) or refusals.sqlite_fault(error, self.describe())
            if told is None:
                raise
            self.forget_prepared()
            raise told from error

    def _connect(self) -> sqlite3.Connection:
        path = self.place()
        self.database = read_only_uri(path) if is_read_only(path) else str(path)
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
        journal.choose(conn, self.place(), is_read_only=is_read_only(self.place()))

    def _set_stale_aside(self) -> None:
        state: Any = self._state
        if state.closed:
            return
        pid, path = state.origin
        if pid != os.getpid():
            # Closing it here would drop the parent's file locks: keep it open, unused.
            self._inherited.append(state.conn)
            state.reset()
        elif self.in_transaction():
            return  # it stays with the store that it began on; `commit` looks
        elif path != self.place():
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
        """Close a connection that is not to the file at its path any more."""
        state: Any = self._state
        self.forget_prepared()
        if change is Change.LOG_DELETED:
            self._save_log()
        elif change is Change.LOG_REPLACED:
            # Closing would copy this connection's log over what the other one holds, and SQLite
            # shares the old index among all connections of a process: none may be closed, nor by
            # the interpreter as it ends, and none be opened.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(state.conn))
            self._refused.add(state.files.file)
            state.reset()
        else:
            self._take_log_along(change)
            super().close()
        if change is Change.DELETED:
            logger.warning("%s", self._lost(change, "An empty store is begun"))
        elif change in {Change.REPLACED, Change.TRUNCATED}:
            state.lost = self._lost(
                change,
                "Rows that this process holds are of the former store: get them again. The next "
                "use opens what lies there; see aiqc doctor, and restore a backup if data are "
                "missing",
            )

    def _take_log_along(self, change: Change) -> None:
        """Write the log into the file that has moved: SQLite would read it into the one there."""
        files: OpenFiles = self._state.files
        if change is not Change.TRUNCATED and files.has_log_at_path():
            with suppress(sqlite3.Error):
                self._state.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            files.remove_log()

    def _save_log(self) -> None:
        """Write what only this connection's log holds into the file, which stayed the same."""
        is_kept = False
        with suppress(sqlite3.Error):
            cursor = self._state.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            is_kept = cursor.fetchone()[0] == 0
        super().close()
        if not is_read_only(self.place()):
            said = "What it held is in the file now" if is_kept else "Some of it may be lost"
            logger.warning("%s", self._lost(Change.LOG_DELETED, said))

    def _lost(self, change: Change, then: str) -> str:
        return f"metastore: {self.describe()} {change} while it was open. {then}."


def is_read_only(path: Path) -> bool:
    """Say whether a store is there in a folder that this process may not write to."""
    return path.exists() and not os.access(path.parent, os.W_OK)


def read_only_uri(path: Path) -> str:
    """Return the address by which SQLite only reads a file, making no file beside it.

    Without a log it is told that nobody else writes, or it would want to make one; a log that was
    left there it can read only where the log's index lies beside it.
    """
    log = path.with_name(f"{path.name}-wal")
    alone = "" if log.exists() and log.stat().st_size else "&immutable=1"
    return f"{path.as_uri()}?mode=ro{alone}"


def programs(database: SqliteDatabase) -> list[tuple[str, str]]:
    """Return kind (`'trigger'` or `'view'`) and name of what a file's schema would run."""
    return database.execute_sql(
        "SELECT type, name FROM sqlite_master WHERE type IN ('trigger', 'view') ORDER BY name"
    ).fetchall()


def copy_log(path: Path) -> None:
    """Copy a store's log into its file, at this path; a store that is gone stays so."""
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    except sqlite3.OperationalError as error:  # the store was deleted, or the next commit does it
        logger.debug("The log of %s was not copied into it now: %s.", path, error)
