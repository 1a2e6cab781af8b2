"""Put a checked copy of a store in its place, in one step.

No process may have the store open meanwhile; those that open it wait.
"""

from __future__ import annotations

import hmac
import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock, Timeout

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.admin import backup, readonly
from aiqc_core.orm.admin.backup import KEY_ENDING, NOTE, Copy, Seen
from aiqc_core.orm.store import process_identity, signing
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.sqlite_files import INDEX, LOG
from aiqc_core.orm.tables.job import RUNNING, Attempt
from aiqc_core.orm.tables.schema import SCHEMA_VERSION, StoreInfo, tables

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from filelock import AcquireReturnProxy

LOCK_SECONDS = 10.0
FEW = 5


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        opens: whether this store's key is the one that signed the copy's pickles; None where
            the copy does not say.
    """

    copy: Copy  # the store that is there now
    kept: Path | None  # the file that holds what was there before; None where nothing was
    opens: bool | None


def restore(
    source: Path, *, force: bool = False, with_key: bool = False, seen: Seen | None = None
) -> Restored:
    """Put a copy in the place of the store.

    Args:
        source: a file that `backup` made, or any whole file of a store.
        force: also replace a store with rows, which is kept beside it.
        with_key: also take `<source>.key` as the key of the store.
        seen: receives the progress.

    Raises:
        MetastoreError: the file is damaged, foreign or newer than the program, the present store
            has rows (without `force`), is open or trains, or there is no room. Nothing changes.
    """
    backup.refuse_postgresql("restore")
    path = config.database_path()
    with readonly.opened(source) as database:
        backup.refuse_unusable(database, source)
    key = _key_beside(source, force=force) if with_key else None
    metastore.close()
    if path.exists():
        _refuse_present(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    backup.refuse_little_room(path.parent, backup.size_of(source), "restore")
    with _alone(path), backup.draft_beside(path) as draft:
        backup.copy_into(source, draft, seen)
        made_by = _taken_note(draft)
        copy = backup.verified(draft, source, seen)
        with _closed_to_others(path):
            kept = _kept(path) if path.exists() else None
            if kept is not None:  # who may read it stays as it was
                draft.chmod(stat.S_IMODE(kept.stat().st_mode))
            if key is not None:
                _put_key(key)
            backup.put_in_place(draft, path)
    metastore.forget_prepared()
    opens = None if made_by is None else signing.opens(made_by)
    return Restored(replace(copy, path=path, size=path.stat().st_size), kept, opens)


def _refuse_present(path: Path, *, force: bool) -> None:
    """Refuse to replace a store that is in use, or that holds rows without `force`."""
    try:
        with readonly.opened(path) as database:
            version = readonly.schema_version(database, path)
            filled = _filled(database)
            alive = _alive(database, version)
    except (MetastoreError, *readonly.DATABASE_ERRORS, ValueError):
        # Damaged, or no store: only open files show whether it is in use.
        filled, alive = True, 0
    if alive:
        raise MetastoreError(
            f"restore: {alive} trainings are going on in {path}. End them first, or wait."
        )
    if filled and not force:
        raise MetastoreError(
            f"restore: {path} is not empty. Give --force, which keeps it under another name, or "
            f"set {config.HOME_VARIABLE} to another folder."
        )


def _filled(database: Any) -> bool:
    names = {table._meta.table_name for table in tables() if table is not StoreInfo}
    return any(
        database.execute_sql(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - ours
        for name in names.intersection(database.get_tables())
    )


def _alive(database: Any, version: int) -> int:
    """Return how many trainings are going on."""
    if version == SCHEMA_VERSION:
        with readonly.rows_of(database):
            return sum(row.is_alive() for row in Attempt.select().where(Attempt.status == RUNNING))
    if "attempt" not in database.get_tables():
        return 0
    rows = database.execute_sql("SELECT owner FROM attempt WHERE status = 'running'")
    return sum(process_identity.is_alive(json.loads(owner)) for (owner,) in rows.fetchall())


def _alone(path: Path) -> AcquireReturnProxy:
    """Take the lock that every process takes before it opens the store for the first time."""
    try:
        return FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS).acquire()
    except Timeout as error:
        raise MetastoreError(
            f"restore: another process is opening or restoring {path}. Try again."
        ) from error


@contextmanager
def _closed_to_others(path: Path) -> Generator[None]:
    """Hold a store's file so that nobody else has it open, its log written into it and gone."""
    if not path.exists():
        yield
        return
    if others := _holders(path):
        raise _in_use(path, f"open in {', '.join(others[:FEW])}")
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as present:
        try:
            # This needs the file alone: every connection to a file with a log holds a lock.
            (mode,) = present.execute("PRAGMA journal_mode = DELETE").fetchone()
            if mode != "delete":
                raise _in_use(path, "open in another process")
            present.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:  # what is damaged nobody can use either
            if "locked" in str(error):
                raise _in_use(path, "open in another process") from error
        yield


