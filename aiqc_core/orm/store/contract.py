"""The contract of a database of the metastore; `tests/contracts/metastore` runs on each.

* Threads: each has a connection of its own, opened on first use, never at import.
* Forks: a child neither uses nor closes a connection that it inherits; it opens its own.
* Places: the place is looked up at each use. A connection to another place, or one that broke, is
  replaced by the next query outside of a transaction.
* Transactions: from its begin on, a transaction is the only writer of any process.
* Tables: a process makes, migrates or checks them when it first opens the store (`when_opened`).
* Errors: a fault of the store is a `MetastoreError` that says which store and what to do.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from peewee import Database, __exception_wrapper__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from peewee import Model


class StoreDatabase(Database):
    """What every database of the metastore does alike."""

    reading: ClassVar[str | None] = None  # what `begin` takes for a transaction that only reads

    def __init__(
        self,
        place: Callable[[], Any],
        when_opened: Sequence[Callable[[], None]] = (),
        **options: Any,
    ) -> None:
        super().__init__("unopened", **options)
        self.place = place
        self.when_opened = when_opened
        self._prepared: set[tuple[Any, ...]] = set()
        self._inherited: list[object] = []

    def is_closed(self) -> bool:
        """Return whether this thread has no usable connection to the present place."""
        self._set_stale_aside()
        return super().is_closed()

    def forget_prepared(self) -> None:
        """Check the tables again at the next connection: others may be there by then."""
        self._prepared.clear()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement."""
        with self._explained():
            return super().execute_sql(sql, params)

    def execute_many(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Run a statement with each of many rows."""
        with self._explained(), __exception_wrapper__:
            self.cursor().executemany(sql, rows)

    def commit(self) -> None:
        """Commit the transaction."""
        with self._explained():
            super().commit()

    def snapshot(self) -> AbstractContextManager[Any]:
        """Return a block that sees the store as it is at its first query, and writes nothing."""
        return self.atomic(self.reading)

    def written(self) -> tuple[int, ...] | None:
        """Return numbers that change with each write of anybody; None where nothing says so."""

    def programs(self) -> list[tuple[str, str]]:
        """Return kind and name of triggers and views; none of a server, which is trusted."""
        return []

    def finish_tables(self, tables: Iterable[type[Model]]) -> None:
        """Change new tables where peewee's declaration does not do."""

    def checkpoint_later(self, size: int) -> AbstractContextManager[None]:
        """Return a block whose commit does not wait for a checkpoint of that many bytes."""
        del size
        return nullcontext()

    def refuse_without_room(self, size: int) -> None:
        """Raise MetastoreError where the disk is known to have no room for that many bytes."""

    def _explained(self) -> AbstractContextManager[None]:
        """Return a block that turns faults of the store into errors that say what to do."""
        raise NotImplementedError

    def _leave_stale(self, place: Any) -> None:
        """Close this thread's connection if it is not to the present place."""
        raise NotImplementedError

    def _set_stale_aside(self) -> None:
        state: Any = self._state
        if state.closed:
            return
        pid, place = state.origin
        if pid != os.getpid():  # closing it would end the parent's session, or drop its locks
            self._inherited.append(state.conn)
            state.reset()
        elif not self.in_transaction():  # a transaction stays with the store that it began on
            self._leave_stale(place)

    def _prepare(self, alone: AbstractContextManager[Any]) -> None:
        """Make or check the tables in a block that one process at a time enters."""
        try:
            with alone:
                for prepare in self.when_opened:
                    prepare()
        except BaseException:
            self.close()
            raise
