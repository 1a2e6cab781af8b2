"""What every table has: ids used once, times, a star, a name, and the dual call."""

from __future__ import annotations

import functools
import operator
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from peewee import (
    SQL,
    AutoField,
    BooleanField,
    CharField,
    DoesNotExist,
    Model,
    NodeList,
    TextField,
    fn,
)

from aiqc_core.config import timezone_now
from aiqc_core.errors import MetastoreError, NotFoundError
from aiqc_core.orm import refusals, showing
from aiqc_core.orm.database import metastore
from aiqc_core.orm.fields import TimeField

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

STORABLE = range(-(2**63), 2**63)
after_cascade: list[Callable[[], None]] = []  # of tables that name rows without a key
TIME_FORMAT = "%Y%b%d_%H:%M:%S"


class rowmethod:  # noqa: N801 - reads as `@property` and `@classmethod` do
    """A method that is called on a row, or on its class with the row's id first.

    `queue.run_jobs()` and `Queue.run_jobs(7)` run the same body.
    """

    def __init__(self, body: Callable[..., Any]) -> None:
        @functools.wraps(body)
        def on_row(row: BaseModel, *args: Any, **kwargs: Any) -> Any:
            row.refuse_absent()
            return body(row, *args, **kwargs)

        self._body, self._on_row = body, on_row
        functools.update_wrapper(self, body)  # type: ignore[arg-type]

    def __get__(self, row: BaseModel | None, table: type[BaseModel]) -> Callable[..., Any]:
        if row is not None:
            return MethodType(self._on_row, row)

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


