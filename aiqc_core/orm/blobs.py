"""Bytes of any size, addressed by their content and kept in chunks.

Chunks keep each value far below SQLite's limit for one value; the address makes equal bytes one
blob, and damage visible.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from peewee import BlobField, CharField, CompositeKey, ForeignKeyField, IntegerField, Model

from aiqc_core.errors import MetastoreError
from aiqc_core.orm.database import metastore

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 8 * 2**20


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
    """Store bytes and return their SHA-256; bytes that are there already are not written again.

    Args:
        data: the bytes.
        digest: their SHA-256, where it has been taken.
    """
    digest = digest or hashlib.sha256(data).hexdigest()
    whole = np.frombuffer(data, np.uint8)  # peewee would copy the pieces of a memoryview
    with metastore.atomic():
        if Blob.get_or_none(Blob.sha256 == digest) is None:
            Blob.insert(sha256=digest, size=len(whole)).execute()
            for idx, start in enumerate(range(0, len(whole), CHUNK_BYTES)):
                chunk = whole[start : start + CHUNK_BYTES]
                BlobChunk.insert(blob=digest, idx=idx, data=chunk).execute()
    return digest


def get(digest: str) -> bytes:
    """Return the bytes of a digest.

    Raises:
        MetastoreError: when they are missing or no longer match their digest.
    """
    data = b"".join(_pieces(digest))
    _refuse_damaged(digest, hashlib.sha256(data).hexdigest())
    return data


def read(digest: str) -> memoryview:
    """Return the bytes of a digest, read-only; many of them are hashed while they are read.

    Raises:
        MetastoreError: see `get`.
    """
    size: int = Blob.select(Blob.size).where(Blob.sha256 == digest).scalar() or 0
    if size <= CHUNK_BYTES:
        return memoryview(get(digest))
    data: Any = np.empty(size, np.uint8)
    start, hasher = 0, hashlib.sha256()
    with ThreadPoolExecutor(1) as beside:
        for piece in _pieces(digest):
            beside.submit(hasher.update, piece)
            fitting = np.frombuffer(piece, np.uint8)[: size - start]
            data[start : start + len(fitting)] = fitting
            start += len(piece)
    _refuse_damaged(digest, hasher.hexdigest())
    return memoryview(data).toreadonly()


def _pieces(digest: str) -> Iterator[bytes]:
    chunks: Any = BlobChunk.select(BlobChunk.data).where(BlobChunk.blob == digest)
    return (piece for (piece,) in chunks.order_by(BlobChunk.idx).tuples().iterator())


def _refuse_damaged(digest: str, found: str) -> None:
    if found != digest:
        message = (
            f"metastore: the stored bytes {digest[:12]}… are missing or damaged. "
            "Restore the store from a backup."
        )
        raise MetastoreError(message)
