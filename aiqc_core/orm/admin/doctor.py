"""Read-only health checks of a store; `aiqc doctor` prints them.

While they run, the classes of this process's rows read from a connection that cannot write.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from peewee import SqliteDatabase, chunked

from aiqc_core import config
from aiqc_core.errors import AIQCError
from aiqc_core.orm.admin import doctor_environment, gc, readonly
from aiqc_core.orm.admin.diagnostic import FAIL, OK, WARN, Diagnostic, first_of
from aiqc_core.orm.store import blobs, signing
from aiqc_core.orm.store.blobs import BlobChunk
from aiqc_core.orm.store.fields import PickleField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.algorithm import ROLES, Algorithm
from aiqc_core.orm.tables.job import RUNNING, Attempt
from aiqc_core.orm.tables.schema import SCHEMA_VERSION
from aiqc_core.storage import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RESTORE = "aiqc restore <a backup> --force, which keeps the present file"
FEW = 5
SHALLOW_BYTES = 2**20  # larger pickles (predictions of many samples) are checked when asked to
HEAD_BYTES = 1024
BATCH = 200  # contents that are read in one query
MEGABYTE = 2**20
WORTHWHILE_BYTES = 100 * MEGABYTE
WORTHWHILE_SHARE = 0.1
AHEAD = timedelta(minutes=5)  # clocks of machines that share a store may be apart by this much


@dataclass(frozen=True, slots=True)
class Health:
    """The place of a store, and one diagnostic a part."""

    store: str
    diagnostics: tuple[Diagnostic, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing fails; a warning counts as sound."""
        return all(each.verdict != FAIL for each in self.diagnostics)


def examine(*, deep: bool = False) -> Health:
    """Check the store that the environment names and what surrounds it; change nothing.

    Args:
        deep: also hash all stored bytes and check every signature.

    Raises:
        MetastoreError: a setting that names the store makes no sense.
    """
    store = config.shown_store()
    found = _check_store(deep=deep)
    for name, check in doctor_environment.checks().items():
        found += _run(name, check)
    return Health(store, tuple(found))


def _check_store(*, deep: bool) -> list[Diagnostic]:
    if config.settings.database_url is None and not config.database_path().exists():
        return [Diagnostic("store", OK, "there is no store yet: the first use makes it")]
    try:
        with readonly.opened() as database:
            return _check_database(database, deep=deep)
    except (AIQCError, *readonly.DATABASE_ERRORS, ValueError) as error:
        remedy = RESTORE if config.settings.database_url is None else "see that the server runs"
        return [Diagnostic("store", FAIL, _brief(error), remedy)]


def _check_database(database: Any, *, deep: bool) -> list[Diagnostic]:
    found = _run("integrity", partial(_integrity, database))
    if found[0].verdict == FAIL:
        return found
    found += _run("programs", partial(_programs, database))
    found += _run("schema", partial(_schema, database))
    if found[-1].verdict != OK:
        return found
    with readonly.rows_of(database):
        found += _run("blobs", partial(_blobs, database, deep=deep))
        found += _run("objects", _objects)
        found += _run("signatures", partial(_pickles, deep=deep))
        found += _run("unused", _unused)
        found += _run("claims", _claims)
        return found + _run("clock", _clock)


def _run(name: str, check: Callable[[], Diagnostic | list[Diagnostic]]) -> list[Diagnostic]:
    """Return what a check finds; one that cannot be finished is a failure of its part."""
    try:
        found = check()
    except (AIQCError, *readonly.DATABASE_ERRORS, OSError, ValueError) as error:
        return [Diagnostic(name, FAIL, f"cannot be looked at: {_brief(error)}")]
    return found if isinstance(found, list) else [found]


def _integrity(database: Any) -> Diagnostic:
    faults = readonly.faults(database)
    if faults:
        return Diagnostic("integrity", FAIL, "; ".join(faults), RESTORE)
    if isinstance(database, SqliteDatabase):
        return Diagnostic("integrity", OK, "pages, indices and references between rows are sound")
    return Diagnostic("integrity", OK, "PostgreSQL looks after it", "amcheck, if in doubt")


def _programs(database: Any) -> Diagnostic:
    found = readonly.programs(database)
    if found:
        remedy = "drop them with sqlite3, if you trust the file otherwise"
        return Diagnostic("programs", FAIL, f"the file holds {', '.join(found)}", remedy)
    return Diagnostic("programs", OK, "no triggers, and no views in place of tables")


def _schema(database: Any) -> Diagnostic:
    found = readonly.schema_version(database, config.shown_store())
    text = f"version {found}, this program knows {SCHEMA_VERSION}"
    if found > SCHEMA_VERSION:
        return Diagnostic("schema", FAIL, text, "upgrade the program: pip install -U aiqc-dagster")
    if found < SCHEMA_VERSION:
        text += "; the rows are not looked at"
        return Diagnostic("schema", WARN, text, "the next use brings it forward, after a copy")
    return Diagnostic("schema", OK, text)


def _blobs(database: Any, *, deep: bool) -> Diagnostic:
    damaged, outside, _ = readonly.damaged_blobs(database, deep=deep)
    missing = sorted(gc.used_digests() - blobs.sizes().keys())
    count = blobs.Blob.select().count()
    faults: list[str] = []
    if damaged:
        faults.append(f"{len(damaged)} of {count} are damaged: {_named(damaged)}")
    if missing:
        faults.append(f"{len(missing)} that rows need have no bytes: {_named(missing)}")
    if outside and config.settings.artifacts is None:
        faults.append(f"{outside} are on an object store or lost: set AIQC_ARTIFACTS")
    if faults:
        return Diagnostic("blobs", FAIL, "; ".join(faults), RESTORE)
    how = "hashed" if deep else "all there, of the right size (--deep hashes them)"
    beside = f", {outside} of them as objects" if outside else ""
    return Diagnostic("blobs", OK, f"{count} contents, {how}{beside}")


