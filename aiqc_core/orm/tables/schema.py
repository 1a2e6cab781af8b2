"""Check the version of the store's tables when a process opens it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from peewee import CharField, Model, TextField

from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store.blobs import Blob, BlobChunk
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables import migrations

if TYPE_CHECKING:
    from collections.abc import Iterable

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 4


class StoreInfo(Model):
    """Facts about the store itself."""

    key = CharField(primary_key=True)
    value = TextField()

    class Meta:
        database = metastore


def tables() -> list[type[Model]]:
    """Return every table of the store, once all of `aiqc_core.orm` is imported."""
    return [StoreInfo, Blob, BlobChunk, *BaseModel.__subclasses__()]


def prepare() -> None:
    """Make the tables of an empty store, migrate an older one, and refuse one that is newer.

    Raises:
        MetastoreError: when the store was made by a newer version, or has no known version.
    """
    existing = set(metastore.get_tables())
    if not existing:
        with metastore.atomic():
            metastore.create_tables(tables(), safe=False)
            metastore.finish_tables(tables())
            StoreInfo.create(key="schema_version", value=str(SCHEMA_VERSION))
        return
    if StoreInfo._meta.table_name not in existing:
        raise MetastoreError(
            f"metastore: {metastore.describe()} is no store of AIQC. Set AIQC_HOME, or "
            "AIQC_DATABASE_URL where it is set, to another place."
        )
    _refuse_programs()
    found = migrations.found_version()
    if not 0 < found <= SCHEMA_VERSION:
        raise MetastoreError(
            f"metastore: {metastore.describe()} has schema version {found}, this program knows "
            f"{SCHEMA_VERSION}. "
            + ("Upgrade the program." if found > 0 else "The store is damaged.")
        )
    if found < SCHEMA_VERSION:
        kept = metastore.backup(f"v{found}")
        with metastore.atomic():  # the tables and the version that they have, or neither
            migrations.migrate(found, SCHEMA_VERSION)
        logger.warning(
            "metastore: %s went from schema version %d to %d; %s.",
            metastore.describe(), found, SCHEMA_VERSION, kept,
        )  # fmt: skip
    _refuse_missing_columns()


def foreign_programs(found: Iterable[tuple[str, str]]) -> list[str]:
    """Return, for people, all triggers and those views that take the place of a table."""
    ours = {table._meta.table_name for table in tables()}
    return [f"{kind} {name!r}" for kind, name in found if kind == "trigger" or name in ours]


def _refuse_programs() -> None:
    found = foreign_programs(metastore.programs())
    if found:
        raise MetastoreError(
            f"metastore: {metastore.describe()} holds {', '.join(found)}, which AIQC does not "
            "make: they would run at its writes, or answer for its tables. If you trust the rest "
            "of the file, drop them with sqlite3."
        )


def _refuse_missing_columns() -> None:
    columns = metastore.columns()
    for table in tables():
        name = table._meta.table_name
        missing = sorted(set(table._meta.columns) - columns.get(name, set()))
        if missing:
            raise MetastoreError(
                f"metastore: table {name!r} of {metastore.describe()} lacks {missing}. The store "
                "was made by another build; restore a backup of it or start a new one elsewhere."
            )


metastore.when_opened.append(prepare)
