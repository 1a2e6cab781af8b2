"""Write whole, verified copies of a store in a SQLite file.

A copy shows one moment, and blocks no writer. It is written as a draft beside its place, checked
byte by byte, synced and renamed. A killed process leaves a draft; the next copy removes it.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.admin import readonly
from aiqc_core.orm.store import signing
from aiqc_core.orm.store.sqlite_files import LOG
from aiqc_core.orm.tables.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

STEP_PAGES = 128  # copied at a time, between two reports of the progress
NOTE = "backup"  # the row of the copy that says where it is from
DRAFT = ".draft"
KEY_ENDING = ".key"
FEW = 5

Seen = Callable[[str, int, int], None]
"""Takes `'copied'` or `'checked'`, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that has been verified."""

    path: Path  # the file
    size: int  # in bytes
    schema_version: int  # of its tables
    contents: int  # how many pieces of content it holds
    outside: int  # contents on the object store, which are not in the copy
    outside_bytes: int  # their size
    key: Path | None = None  # the file of the key that was copied beside it; None without


def backup(target: Path, *, with_key: bool = False, seen: Seen | None = None) -> Copy:
    """Copy the store to a file, while others may go on writing to it.

    Args:
        target: the new file.
        with_key: also copy the signing key, to `<target>.key`. Whoever has both can make this
            store run any program, so they are apart by default.
        seen: receives the progress.

    Raises:
        MetastoreError: the target exists or has no room, there is no store or it is damaged
            (nothing is left behind then), or it is on PostgreSQL.
    """
    refuse_postgresql("backup")
    path = config.database_path()
    readonly.refuse_no_store(path)
    if target.exists() or target.is_symlink():
        raise MetastoreError(f"backup: {target} is there already; give another name.")
    if not target.parent.is_dir():
        raise MetastoreError(f"backup: there is no folder {target.parent}; make it first.")
    refuse_little_room(target.parent, size_of(path), "backup")
    key = target.with_name(target.name + KEY_ENDING) if with_key else None
    if key is not None and key.exists():
        raise MetastoreError(f"backup: {key} is there already; give another name.")
    with draft_beside(target) as draft:
        copy_into(path, draft, seen)
        _note(draft, path)
        copy = verified(draft, target, seen)
        if key is not None:
            signing.write_key(
                key, config.settings.store_key or read_key(config.key_path(), "backup")
            )
        put_in_place(draft, target)
    return replace(copy, path=target, size=target.stat().st_size, key=key)


def refuse_postgresql(command: str) -> None:
    """Raise MetastoreError for a store on a server, which has copies of its own."""
    if config.settings.database_url is not None:
        raise MetastoreError(
            f"{command}: the metastore is {config.shown_store()}, which has its own copies: "
            f"pg_dump --format=custom and pg_restore. To bring it to a SQLite file and back: "
            "aiqc migrate --help."
        )


def copy_into(source: Path, draft: Path, seen: Seen | None) -> None:
    """Copy the pages of one moment of a store to an empty file, as one file without a log."""
    report = None if seen is None else lambda _, left, all_: seen("copied", all_ - left, all_)
    with readonly.opened(source) as database, closing(sqlite3.connect(draft)) as copy:
        # In the reading transaction: else SQLite would start again after each write of others.
        database.connection().backup(copy, pages=STEP_PAGES, progress=report)
        copy.execute("PRAGMA journal_mode = DELETE")


def verified(draft: Path, shown: Path, seen: Seen | None) -> Copy:
    """Check every page and every byte of a copy, which errors call `shown`.

    Raises:
        MetastoreError: something is damaged, missing, of a newer version, or a program.
    """
    size = draft.stat().st_size
    report = None if seen is None else lambda done: seen("checked", min(done, size), size)
    with readonly.opened(draft) as database:
        version = refuse_unusable(database, shown)
        damaged, outside, outside_bytes = readonly.damaged_blobs(database, deep=True, seen=report)
        (count,) = database.execute_sql("SELECT COUNT(*) FROM blob").fetchone()
    if outside and config.settings.artifacts is None:
        raise MetastoreError(
            f"{shown}: {outside} contents are not in it: they are on an object store, or "
            "lost. Set AIQC_ARTIFACTS as it was when they were stored."
        )
    if damaged:
        raise MetastoreError(
            f"{shown}: {len(damaged)} contents are damaged: {', '.join(damaged[:FEW])}. "
            "See aiqc doctor --deep; use an earlier backup."
        )
    return Copy(draft, size, version, count, outside, outside_bytes)


def refuse_unusable(database: Any, shown: Path) -> int:
    """Return the version of a file's tables.

    Raises:
        MetastoreError: it is damaged, foreign, newer than the program, or holds programs.
    """
    try:
        faults = readonly.faults(database)
        programs = [] if faults else readonly.programs(database)
        version = 0 if faults else readonly.schema_version(database, shown)
    except readonly.DATABASE_ERRORS as error:
        faults, programs, version = [str(error)], [], 0
    if faults:
        raise MetastoreError(f"{shown} is damaged: {'; '.join(faults)}. Use an earlier backup.")
    if programs:
        raise MetastoreError(
            f"{shown} holds {', '.join(programs)}, which no store of AIQC has: they would run at "
            "our writes. Use a file whose maker you trust."
        )
    if version > SCHEMA_VERSION:
        raise MetastoreError(
            f"{shown} has schema version {version}, this program knows {SCHEMA_VERSION}. Upgrade "
            "the program."
        )
    return version


@contextmanager
def draft_beside(target: Path) -> Generator[Path]:
    """Yield an empty file beside a target, only for its owner, that goes unless it is renamed.

    Drafts of processes that have ended are removed first.
    """
    host = config.settings.host_id.replace("/", "_")
    for left in target.parent.glob(f".{glob.escape(target.name)}.{glob.escape(host)}.*{DRAFT}"):
        pid = left.name.split(".")[-3]
        if not (pid.isdecimal() and psutil.pid_exists(int(pid))):
            left.unlink(missing_ok=True)
    name = f".{target.name}.{host}.{os.getpid()}.{uuid.uuid4().hex[:8]}{DRAFT}"
    draft = target.with_name(name)
    try:
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield draft
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise MetastoreError(f"{target} cannot be written: {reason}.") from error
    finally:
        for ending in ("", "-journal"):
            with suppress(OSError):
                draft.with_name(draft.name + ending).unlink(missing_ok=True)


def put_in_place(draft: Path, target: Path) -> None:
    """Sync a file and rename it, so that it is there whole or not at all."""
    with draft.open("rb+") as stream:
        os.fsync(stream.fileno())
    draft.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def refuse_little_room(folder: Path, needed: int, what: str) -> None:
    """Raise MetastoreError where a folder's disk has less room than needed."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise MetastoreError(
            f"{what}: {folder} has {free / 2**20:.0f} MB free, and {needed / 2**20:.0f} MB are "
            "needed. Make room, or give another place."
        )


def size_of(path: Path) -> int:
    """Return the bytes of a SQLite file and its log."""
    both = (path, path.with_name(path.name + LOG))
    return sum(file.stat().st_size for file in both if file.exists())


def _note(draft: Path, path: Path) -> None:
    """Write into a copy where it is from."""
    is_signed = config.settings.store_key is not None or config.key_path().exists()
    origin = {
        "of": str(path),
        "host": config.settings.host_id,
        "time": config.timezone_now().isoformat(),
        "key": signing.fingerprint() if is_signed else None,
    }
    sql = "INSERT OR REPLACE INTO storeinfo (key, value) VALUES (?, ?)"
    with closing(sqlite3.connect(draft)) as copy, copy:
        copy.execute(sql, (NOTE, json.dumps(origin)))


def read_key(path: Path, command: str) -> bytes:
    """Return the bytes of a signing key that `--with-key` of a command asks for."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise MetastoreError(
            f"{command}: --with-key, but {path} cannot be read: {error.strerror}."
        ) from error