def _objects() -> Diagnostic:
    store = objects.configured()
    if store is None:
        return Diagnostic("objects", OK, "no AIQC_ARTIFACTS: all bytes are in the metastore")
    there = {entry.name: entry.size for entry in store.entries(blobs.FOLDER)}
    chunked = blobs.BlobChunk.select(blobs.BlobChunk.blob)
    rows: Any = blobs.Blob.select(blobs.Blob.sha256, blobs.Blob.size).where(
        blobs.Blob.sha256.not_in(chunked), blobs.Blob.size > 0
    )
    lost = [d for d, size in rows.tuples() if there.get(blobs.object_name(d)) != size]
    if lost:
        text = f"{len(lost)} objects are missing or cut short: {_named(lost)}"
        return Diagnostic("objects", FAIL, text, "restore earlier versions of them")
    return Diagnostic("objects", OK, f"{rows.count()} of {len(there)} objects belong to rows")


def _claims() -> Diagnostic:
    rows = list(Attempt.select().where(Attempt.status == RUNNING))
    dead = [row.id for row in rows if not row.is_alive()]
    pools = "slots in Dagster's pools: dagster instance concurrency get --all"
    if dead:
        text = f"{len(dead)} of {len(rows)} are of processes that have ended"
        return Diagnostic("claims", WARN, text, f"run the queue again, which takes them; {pools}")
    return Diagnostic("claims", OK, f"{len(rows)} trainings are going on")


def _pickles(*, deep: bool) -> list[Diagnostic]:
    """Check signatures and versions of pickles without loading any.

    Args:
        deep: check those of more than `SHALLOW_BYTES` too.
    """
    counted = {"own": 0, "foreign": 0, "unsigned": 0}
    moved: set[str] = set()
    for data in _sealed(None if deep else SHALLOW_BYTES):
        counted[signing.standing(data)] += 1
        moved.update(signing.moved_on(signing.made_with(data[:HEAD_BYTES])))
    more = "" if deep else " (--deep checks those above 1 MB too)"
    text = f"{counted['own']} pickles are signed by this store's key{more}"
    signed = Diagnostic("signatures", OK, text)
    if counted["foreign"] or counted["unsigned"]:
        text += f", {counted['foreign']} by another, {counted['unsigned']} not at all"
        remedy = (
            f"they stay closed: put the key they were signed with at {config.key_path()}, or "
            "open them within aiqc_core.orm.trust() if you trust their maker"
        )
        signed = Diagnostic("signatures", WARN, text, remedy)
    if moved:
        text = f"stored objects were made with others: {', '.join(sorted(moved))}"
        remedy = "install those again, where loading an object fails"
        return [signed, Diagnostic("versions", WARN, text, remedy)]
    return [signed, Diagnostic("versions", OK, "the libraries are those that stored the objects")]


def _unused() -> Diagnostic:
    """Measure what no row uses, which `aiqc gc` would free."""
    used, sizes = gc.used_digests(), blobs.sizes()
    spare = [digest for digest in sizes if digest not in used]
    folders = gc.stale_caches() + gc.stale_checkpoints()
    orphans = gc.orphans(spare, gc.GRACE_SECONDS)
    freed = sum(sizes[digest] for digest in spare) + sum(entry.size for entry in orphans)
    freed += sum(gc.size_of(folder) for folder in folders)
    text = (
        f"{len(spare)} contents, {len(orphans)} objects and {len(folders)} folders "
        f"({freed / MEGABYTE:.1f} MB) belong to no row"
    )
    much = max(WORTHWHILE_BYTES, WORTHWHILE_SHARE * sum(sizes.values()))
    remedy = "aiqc gc" if spare or orphans or folders else ""
    return Diagnostic("unused", WARN if freed > much else OK, text, remedy)


def _clock() -> Diagnostic:
    """Check that no row is from the future: then a clock is wrong, here or where it was made."""
    now = config.timezone_now()
    rows = [
        table.select(table.time_created).order_by(table.id.desc()).first()
        for table in BaseModel.__subclasses__()
    ]
    newest = max((row.time_created for row in rows if row is not None), default=None)
    if newest is not None and newest > now + AHEAD:
        text = f"the newest row is of {newest.isoformat()}, and it is {now.isoformat()}"
        remedy = "see that the machines' clocks are right (timedatectl)"
        return Diagnostic("clock", WARN, text, remedy)
    return Diagnostic("clock", OK, "no row is of a later time than now")


def _sealed(largest: int | None) -> Iterator[bytes]:
    """Yield the stored bytes of each signed pickle of at most that many bytes."""
    sealed = gc.used_digests(
        lambda f: isinstance(f, PickleField) or (f.model is Algorithm and f.name in ROLES)
    )
    sizes = blobs.sizes().items()
    chosen = [d for d, size in sizes if d in sealed and (largest is None or size <= largest)]
    for some in chunked(chosen, BATCH):
        chunks: Any = BlobChunk.select(BlobChunk.blob_id, BlobChunk.data)
        ordered = chunks.where(BlobChunk.blob.in_(some)).order_by(BlobChunk.blob, BlobChunk.idx)
        for _, pieces in groupby(ordered.tuples().iterator(), key=lambda row: row[0]):
            yield b"".join(bytes(piece) for _, piece in pieces)


def _named(digests: list[str]) -> str:
    return first_of([f"{digest[:12]}…" for digest in digests], FEW)


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
