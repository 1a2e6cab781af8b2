"""Compare the files that a SQLite connection has open with those at its path now.

A connection goes on with a file that was deleted, moved or replaced, and nobody else would see
what it writes. Comparing takes three `stat` calls, a few microseconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

LOG, INDEX = "-wal", "-shm"
Identity = tuple[int, int]  # device and inode


class Change(StrEnum):
    """What happened to a store's files while they were open."""

    DELETED = "was deleted or moved away"
    REPLACED = "was replaced by another file"
    TRUNCATED = "was cut short"
    LOG_DELETED = "has lost its log"
    LOG_REPLACED = "has another log"


@dataclass(slots=True)
class OpenFiles:
    """Identities of the file, its log and the log's index, as one connection has them open.

    Attributes:
        path: of the store.
        real: the same without links, beside which SQLite keeps the log.
        size: of the file in bytes, at the last check.
    """

    path: Path
    real: Path
    file: Identity | None
    size: int = 0
    log: Identity | None = None
    index: Identity | None = None

    @classmethod
    def of(cls, path: Path) -> OpenFiles:
        """Record the files at a path, right after the connection was opened."""
        return cls(path, Path(os.path.realpath(path)), identity(path))

    def change(self) -> Change | None:
        """Return what happened to the files since the last check, or None.

        A file is `TRUNCATED` if it has become smaller, as it does after VACUUM too.
        """
        try:
            now = os.stat(self.path)  # noqa: PTH116 - at each statement; Path takes twice as long
        except OSError:
            return Change.DELETED
        if (now.st_dev, now.st_ino) != self.file:
            return Change.REPLACED
        before, self.size = self.size, now.st_size
        if self.size < before:
            return Change.TRUNCATED
        log, index = (identity(f"{self.real}{ending}") for ending in (LOG, INDEX))
        if self.log != log and index == self.index and not _size(f"{self.real}{LOG}"):
            log = None  # whoever began it could not read it by this index, and wrote nothing
        pairs = ((self.log, log), (self.index, index))
        if any(before and now and before != now for before, now in pairs):
            return Change.LOG_REPLACED
        if any(before and not now for before, now in pairs):
            return Change.LOG_DELETED
        self.log, self.index = self.log or log, self.index or index
        return None

    def has_log_at_path(self) -> bool:
        """Return whether the log at the path is the one that is open."""
        return self.log is not None and identity(f"{self.real}{LOG}") == self.log

    def remove_log(self) -> None:
        """Delete the log and its index at the path, after their file has moved."""
        for ending in (LOG, INDEX):
            Path(f"{self.real}{ending}").unlink(missing_ok=True)


def identity(path: str | Path) -> Identity | None:
    """Return device and inode of the file at a path; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - see `OpenFiles.change`
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - see `OpenFiles.change`
    except OSError:
        return 0
