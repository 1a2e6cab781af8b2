"""Bytes of any size, addressed by their SHA-256: in chunks of the metastore, or as an object.

Chunks keep each value far below SQLite's limit for one value. With `AIQC_ARTIFACTS` all but small
bytes are on an object store, and only their row is in the metastore. They are written before the
transaction of that row ends, so that no row lacks its bytes; `aiqc gc` frees what a broken
transaction leaves. An object store carries the mark of one metastore, the fingerprint of its key,
so that two never free each other's objects.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from peewee import BlobField, CharField, CompositeKey, ForeignKeyField, IntegerField, Model

from aiqc_core import config
from aiqc_core.errors import ArtifactsError, MetastoreError, NotFoundError
from aiqc_core.orm.store import signing
from aiqc_core.orm.store.database import metastore
from aiqc_core.storage import objects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.storage.objects import ObjectStore

CHUNK_BYTES = 8 * 2**20
CHUNKS_AT_ONCE = 4
# Fewer bytes stay in the metastore: an object on S3 takes 20 to 50 ms, a row under 1 ms.
OBJECT_BYTES = 16 * 2**10
FOLDER, MARK = "blobs", "owner"
LOOK_SECONDS = 30.0  # the mark goes with a bucket or folder that is emptied while it is in use


class Blob(Model):
    """One content, known by its SHA-256."""

    sha256 = CharField(primary_key=True)
    size = IntegerField()

    class Meta:
        database = metastore


class BlobChunk(Model):
    """One piece of a content."""

    blob = ForeignKeyField(Blob, backref="chunks", on_delete="CASCADE")
    idx = IntegerField()
    data = BlobField()

    class Meta:
        database = metastore
        primary_key = CompositeKey("blob", "idx")


def put(data: bytes | memoryview, digest: str | None = None) -> str:
    """Store bytes that are not there yet; return their SHA-256 (`digest`, if it is known).

    Raises:
        ArtifactsError: the object store of `AIQC_ARTIFACTS` cannot be reached.
        MetastoreError: the metastore's disk has no room for them.
    """
    digest = digest or hashlib.sha256(data).hexdigest()
    whole = np.frombuffer(data, np.uint8)  # peewee would copy the pieces of a memoryview
    store = _store_for(len(whole))
    with metastore.atomic():
        known = Blob.get_or_none(Blob.sha256 == digest) is not None
        if not known:
            Blob.insert(sha256=digest, size=len(whole)).execute()
        if known and _is_in_chunks(digest):
            return digest
        # From here on the collector waits for this transaction; what it freed is written again.
        if store is not None:
            _send(store, digest, data)
            return digest
        metastore.refuse_without_room(len(whole))
        for idx, start in enumerate(range(0, len(whole), CHUNK_BYTES)):
            chunk = whole[start : start + CHUNK_BYTES]
            BlobChunk.insert(blob=digest, idx=idx, data=chunk).execute()
    return digest


def send_ahead(data: bytes | memoryview, digest: str | None = None) -> None:
    """Send bytes to the object store, if any, before a transaction begins that will `put` them.

    The transaction then only checks that they are there: no other writer waits for the network.
    """
    size = memoryview(data).nbytes
    store = _store_for(size)
    if store is None:
        return
    digest = digest or hashlib.sha256(data).hexdigest()
    if Blob.get_or_none(Blob.sha256 == digest) is None or not _is_in_chunks(digest):
        _send(store, digest, data)


def get(digest: str) -> bytes:
    """Return the bytes of a digest.

    Raises:
        MetastoreError: they are missing or do not match their digest.
        ArtifactsError: the same on an object store, or it cannot be reached.
    """
    data = b"".join(_pieces(digest))
    _refuse_damaged(digest, hashlib.sha256(data).hexdigest())
    return data


def read(digest: str) -> memoryview:
    """Return the bytes of a digest as `get`, read-only; many are hashed while they are read."""
    size = _size(digest) or 0
    if size <= CHUNK_BYTES:
        return memoryview(get(digest))
    data: Any = np.empty(size, np.uint8)
    start, hasher = 0, hashlib.sha256()
    with ThreadPoolExecutor(1) as beside:
        for piece in _pieces(digest):
            beside.submit(hasher.update, piece)
            fitting = np.frombuffer(piece, np.uint8)[: max(size - start, 0)]
            data[start : start + len(fitting)] = fitting
            start += len(piece)
    _refuse_damaged(digest, hasher.hexdigest())
    return memoryview(data).toreadonly()


def sizes() -> dict[str, int]:
    """Return the size of each content by its digest."""
    rows: Any = Blob.select(Blob.sha256, Blob.size).tuples()
    return dict(rows)


def object_name(digest: str) -> str:
    """Return the place of an object below the store's URL.

    >>> object_name("abcdef")
    'blobs/ab/abcdef'
    """
    return f"{FOLDER}/{digest[:2]}/{digest}"


def claim(store: ObjectStore) -> None:
    """Mark an object store as this store's; ArtifactsError where another has marked it."""
    _claimed(store, signing.fingerprint(), int(time.monotonic() / LOOK_SECONDS))


