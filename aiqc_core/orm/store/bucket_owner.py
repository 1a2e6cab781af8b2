"""Bind an object store to one metastore, so that two never free each other's objects.

Its mark is the fingerprint of the store's key; machines that share a store share its key.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

from aiqc_core.errors import ArtifactsError, NotFoundError
from aiqc_core.orm.store import signing

if TYPE_CHECKING:
    from aiqc_core.storage.objects import ObjectStore

MARK = "owner"
LOOK_SECONDS = 30.0  # the mark goes with a bucket or folder that is emptied while it is in use


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


@lru_cache(maxsize=8)
def _claimed(store: ObjectStore, own: str, _when: int) -> None:
    if not refuse_other(store):
        store.put(MARK, own.encode())
