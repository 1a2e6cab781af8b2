"""Check what surrounds a store: key, access, waiting trainings, cache, disk, file system."""

from __future__ import annotations

import os
import re
import shutil
import stat
from typing import TYPE_CHECKING

from aiqc_core import config
from aiqc_core.orm.admin import readonly
from aiqc_core.orm.admin.diagnostic import FAIL, OK, WARN, Diagnostic, first_of
from aiqc_core.orm.store import file_systems
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAGSTER_VARIABLE = "DAGSTER_HOME"
GIBIBYTE = 2**30
LITTLE_BYTES = GIBIBYTE // 10
FEW = 3


def checks() -> dict[str, Callable[[], Diagnostic]]:
    """Return the check of each part by its name."""
    found = {"key": key, "access": access, "waiting": waiting, "cache": samples, "disk": disk}
    return (
        found if config.settings.database_url is not None else found | {"file system": file_system}
    )


def key() -> Diagnostic:
    """Check the key that signs pickles: whoever reads it can make this store run any code."""
    if config.settings.store_key is not None:
        return Diagnostic("key", OK, f"{config.KEY_VARIABLE} is set")
    path = config.key_path()
    try:
        found = path.stat()
    except FileNotFoundError:
        text = f"there is no {path}: the first pickle makes it"
        return Diagnostic("key", OK, text, "where pickles are there already, put their key back")
    mode = stat.S_IMODE(found.st_mode)
    if found.st_size != config.KEY_BYTES:
        text = f"{path} has {found.st_size} bytes instead of {config.KEY_BYTES}"
        return Diagnostic("key", FAIL, text, "put it back from where it was kept")
    if mode & 0o077:
        text = f"{path} can be read by others (mode {mode:o})"
        return Diagnostic("key", FAIL, text, f"chmod 600 {path}")
    if hasattr(os, "geteuid") and found.st_uid not in {os.geteuid(), 0}:
        text = f"{path} belongs to user {found.st_uid}, this is user {os.geteuid()}"
        return Diagnostic("key", WARN, text, f"chown {os.geteuid()} {path}, if the store is yours")
    return Diagnostic("key", OK, f"{path}, for its owner alone")


def access() -> Diagnostic:
    """Check who else may write to the store and the cache."""
    places = [config.home(), config.samples_path(), *config.spill_paths()]
    if config.settings.database_url is None:
        places.append(config.database_path())
    there = [place for place in places if place.exists()]
    if links := [place for place in there if place.is_symlink()]:
        text = f"{_named(links)} leads to {_named([place.resolve() for place in links])}"
        return Diagnostic("access", WARN, text, "see that it leads where you meant it to")
    if open_ones := [place for place in there if place.stat().st_mode & stat.S_IWOTH]:
        text = f"everybody may write to {_named(open_ones)}"
        return Diagnostic("access", WARN, text, f"chmod -R o-w {_named(open_ones)}")
    return Diagnostic("access", OK, "nobody but owner and group may write")


def waiting() -> Diagnostic:
    """Find trainings that could not be recorded and wait in files."""
    folders = [folder for folder in config.spill_paths() if folder.is_dir()]
    files = [file for folder in folders for file in folder.glob("*.outcome")]
    left = [file for file in files if _is_of_no_queue(file.name)]
    if wait := [file for file in files if file not in left]:
        text = f"{len(wait)} trainings wait to be recorded: {_named(wait)}"
        return Diagnostic("waiting", WARN, text, "run their queues again, which records them")
    if left:
        text = f"{len(left)} trainings are of Queues that were deleted: {_named(left)}"
        return Diagnostic("waiting", WARN, text, "delete these files")
    return Diagnostic("waiting", OK, "no training waits to be recorded")


def _is_of_no_queue(name: str) -> bool:
    """Return whether a file belongs to a Queue that the store does not hold any more."""
    named = re.match(r"q(\d+)_", name)
    if named is None or (
        config.settings.database_url is None and not config.database_path().exists()
    ):
        return False
    with readonly.opened() as database:
        sql = f"SELECT 1 FROM queue WHERE id = {int(named[1])}"  # noqa: S608 - a number
        return database.execute_sql(sql).fetchone() is None


def samples() -> Diagnostic:
    """Find cached samples that are incomplete, and drafts of processes that have ended."""
    root = config.samples_path()
    if not root.is_dir():
        return Diagnostic("cache", OK, "empty")
    folders = [path for path in root.glob("*/*") if path.is_dir()]
    drafts = [path for path in folders if path.name.startswith(".")]
    finished = [path for path in folders if path not in drafts]
    broken = [path for path in finished if not cache.is_whole(path)]
    text = f"{len(finished)} folders of samples in {root}"
    if broken:
        text += f", {len(broken)} not whole: {_named(broken)}"
    if drafts:
        text += f", {len(drafts)} drafts (being written, or left by a killed process)"
    if not (broken or drafts):
        return Diagnostic("cache", OK, text)
    again = f"if nothing trains now: rm -r {root}, which is built again"
    remedy = again if drafts else "the next training builds them again"
    return Diagnostic("cache", WARN, text, remedy)


def disk() -> Diagnostic:
    """Compare the free space with the size of a copy of the store."""
    place = file_systems.nearest(config.home())
    free = shutil.disk_usage(place).free
    path = config.database_path()
    size = path.stat().st_size if config.settings.database_url is None and path.exists() else 0
    text = f"{free / GIBIBYTE:.1f} GB are free, the store has {size / GIBIBYTE:.2f} GB"
    if free < LITTLE_BYTES:
        return Diagnostic("disk", FAIL, text, "make room; trainings are kept in files meanwhile")
    if free < size:
        text += ": a copy, as before a migration, has no room"
        return Diagnostic("disk", WARN, text, "make room, or aiqc gc")
    return Diagnostic("disk", OK, text)


def file_system() -> Diagnostic:
    """Check that the file system is local: SQLite's log cannot be shared on a network's."""
    dagster = config.settings.dagster_home
    kinds = {
        place: file_systems.kind_of(file_systems.nearest(place).resolve())
        for place in (config.home(), dagster)
        if place is not None
    }
    shared = {place: kind for place, kind in kinds.items() if file_systems.is_network(kind)}
    if not shared:
        return Diagnostic("file system", OK, kinds[config.home()] or "unknown to this machine")
    text = ", ".join(f"{place} is on {kind}" for place, kind in shared.items())
    remedies = []
    if config.home() in shared:
        text += "; SQLite works there without its log, slower, and is as safe as its locks"
        remedies.append(
            f"put {config.HOME_VARIABLE} on a local disk, or set {config.DATABASE_VARIABLE}"
        )
    if dagster in shared:
        remedies.append(
            f"put {DAGSTER_VARIABLE} on a local disk, or Dagster's storage on PostgreSQL: its "
            "SQLite files keep a log, which is not safe on a network"
        )
    return Diagnostic("file system", WARN, text, "; ".join(remedies))


def _named(paths: list[Path]) -> str:
    return first_of(paths, FEW)