def refuse_other(store: ObjectStore) -> bool:
    """Return whether this store has marked an object store.

    Raises:
        ArtifactsError: another store has marked it.
    """
    try:
        found = store.get(MARK).decode(errors="replace")
    except NotFoundError:
        return False
    own = signing.fingerprint()
    if found != own:
        raise ArtifactsError(
            f"AIQC_ARTIFACTS: {store.url} belongs to another store ({found[:16]}; this one is "
            f"{own}), and each would free what the other keeps. Give this store a prefix of its "
            f"own; where it is the same store under a new key, delete {store.shown(MARK)}."
        )
    return True


def _store_for(size: int) -> ObjectStore | None:
    store = objects.configured()  # a wrong setting is refused with the first bytes, however few
    return store if size >= OBJECT_BYTES else None


def _send(store: ObjectStore, digest: str, data: bytes | memoryview) -> None:
    name = object_name(digest)
    if store.size(name) != memoryview(data).nbytes:
        claim(store)
        store.put(name, data)


def _is_in_chunks(digest: str) -> bool:
    return BlobChunk.select().where(BlobChunk.blob == digest).exists()


def _pieces(digest: str) -> Iterator[bytes]:
    chunks: Any = BlobChunk.select(BlobChunk.data).where(BlobChunk.blob == digest)
    seen = 0
    while True:  # a few at a time: PostgreSQL's driver takes a whole result into memory
        some = chunks.where(BlobChunk.idx >= seen).order_by(BlobChunk.idx).limit(CHUNKS_AT_ONCE)
        pieces = [piece for (piece,) in some.tuples()]
        yield from pieces
        seen += len(pieces)
        if len(pieces) < CHUNKS_AT_ONCE:
            break
    size = None if seen else _size(digest)
    if not size:
        return
    store = objects.configured()
    if store is None:
        raise MetastoreError(
            f"metastore: the bytes {digest[:12]}… are not in {config.shown_store()}: they were "
            "stored on an object store, or are lost. Set AIQC_ARTIFACTS as it was when they were "
            "stored; if they never left the metastore, restore it from a backup."
        )
    found = store.size(object_name(digest))
    if found != size:
        what = "is missing" if found is None else f"has {found} bytes instead of {size}"
        raise _object_error(store, digest, what)
    yield from store.pieces(object_name(digest), size)


def _size(digest: str) -> int | None:
    return Blob.select(Blob.size).where(Blob.sha256 == digest).scalar()


def _object_error(store: ObjectStore, digest: str, what: str) -> ArtifactsError:
    return ArtifactsError(
        f"artifacts: the object of the bytes {digest} {what}: "
        f"{store.shown(object_name(digest))}. See that AIQC_ARTIFACTS is what it was; restore the "
        "object from a backup or an earlier version of the bucket, or delete it and store the "
        "same data again, which writes the object again."
    )


def _refuse_damaged(digest: str, found: str) -> None:
    if found == digest:
        return
    store = objects.configured()
    if store is not None and _size(digest) and not _is_in_chunks(digest):
        raise _object_error(store, digest, f"holds other bytes (SHA-256 {found})")
    raise MetastoreError(
        f"metastore: the stored bytes {digest[:12]}… are missing or damaged. "
        "Restore the store from a backup."
    )


@lru_cache(maxsize=8)
def _claimed(store: ObjectStore, own: str, _when: int) -> None:
    if not refuse_other(store):
        store.put(MARK, own.encode())
