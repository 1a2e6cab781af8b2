"""Free what no row uses any more: bytes, objects, cached samples, checkpoints.

Bytes are sent before their row is written, so an object without a row may soon get one. It stays
for a time of grace. The transaction that deletes it first looks for its row; a writer looks for
the object in its own transaction, and sends it again if it has gone.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peewee import chunked, fn

from aiqc_core import config
from aiqc_core.orm.samples import cache as samples_cache
from aiqc_core.orm.samples import cache_replica
from aiqc_core.orm.store import blobs
from aiqc_core.orm.store.blobs import Blob, BlobChunk
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import BlobField
from aiqc_core.orm.tables.queue import Queue
from aiqc_core.orm.tables.schema import tables
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.orm.training.pending import pending
from aiqc_core.storage import cache, objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from peewee import Field

    from aiqc_core.storage.objects import Entry

CHUNK = 500  # digests named in one statement
OBJECTS = 100  # that are deleted in one transaction
GRACE_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Collected:
    """What was freed, or would be."""

    blobs: int  # contents of no row, with `blob_bytes` of them in the metastore
    blob_bytes: int
    objects: int  # of no content and no Splitset, past the time of grace
    object_bytes: int
    cache_folders: list[str]  # samples of no Splitset
    checkpoint_folders: list[str]  # of trainings that have ended or are gone
    folder_bytes: int


def collect(*, dry_run: bool, grace_seconds: float = GRACE_SECONDS) -> Collected:
    """Free what no row uses; SQLite uses freed pages again.

    One transaction finds and deletes bytes, and rows are written together with their bytes: what
    another process has just stored stays.

    Args:
        dry_run: only report what would be freed.
        grace_seconds: younger objects stay, since a row may be about to follow.

    Raises:
        ArtifactsError: the object store cannot be reached, or belongs to another store.
    """
    store = objects.configured()
    if store is not None:
        blobs.refuse_other(store)
    with metastore.atomic():
        unused = list(blobs.sizes().keys() - used_digests())
        blob_bytes = 0
        for some in chunked(unused, CHUNK):
            in_chunks = BlobChunk.select(BlobChunk.blob).where(BlobChunk.blob.in_(some))
            size = Blob.select(fn.SUM(Blob.size)).where(Blob.sha256.in_(in_chunks)).scalar()
            blob_bytes += size or 0
            if dry_run:
                continue
            BlobChunk.delete().where(BlobChunk.blob.in_(some)).execute()
            Blob.delete().where(Blob.sha256.in_(some)).execute()
    spare = orphans(unused, grace_seconds)
    caches, checkpoints = stale_caches(), stale_checkpoints()
    freed = sum(size_of(folder) for folder in (*caches, *checkpoints))
    if not dry_run:
        free_objects(spare)
        for folder in (*caches, *checkpoints):
            shutil.rmtree(folder, ignore_errors=True)
    return Collected(
        blobs=len(unused),
        blob_bytes=blob_bytes,
        objects=len(spare),
        object_bytes=sum(entry.size for entry in spare),
        cache_folders=[folder.name for folder in caches],
        checkpoint_folders=[folder.name for folder in checkpoints],
        folder_bytes=freed,
    )


def used_digests(is_wanted: Callable[[Field], bool] = lambda _: True) -> set[str]:
    """Return every digest in a column of bytes, or in the wanted ones of these."""
    used: set[str] = set()
    for table in tables():
        for field in table._meta.sorted_fields:
            if isinstance(field, BlobField) and is_wanted(field):
                rows: Any = table.select(fn.DISTINCT(field)).where(field.is_null(False))
                used.update(digest for (digest,) in rows.tuples())
    return used


def stale_caches() -> list[Path]:
    """Return the cached samples of no Splitset."""
    folders = _folders(config.samples_path())  # first: a Splitset is never younger than its folder
    known = _recipes()
    return [folder for folder in folders if folder.name not in known]


def stale_checkpoints() -> list[Path]:
    """Return the folders of trainings that have a Predictor, or whose Job is gone."""
    folders = _folders(config.checkpoint_path(""))
    if not folders:
        return []  # as nearly always: no need to read the Queues
    going_on = {job.file_name(index) for queue in Queue.select() for job, index in pending(queue)}
    return [f for f in folders if f.name not in going_on]


def _folders(root: Path) -> list[Path]:
    return sorted(folder for folder in root.glob("*") if folder.is_dir())


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def orphans(dropped: Iterable[str], grace_seconds: float) -> list[Entry]:
    """Return the objects of no content and of no Splitset.

    Args:
        dropped: digests that count as gone, even if their rows are there.
        grace_seconds: younger objects are left out.
    """
    store = objects.configured()
    if store is None:
        return []
    contents, copies = store.entries(blobs.FOLDER), store.entries(cache_replica.FOLDER)
    digests = blobs.sizes().keys() - set(dropped)
    keys = _recipes() if copies else set[str]()
    found = [entry for entry in contents if _digest(entry) not in digests]
    found += [entry for entry in copies if entry.name.split("/")[1] not in keys]
    return [entry for entry in found if entry.age_seconds > grace_seconds]


def free_objects(entries: list[Entry]) -> None:
    """Delete objects that no row has come to need meanwhile."""
    store = objects.configured()
    if store is None:
        return
    contents = [entry for entry in entries if entry.name.startswith(f"{blobs.FOLDER}/")]
    for some in chunked(contents, OBJECTS):
        digests = [_digest(entry) for entry in some]
        with metastore.atomic():
            rows: Any = Blob.select(Blob.sha256).where(Blob.sha256.in_(digests)).tuples()
            needed = {digest for (digest,) in rows}
            store.delete(entry.name for entry in some if _digest(entry) not in needed)
    names = [entry.name for entry in entries if entry.name.startswith(f"{cache_replica.FOLDER}/")]
    store.delete(cache.manifests_first(names))


def _recipes() -> set[str]:
    return {samples_cache.recipe_key(splitset) for splitset in Splitset.select()}


def _digest(entry: Entry) -> str:
    return entry.name.rsplit("/", 1)[-1]
