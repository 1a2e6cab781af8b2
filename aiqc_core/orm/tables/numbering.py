"""Give out numbers that no other row has or had: versions, places in an order, numbered names.

A count would repeat numbers of deleted rows. The store notes the last number of each name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import fn

from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.tables.schema import StoreInfo

if TYPE_CHECKING:
    from aiqc_core.orm.store.model import BaseModel


def next_version(table: type[BaseModel], name: str | None) -> int | None:
    """Return the version of a new row of this name, from 1 on; None without a name.

    Call it in the transaction that writes the row.
    """
    if name is None:
        return None
    rows: Any = table
    newest = table.select(fn.MAX(rows.version)).where(rows.name == name).scalar()
    return next_number(f"{table.__name__} {name}", after=newest or 0)


def next_index(rows: Any, column: Any) -> int:
    """Return the place of a new row after others, from 0 on, by a query and a column of them."""
    newest = rows.select(fn.MAX(column)).order_by().scalar()
    return 0 if newest is None else newest + 1


def next_number(of: str, *, after: int) -> int:
    """Return and note a new number of something, after the newest that is in use."""
    key = f"last number: {of}"
    with metastore.atomic():
        noted = StoreInfo.get_or_none(StoreInfo.key == key)
        number = 1 + max(after, 0 if noted is None else int(noted.value))
        StoreInfo(key=key, value=str(number)).save(force_insert=noted is None)
    return number
