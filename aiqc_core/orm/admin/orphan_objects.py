"""Find and delete objects that no row needs.

Bytes are sent before their row is written, so an object without a row may soon get one. It stays
for a time of grace. The transaction that deletes it first looks for its row; a writer looks for
the object in its own transaction, and sends it again if it has gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import chunked

from aiqc_core.orm.samples import cache as samples_cache
from aiqc_core.orm.samples import cache_replica
from aiqc_core.orm.store import blobs
from aiqc_core.orm.store.blobs import Blob
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.storage import cache, objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiqc_core.storage.objects import Entry

BATCH = 100  # objects that are deleted in one transaction


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
    keys = recipes() if copies else set[str]()
    found = [entry for entry in contents if _digest(entry) not in digests]
    found += [entry for entry in copies if entry.name.split("/")[1] not in keys]
    return [entry for entry in found if entry.age_seconds > grace_seconds]


def free(entries: list[Entry]) -> None:
    """Delete objects that no row has come to need meanwhile."""
    store = objects.configured()
    if store is None:
        return
    contents = [entry for entry in entries if entry.name.startswith(f"{blobs.FOLDER}/")]
    for some in chunked(contents, BATCH):
        digests = [_digest(entry) for entry in some]
        with metastore.atomic():
            rows: Any = Blob.select(Blob.sha256).where(Blob.sha256.in_(digests)).tuples()
            needed = {digest for (digest,) in rows}
            store.delete(entry.name for entry in some if _digest(entry) not in needed)
    names = [entry.name for entry in entries if entry.name.startswith(f"{cache_replica.FOLDER}/")]
    store.delete(cache.manifests_first(names))


def recipes() -> set[str]:
    """Return the key of every Splitset's samples."""
    return {samples_cache.recipe_key(splitset) for splitset in Splitset.select()}


def _digest(entry: Entry) -> str:
    return entry.name.rsplit("/", 1)[-1]
