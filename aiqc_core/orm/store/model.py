"""What every table has: ids used once, times, a star, a name, and the dual call."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import peewee
from peewee import SQL, AutoField, BooleanField, CharField, TextField, fn

from aiqc_core import counts
from aiqc_core.config import timezone_now
from aiqc_core.errors import MetastoreError, NotFoundError
from aiqc_core.orm.store import fields, refusals, showing
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.operation import operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

STORABLE = range(-(2**63), 2**63)
after_cascade: list[Callable[[], None]] = []  # of tables that name rows without a key
TIME_FORMAT = "%Y%b%d_%H:%M:%S"


class IdField(AutoField):
    """Ids that are used once: SQLite needs AUTOINCREMENT for that, PostgreSQL never reuses."""

    def ddl(self, ctx: Any) -> Any:
        """Return the declaration of the column."""
        declared = super().ddl(ctx)
        is_sqlite = ctx.state.field_types[self.field_type] == "INTEGER"
        return peewee.NodeList((declared, SQL("AUTOINCREMENT"))) if is_sqlite else declared


class _NoRowError(NotFoundError, peewee.DoesNotExist):
    """No row matches a query; peewee's own error shows SQL."""

    table: ClassVar[type[BaseModel]]

    def __init__(self, *_: object) -> None:
        name = self.table.__name__
        super().__init__(
            f"{name}: no row matches; it was deleted, or never made. {name}.select() lists them."
        )