def _in_use(path: Path, how: str) -> MetastoreError:
    return MetastoreError(
        f"restore: {path} is {how}. End that (dagster dev, notebooks, trainings) and try again."
    )


def _holders(path: Path) -> list[str]:
    """Return the other processes that have a file open, as far as this user may see."""
    found: list[str] = []
    for process in psutil.process_iter(["pid", "name"]):
        if process.pid == os.getpid():
            continue
        with suppress(psutil.Error, OSError):
            if any(opened.path == str(path.resolve()) for opened in process.open_files()):
                found.append(f"process {process.pid} ({process.info['name']})")
    return found


def _kept(path: Path) -> Path:
    """Give the present file, and its log where it is damaged, a second name."""
    kept = path.with_suffix(f".replaced-{_moment()}.sqlite")
    for ending in ("", LOG):
        _link(*(file.with_name(file.name + ending) for file in (path, kept)))
    for ending in (LOG, INDEX):  # else they would count as the new file's
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return kept


def _moment() -> str:
    return config.timezone_now().strftime("%Y%m%dT%H%M%S%f")


def _link(old: Path, new: Path) -> None:
    """Give a file, if it is there, a second name."""
    try:
        os.link(old, new)
    except FileNotFoundError:
        return
    except OSError:  # a file system without such names
        shutil.copy2(old, new)


def _taken_note(draft: Path) -> str | None:
    """Remove the note of `backup`; return the name of the key that signs the copy."""
    with closing(sqlite3.connect(draft)) as copy, copy:
        found = copy.execute("SELECT value FROM storeinfo WHERE key = ?", (NOTE,)).fetchone()
        copy.execute("DELETE FROM storeinfo WHERE key = ?", (NOTE,))
    try:
        origin = json.loads(found[0]) if found else {}
    except ValueError:
        origin = {}
    name = origin.get("key") if isinstance(origin, dict) else None
    return name if isinstance(name, str) else None


def _key_beside(source: Path, *, force: bool) -> bytes:
    """Return the key beside a copy, if it may become the store's."""
    path = source.with_name(source.name + KEY_ENDING)
    key = backup.read_key(path, "restore")
    if len(key) != config.KEY_BYTES:
        raise MetastoreError(f"restore: {path} has {len(key)} bytes; a key has 32.")
    own = config.key_path()
    if config.settings.store_key is not None:
        raise MetastoreError(
            f"restore: --with-key, but {config.KEY_VARIABLE} gives the key; unset it first."
        )
    if own.exists() and not hmac.compare_digest(own.read_bytes(), key) and not force:
        raise MetastoreError(
            f"restore: {own} is another key than {path}. Give --force, which keeps both."
        )
    return key


def _put_key(key: bytes) -> None:
    own = config.key_path()
    if own.exists():
        if hmac.compare_digest(own.read_bytes(), key):
            return
        _link(own, own.with_name(f"{own.name}.replaced-{_moment()}"))
    with backup.draft_beside(own) as draft:
        draft.write_bytes(key)
        backup.put_in_place(draft, own)
