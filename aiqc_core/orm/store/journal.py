"""Choose SQLite's journal: a log (WAL), or on a network's file system none (`delete`).

Processes of one machine share the log's index as memory, which is not safe on a network.
"""

from __future__ import annotations

import logging
import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store import file_systems

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)


def choose(connection: sqlite3.Connection, path: Path, *, is_read_only: bool) -> None:
    """Set the journal of a file that was just opened; one that is read only keeps its own.

    Raises:
        MetastoreError: other processes have it open with a log on a network's file system.
    """
    kind = file_systems.network_kind(path.parent)
    if kind is None:
        connection.execute("PRAGMA journal_mode = wal")
        return
    if is_read_only:
        return
    try:
        connection.execute("PRAGMA journal_mode = delete")
    except sqlite3.OperationalError as error:
        raise MetastoreError(
            f"metastore: {path} is on a network's file system ({kind}), and other processes have "
            f"it open with SQLite's log, which is not safe there ({error}). End them, and run "
            "again."
        ) from error
    connection.execute("PRAGMA synchronous = full")
    _warn(path, kind)


@lru_cache(maxsize=64)
def _warn(path: Path, kind: str) -> None:
    logger.warning(
        "metastore: %s is on a network's file system (%s). SQLite is used without its log there, "
        "which is slower; the file system must hold locks. Put %s on a local disk, or set %s to a "
        "PostgreSQL database.",
        path, kind, config.HOME_VARIABLE, config.DATABASE_VARIABLE,
    )  # fmt: skip
