"""Migrate a store's tables from each version to the next, on SQLite and PostgreSQL.

A step holds its own DDL, frozen at its release: it reads no class, index or constant of today's
tables, which later versions change. No step removes rows; a SQLite file is copied beforehand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import SqliteDatabase

from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store.database import metastore

if TYPE_CHECKING:
    from collections.abc import Callable

ID, TEXT, LONG_TEXT, NUMBER, INTEGER, FLAG = "id", "text", "long text", "number", "integer", "flag"
ON_SQLITE = {
    ID: "INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT",
    TEXT: "VARCHAR(255)",
    LONG_TEXT: "TEXT",
    NUMBER: "REAL",
    INTEGER: "INTEGER",
    FLAG: "INTEGER",
}
ON_POSTGRESQL = {
    ID: "BIGSERIAL NOT NULL PRIMARY KEY",
    TEXT: "TEXT",
    LONG_TEXT: "TEXT",
    NUMBER: "DOUBLE PRECISION",
    INTEGER: "BIGINT",
    FLAG: "BOOLEAN",
}


def found_version() -> int:
    """Return the version of the store's tables; MetastoreError if the store has none."""
    row = metastore.execute_sql(
        "SELECT value FROM storeinfo WHERE key = 'schema_version'"
    ).fetchone()
    if row is None or not str(row[0]).isdecimal():
        raise MetastoreError(
            f"metastore: {metastore.describe()} has no schema version. The store is damaged; "
            "restore a backup of it, or set AIQC_HOME to another place."
        )
    return int(row[0])


def migrate(found: int, wanted: int) -> None:
    """Bring the store from a version to a later one, in the transaction of the caller."""
    for version in range(found, wanted):
        STEPS[version]()
    note_version(wanted)


def note_version(version: int) -> None:
    """Write the version of the store's tables."""
    metastore.execute_sql(
        f"UPDATE storeinfo SET value = '{version:d}' WHERE key = 'schema_version'"  # noqa: S608
    )


def add_column(table: str, column: str, kind: str, rest: str = "") -> None:
    """Add a column to a table, empty in present rows; `rest` is SQL that both databases know."""
    metastore.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column} {_here(kind)} {rest}".rstrip())


def add_table(table: str, columns: dict[str, tuple[str, str]], *indexed: str) -> None:
    """Add a table with `(kind, rest)` of each column, and an index of each `indexed` one."""
    lines = [f"{name} {_here(kind)} {rest}".rstrip() for name, (kind, rest) in columns.items()]
    metastore.execute_sql(f"CREATE TABLE {table} ({', '.join(lines)})")
    for column in indexed:
        metastore.execute_sql(f"CREATE INDEX {table}_{column} ON {table} ({column})")


def _here(kind: str) -> str:
    known = ON_SQLITE if isinstance(metastore.store, SqliteDatabase) else ON_POSTGRESQL
    return known[kind]


def _to_2() -> None:
    """Champions, inference beside training, taken-over Predictors, why an Attempt failed."""
    needed = "NOT NULL"
    columns = {
        "id": (ID, ""),
        "time_created": (TEXT, needed),
        "time_updated": (TEXT, needed),
        "is_starred": (FLAG, needed),
        "name": (TEXT, ""),
        "description": (LONG_TEXT, ""),
        "experiment": (TEXT, needed),
        "snapshot": (TEXT, needed),
        "reason": (LONG_TEXT, needed),
        "contest": (LONG_TEXT, needed),
        "predictor_id": (INTEGER, "NOT NULL REFERENCES predictor (id)"),
    }
    add_table("champion", columns, "experiment", "predictor_id")
    add_column("hyperparamset", "search", TEXT)
    add_column("attempt", "kind", TEXT)
    add_column("attempt", "peak_memory_mb", NUMBER)
    add_column("predictor", "adopted_from", INTEGER)
    add_column("prediction", "splitset_id", INTEGER, "REFERENCES splitset (id)")
    metastore.execute_sql("CREATE UNIQUE INDEX prediction_splitset_id ON prediction (splitset_id)")


def _to_3() -> None:
    """Heartbeats of claims, and the devices that trained."""
    add_column("attempt", "device", LONG_TEXT)
    add_column("attempt", "holder", TEXT)
    add_column("attempt", "beat", INTEGER)
    add_column("predictor", "device", LONG_TEXT)
    metastore.execute_sql("CREATE INDEX attempt_holder ON attempt (holder)")


def _to_4() -> None:
    """What ranks, which class counts, what a cut gives away, what a model gives, what ended it."""
    add_column("label", "positive", LONG_TEXT)
    add_column("queue", "positive", LONG_TEXT)
    add_column("splitset", "given_away", LONG_TEXT)
    add_column("algorithm", "outputs", TEXT)
    add_column("predictor", "outputs", LONG_TEXT)
    add_column("queue", "metric", TEXT)
    add_column("predictor", "stopped", TEXT)
    add_column("snapshot", "metric", TEXT)


STEPS: dict[int, Callable[[], None]] = {1: _to_2, 2: _to_3, 3: _to_4}
