"""Steps from each version of the store's tables to the next.

A step says what is new, and works on SQLite and on PostgreSQL. Nothing is removed, so a step keeps
every row; a SQLite file is copied before the first of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiqc_core.orm.champion import Champion
from aiqc_core.orm.database import metastore

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT, NUMBER, INTEGER = "text", "number", "integer"


def migrate(found: int, wanted: int) -> None:
    """Bring the store from a version to a later one, in the transaction of the caller.

    Args:
        found: the version it has.
        wanted: the version that the program knows.
    """
    for version in range(found, wanted):
        STEPS[version]()


def add_column(table: str, column: str, kind: str, rest: str = "") -> None:
    """Add a column to a table, empty in the rows that are there.

    Args:
        table: its name in the database.
        column: the new one's.
        kind: `TEXT`, `NUMBER` or `INTEGER`.
        rest: what else is said of it, in SQL that both databases know.
    """
    kind_here = metastore.column_types[kind]
    metastore.execute_sql(f"ALTER TABLE {table} ADD COLUMN {column} {kind_here} {rest}".rstrip())


def _to_2() -> None:
    """Champions, inference beside training, taken-over Predictors, why an Attempt failed."""
    metastore.create_tables([Champion])
    metastore.finish_tables([Champion])
    add_column("hyperparamset", "search", TEXT)
    add_column("attempt", "kind", TEXT)
    add_column("attempt", "peak_memory_mb", NUMBER)
    add_column("predictor", "adopted_from", INTEGER)
    add_column("prediction", "splitset_id", INTEGER, "REFERENCES splitset (id)")
    metastore.execute_sql("CREATE UNIQUE INDEX prediction_splitset_id ON prediction (splitset_id)")


def _to_3() -> None:
    """Heartbeats of claims, and the devices that trained."""
    add_column("attempt", "device", TEXT)
    add_column("attempt", "holder", TEXT)
    add_column("attempt", "beat", INTEGER)
    add_column("predictor", "device", TEXT)
    metastore.execute_sql("CREATE INDEX attempt_holder ON attempt (holder)")


STEPS: dict[int, Callable[[], None]] = {1: _to_2, 2: _to_3}
