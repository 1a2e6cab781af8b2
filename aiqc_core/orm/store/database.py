"""The one database that all tables are bound to: the store that the environment names.

`AIQC_DATABASE_URL` names a PostgreSQL database; without it the store is a SQLite file in
`AIQC_HOME`. Both are looked up at each use, so that one process may turn from one store to another
between two queries, and nothing is opened before the first.
"""

from __future__ import annotations

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
    """Stands for the present store wherever peewee asks for a database.

    A transaction stays with the store that it began on.

    Attributes:
        when_opened: called when a process opens a store for the first time.
    """

    def __init__(self) -> None:
        self.when_opened: list[Callable[[], None]] = []
        self._sqlite = SqliteStore(config.database_path, self.when_opened)
        self._postgres: PostgresStore | None = None
        self._used = local()

    @property
    def store(self) -> Store:
        """The store that the environment names now; a connection to another one is closed.

        Raises:
            MetastoreError: `AIQC_DATABASE_URL` is none, or its driver is not installed.
        """
        store = self._sqlite if config.database_url() is None else self._on_postgres()
        before: Store | None = getattr(self._used, "store", None)
        if before is not store:
            if before is not None and not before.is_closed() and not before.in_transaction():
                before.close()
            self._used.store = store
        return store

    def atomic(self) -> AbstractContextManager[Any]:
        """Return a transaction, or a part of the one that is open, for a `with` block.

        From its begin on no other transaction of any process writes to the store.
        """
        return self.store.atomic()

    def get_binary_type(self) -> type:
        """Return what peewee wraps bytes in, whichever store they go to."""
        return memoryview

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.store, name)

    def __deepcopy__(self, memo: object) -> Metastore:
        return self

    def _on_postgres(self) -> PostgresStore:
        if self._postgres is None:
            self._postgres = open_postgres(config.database_url, self.when_opened)
        return self._postgres


def open_postgres(
    place: Callable[[], str | None], when_opened: Sequence[Callable[[], None]] = ()
) -> PostgresStore:
    """Return a store on PostgreSQL, not yet connected.

    Args:
        place: returns the URL.
        when_opened: called when a process opens the store for the first time.

    Raises:
        MetastoreError: the driver is not installed.
    """
    try:
        from aiqc_core.orm.store.postgres import PostgresStore  # noqa: PLC0415 - an extra
    except ImportError as error:
        message = (
            f"metastore: {config.DATABASE_VARIABLE} needs psycopg, which cannot be imported "
            f"({error}). Install it: pip install 'aiqc-dagster[postgres]'"
        )
        raise MetastoreError(message) from error
    return PostgresStore(place, when_opened)


metastore = Metastore()


def checkpoint_later(size: int) -> AbstractContextManager[None]:
    """Commit what is written within as fast as the store can; see `SqliteStore`.

    Args:
        size: of what is about to be written, in bytes.
    """
    return metastore.store.checkpoint_later(size)
