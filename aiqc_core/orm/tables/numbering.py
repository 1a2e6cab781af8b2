"""Give out numbers that no other row has or had: versions, places in an order, names with one.

A count gives a number twice once a row has been deleted. What was given out by name is noted in
the store, so that a number stays with the row that had it after that row is gone.
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

    To be called in the transaction that writes the row: no other one writes meanwhile.
    """
    if name is None:
        return None
    rows: Any = table
    newest = table.select(fn.MAX(rows.version)).where(rows.name == name).scalar()
    return next_number(f"{table.__name__} {name}", after=newest or 0)


def next_index(rows: Any, column: Any) -> int:
    """Return the place of a new row behind others, from 0 on.

    Args:
        rows: a query of the others.
        column: what holds their places.
    """
    newest = rows.select(fn.MAX(column)).order_by().scalar()
    return 0 if newest is None else newest + 1


def next_number(of: str, *, after: int) -> int:
    """Return a number that was not given out for something, and note it.

    Args:
        of: what is numbered.
        after: the newest number that is in use.
    """
    key = f"last number: {of}"
    with metastore.atomic():
        noted = StoreInfo.get_or_none(StoreInfo.key == key)
        number = 1 + max(after, 0 if noted is None else int(noted.value))
        if noted is None:
            StoreInfo.insert(key=key, value=str(number)).execute()
        else:
            StoreInfo.update(value=str(number)).where(StoreInfo.key == key).execute()
    return number
