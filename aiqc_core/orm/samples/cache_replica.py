"""Copy cached samples to the object store, for machines that share a store and no folder.

If a copy cannot be fetched, a warning says so and the samples are built.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiqc_core import config
from aiqc_core.errors import ArtifactsError
from aiqc_core.orm.store import blobs
from aiqc_core.storage import cache, objects

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER = "samples"


def retrieve(folder: Path) -> bool:
    """Fetch a folder of the cache; False if no copy can be used."""
    store = objects.configured()
    if store is None:
        return False
    try:
        return cache.retrieve(folder, store, name_of(folder))
    except ArtifactsError as error:
        logger.warning("These samples are not fetched but built: %s", error)
        return False


def publish(folder: Path) -> None:
    """Copy a folder of the cache to the object store, if there is one."""
    store = objects.configured()
    if store is None:
        return
    try:
        blobs.claim(store)
        cache.publish(folder, store, name_of(folder))
    except ArtifactsError as error:
        logger.warning("Other machines cannot fetch the samples in %s: %s", folder, error)


def withdraw(folder: Path) -> None:
    """Delete the copies of a folder and of all below it.

    Raises:
        ArtifactsError: the object store cannot be written, or belongs to another store.
    """
    store = objects.configured()
    if store is not None:
        blobs.claim(store)
        cache.withdraw(store, name_of(folder))


def name_of(folder: Path) -> str:
    """Return the name of a folder's copy below the store's URL."""
    below = folder.relative_to(config.samples_path()).parts
    return "/".join((FOLDER, *below))
