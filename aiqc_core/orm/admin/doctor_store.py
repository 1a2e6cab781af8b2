"""Check the rows and bytes of a store: signatures, versions, unused bytes, times."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from peewee import chunked

from aiqc_core import config
from aiqc_core.config import timezone_now
from aiqc_core.orm.admin import gc, orphan_objects
from aiqc_core.orm.admin.diagnostic import OK, WARN, Diagnostic
from aiqc_core.orm.store import blobs, signing
from aiqc_core.orm.store.blobs import BlobChunk
from aiqc_core.orm.store.fields import PickleField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.algorithm import ROLES, Algorithm

if TYPE_CHECKING:
    from collections.abc import Iterator

SHALLOW_BYTES = 2**20  # larger pickles (predictions of many samples) are checked when asked to
HEAD_BYTES = 1024
BATCH = 200  # contents that are read in one query
MEGABYTE = 2**20
WORTHWHILE_BYTES = 100 * MEGABYTE
WORTHWHILE_SHARE = 0.1
AHEAD = timedelta(minutes=5)  # clocks of machines that share a store may be apart by this much


def pickles(*, deep: bool) -> list[Diagnostic]:
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


def unused() -> Diagnostic:
    """Measure what no row uses, which `aiqc gc` would free."""
    used, sizes = gc.used_digests(), blobs.sizes()
    spare = [digest for digest in sizes if digest not in used]
    folders = gc.stale_caches() + gc.stale_checkpoints()
    orphans = orphan_objects.orphans(spare, gc.GRACE_SECONDS)
    freed = sum(sizes[digest] for digest in spare) + sum(entry.size for entry in orphans)
    freed += sum(gc.size_of(folder) for folder in folders)
    text = (
        f"{len(spare)} contents, {len(orphans)} objects and {len(folders)} folders "
        f"({freed / MEGABYTE:.1f} MB) belong to no row"
    )
    much = max(WORTHWHILE_BYTES, WORTHWHILE_SHARE * sum(sizes.values()))
    remedy = "aiqc gc" if spare or orphans or folders else ""
    return Diagnostic("unused", WARN if freed > much else OK, text, remedy)


def clock() -> Diagnostic:
    """Check that no row is from the future: then a clock is wrong, here or where it was made."""
    now = timezone_now()
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
