"""What every table has: ids used once, times, a star, a name, and the dual call."""

from __future__ import annotations

import functools
from types import MethodType
from typing import TYPE_CHECKING, Any, Self

from peewee import SQL, AutoField, BooleanField, CharField, Model, NodeList, TextField, fn

from aiqc_core.config import timezone_now
from aiqc_core.errors import MetastoreError, NotFoundError
from aiqc_core.orm.database import metastore
from aiqc_core.orm.fields import TimeField

if TYPE_CHECKING:
    from collections.abc import Callable

TIME_FORMAT = "%Y%b%d_%H:%M:%S"


class rowmethod:  # noqa: N801 - reads as `@property` and `@classmethod` do
    """A method that is called on a row, or on its class with the row's id first.

    `queue.run_jobs()` and `Queue.run_jobs(7)` run the same body.
    """

    def __init__(self, body: Callable[..., Any]) -> None:
        self._body = body
        functools.update_wrapper(self, body)  # type: ignore[arg-type]

    def __get__(self, row: BaseModel | None, table: type[BaseModel]) -> Callable[..., Any]:
        if row is not None:
            return MethodType(self._body, row)

        @functools.wraps(self._body)
        def by_id(id: int, *args: Any, **kwargs: Any) -> Any:  # noqa: A002 - the reference's name
            return self._body(table.get_by_id(id), *args, **kwargs)

        return by_id


class IdField(AutoField):
    """Ids that are given out once: a SQLite file has to be told, PostgreSQL counts by itself."""

    def ddl(self, ctx: Any) -> Any:
        """Return the column as it is declared."""
        declared = super().ddl(ctx)
        is_sqlite = ctx.state.field_types[self.field_type] == "INTEGER"
        return NodeList((declared, SQL("AUTOINCREMENT"))) if is_sqlite else declared


class BaseModel(Model):
    """Base of all tables of the reference."""

    id: AutoField = IdField()  # never reused: Dagster's partitions carry these ids
    time_created = TimeField(default=timezone_now)
    time_updated = TimeField(default=timezone_now)
    is_starred = BooleanField(default=False)
    name = CharField(null=True)
    description = TextField(null=True)

    class Meta:
        database = metastore

    if TYPE_CHECKING:
        # peewee adds backrefs and `<key>_id` when the tables are declared.
        def __getattr__(self, name: str) -> Any: ...

    @classmethod
    def select(cls, *fields: Any) -> Any:
        """Select rows, in the order in which they were made unless another is asked for.

        SQLite gives them so anyhow; PostgreSQL would move a row that was changed to the end.
        """
        query = super().select(*fields)
        return query if fields else query.order_by(cls.id)

    @classmethod
    def get_by_id(cls, pk: int) -> Self:
        """Return the row with this id.

        Raises:
            NotFoundError: when there is none; the message says which ids there are.
        """
        row = cls.get_or_none(cls.id == pk)
        if row is None:
            count, newest = cls.select(fn.COUNT(cls.id), fn.MAX(cls.id)).scalar(as_tuple=True)
            found = f"the table holds {count} rows, the newest has id {newest}"
            message = f"{cls.__name__}: no row has id {pk!r}; {found if count else 'it is empty'}."
            raise NotFoundError(message)
        return row

    def save(self, *args: Any, **kwargs: Any) -> int:
        """Write the row and its time of update."""
        self.time_updated = timezone_now()
        return super().save(*args, **kwargs)

    @rowmethod
    def created_at(self) -> str:
        """Return when the row was made, as `2022Jun23_07:13:14` in the local zone."""
        return self.time_created.astimezone().strftime(TIME_FORMAT)

    @rowmethod
    def updated_at(self) -> str:
        """Return when the row was last changed, in the format of `created_at`."""
        return self.time_updated.astimezone().strftime(TIME_FORMAT)

    @rowmethod
    def flip_star(self) -> None:
        """Mark the row as a favourite, or unmark it."""
        self.is_starred = not self.is_starred
        self.save(only=["is_starred", "time_updated"])

    @rowmethod
    def set_info(self, name: str | None = None, description: str | None = None) -> None:
        """Say what the row is; what is left out stays as it was."""
        if name is not None:
            self.name = name
        if description is not None:
            self.description = description
        self.save(only=["name", "description", "time_updated"])

    def delete_instance(self, *, cascade: bool = False) -> int:
        """Delete the row.

        Args:
            cascade: delete what depends on it too; otherwise a row that others need stays.

        Raises:
            MetastoreError: when other rows depend on this one and `cascade` is False.
        """
        with metastore.atomic():
            if not cascade:
                self._refuse_dependents()
            return super().delete_instance(recursive=cascade, delete_nullable=cascade)

    def _refuse_dependents(self) -> None:
        needed_by = [
            f"{key.model.__name__} {row_id}"
            for key, table in self._meta.backrefs.items()
            for (row_id,) in table.select(table._meta.primary_key).where(key == self).tuples()
        ]
        if needed_by:
            message = (
                f"{type(self).__name__} {self.id} is not deleted: {len(needed_by)} rows depend on "
                f"it ({', '.join(needed_by[:10])}). Delete them first, or pass cascade=True."
            )
            raise MetastoreError(message)

    def __repr__(self) -> str:
        called = f" {self.name!r}" if self.name else ""
        return f"<{type(self).__name__} {self.id}{called}>"
