"""Bytes of any size, addressed by their content and kept in chunks.

Chunks keep each value far below SQLite's limit for one value; the address makes equal bytes one
blob, and damage visible.
"""

from __future__ import annotations

import hashlib
from typing import Any

from peewee import BlobField, CharField, CompositeKey, ForeignKeyField, IntegerField, Model

from aiqc_core.errors import MetastoreError
from aiqc_core.orm.database import metastore

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


def put(data: bytes) -> str:
    """Store bytes and return their SHA-256; bytes that are there already are not written again."""
    digest = hashlib.sha256(data).hexdigest()
    with metastore.atomic():
        if Blob.get_or_none(Blob.sha256 == digest) is None:
            Blob.insert(sha256=digest, size=len(data)).execute()
            for idx, start in enumerate(range(0, len(data), CHUNK_BYTES)):
                chunk = data[start : start + CHUNK_BYTES]
                BlobChunk.insert(blob=digest, idx=idx, data=chunk).execute()
    return digest


def get(digest: str) -> bytes:
    """Return the bytes of a digest.

    Raises:
        MetastoreError: when they are missing or no longer match their digest.
    """
    chunks: Any = BlobChunk.select(BlobChunk.data).where(BlobChunk.blob == digest)
    data = b"".join(chunk for (chunk,) in chunks.order_by(BlobChunk.idx).tuples())
    if hashlib.sha256(data).hexdigest() != digest:
        message = (
            f"metastore: the stored bytes {digest[:12]}… are missing or damaged. "
            "Restore the store from a backup."
        )
        raise MetastoreError(message)
    return data