class _NoRowError(NotFoundError, DoesNotExist):
    """No row matches a query; peewee's own error shows SQL."""

    table: ClassVar[type[BaseModel]]

    def __init__(self, *_: object) -> None:
        name = self.table.__name__
        super().__init__(
            f"{name}: no row matches; it was deleted, or never made. {name}.select() lists them."
        )


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
        query.__class__ = showing.Rows  # prints as its rows
        return query if fields else query.order_by(cls.id)

    @classmethod
    def validate_model(cls) -> None:
        """Replace what peewee gives to every table: a bare repr, and errors that show SQL."""
        super().validate_model()
        if cls.__repr__.__name__ == "<lambda>":
            cls.__repr__ = cls._repr  # type: ignore[method-assign]
        cls.DoesNotExist = type(f"{cls.__name__}DoesNotExist", (_NoRowError,), {"table": cls})

    @classmethod
    def get_by_id(cls, pk: int) -> Self:
        """Return the row with this id.

        Raises:
            NotFoundError: when there is none; the message says which ids there are.
        """
        number = _as_id(cls, pk)
        row = cls.get_or_none(cls.id == number) if number in STORABLE else None
        if row is None:
            count, newest = cls.select(fn.COUNT(cls.id), fn.MAX(cls.id)).scalar(as_tuple=True)
            found = f"the table holds {count} rows, the newest has id {newest}"
            message = f"{cls.__name__}: no row has id {pk!r}; {found if count else 'it is empty'}."
            raise NotFoundError(message)
        return row

    @classmethod
    def delete_by_id(cls, pk: int) -> int:
        """Delete the row with this id; see `delete_instance`."""
        return cls.get_by_id(pk).delete_instance()

    @classmethod
    def set_by_id(cls, key: int, value: dict[str, Any]) -> int:
        """Set columns of the row with this id.

        Raises:
            NotFoundError: there is no such row.
            MetastoreError: there is no such column, or a value that it cannot hold.
        """
        cls.get_by_id(key)
        return cls.update(value).where(cls.id == key).execute()

    @classmethod
    def update(cls, *args: Any, **values: Any) -> Any:
        """Return a query that sets columns of the rows that `where` chooses.

        Raises:
            MetastoreError: a column that the table does not have.
        """
        given = {**(args[0] if args and args[0] else {}), **values}
        cls._refuse_unknown([name for name in given if isinstance(name, str)])
        return super().update(*args, **values)

    @classmethod
    def insert(cls, *args: Any, **values: Any) -> Any:
        """Return a query that adds a row as it is given; users call the verbs of the class.

        Raises:
            MetastoreError: a column that the table does not have.
        """
        given = {**(args[0] if args and isinstance(args[0], dict) else {}), **values}
        cls._refuse_unknown([name for name in given if isinstance(name, str)])
        return super().insert(*args, **values)

    @classmethod
    def create(cls, **values: Any) -> Self:
        """Add a row as it is given; users call the verbs of the class (`from_…`, `make`).

        Raises:
            MetastoreError: a column is missing or unknown, or a value contradicts other rows.
        """
        cls._refuse_unknown([name for name in values if not hasattr(cls, name)])
        return super().create(**values)

    @classmethod
    def bulk_create(cls, model_list: Iterable[Self], batch_size: int | None = None) -> None:
        """Add rows as they are given, all or none."""
        with metastore.atomic():
            super().bulk_create(model_list, batch_size)

    @classmethod
    def bulk_update(cls, *args: Any, **kwargs: Any) -> int:
        """Set columns of rows, of all or of none."""
        with metastore.atomic():
            return super().bulk_update(*args, **kwargs)

    @classmethod
    def replace(cls, *_: Any, **__: Any) -> Any:
        """Refuse: it would delete the row there is, and what depends on it would be left.

        Raises:
            MetastoreError: always.
        """
        raise MetastoreError(
            f"{cls.__name__}.replace: a row is not replaced, as others depend on it. Make another "
            "one by the verbs of the class, and delete the first with delete_instance()."
        )

    replace_many = replace

    @classmethod
    def drop_table(cls, *_: Any, **__: Any) -> None:
        """Refuse: a store without one of its tables cannot be opened.

        Raises:
            MetastoreError: always.
        """
        raise MetastoreError(
            f"{cls.__name__}: a table is neither dropped nor emptied. Delete rows with "
            f"delete_instance(cascade=True), or the whole store: {metastore.describe()}."
        )

    truncate_table = drop_table

    def save(self, *args: Any, **kwargs: Any) -> int:
        """Write the row and its time of update.

        Raises:
            NotFoundError: it was deleted, or the store is another one than it came from.
        """
        self.time_updated = timezone_now()
        is_new = self._pk is None or bool(kwargs.get("force_insert") or (args and args[0]))
        written = super().save(*args, **kwargs)
        if not (written or is_new):
            raise self._absent()
        return written

    def refuse_absent(self) -> None:
        """Refuse a row in hand that the store does not hold.

        Raises:
            NotFoundError: it was deleted, never stored, or the store is another one by now.
        """
        if (
            self._pk is None
            or not type(self).select(type(self).id).where(self._pk_expr()).exists()
        ):
            raise self._absent()

    def _pk_expr(self) -> Any:
        """Return what finds the row: its id, and when it was made.

        Another store that takes the place of this one gives out the same ids.
        """
        found, made = super()._pk_expr(), self.__data__.get("time_created")
        is_known = made is not None and "time_created" not in self._dirty
        return found & (type(self).time_created == made) if is_known else found

    def _absent(self) -> NotFoundError:
        table = type(self).__name__
        if self._pk is None:
            return NotFoundError(f"{table}: this row was never stored. {refusals.BY_VERBS}.")
        return NotFoundError(
            f"{table} {self._pk} is not in {metastore.describe()} any more: it was deleted, or "
            f"the store was. Get a row that is there: {table}.select() lists them."
        )

    @classmethod
    def _refuse_unknown(cls, names: Iterable[str]) -> None:
        known = {*cls._meta.fields, *cls._meta.columns}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise MetastoreError(
                f"{cls.__name__}: there is no column {', '.join(map(repr, unknown))}; there are "
                f"{', '.join(cls._meta.sorted_field_names)}."
            )

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

        A Snapshot that names it stays, and says that its rows were deleted.

        Args:
            cascade: delete what depends on it too; otherwise a row that others need stays.

        Raises:
            MetastoreError: when other rows depend on this one and `cascade` is False.
            NotFoundError: the store does not hold it.
        """
        with metastore.atomic():
            self.refuse_absent()
            if not cascade:
                self._refuse_dependents()
            deleted = super().delete_instance(recursive=cascade, delete_nullable=cascade)
            for forget in after_cascade:
                forget()
        return deleted

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

    def _repr(self) -> str:
        return showing.line(self)

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return showing.card(self)


def _as_id(table: type[BaseModel], given: object) -> int:
    """Return an id as a number, that of a row of the table too.

    Raises:
        NotFoundError: it is no whole number.
    """
    if isinstance(given, table) and given.id is not None:
        return given.id
    try:
        if not isinstance(given, bool | np.bool_):
            return operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise NotFoundError(f"{table.__name__}: no row has id {given!r}; an id is a whole number.")
