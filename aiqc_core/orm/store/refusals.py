"""Turn errors of a database into errors in terms of AIQC."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any

from peewee import DatabaseError, DataError, IntegrityError, InterfaceError, ProgrammingError

from aiqc_core.errors import MetastoreError

if TYPE_CHECKING:
    from peewee import PeeweeException

UNIQUE, NOT_NULL, KEY = "UNIQUE", "NOT NULL", "FOREIGN KEY"
UNDEFINED_TABLE, NO_SCHEMA = "42P01", "3F000"
STATES = {"23505": UNIQUE, "23502": NOT_NULL, "23503": KEY}  # of PostgreSQL
BY_VERBS = (
    "Rows are made by their class's own verbs (from_…, make), which check what they are given"
)

BUSY_TIMEOUT_SECONDS = 30.0
PRIMARY_CODE = 0xFF  # the rest of a code says more of the same
FAULTS = {
    sqlite3.SQLITE_ERROR: "{store} cannot run this statement: it is wrong, or the store has lost "
    "tables. Mend the statement, or restore a backup; aiqc doctor says if the store is sound.",
    sqlite3.SQLITE_FULL: "the disk of {store} is full. Nothing of this was kept; free some room "
    "on it and run the same again.",
    sqlite3.SQLITE_BUSY: "{store} has been written to by another process for "
    f"{BUSY_TIMEOUT_SECONDS:g} s. See which program hangs, and run the same again.",
    sqlite3.SQLITE_CORRUPT: "{store} is damaged. See aiqc doctor; restore a backup of it.",
    sqlite3.SQLITE_NOTADB: "{store} is no SQLite file, or is damaged. Restore a backup of it, or "
    "set AIQC_HOME to another place.",
    sqlite3.SQLITE_READONLY: "{store} can be read and not written. Make the file and its folder "
    "writable for this user, or set AIQC_HOME to another place.",
    sqlite3.SQLITE_IOERR: "{store} could not be read or written. Look at its disk, and run the "
    "same again.",
    sqlite3.SQLITE_CANTOPEN: "{store} cannot be opened. See that AIQC_HOME is a folder that this "
    "user may write to.",
}


class ConstraintError(MetastoreError, IntegrityError):
    """A row that contradicts others, or lacks a value; nothing of it is written."""


def refused(error: PeeweeException | OverflowError) -> MetastoreError | None:
    """Return the error for a refused value or row; None for another kind of error."""
    if isinstance(error, IntegrityError):
        return ConstraintError(f"metastore: {_constraint(error)}.")
    if isinstance(error, DataError | InterfaceError | OverflowError) or (
        isinstance(error, ProgrammingError | DatabaseError) and "binding parameter" in str(error)
    ):
        return MetastoreError(
            f"metastore: a value does not go with its column ({_short(error)}). {BY_VERBS}."
        )
    return None


def sqlite_fault(error: PeeweeException | OverflowError, store: str) -> MetastoreError | None:
    """Return the error for a fault of a SQLite file; None for others."""
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    found = None if code is None else FAULTS.get(code & PRIMARY_CODE)
    if found is None or "no such savepoint" in str(error):  # that follows a fault named already
        return None
    return MetastoreError(f"metastore: {found.format(store=store)} [{_short(error)}]")


def postgres_fault(error: PeeweeException, store: str) -> MetastoreError | None:
    """Return the error for missing tables or a missing schema; None for others."""
    if is_without_tables(error):
        return MetastoreError(
            f"metastore: {store} has lost tables while it was open ({_short(error)}): the "
            "database was made again, or its schema dropped. Rows that this process holds are "
            "gone with them. The next use begins an empty store where none is left; restore a "
            "dump if data are missing."
        )
    if _state(error) == NO_SCHEMA:
        return MetastoreError(
            f"metastore: {store} has no schema in which tables can be made. Make one (CREATE "
            "SCHEMA public), or name one in the URL's search_path."
        )
    return None


def is_without_tables(error: PeeweeException) -> bool:
    """Return whether a table of the statement is missing."""
    return _state(error) == UNDEFINED_TABLE


def _state(error: PeeweeException) -> str | None:
    return getattr(getattr(error, "orig", None), "sqlstate", None)


def _constraint(error: IntegrityError) -> str:
    kind, table, columns = _named(error)
    if kind == UNIQUE:
        named = " and ".join(columns) or "content"
        return f"{table}: a row with this {named} is there already ({_short(error)})"
    if kind == NOT_NULL:
        return f"{table}: {', '.join(columns)} is missing ({_short(error)}). {BY_VERBS}"
    if kind == KEY:
        return (
            "other rows depend on a row that was to be deleted, or a row refers to one that is "
            f"not there ({KEY}: {_short(error)}). row.delete_instance() names what depends on it, "
            "and delete_instance(cascade=True) deletes that too"
        )
    return f"a row was refused ({_short(error)}). {BY_VERBS}"


def _named(error: IntegrityError) -> tuple[str, str, list[str]]:
    """Return the kind of a constraint, its table and its columns."""
    origin: Any = error.orig
    found = getattr(origin, "diag", None)
    if found is not None:
        kind = STATES.get(str(found.sqlstate), "")
        inner = re.search(r"\((.*?)\)=", found.message_detail or "")
        columns = [found.column_name] if found.column_name else []
        return kind, found.table_name or "", columns or (inner[1].split(", ") if inner else [])
    kind, _, places = str(error).partition(" constraint failed")
    pairs = [place.strip().partition(".") for place in places.lstrip(": ").split(",") if place]
    return kind, pairs[0][0] if pairs else "", [column for _, _, column in pairs]


def _short(error: Exception) -> str:
    return " ".join(str(error).split("\n")[0].split())
