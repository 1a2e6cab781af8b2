"""Move a store from SQLite to PostgreSQL or back: every row with its id, and every byte.

One snapshot of the source is read, and one transaction of the target written, read back and
compared before it is committed: rows by number and digest, contents by their SHA-256. The source
does not change. Bytes on an object store stay there; only their rows move.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peewee import BooleanField, PeeweeException, SchemaManager, sort_models

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store import signing
from aiqc_core.orm.store.blobs import Blob, BlobChunk
from aiqc_core.orm.store.database import metastore, open_postgres
from aiqc_core.orm.store.sqlite import SqliteStore
from aiqc_core.orm.tables.job import RUNNING, Attempt
from aiqc_core.orm.tables.schema import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from peewee import Field, Model

    from aiqc_core.orm.store.database import Store

    Row = tuple[Any, ...]

ROWS, CHUNKS = 500, 4  # a statement; chunks of contents have 8 MiB each
URL = "://"


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved and verified."""

    source: str  # where from, as `target` for people
    target: str
    rows: dict[str, int]  # how many of each table
    contents: int  # with bytes in the metastore, each compared with its SHA-256
    content_bytes: int
    contents_elsewhere: int  # with bytes on an object store, which stay there
    seconds: float


def move(to: str, *, begun: Callable[[int], None], done: Callable[[str, int], None]) -> Moved:
    """Copy the present store to an empty place, and verify the copy.

    Args:
        to: `postgresql://user:password@host/database` of an empty database, or a folder for a
            SQLite file, as `AIQC_HOME` names one.
        begun: receives once how many rows there are to copy and to verify.
        done: receives a table and how many rows of it were copied or verified since.

    Raises:
        MetastoreError: the target holds something or cannot be written, trainings are running, or
            what was read back differs. The target then holds nothing.
    """
    start = time.monotonic()
    source, target = metastore.store, _target(to)
    source.connection()  # makes or migrates its tables, or says why it cannot be used
    _refuse_running()
    try:
        _refuse_contents(target)
        with source.snapshot(), target.atomic():
            every = sort_models(tables())
            begun(2 * sum(_count(source, table) for table in every))
            for table in every:
                SchemaManager(table, target).create_all(safe=False)
            target.finish_tables(every)
            copied = {table: _copied(source, target, table, done) for table in every}
            contents = _Contents()
            for table, seen in copied.items():
                _verify(target, table, seen, contents, done)
            sizes = contents.verified()
            _hand_on_key(target)
        stored = {digest: size for digest, size in sizes.items() if size is not None}
        return Moved(
            source=source.describe(),
            target=target.describe(),
            rows={table._meta.table_name: seen.count for table, seen in copied.items()},
            contents=len(stored),
            content_bytes=sum(stored.values()),
            contents_elsewhere=len(sizes) - len(stored),
            seconds=time.monotonic() - start,
        )
    except PeeweeException as error:
        raise MetastoreError(
            f"aiqc migrate: {target.describe()} could not be filled ({error}). It holds nothing, "
            f"and {source.describe()} is as it was."
        ) from error
    finally:
        target.close()


@dataclass(slots=True)
class _Seen:
    """How many rows of a table, and a digest of them that does not depend on their order."""

    count: int = 0
    digest: int = 0

    def add(self, rows: list[Row]) -> None:
        self.count += len(rows)
        for row in rows:
            hashed = hashlib.sha256(repr([_canonical(value) for value in row]).encode()).digest()
            self.digest = (self.digest + int.from_bytes(hashed, "big")) % 2**256


class _Contents:
    """Hash contents while their rows pass in the order of their keys."""

    def __init__(self) -> None:
        self._hashers: dict[str, Any] = {}
        self._sizes: dict[str, int] = {}
        self._declared: dict[str, int] = {}

    def see(self, table: type[Model], rows: list[Row]) -> None:
        if table is Blob:
            self._declared.update(rows)
        elif table is BlobChunk:
            for digest, _, data in rows:
                self._hashers.setdefault(digest, hashlib.sha256()).update(data)
                self._sizes[digest] = self._sizes.get(digest, 0) + len(data)

    def verified(self) -> dict[str, int | None]:
        """Return the size of each content; None of one on an object store."""
        damaged = sorted(d for d, made in self._hashers.items() if made.hexdigest() != d)
        if damaged:
            raise MetastoreError(
                f"aiqc migrate: {len(damaged)} contents do not have their SHA-256 ({damaged[0]}, "
                "say): the source is damaged. Run aiqc doctor; nothing is kept of the copy."
            )
        return {d: self._sizes.get(d, None if size else 0) for d, size in self._declared.items()}


