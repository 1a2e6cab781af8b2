"""Choose SQLite's journal: a log (WAL), or on a network's file system none (`delete`).

Processes of one machine share the log's index as memory, which is not safe on a network.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING

import psutil

from aiqc_core import config
from aiqc_core.errors import MetastoreError

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

NETWORK = (
    "nfs", "cifs", "smb", "sshfs", "fuse.", "9p", "afs", "ceph", "gluster", "lustre", "beegfs",
    "gpfs", "pvfs", "orangefs", "davfs", "ncpfs", "virtiofs", "prl_fs", "vboxsf", "vmhgfs",
)  # fmt: skip
LOCAL = ("fuse.fuse-overlayfs", "fuse.overlay", "fuse.ext", "fuse.ntfs", "fuse.exfat", "nfsd")


def is_network(kind: str) -> bool:
    """Return whether a kind of file system is shared over a network or with another machine.

    >>> [is_network(kind) for kind in ("nfs4", "fuse.sshfs", "overlay", "fuseblk", "ext4")]
    [True, True, False, False, False]
    """
    return kind == "fuse" or (kind.startswith(NETWORK) and not kind.startswith(LOCAL))


def kind_of(place: Path) -> str:
    """Return the kind of a path's file system, in small letters; empty if unknown."""
    mounts = {str(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    for folder in (place, *place.parents):
        if str(folder) in mounts:
            return mounts[str(folder)].lower()
    return ""


def nearest(place: Path) -> Path:
    """Return a path, or the nearest folder above it that exists and that this user may see."""
    # Not Path.exists, which raises in a folder that is closed to this user.
    return next(folder for folder in (place, *place.parents) if os.path.exists(folder))  # noqa: PTH110


@lru_cache(maxsize=64)
def network_kind(folder: Path) -> str | None:
    """Return the kind of a folder's file system if it is a network's, else None; cached."""
    kind = kind_of(nearest(folder).resolve())
    return kind if is_network(kind) else None


def choose_journal(connection: sqlite3.Connection, path: Path, *, is_read_only: bool) -> None:
    """Set the journal of a file that was just opened; one that is read only keeps its own.

    Raises:
        MetastoreError: other processes have it open with a log on a network's file system.
    """
    kind = network_kind(path.parent)
    if kind is None:
        connection.execute("PRAGMA journal_mode = wal")
        return
    if is_read_only:
        return
    try:
        connection.execute("PRAGMA journal_mode = delete")
    except sqlite3.OperationalError as error:
        raise MetastoreError(
            f"metastore: {path} is on a network's file system ({kind}), and other processes have "
            f"it open with SQLite's log, which is not safe there ({error}). End them, and run "
            "again."
        ) from error
    connection.execute("PRAGMA synchronous = full")
    _warn(path, kind)


@lru_cache(maxsize=64)
def _warn(path: Path, kind: str) -> None:
    logger.warning(
        "metastore: %s is on a network's file system (%s). SQLite is used without its log there, "
        "which is slower; the file system must hold locks. Put %s on a local disk, or set %s to a "
        "PostgreSQL database.",
        path, kind, config.HOME_VARIABLE, config.DATABASE_VARIABLE,
    )  # fmt: skip