class BaseModel(peewee.Model):
    """Base of all tables of the reference."""

    id: AutoField = IdField()  # never reused: Dagster's partitions carry these ids
    time_created = fields.TimeField(default=timezone_now)
    time_updated = fields.TimeField(default=timezone_now)
    is_starred = BooleanField(default=False)
    name = CharField(null=True)
    description = TextField(null=True)
    _found: tuple[Any, ...] | None = None  # when it was last seen to be there

    class Meta:
        database = metastore

    if TYPE_CHECKING:
        # peewee adds backrefs and `<key>_id` when the tables are declared.
        def __getattr__(self, name: str) -> Any: ...

    @classmethod
    def select(cls, *fields: Any) -> Any:
        """Select rows by id unless another order is asked for; PostgreSQL keeps none by itself."""
        query = super().select(*fields)
        query.__class__ = showing.Rows
        return query if fields else query.order_by(cls.id)

    @classmethod
    def validate_model(cls) -> None:
        """Replace what peewee gives to every table, and check what its own verbs are given."""
        super().validate_model()
        for name, verb in list(vars(cls).items()):
            if isinstance(verb, classmethod) and not name.startswith("_"):
                setattr(cls, name, classmethod(counts.as_annotated(verb.__func__)))
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
    def _normalize_data(cls, data: Any, kwargs: dict[str, Any]) -> Any:
        """Refuse, of all that is written, unknown columns and values that a column cannot hold."""
        values = {**(data if isinstance(data, dict) else {}), **kwargs}
        cls._refuse_unknown(values)
        for name, value in values.items():
            fields.refuse_unfit(cls._meta.combined.get(name, name), value)
        return super()._normalize_data(data, kwargs)

    @classmethod
    def insert_many(cls, rows: Iterable[Any], fields: Any = None) -> Any:
        """Return a query that adds rows as they are given; users call the verbs of the class."""
        rows = list(rows)
        for row in rows:
            cls._normalize_data(row, {})
        return super().insert_many(rows, fields)

    @classmethod
    def create(cls, **values: Any) -> Self:
        """Add a row as it is given; users call the verbs of the class (`from_…`, `make`).

        Raises:
            MetastoreError: a column is missing or unknown, or a value contradicts other rows.
        """
        cls._refuse_unknown(name for name in values if not hasattr(cls, name))
        return super().create(**values)

    @classmethod
    def bulk_create(cls, model_list: Iterable[Self], batch_size: int | None = None) -> None:
        """Add rows as they are given, all or none."""
        with metastore.atomic():
            super().bulk_create(model_list, batch_size)

    @classmethod
    def bulk_update(
        cls, model_list: Iterable[Self], fields: Sequence[Any], batch_size: int | None = None
    ) -> int:
        """Set columns of rows, of all or of none."""
        rows = list(model_list)
        cls._refuse_unknown(fields)
        for row in rows:
            cls._normalize_data({n: row.__data__.get(getattr(n, "name", n)) for n in fields}, {})
        with metastore.atomic():
            return super().bulk_update(rows, fields, batch_size)

    @classmethod
    def replace(cls, *_: Any, **__: Any) -> Any:
        """Raise MetastoreError: it would delete a row that others depend on."""
        raise MetastoreError(
            f"{cls.__name__}.replace: a row is not replaced, as others depend on it. Make another "
            "one by the verbs of the class, and delete the first with delete_instance()."
        )

    replace_many = replace

    @classmethod
    def drop_table(cls, *_: Any, **__: Any) -> None:
        """Raise MetastoreError: a store without one of its tables cannot be opened."""
        raise MetastoreError(
            f"{cls.__name__}: a table is neither dropped nor emptied. Delete rows with "
            f"delete_instance(cascade=True), or the whole store: {metastore.describe()}."
        )

    truncate_table = drop_table

    def save(self, force_insert: bool = False, only: Sequence[Any] | None = None) -> int:
        """Write the row and its time of update.

        Raises:
            NotFoundError: it was deleted, or the store is another one than it came from.
            MetastoreError: there is no such column, or a value that it cannot hold.
        """
        self._refuse_unknown(only or ())
        self.time_updated = timezone_now()
        is_new = self._pk is None or force_insert
        written = super().save(force_insert, only)
        if not (written or is_new):
            raise self._absent()
        return written

    def refuse_absent(self) -> None:
        """Refuse a row in hand that the store does not hold.

        Raises:
            NotFoundError: it was deleted, never stored, or the store is another one by now.
        """
        present = (self._pk, metastore.written())
        if present[1] is not None and self._found == present:
            return  # nobody wrote since it was found
        found = type(self).select(type(self).id).where(self._pk_expr())
        if self._pk is None or not found.exists():
            raise self._absent()
        self._found = present

    def _pk_expr(self) -> Any:
        """Match id and time of creation: another store in this place gives out the same ids."""
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
    def _refuse_unknown(cls, names: Iterable[Any]) -> None:
        unknown = [n for n in names if isinstance(n, str) and n not in cls._meta.combined]
        if unknown:
            raise MetastoreError(
                f"{cls.__name__}: there is no column {', '.join(map(repr, unknown))}; there are "
                f"{', '.join(cls._meta.sorted_field_names)}."
            )

    @operation
    def created_at(self) -> str:
        """Return when the row was made, as `2022Jun23_07:13:14` in the local zone."""
        return self.time_created.astimezone().strftime(TIME_FORMAT)

    @operation
    def updated_at(self) -> str:
        """Return when the row was last changed, in the format of `created_at`."""
        return self.time_updated.astimezone().strftime(TIME_FORMAT)

    @operation
    def flip_star(self) -> None:
        """Mark the row as a favourite, or unmark it."""
        self.is_starred = not self.is_starred
        self.save(only=["is_starred", "time_updated"])

    @operation
    def set_info(self, name: str | None = None, description: str | None = None) -> None:
        """Set name and description; what is left out stays as it was."""
        self.name = self.name if name is None else name
        self.description = self.description if description is None else description
        self.save(only=["name", "description", "time_updated"])

    def delete_instance(self, *, cascade: bool = False, **others: Any) -> int:
        """Delete the row.

        A Snapshot that names it stays, and says that its rows were deleted.

        Args:
            cascade: delete what depends on it too; otherwise a row that others need stays.
            others: refused.

        Raises:
            MetastoreError: when other rows depend on this one and `cascade` is False.
            NotFoundError: the store does not hold it.
        """
        if others:  # of peewee
            raise MetastoreError(f"delete_instance: unknown {[*others]}; there is cascade=True.")
        with metastore.atomic():
            self.refuse_absent()
            needed_by = [
                f"{key.model.__name__} {row_id}"
                for key, table in ({} if cascade else self._meta.backrefs).items()
                for (row_id,) in table.select(table._meta.primary_key).where(key == self).tuples()
            ]
            if needed_by:
                raise MetastoreError(
                    f"{type(self).__name__} {self.id} is not deleted: {len(needed_by)} rows "
                    f"depend on it ({', '.join(needed_by[:10])}). Delete them first, or pass "
                    "cascade=True."
                )
            deleted = super().delete_instance(recursive=cascade, delete_nullable=cascade)
            for forget in after_cascade:
                forget()
        return deleted

    _repr = showing.line

    def __str__(self) -> str:
        return repr(self)

    _repr_html_ = showing.card


def _as_id(table: type[BaseModel], pk: object) -> int:
    """Return an id as a number, that of a row of the table too; else raise NotFoundError."""
    if isinstance(pk, table) and pk.id is not None:
        return pk.id
    try:
        if not isinstance(pk, bool | np.bool_):
            return operator.index(pk)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise NotFoundError(f"{table.__name__}: no row has id {pk!r}; an id is a whole number.")
