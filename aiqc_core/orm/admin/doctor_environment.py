"""What lies around a store, and how it is: the key, the cache, files that wait, the disk."""

from __future__ import annotations

import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

from aiqc_core import config
from aiqc_core.orm.admin import readonly
from aiqc_core.orm.admin.diagnostic import FAIL, OK, WARN, Symptom
from aiqc_core.orm.store.file_systems import is_network
from aiqc_core.orm.store.file_systems import kind_of as _kind_of
from aiqc_core.orm.store.file_systems import nearest as _there
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAGSTER_VARIABLE = "DAGSTER_HOME"
GIBIBYTE = 2**30
LITTLE_BYTES = GIBIBYTE // 10
FEW = 3


def parts() -> list[tuple[str, Callable[[], Symptom]]]:
    """Return the name of each part with the function that looks at it."""
    found: list[tuple[str, Callable[[], Symptom]]] = [
        ("key", key),
        ("access", access),
        ("waiting", waiting),
        ("cache", samples),
        ("disk", disk),
    ]
    return found if config.database_url() is not None else [*found, ("file system", file_system)]


def key() -> Symptom:
    """Look at the key that signs pickles: whoever reads it can have this store run any code."""
    if config.given_key() is not None:
        return Symptom("key", OK, f"{config.KEY_VARIABLE} is set")
    path = config.key_path()
    try:
        found = path.stat()
    except FileNotFoundError:
        told = f"there is no {path}: it is made with the first pickle"
        return Symptom("key", OK, told, "where pickles are there already, put their key back")
    mode = stat.S_IMODE(found.st_mode)
    if found.st_size != config.KEY_BYTES:
        told = f"{path} has {found.st_size} bytes instead of {config.KEY_BYTES}"
        return Symptom("key", FAIL, told, "put it back from where it was kept")
    if mode & 0o077:
        told = f"{path} can be read by others (mode {mode:o})"
        return Symptom("key", FAIL, told, f"chmod 600 {path}")
    if hasattr(os, "geteuid") and found.st_uid not in {os.geteuid(), 0}:
        told = f"{path} belongs to user {found.st_uid}, this is user {os.geteuid()}"
        return Symptom("key", WARN, told, f"chown {os.geteuid()} {path}, if the store is yours")
    return Symptom("key", OK, f"{path}, for its owner alone")


def access() -> Symptom:
    """Look who else may write to the store and the cache."""
    places = [config.home(), config.samples_path(), *config.spill_paths()]
    if config.database_url() is None:
        places.append(config.database_path())
    there = [place for place in places if place.exists()]
    if links := [place for place in there if place.is_symlink()]:
        told = f"{_named(links)} leads to {_named([place.resolve() for place in links])}"
        return Symptom("access", WARN, told, "see that it leads where you meant it to")
    if open_ones := [place for place in there if place.stat().st_mode & stat.S_IWOTH]:
        told = f"everybody may write to {_named(open_ones)}"
        return Symptom("access", WARN, told, f"chmod -R o-w {_named(open_ones)}")
    return Symptom("access", OK, "nobody but owner and group may write")


def waiting() -> Symptom:
    """Look for trainings that could not be recorded and lie in files."""
    folders = [folder for folder in config.spill_paths() if folder.is_dir()]
    files = [file for folder in folders for file in folder.glob("*.outcome")]
    left = [file for file in files if _is_of_no_queue(file.name)]
    if wait := [file for file in files if file not in left]:
        told = f"{len(wait)} trainings wait to be recorded: {_named(wait)}"
        return Symptom("waiting", WARN, told, "run their queues again, which records them")
    if left:
        told = f"{len(left)} trainings are of Queues that were deleted: {_named(left)}"
        return Symptom("waiting", WARN, told, "delete these files")
    return Symptom("waiting", OK, "no training waits to be recorded")


def _is_of_no_queue(name: str) -> bool:
    """Say whether a file's training is of a Queue that the store does not hold any more."""
    named = re.match(r"q(\d+)_", name)
    if named is None or (config.database_url() is None and not config.database_path().exists()):
        return False
    with readonly.opened() as database:
        sql = f"SELECT 1 FROM queue WHERE id = {int(named[1])}"  # noqa: S608 - a number
        return database.execute_sql(sql).fetchone() is None


def samples() -> Symptom:
    """Look for cached samples that are not whole, and drafts whose process has ended."""
    root = config.samples_path()
    if not root.is_dir():
        return Symptom("cache", OK, "empty")
    folders = [path for recipe in root.iterdir() if recipe.is_dir() for path in recipe.iterdir()]
    drafts = [path for path in folders if path.is_dir() and path.name.startswith(".")]
    finished = [path for path in folders if path.is_dir() and not path.name.startswith(".")]
    broken = [path for path in finished if not cache.is_whole(path)]
    told = f"{len(finished)} folders of samples in {root}"
    if broken:
        told += f", {len(broken)} not whole: {_named(broken)}"
    if drafts:
        told += f", {len(drafts)} drafts (being written, or left by a killed process)"
    if not (broken or drafts):
        return Symptom("cache", OK, told)
    remedy = "the next training builds them anew"
    if drafts:
        remedy = f"if nothing trains now: rm -r {root}, which is built again"
    return Symptom("cache", WARN, told, remedy)


def disk() -> Symptom:
    """Compare the free room with what a copy of the store takes."""
    place = _there(config.home())
    free = shutil.disk_usage(place).free
    path = config.database_path()
    size = path.stat().st_size if config.database_url() is None and path.exists() else 0
    told = f"{free / GIBIBYTE:.1f} GB are free, the store has {size / GIBIBYTE:.2f} GB"
    if free < LITTLE_BYTES:
        return Symptom("disk", FAIL, told, "make room; what is trained meanwhile is kept in files")
    if free < size:
        told += ": a copy, as before a migration, has no room"
        return Symptom("disk", WARN, told, "make room, or aiqc gc")
    return Symptom("disk", OK, told)


def file_system() -> Symptom:
    """Look whether SQLite's log can be shared there: on a network's file system it cannot."""
    dagster = config.given_folder(DAGSTER_VARIABLE)
    kinds = {
        place: _kind_of(_there(place).resolve())
        for place in (config.home(), dagster)
        if place is not None
    }
    shared = {place: kind for place, kind in kinds.items() if is_network(kind)}
    if not shared:
        return Symptom("file system", OK, kinds[config.home()] or "unknown to this machine")
    told = ", ".join(f"{place} is on {kind}" for place, kind in shared.items())
    remedies = []
    if config.home() in shared:
        told += "; SQLite works there without its log, slower, and is as safe as its locks"
        remedies.append(
            f"put {config.HOME_VARIABLE} on a local disk, or set {config.DATABASE_VARIABLE}"
        )
    if dagster in shared:
        remedies.append(
            f"put {DAGSTER_VARIABLE} on a local disk, or Dagster's storage on PostgreSQL: its "
            "SQLite files keep a log, which is not safe on a network"
        )
    return Symptom("file system", WARN, told, "; ".join(remedies))


def _named(paths: list[Path]) -> str:
    more = f" and {len(paths) - FEW} more" if len(paths) > FEW else ""
    return ", ".join(str(path) for path in paths[:FEW]) + more
