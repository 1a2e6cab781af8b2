"""What ails a store, part by part, found by looking alone; `aiqc doctor` prints it.

For a process that does nothing else meanwhile: while it looks, the rows' classes read from a
connection that cannot write.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from peewee import SqliteDatabase

from aiqc_core import config
from aiqc_core.errors import AIQCError
from aiqc_core.orm.admin import doctor_environment, doctor_store, readonly
from aiqc_core.orm.admin.diagnostic import FAIL, OK, WARN, Symptom
from aiqc_core.orm.store import blobs
from aiqc_core.orm.tables.job import RUNNING, Attempt
from aiqc_core.orm.tables.schema import SCHEMA_VERSION
from aiqc_core.storage import objects

if TYPE_CHECKING:
    from collections.abc import Callable

RESTORE = "aiqc restore <a backup> --force, which keeps the present file"
FEW = 5
MEGABYTE = 2**20


@dataclass(frozen=True, slots=True)
class Health:
    """All that was found.

    Attributes:
        store: where the store lies.
        symptoms: one a part.
    """

    store: str
    symptoms: tuple[Symptom, ...]

    @property
    def is_sound(self) -> bool:
        """Say whether nothing fails; what is merely worth a look counts as sound."""
        return all(symptom.verdict != FAIL for symptom in self.symptoms)


def examine(*, deep: bool = False) -> Health:
    """Look at the store that the environment names and at what lies around it; change nothing.

    Args:
        deep: also hash all stored bytes and check every signature.

    Raises:
        MetastoreError: a setting that names the store makes no sense.
    """
    store = config.shown_store()
    found: list[Symptom] = []
    is_file = config.database_url() is None
    if is_file and not config.database_path().exists():
        none = "there is no store yet: the first use makes it"
        found.append(Symptom("store", OK, none))
    else:
        found += _of_store(deep=deep)
    for part in doctor_environment.parts():
        found += _judged(*part)
    return Health(store, tuple(found))


def _of_store(*, deep: bool) -> list[Symptom]:
    try:
        with readonly.opened() as database:
            return _of_database(database, deep=deep)
    except (AIQCError, *readonly.DATABASE_ERRORS, ValueError) as error:
        remedy = RESTORE if config.database_url() is None else "see that the server runs"
        return [Symptom("store", FAIL, _brief(error), remedy)]


def _of_database(database: Any, *, deep: bool) -> list[Symptom]:
    found = _judged("integrity", partial(_integrity, database))
    if found[0].verdict == FAIL:
        return found
    found += _judged("programs", partial(_programs, database))
    found += _judged("schema", partial(_schema, database))
    if found[-1].verdict != OK:
        return found
    with readonly.rows_of(database):
        for name, look in (
            ("blobs", partial(_blobs, database, deep=deep)),
            ("objects", _objects),
            ("signatures", partial(doctor_store.pickles, deep=deep)),
            ("unused", doctor_store.unused),
            ("claims", _claims),
            ("clock", doctor_store.clock),
        ):
            found += _judged(name, look)
    return found


def _judged(name: str, look: Callable[[], Symptom | list[Symptom]]) -> list[Symptom]:
    """Return what a look finds; one that cannot be finished is a failure of its part."""
    try:
        found = look()
    except (AIQCError, *readonly.DATABASE_ERRORS, OSError, ValueError) as error:
        return [Symptom(name, FAIL, f"cannot be looked at: {_brief(error)}")]
    return found if isinstance(found, list) else [found]


def _integrity(database: Any) -> Symptom:
    faults = readonly.faults(database)
    if faults:
        return Symptom("integrity", FAIL, "; ".join(faults), RESTORE)
    if isinstance(database, SqliteDatabase):
        return Symptom("integrity", OK, "pages, indices and references between rows are sound")
    return Symptom("integrity", OK, "PostgreSQL looks after it", "amcheck, where it is in doubt")


def _programs(database: Any) -> Symptom:
    found = readonly.programs(database)
    if found:
        remedy = "drop them with sqlite3, if you trust the file otherwise"
        return Symptom("programs", FAIL, f"the file holds {', '.join(found)}", remedy)
    return Symptom("programs", OK, "no triggers, and no views in place of tables")


def _schema(database: Any) -> Symptom:
    found = readonly.schema_version(database, config.shown_store())
    told = f"version {found}, this program knows {SCHEMA_VERSION}"
    if found > SCHEMA_VERSION:
        return Symptom("schema", FAIL, told, "upgrade the program: pip install -U aiqc-dagster")
    if found < SCHEMA_VERSION:
        told += "; the rows are not looked at"
        return Symptom("schema", WARN, told, "the next use brings it forward, after a copy")
    return Symptom("schema", OK, told)


def _blobs(database: Any, *, deep: bool) -> Symptom:
    damaged, outside, _ = readonly.damaged_blobs(database, deep=deep)
    missing = doctor_store.missing_digests()
    count = blobs.Blob.select().count()
    told: list[str] = []
    if damaged:
        told.append(f"{len(damaged)} of {count} are damaged: {_named(damaged)}")
    if missing:
        told.append(f"{len(missing)} that rows need have no bytes: {_named(missing)}")
    if outside and config.artifacts_url() is None:
        told.append(f"{outside} lie on an object store or are lost: set AIQC_ARTIFACTS")
    if told:
        return Symptom("blobs", FAIL, "; ".join(told), RESTORE)
    how = "hashed" if deep else "all there, of the right size (--deep hashes them)"
    beside = f", {outside} of them as objects" if outside else ""
    return Symptom("blobs", OK, f"{count} contents, {how}{beside}")


def _objects() -> Symptom:
    store = objects.configured()
    if store is None:
        return Symptom("objects", OK, "AIQC_ARTIFACTS is not set: all bytes lie in the metastore")
    there = {entry.name: entry.size for entry in store.entries(blobs.FOLDER)}
    chunked = blobs.BlobChunk.select(blobs.BlobChunk.blob)
    rows: Any = blobs.Blob.select(blobs.Blob.sha256, blobs.Blob.size).where(
        blobs.Blob.sha256.not_in(chunked), blobs.Blob.size > 0
    )
    lost = [d for d, size in rows.tuples() if there.get(blobs.object_name(d)) != size]
    if lost:
        told = f"{len(lost)} objects are missing or cut short: {_named(lost)}"
        return Symptom("objects", FAIL, told, "restore them from an earlier version of the bucket")
    return Symptom("objects", OK, f"{rows.count()} of {len(there)} objects belong to rows")


def _claims() -> Symptom:
    rows = list(Attempt.select().where(Attempt.status == RUNNING))
    dead = [row.id for row in rows if not row.is_alive()]
    pools = "slots in Dagster's pools: dagster instance concurrency get --all"
    if dead:
        told = f"{len(dead)} of {len(rows)} are of processes that have ended"
        return Symptom("claims", WARN, told, f"run the queue again, which takes them; {pools}")
    return Symptom("claims", OK, f"{len(rows)} trainings are going on")


def _named(digests: list[str]) -> str:
    more = f" and {len(digests) - FEW} more" if len(digests) > FEW else ""
    return ", ".join(f"{digest[:12]}…" for digest in digests[:FEW]) + more


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
