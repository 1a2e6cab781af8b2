"""The metastore as a PostgreSQL database; see `contract`.

As in SQLite, a transaction writes alone (by an advisory lock), numbers have 64 bits, and texts
have any length and may hold NUL. A connection that the server has closed is replaced at its next
use; PostgreSQL has then rolled back what was not committed. Nothing is set for a session, so that
a pooler may hand out connections by transaction.
"""

from __future__ import annotations

import os
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import peewee
import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.pq import Format
from psycopg.types.string import BytesBinaryDumper, StrDumperUnknown, TextLoader

from aiqc_core import config
from aiqc_core.errors import MetastoreError, UnreachableError
from aiqc_core.orm.store import refusals
from aiqc_core.orm.store.contract import StoreDatabase

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

# Names of advisory locks, of which each database has its own: "AIQC" and what is locked.
WRITING = 0x41495143_00000001
PREPARING = 0x41495143_00000002
LOCK_SECONDS = 300  # a large Dataset is written in one transaction, and others wait for it
REACH = {
    "connect_timeout": 10,  # seconds, as all of these
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
NUL, NUL_STANDS = "\0", "\U0010ffff"  # no text holds that code point: Unicode keeps it free
REASON_LETTERS = 300
LOCK_TIMED_OUT = "55P03"


class PostgresStore(StoreDatabase, peewee.PostgresqlDatabase):
    """A PostgreSQL database."""

    field_types = peewee.PostgresqlDatabase.field_types | {
        "AUTO": "BIGSERIAL",
        "INT": "BIGINT",
        "FLOAT": "DOUBLE PRECISION",
    }

    def __init__(
        self, place: Callable[[], str | None], when_opened: Sequence[Callable[[], None]] = ()
    ) -> None:
        super().__init__(place, when_opened, prefer_psycopg3=True)

    def get_binary_type(self) -> type:
        """Return what bytes are wrapped in."""
        return memoryview

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Connect, and make or check the tables the first time.

        Raises:
            UnreachableError: the server does not answer, or refuses.
        """
        self._set_stale_aside()
        opened = super().connect(reuse_if_open=reuse_if_open)
        known = (os.getpid(), self._url(), self._tables_id())
        if known not in self._prepared:
            self._prepare(self.atomic(PREPARING))
            self._prepared.add((*known[:2], self._tables_id()))
        return opened

    def _tables_id(self) -> int | None:
        """Return an id that tables made later do not have; None where there are none."""
        # Not by `execute_sql`, which would raise for missing tables.
        found = self._state.conn.execute("SELECT to_regclass('storeinfo')::oid").fetchone()
        return None if found is None else found[0]

    def describe(self) -> str:
        """Return the store's place, for people, without the password."""
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

    def finish_tables(self, tables: Iterable[type[peewee.Model]]) -> None:
        """Give texts any length, and store bytes as they are: compressed already, or numbers."""
        for table in tables:
            changes: list[str] = []
            for field in table._meta.sorted_fields:
                is_key_of_text = isinstance(getattr(field, "rel_field", None), peewee.CharField)
                if isinstance(field, peewee.CharField) or is_key_of_text:
                    changes.append(f'ALTER "{field.column_name}" TYPE TEXT')
                elif field.field_type == "BLOB":
                    changes.append(f'ALTER "{field.column_name}" SET STORAGE EXTERNAL')
            if changes:
                name = table._meta.table_name
                self.execute_sql(f'ALTER TABLE "{name}" {", ".join(changes)}')

    def backup(self, suffix: str) -> str:
        """Return how to make a copy; the change itself is one transaction."""
        return f"PostgreSQL keeps no copy of {suffix} by itself; pg_dump makes one"

    def cursor(self, named_cursor: None = None) -> Any:
        """Return a cursor that takes bytes as they are, not as text."""
        del named_cursor
        if self.is_closed():
            self.connect()
        return self._state.conn.cursor(binary=True)

    def last_id(self, table: str) -> int:
        """Return the newest id of a table, also of a deleted row; 0 for none."""
        counter = self._counter(table)
        if counter is None:
            return 0
        sql = f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {counter}"  # noqa: S608
        return self.execute_sql(sql).fetchone()[0]

    def set_last_id(self, table: str, last: int) -> None:
        """Give the next row the id after this one."""
        self.execute_sql("SELECT setval(%s::regclass, %s)", (self._counter(table), last))

    def begin(self, lock: int | None = WRITING) -> None:
        """Begin a transaction, and wait until no other process is in one.

        Args:
            lock: `PREPARING` waits only for makers of tables, None for nobody and only reads.
        """
        if self.is_closed():
            self.connect()
        connection: Any = self._state.conn
        with self._explained():
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
                raise peewee.OperationalError(error, *error.args) from error

    def rollback(self) -> None:
        """Undo the transaction; if the connection broke, the server has done so."""
        if self.is_closed():
            return
        with self._explained():
            super().rollback()

    def _counter(self, table: str) -> str | None:
        """Return the sequence of a table's ids; None without one."""
        if "id" not in self.columns()[table]:
            return None
        sql = "SELECT pg_get_serial_sequence(%s, 'id')"
        return self.execute_sql(sql, (f'"{table}"',)).fetchone()[0]

    def _url(self) -> str:
        url = self.place()
        if url is None:
            raise MetastoreError(f"metastore: {config.DATABASE_VARIABLE} is not set any more.")
        return url

    def _connect(self) -> _Connection:
        url = self._url()
        reach: dict[str, Any] = {k: v for k, v in REACH.items() if f"{k}=" not in url}
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
            raise MetastoreError(
                f"metastore: {self.describe()} has encoding {encoding}, which does not hold every "
                "text. Make another: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        self._state.origin = (os.getpid(), url)
        return connection

    def _leave_stale(self, place: str) -> None:
        connection: psycopg.Connection[Any] = self._state.conn
        is_stale = place != self.place() or connection.closed
        if not is_stale:  # to an idle connection the server sends something only when it closes it
            poll = select.poll()
            poll.register(connection.pgconn.socket, select.POLLIN)
            is_stale = bool(poll.poll(0))
        if is_stale:
            self.close()

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (peewee.DataError, peewee.IntegrityError, peewee.ProgrammingError) as error:
            fault = refusals.refused(error) or refusals.postgres_fault(error, self.describe())
            if fault is None:
                raise
            if refusals.is_without_tables(error):
                self._state.origin = (os.getpid(), "")  # the next use connects again, and checks
            raise fault from error
        except (peewee.OperationalError, peewee.InterfaceError) as error:
            state: Any = self._state
            if state.closed or state.conn.closed:
                raise self._unreachable(error) from error
            if getattr(error.orig, "sqlstate", None) == LOCK_TIMED_OUT:
                raise MetastoreError(
                    f"metastore: {self.describe()} has been written to by another process for "
                    f"{LOCK_SECONDS} s. Look for what hangs in pg_stat_activity, and run again."
                ) from error
            raise

    def _unreachable(self, error: Exception) -> UnreachableError:
        url = self._url()
        reason = " ".join(str(error).split())[:REASON_LETTERS]
        password = config.parsed_database_url(url, config.DATABASE_VARIABLE).password or ""
        for secret in {password, unquote(password)} - {""}:
            reason = reason.replace(secret, "***")
        return UnreachableError(
            f"metastore: {self.describe()} cannot be reached ({reason}). Start it or correct "
            f"{config.DATABASE_VARIABLE}; nothing was lost: run the same command again."
        )


class _Connection(psycopg.Connection):
    """A connection that nobody closes after a fork, without psycopg's warning about that."""

    def __del__(self) -> None: ...


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
    """Bytes of an array."""

    def dump(self, obj: Any) -> Any:
        return super().dump(memoryview(obj))


ADAPTERS = AdaptersMap(psycopg.adapters)
ADAPTERS.register_dumper(str, _TextDumper)
ADAPTERS.register_dumper("numpy.ndarray", _ArrayDumper)
for kind in ("text", "varchar"):
    ADAPTERS.register_loader(kind, _TextLoader)
    ADAPTERS.register_loader(kind, _BinaryTextLoader)