def _target(to: str) -> Store:
    if URL not in to:
        folder = Path(to).absolute()
        return SqliteStore(lambda: folder / config.database_path().name)
    config.parsed_database_url(to, "--to")
    return open_postgres(lambda: to)


def _refuse_running() -> None:
    alive = [a for a in Attempt.select().where(Attempt.status == RUNNING) if a.is_alive()]
    if alive:
        raise MetastoreError(
            f"aiqc migrate: {len(alive)} trainings are running (Job {alive[0].job_id}, say), and "
            "what they record from now on would stay behind. Let them end, then migrate."
        )


def _refuse_contents(target: Store) -> None:
    found = target.get_tables()
    if found:
        raise MetastoreError(
            f"aiqc migrate: {target.describe()} is not empty: it has {len(found)} tables "
            f"({', '.join(found[:5])}, …). Give an empty database or a new folder."
        )


def _copied(
    source: Store, target: Store, table: type[Model], done: Callable[[str, int], None]
) -> _Seen:
    name, fields = table._meta.table_name, table._meta.sorted_fields
    values = ", ".join([target.param] * len(fields))
    into = f'"{name}" ({", ".join(_quoted(fields))})'
    insert = f"INSERT INTO {into} VALUES ({values})"  # noqa: S608 - names of our own tables
    # PostgreSQL distinguishes booleans from numbers; SQLite does not.
    truths = [i for i, field in enumerate(fields) if isinstance(field, BooleanField)]
    seen = _Seen()
    for rows in _rows(source, table):
        typed = [
            tuple(bool(v) if i in truths and v is not None else v for i, v in enumerate(row))
            for row in rows
        ]
        seen.add(rows)
        target.execute_many(insert, typed)
        done(name, len(rows))
    last = source.last_id(name)
    if last:
        target.set_last_id(name, last)
    return seen


def _verify(
    target: Store,
    table: type[Model],
    wanted: _Seen,
    contents: _Contents,
    done: Callable[[str, int], None],
) -> None:
    """Read a table back, and compare it with what was written."""
    found = _Seen()
    for rows in _rows(target, table):
        found.add(rows)
        contents.see(table, rows)
        done(table._meta.table_name, len(rows))
    if wanted != found:
        raise MetastoreError(
            f"aiqc migrate: table {table._meta.table_name!r} was read back otherwise than it was "
            f"written: {found.count} rows for {wanted.count}, digest {found.digest:064x} for "
            f"{wanted.digest:064x}. Nothing is kept of the copy; the source is as it was."
        )


def _rows(store: Store, table: type[Model]) -> Iterator[list[Row]]:
    """Yield the rows of a table, a few at a time: contents may be larger than memory."""
    names, keys = _quoted(table._meta.sorted_fields), _quoted(table._meta.get_primary_keys())
    size = CHUNKS if table is BlobChunk else ROWS
    select = f'SELECT {", ".join(names)} FROM "{table._meta.table_name}" '  # noqa: S608 - ours
    order = f"ORDER BY {', '.join(keys)} LIMIT {size}"
    after = f"WHERE ({', '.join(keys)}) > ({', '.join([store.param] * len(keys))}) "
    places = [names.index(key) for key in keys]
    rows = list(store.execute_sql(select + order).fetchall())
    while rows:
        yield rows
        last = tuple(rows[-1][place] for place in places)
        rows = list(store.execute_sql(select + after + order, last).fetchall())


def _quoted(fields: Iterable[Field]) -> list[str]:
    return [f'"{field.column_name}"' for field in fields]


def _count(store: Store, table: type[Model]) -> int:
    select = f'SELECT COUNT(*) FROM "{table._meta.table_name}"'  # noqa: S608 - ours
    return store.execute_sql(select).fetchone()[0]


def _canonical(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, bytes | memoryview):
        return hashlib.sha256(value).hexdigest()
    return value


def _hand_on_key(target: Store) -> None:
    """Put the signing key beside a SQLite file; nobody knows who reads a server's database."""
    key = signing.key()
    if key is None or not isinstance(target, SqliteStore):
        return
    path = target.place().with_name(config.key_path().name)
    if path.exists() and path.read_bytes() == key:
        return
    try:
        signing.write_key(path, key)
    except FileExistsError:
        message = f"aiqc migrate: {path} is the key of another store. Give a new folder."
        raise MetastoreError(message) from None
