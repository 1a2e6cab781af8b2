"""Recognise file systems that cannot share the index of SQLite's log, which is memory."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

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
