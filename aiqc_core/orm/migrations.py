"""Steps from each version of the store's tables to the next.

A step is a list of SQL statements that say what is new. Nothing is removed, so a step keeps every
row; the store is copied before the first of them.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from aiqc_core.config import database_path
from aiqc_core.orm.champion import Champion
from aiqc_core.orm.database import metastore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

logger = logging.getLogger(__name__)


def migrate(found: int, wanted: int) -> Path:
    """Bring the store from a version to a later one, in one transaction.

    Args:
        found: the version it has.
        wanted: the version that the program knows.

    Returns:
        The copy of the store as it was.
    """
    copy = backup(f"v{found}")
    with metastore.atomic():
        for version in range(found, wanted):
            STEPS[version]()
    logger.warning(
        "metastore: %s went from schema version %d to %d; as it was it lies in %s.",
        database_path(), found, wanted, copy,
    )  # fmt: skip
    return copy


def backup(suffix: str) -> Path:
    """Copy the store beside itself, as one whole file whatever else is going on."""
    path = database_path()
    copy = path.with_suffix(f".{suffix}.sqlite")
    with closing(sqlite3.connect(path)) as store, closing(sqlite3.connect(copy)) as other:
        store.backup(other)
    return copy


def _to_2() -> None:
    """Champions, inference beside training, taken-over Predictors, why an Attempt failed."""
    metastore.create_tables([Champion])
    for statement in (
        "ALTER TABLE hyperparamset ADD COLUMN search VARCHAR(255)",
        "ALTER TABLE attempt ADD COLUMN kind VARCHAR(255)",
        "ALTER TABLE attempt ADD COLUMN peak_memory_mb REAL",
        "ALTER TABLE predictor ADD COLUMN adopted_from INTEGER",
        "ALTER TABLE prediction ADD COLUMN splitset_id INTEGER REFERENCES splitset (id)",
        "CREATE UNIQUE INDEX prediction_splitset_id ON prediction (splitset_id)",
    ):
        metastore.execute_sql(statement)


def _to_3() -> None:
    """Heartbeats of claims, and the devices that trained."""
    for statement in (
        "ALTER TABLE attempt ADD COLUMN device TEXT",
        "ALTER TABLE attempt ADD COLUMN holder TEXT",
        "ALTER TABLE attempt ADD COLUMN beat BIGINT",
        "ALTER TABLE predictor ADD COLUMN device TEXT",
        "CREATE INDEX attempt_holder ON attempt (holder)",
    ):
        metastore.execute_sql(statement)


STEPS: dict[int, Callable[[], None]] = {1: _to_2, 2: _to_3}
