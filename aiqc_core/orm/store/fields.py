"""Columns whose values are JSON, aware times, or bytes kept apart from the row."""

from __future__ import annotations

import json
from datetime import datetime
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import peewee
from peewee import Model, Node

from aiqc_core import config, counts
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store import blobs, refusals, signing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray


class _ReadsAsValue:
    """Show type checkers that a column reads as its value, not as the field."""

    if TYPE_CHECKING:

        def __new__(cls, *args: Any, **kwargs: Any) -> Any:
            """Stand for the value."""


HELD: dict[type[peewee.Field], tuple[str, Callable[[Any], bool]]] = {
    peewee.BooleanField: ("True or False", lambda value: isinstance(value, int | np.bool_)),
    peewee.IntegerField: (
        "a whole number of 64 bits",
        lambda value: isinstance(value, Integral) and -(2**63) <= value < 2**63,
    ),
    peewee.FloatField: ("a number", lambda value: isinstance(value, Real)),
    peewee.ForeignKeyField: ("a row or its id", lambda value: isinstance(value, Model | Integral)),
    peewee.CharField: ("text that UTF-8 can write", counts.is_text),
    peewee.TextField: ("text that UTF-8 can write", counts.is_text),
}


def refuse_unfit(field: peewee.Field, value: Any) -> None:
    """Raise MetastoreError for a value that a column cannot hold, as SQLite would store it.

    None and expressions of SQL are left to the database.
    """
    is_converted = isinstance(field, JSONField | TimeField)
    if value is None or is_converted or (isinstance(value, Node) and not isinstance(value, Model)):
        return
    held = next((held for kind, held in HELD.items() if isinstance(field, kind)), None)
    if field.choices:
        known = [choice for choice, _ in field.choices]
        held = (f"one of {known}", known.__contains__)
    if held is not None and not held[1](value):
        raise unfit(field, value, held[0])


def unfit(field: peewee.Field, value: object, holds: str) -> MetastoreError:
    """Return the error for a value that a column cannot hold."""
    return MetastoreError(
        f"{field.model.__name__}.{field.name}: {value!r}; the column holds {holds}. "
        f"{refusals.BY_VERBS}."
    )


class JSONField(_ReadsAsValue, peewee.TextField):
    """A value that JSON can hold, NaN included; numpy scalars become Python's."""

    def db_value(self, value: Any) -> str | None:
        """Turn the value into text."""
        try:
            return None if value is None else json.dumps(value, default=_plain)
        except (TypeError, ValueError) as error:
            raise unfit(self, value, f"what JSON can hold ({error})") from error

    def python_value(self, value: str | None) -> Any:
        """Turn text into the value."""
        return None if value is None else json.loads(value)


class TimeField(_ReadsAsValue, peewee.CharField):
    """A time with its zone's offset, as ISO 8601 text."""

    def db_value(self, value: datetime | None) -> str | None:
        """Turn an aware time into text."""
        if not isinstance(value, datetime | None):
            raise unfit(self, value, "a time with its zone")
        return None if value is None else value.isoformat()

    def python_value(self, value: str | None) -> datetime | None:
        """Turn text into an aware time."""
        return None if value is None else datetime.fromisoformat(value)


class _BlobAccessor(peewee.FieldAccessor):
    """Read the bytes on access; the row itself holds their digest."""

    def __get__(self, instance: Any, instance_type: type | None = None) -> Any:
        if instance is None:
            return self.field
        digest = instance.__data__.get(self.name)
        return None if digest is None else self.field.decode(blobs.get(digest))


class BlobField(_ReadsAsValue, peewee.CharField):
    """Bytes in the blob table. Assign what `store` returns; reading gives the bytes."""

    accessor_class = _BlobAccessor

    def __init__(self, **options: Any) -> None:
        super().__init__(null=True, **options)

    def store(self, value: Any) -> str:
        """Write the value's bytes to the blob table and return their digest."""
        return blobs.put(self.encode(value))

    def send_ahead(self, value: Any) -> None:
        """Send the bytes to the object store, if any, before the transaction of `store`."""
        if config.settings.artifacts is not None:
            blobs.send_ahead(self.encode(value))

    def encode(self, value: bytes) -> bytes:
        """Turn a value into bytes."""
        return value

    def decode(self, data: bytes) -> Any:
        """Turn bytes into a value."""
        return data


class PickleField(BlobField):
    """A pickled object, signed with the store's key."""

    def encode(self, value: object) -> bytes:
        """Pickle and sign."""
        return signing.dumps(value)

    def decode(self, data: bytes) -> Any:
        """Check the signature, then unpickle."""
        return signing.loads(data)


class PositionsField(BlobField):
    """Sample positions by name: `{split: [position, …]}`, a million as easily as ten."""

    def encode(self, value: Mapping[str, NDArray[np.int64]]) -> bytes:
        """Write the arrays after one line of JSON."""
        header = json.dumps({name: len(positions) for name, positions in value.items()})
        parts = [np.asarray(p).astype("<i8").tobytes() for p in value.values()]
        return b"".join([header.encode(), b"\n", *parts])

    def decode(self, data: bytes) -> dict[str, list[int]]:
        """Return lists, as users of the reference expect."""
        return {name: positions.tolist() for name, positions in positions_of(data).items()}


def positions_of(data: bytes) -> dict[str, NDArray[np.int64]]:
    """Read what `PositionsField.encode` wrote, as arrays."""
    header, _, body = data.partition(b"\n")
    values = np.frombuffer(body, dtype="<i8")
    lengths: dict[str, int] = json.loads(header)
    ends = np.cumsum(list(lengths.values()))
    return {
        name: values[end - length : end]
        for (name, length), end in zip(lengths.items(), ends, strict=True)
    }


def digest_of(row: Any, field: str) -> Any:
    """Return the digest that a row holds for one of its blob columns, reading no bytes."""
    return row.__data__.get(field)


def raw(row: Any, field: str) -> bytes:
    """Return the bytes of a row's blob column, undecoded."""
    return blobs.get(digest_of(row, field))


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON serializable")
