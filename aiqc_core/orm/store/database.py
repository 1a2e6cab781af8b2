"""The database that all tables are bound to: the store that the environment names.

`AIQC_DATABASE_URL` names a PostgreSQL database; without it the store is a SQLite file in
`AIQC_HOME`. Both are read at each use, so that a process may change its store between two queries.
"""

from __future__ import annotations

from functools import cached_property
from threading import local
from typing import TYPE_CHECKING, Any

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from aiqc_core.orm.store.postgres import PostgresStore

    Store = SqliteStore | PostgresStore


class Metastore:
    """Pass on what peewee asks of a database to the present store.

    Attributes:
        when_opened: functions to call when a process first opens a store.
    """

    def __init__(self) -> None:
        self.when_opened: list[Callable[[], None]] = []
        self._sqlite = SqliteStore(config.database_path, self.when_opened)
        self._used = local()

    @property
    def store(self) -> Store:
        """The store that the environment names now; a connection to another one is closed.

        Raises:
            MetastoreError: `AIQC_DATABASE_URL` is none, or its driver is not installed.
        """
        store = self._sqlite if config.settings.database_url is None else self._postgres
        before: Store | None = getattr(self._used, "store", None)
        if before is not store:
            if before is not None and not before.is_closed() and not before.in_transaction():
                before.close()
            self._used.store = store
        return store

    def atomic(self) -> AbstractContextManager[Any]:
        """Return a transaction, or a part of the open one, that writes alone; see `contract`."""
        return self.store.atomic()

    def get_binary_type(self) -> type:
        """Return what peewee wraps bytes in."""
        return memoryview

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.store, name)

    def __deepcopy__(self, memo: object) -> Metastore:
        return self

    @cached_property
    def _postgres(self) -> PostgresStore:
        return open_postgres(lambda: config.settings.database_url, self.when_opened)


def open_postgres(
    place: Callable[[], str | None], when_opened: Sequence[Callable[[], None]] = ()
) -> PostgresStore:
    """Return a store on PostgreSQL, not yet connected.

    Raises:
        MetastoreError: the driver is not installed.
    """
    try:
        from aiqc_core.orm.store.postgres import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MetastoreError(
            f"metastore: {config.DATABASE_VARIABLE} needs psycopg, which cannot be imported "
            f"({error}). Install it: pip install 'aiqc-dagster[postgres]'"
        ) from error
    return PostgresStore(place, when_opened)


metastore = Metastore()


def is_there() -> bool:
    """Return whether there is a store: looking for rows would make one."""
    return config.settings.database_url is not None or config.database_path().is_file()
