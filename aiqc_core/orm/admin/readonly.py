"""Open a store read-only: nothing is made, migrated or written, whatever it holds.

The file is not trusted: its triggers and its views in place of tables are named, functions that
its schema calls may touch nothing outside, and a file of another format is refused.
"""

from __future__ import annotations

import hashlib
import sqlite3
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from peewee import OperationalError, PeeweeException, SqliteDatabase

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store import sqlite
from aiqc_core.orm.store.database import open_postgres
from aiqc_core.orm.store.sqlite_files import LOG
from aiqc_core.orm.tables.schema import StoreInfo, foreign_programs, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

SQLITE_HEADER = b"SQLite format 3\0"
FAULTS_NAMED = 5
WAIT_MILLISECONDS = 30_000
DATABASE_ERRORS = (PeeweeException, sqlite3.Error)  # rows that are fetched raise their own
UNTRUSTED = {"query_only": 1, "trusted_schema": 0, "cell_size_check": 1}


@contextmanager
def opened(path: Path | None = None) -> Generator[Any]:
    """Open a store for reading, as a database of peewee; the rows' classes keep theirs.

    Args:
        path: of a SQLite file; by default the store that the environment names.

    Raises:
        MetastoreError: there is no such file, it is no SQLite file, or the server is down.
    """
    url = config.settings.database_url
    if path is None and url is not None:
        database: Any = open_postgres(lambda: config.settings.database_url)
    else:
        database = _opened_file(path or config.database_path())
    database.connect(reuse_if_open=True)
    try:
        if isinstance(database, SqliteDatabase):  # all that is read is of one moment
            database.execute_sql("BEGIN")
        yield database
    finally:
        database.close()


@contextmanager
def rows_of(database: Any) -> Generator[None]:
    """Make the rows' classes of this whole process read from an opened store meanwhile."""
    with database.bind_ctx(tables(), bind_refs=False, bind_backrefs=False):
        yield


def refuse_no_store(path: Path) -> None:
    """Raise MetastoreError for what is no SQLite file."""
    try:
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            with path.open("rb") as stream:
                head = stream.read(len(SQLITE_HEADER))
            if head == SQLITE_HEADER:
                return
            found = "an empty file" if not head else f"a file that begins with {head[:8]!r}"
        else:
            found = "no regular file"
    except OSError as error:
        found = f"nothing that can be read ({error.strerror})"
    raise MetastoreError(f"metastore: {path} is no SQLite file but {found}.")


def schema_version(database: Any, shown: object) -> int:
    """Return the version of a store's tables.

    Raises:
        MetastoreError: it is no store of AIQC; the text calls it as `shown` does.
    """
    name = StoreInfo._meta.table_name
    found = None
    if name in database.get_tables():
        row = database.execute_sql(
            f"SELECT value FROM {name} WHERE key = 'schema_version'"  # noqa: S608 - our own name
        ).fetchone()
        found = None if row is None else str(row[0])
    if found is None or not found.isdecimal():
        raise MetastoreError(f"metastore: {shown} is no store of AIQC.")
    return int(found)


def faults(database: Any) -> list[str]:
    """Return what SQLite finds wrong with a file: pages, indices, references to rows that are not.

    PostgreSQL looks after its own pages, and holds references at each write.
    """
    if not isinstance(database, SqliteDatabase):
        return []
    try:
        lines = [r for (r,) in database.execute_sql("PRAGMA integrity_check") if r != "ok"]
        if lines:
            return [f"integrity_check: {line}" for line in lines[:FAULTS_NAMED]]
        broken = database.execute_sql("PRAGMA foreign_key_check").fetchmany(FAULTS_NAMED)
    except DATABASE_ERRORS as error:
        return [f"integrity_check: {error}"]
    return [f"row {row} of {table} refers to no row of {other}" for table, row, other, _ in broken]


def programs(database: Any) -> list[str]:
    """Return the triggers of a SQLite file, and its views in place of tables; AIQC makes none."""
    if not isinstance(database, SqliteDatabase):
        return []
    return foreign_programs(sqlite.programs(database))


def damaged_blobs(
    database: Any, *, deep: bool, seen: Callable[[int], None] | None = None
) -> tuple[list[str], int, int]:
    """Find stored bytes that are missing, cut short or, with `deep`, changed.

    Args:
        database: the opened store.
        deep: hash all bytes.
        seen: receives how many bytes were checked so far.

    Returns:
        The digests of damaged contents; how many contents are outside the metastore, and their
        bytes.
    """
    stored = dict(database.execute_sql(
        "SELECT blob_id, SUM(LENGTH(data)) FROM blobchunk GROUP BY blob_id"
    ))  # fmt: skip
    damaged: list[str] = []
    outside = outside_bytes = checked = 0
    for digest, size in database.execute_sql("SELECT sha256, size FROM blob").fetchall():
        there = int(stored.get(digest) or 0)
        if size and digest not in stored:
            outside, outside_bytes = outside + 1, outside_bytes + size
        elif there != size or (deep and _sha256(database, digest) != digest):
            damaged.append(digest)
        checked += there
        if seen is not None:
            seen(checked)
    return damaged, outside, outside_bytes


def _sha256(database: Any, digest: str) -> str:
    sql = f"SELECT data FROM blobchunk WHERE blob_id = {database.param} ORDER BY idx"  # noqa: S608
    hasher = hashlib.sha256()
    for (piece,) in database.execute_sql(sql, (digest,)):
        hasher.update(piece)
    return hasher.hexdigest()


def _opened_file(path: Path) -> SqliteDatabase:
    refuse_no_store(path)
    last: Exception | None = None
    # Ways that leave nothing beside the file. An existing log must stay, and whoever closes a file
    # last and may write would empty it. Without one, a connection that may write removes what it
    # needed. A read-only folder has no writer.
    has_log = path.with_name(path.name + LOG).exists()
    for mode in ["mode=ro"] if has_log else ["mode=rw", "mode=ro", "immutable=1"]:
        database = SqliteDatabase(
            f"{path.absolute().as_uri()}?{mode}",
            uri=True,
            pragmas=UNTRUSTED | {"busy_timeout": WAIT_MILLISECONDS},
        )
        try:
            database.connect()
            database.execute_sql("SELECT COUNT(*) FROM sqlite_master").fetchone()
            database.close()
        except OperationalError as error:  # a folder in which SQLite can make no file
            database.close()
            last = error
        except DATABASE_ERRORS as error:
            database.close()
            raise MetastoreError(f"metastore: {path} is damaged: {error}.") from error
        else:
            return database
    raise MetastoreError(f"metastore: {path} cannot be opened: {last}.") from last
