"""The metastore as a PostgreSQL database, one connection a thread and process.

What SQLite gives by its nature is kept here: a transaction is the only writer from its begin on
(an advisory lock of the database), numbers have 64 bits, texts have no greatest length and may
hold NUL. Connections are opened on first use and never cross a fork. One that the server has
closed is replaced at its next use, and what fails because the server is gone says so; PostgreSQL
has then rolled back whatever was not committed.

Nothing is set for a session, so that a pooler between may hand out connections by transaction.
"""

from __future__ import annotations

import os
import select
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import psycopg
from peewee import (
    CharField,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    PostgresqlDatabase,
    ProgrammingError,
    __exception_wrapper__,
)
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.types.string import BytesBinaryDumper, StrDumperUnknown, TextLoader

from aiqc_core import config
from aiqc_core.errors import MetastoreError, UnreachableError
from aiqc_core.orm.store import refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager

    from peewee import Model

# Names of advisory locks, of which each database has its own: "AIQC" and what is locked.
WRITING = 0x41495143_00000001
PREPARING = 0x41495143_00000002
LOCK_SECONDS = 300  # a large Dataset is written in one transaction, and others wait for it
REACH = {
    "connect_timeout": 10,  # each given in seconds; a host that answers nothing is not waited for
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
NUL, NUL_STANDS = "\0", "\U0010ffff"  # no text holds that code point: Unicode keeps it free
REASON_LETTERS = 300
LOCK_TIMED_OUT = "55P03"


class PostgresStore(PostgresqlDatabase):
    """A PostgreSQL database whose URL is looked up when it is opened."""

    field_types = PostgresqlDatabase.field_types | {
        "AUTO": "BIGSERIAL",
        "INT": "BIGINT",
        "FLOAT": "DOUBLE PRECISION",
    }

    def __init__(
        self, place: Callable[[], str | None], when_opened: Sequence[Callable[[], None]] = ()
    ) -> None:
        super().__init__("unopened", prefer_psycopg3=True)
        self.place = place
        self.when_opened = when_opened
        self._prepared: set[tuple[int, str, int | None]] = set()
        self._inherited: list[object] = []

    def get_binary_type(self) -> type:
        """Return what bytes are wrapped in."""
        return memoryview

    def is_closed(self) -> bool:
        """Say whether this thread has no usable connection to the present database."""
        self._set_stale_aside()
        return super().is_closed()

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Connect, and make or check the tables when this is the process's first time.

        Raises:
            UnreachableError: the server does not answer, or refuses.
        """
        self._set_stale_aside()
        opened = super().connect(reuse_if_open=reuse_if_open)
        known = (os.getpid(), self._url(), self._tables_id())
        if known not in self._prepared:
            try:
                with self.atomic(PREPARING):  # one process at a time makes tables
                    for prepare in self.when_opened:
                        prepare()
            except BaseException:
                self.close()
                raise
            self._prepared.add((*known[:2], self._tables_id()))
        return opened

    def _tables_id(self) -> int | None:
        """Return what only these tables have: others that were made later differ; None of none."""
        # Not `execute_sql`, which would tell of tables that are missing.
        found = self._state.conn.execute("SELECT to_regclass('storeinfo')::oid").fetchone()
        return None if found is None else found[0]

    def forget_prepared(self) -> None:
        """Look at the tables again when a connection is opened next: others may be there."""
        self._prepared.clear()

    def describe(self) -> str:
        """Return where the store lies, for people; never the password."""
        return f"PostgreSQL at {config.shown_database(self._url())}"

    def columns(self) -> dict[str, set[str]]:
        """Return the names of each table's columns."""
        found: dict[str, set[str]] = {}
        rows = self.execute_sql(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = current_schema()"
        )
        for table, column in rows:
            found.setdefault(table, set()).add(column)
        return found

    def written(self) -> None:
        """Return None: a server does not say whether anybody wrote."""

    def programs(self) -> list[tuple[str, str]]:
        """Return none: a server's triggers and views are its administrator's, who is trusted."""
        return []

    def finish_tables(self, tables: Iterable[type[Model]]) -> None:
        """Lift the limits that only PostgreSQL would enforce, of tables that are new.

        Texts have any length; bytes are not compressed, as they are compressed already or numbers.
        """
        for table in tables:
            changes: list[str] = []
            for field in table._meta.sorted_fields:
                is_key_of_text = isinstance(getattr(field, "rel_field", None), CharField)
                if isinstance(field, CharField) or is_key_of_text:
                    changes.append(f'ALTER "{field.column_name}" TYPE TEXT')
                elif field.field_type == "BLOB":
                    changes.append(f'ALTER "{field.column_name}" SET STORAGE EXTERNAL')
            if changes:
                name = table._meta.table_name
                self.execute_sql(f'ALTER TABLE "{name}" {", ".join(changes)}')

    def backup(self, suffix: str) -> str:
        """Say how to keep a copy; the change itself is one transaction, or nothing."""
        return f"PostgreSQL keeps no copy of {suffix} by itself; pg_dump makes one"

    def checkpoint_later(self, size: int) -> AbstractContextManager[None]:
        """Return a block that does nothing: the server does its checkpoints beside.

        Args:
            size: of what is about to be written, in bytes.
        """
        del size
        return nullcontext()

    def refuse_without_room(self, size: int) -> None:
        """Refuse nothing: the server's disk is its own to judge."""

    def cursor(self, named_cursor: None = None) -> Any:
        """Return a cursor that takes bytes as they are, not as text."""
        del named_cursor
        if self.is_closed():
            self.connect()
        return self._state.conn.cursor(binary=True)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement.

        Raises:
            UnreachableError: the server went away meanwhile.
        """
        with self._told():
            return super().execute_sql(sql, params)

    def snapshot(self) -> AbstractContextManager[Any]:
        """Return a block that sees the store as it is at its first query, and writes nothing."""
        return self.atomic(None)

    def execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement with each of many rows."""
        with self._told(), __exception_wrapper__:
            self.cursor().executemany(sql, rows)

    def last_id(self, table: str) -> int:
        """Return the newest id that a table has given out; 0 for none, or where it gives none."""
        counter = self._counter(table)
        if counter is None:
            return 0
        sql = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {counter}"  # noqa: S608
        return self.execute_sql(sql).fetchone()[0]

    def set_last_id(self, table: str, last: int) -> None:
        """Go on with the id after this one."""
        self.execute_sql("SELECT setval(%s::regclass, %s)", (self._counter(table), last))

    def begin(self, lock: int | None = WRITING) -> None:
        """Begin a transaction, and wait until no other process is in one.

        Args:
            lock: what to wait for; `PREPARING` waits for makers of tables alone, and None for
                nobody: the transaction then only reads.
        """
        if self.is_closed():
            self.connect()
        connection: Any = self._state.conn
        with self._told():
            try:
                connection.execute(  # several statements, one way to the server and back
                    "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
                    if lock is None
                    else f"BEGIN; SET LOCAL lock_timeout = '{LOCK_SECONDS}s'; "
                    f"SELECT pg_advisory_xact_lock({lock})"
                )
            except psycopg.Error as error:
                if not connection.closed:
                    connection.rollback()
                raise OperationalError(error, *error.args) from error

    def commit(self) -> None:
        """Commit the transaction."""
        with self._told():
            super().commit()

    def rollback(self) -> None:
        """Undo the transaction; where the connection broke, the server has done so."""
        self._set_stale_aside()
        if self._state.closed:
            return
        with self._told():
            super().rollback()

    def _counter(self, table: str) -> str | None:
        """Return the name of what counts a table's ids; None where nothing does."""
        if "id" not in self.columns()[table]:
            return None
        sql = "SELECT pg_get_serial_sequence(%s, 'id')"
        return self.execute_sql(sql, (f'"{table}"',)).fetchone()[0]

    def _url(self) -> str:
        url = self.place()
        if url is None:
            message = f"metastore: {config.DATABASE_VARIABLE} is not set any more."
            raise MetastoreError(message)
        return url

    def _connect(self) -> _Connection:
        url = self._url()
        given = {name for name in REACH if f"{name}=" in url}
        reach: dict[str, Any] = {name: value for name, value in REACH.items() if name not in given}
        try:
            connection = _Connection.connect(
                url,
                autocommit=True,  # peewee begins and commits
                prepare_threshold=None,  # a plan of before a migration, or a pooler, would fail
                client_encoding="utf8",
                application_name="aiqc",
                context=ADAPTERS,
                **reach,
            )
        except psycopg.Error as error:
            raise self._unreachable(error) from None  # its context may show the password
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            connection.close()
            message = (
                f"metastore: {self.describe()} has encoding {encoding}, which does not hold every "
                "text. Make it anew: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
            raise MetastoreError(message)
        self._state.origin = (os.getpid(), url)
        return connection

    def _set_stale_aside(self) -> None:
        state: Any = self._state
        if state.closed:
            return
        pid, url = state.origin
        if pid != os.getpid():
            # Closing it here would end the parent's session at the server: keep it open, unused.
            self._inherited.append(state.conn)
            state.reset()
        elif not self.in_transaction() and (url != self.place() or _is_broken(state.conn)):
            self.close()

    @contextmanager
    def _told(self) -> Generator[None]:
        """Turn an error of a server that is gone, or locked too long, into one that says so."""
        try:
            yield
        except (DataError, IntegrityError, ProgrammingError) as error:
            told = refusals.refused(error) or refusals.postgres_fault(error, self.describe())
            if told is None:
                raise
            if refusals.is_without_tables(error):
                self._state.origin = (os.getpid(), "")  # the next use connects anew, and looks
            raise told from error
        except (OperationalError, InterfaceError) as error:
            state: Any = self._state
            if state.closed or state.conn.closed:
                raise self._unreachable(error) from error
            if getattr(error.orig, "sqlstate", None) == LOCK_TIMED_OUT:
                message = (
                    f"metastore: {self.describe()} has been written to by another process for "
                    f"{LOCK_SECONDS} s. Look for what hangs in pg_stat_activity, and run again."
                )
                raise MetastoreError(message) from error
            raise

    def _unreachable(self, error: Exception) -> UnreachableError:
        url = self._url()
        reason = " ".join(str(error).split())[:REASON_LETTERS]
        for secret in _secrets(url):
            reason = reason.replace(secret, "***")
        return UnreachableError(
            f"metastore: {self.describe()} cannot be reached ({reason}). Start it or correct "
            f"{config.DATABASE_VARIABLE}; nothing was lost: run the same command again."
        )


class _Connection(psycopg.Connection):
    """A connection that its thread leaves to libpq's object, which closes none after a fork."""

    def __del__(self) -> None:
        """Say nothing, where psycopg would warn."""


class _TextDumper(StrDumperUnknown):
    """Text that may hold NUL, which PostgreSQL refuses."""

    def dump(self, obj: str) -> bytes:
        return obj.replace(NUL, NUL_STANDS).encode()


class _TextLoader(TextLoader):
    def load(self, data: Any) -> str:
        return str(data, "utf-8").replace(NUL_STANDS, NUL)


class _BinaryTextLoader(_TextLoader):
    format = Format.BINARY


class _ArrayDumper(BytesBinaryDumper):
    """Bytes that lie in an array."""

    def dump(self, obj: Any) -> Any:
        return super().dump(memoryview(obj))


def _adapters() -> AdaptersMap:
    found = AdaptersMap(psycopg.adapters)
    found.register_dumper(str, _TextDumper)
    found.register_dumper("numpy.ndarray", _ArrayDumper)
    for kind in ("text", "varchar"):
        found.register_loader(kind, _TextLoader)
        found.register_loader(kind, _BinaryTextLoader)
    return found


ADAPTERS = _adapters()


def _is_broken(connection: psycopg.Connection[Any]) -> bool:
    """Say whether the server has closed a connection on which nothing is going on.

    Whatever it says unasked comes with or before the end, so that any word of it counts.
    """
    if connection.closed:
        return True
    asked = select.poll()
    asked.register(connection.pgconn.socket, select.POLLIN)
    return bool(asked.poll(0))


def _secrets(url: str) -> set[str]:
    password = config.parsed_database_url(url, config.DATABASE_VARIABLE).password or ""
    return {password, unquote(password)} - {""}
