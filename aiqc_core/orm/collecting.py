"""Freeing what no row uses any more: bytes, cached samples, checkpoints."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peewee import fn

from aiqc_core import config
from aiqc_core.orm import sampling
from aiqc_core.orm.blobs import Blob, BlobChunk
from aiqc_core.orm.database import metastore
from aiqc_core.orm.fields import BlobField
from aiqc_core.orm.job import Job
from aiqc_core.orm.schema import tables
from aiqc_core.orm.splitset import Splitset

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 500  # digests named in one statement


@dataclass(frozen=True, slots=True)
class Collected:
    """What was freed, or would be.

    Attributes:
        blobs: contents that no row refers to.
        blob_bytes: their size.
        cache_folders: samples of no Splitset.
        checkpoint_folders: of trainings that have ended or are gone.
        folder_bytes: size of these folders.
    """

    blobs: int
    blob_bytes: int
    cache_folders: list[str]
    checkpoint_folders: list[str]
    folder_bytes: int


def collect(*, dry_run: bool) -> Collected:
    """Free what no row uses; freed pages are used again by what is stored next.

    Bytes are looked up and deleted in one transaction, and rows are written together with their
    bytes, so that nothing goes that another process has just stored.

    Args:
        dry_run: only say what would be freed.
    """
    with metastore.atomic():
        used = _used_digests()
        blobs: Any = Blob.select(Blob.sha256, Blob.size).tuples()
        sizes: dict[str, int] = {sha: size for sha, size in blobs if sha not in used}
        if not dry_run:
            _delete(list(sizes))
    caches, checkpoints = _stale_caches(), _stale_checkpoints()
    freed = sum(_size(folder) for folder in (*caches, *checkpoints))
    if not dry_run:
        for folder in (*caches, *checkpoints):
            shutil.rmtree(folder, ignore_errors=True)
    return Collected(
        blobs=len(sizes),
        blob_bytes=sum(sizes.values()),
        cache_folders=[folder.name for folder in caches],
        checkpoint_folders=[folder.name for folder in checkpoints],
        folder_bytes=freed,
    )


def _used_digests() -> set[str]:
    """Return every digest that a column of a row holds."""
    used: set[str] = set()
    for table in tables():
        for field in table._meta.sorted_fields:
            if isinstance(field, BlobField):
                rows: Any = table.select(fn.DISTINCT(field)).where(field.is_null(False))
                used.update(digest for (digest,) in rows.tuples())
    return used


def _delete(digests: list[str]) -> None:
    for start in range(0, len(digests), CHUNK):
        some = digests[start : start + CHUNK]
        BlobChunk.delete().where(BlobChunk.blob.in_(some)).execute()
        Blob.delete().where(Blob.sha256.in_(some)).execute()


def _stale_caches() -> list[Path]:
    known = {sampling.recipe_key(splitset) for splitset in Splitset.select()}
    return [f for f in _folders(config.samples_path()) if f.name not in known]


def _stale_checkpoints() -> list[Path]:
    """Return the folders of trainings that have a Predictor, or whose Job is gone."""
    going_on = {job.training_name(index) for job in Job.select() for index in job.missing()}
    return [f for f in _folders(config.checkpoint_path("")) if f.name not in going_on]


def _folders(root: Path) -> list[Path]:
    return sorted(f for f in root.glob("*") if f.is_dir()) if root.exists() else []


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
