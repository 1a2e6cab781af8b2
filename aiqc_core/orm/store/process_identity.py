"""Identify the process that holds a claim, robust to PID reuse and clock changes."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from aiqc_core import config

if TYPE_CHECKING:
    from collections.abc import Generator

SAME_START_SECONDS = 1.0
_run: ContextVar[str | None] = ContextVar("run", default=None)  # for which a process works
_abandoned: set[str] = set()  # claims of this process that it could not give back in the store


def this_process() -> dict[str, Any]:
    """Return host, id, start and boot of this process, its run, and a name for one claim."""
    pid = os.getpid()
    run = _run.get()
    return ({} if run is None else {"run": run}) | {
        "host": config.settings.host_id,
        "pid": pid,
        "started": _started(pid),
        "boot": _boot(),
        "pids": _pid_namespace(),
        "claim": uuid.uuid4().hex,
    }


@contextmanager
def working_for(run: str) -> Generator[None]:
    """Write this run into every claim of the block, so that its trainings are known."""
    before = _run.set(run)
    try:
        yield
    finally:
        _run.reset(before)


def abandon(owner: dict[str, Any]) -> None:
    """Count a claim of this process as void from now on, whatever the store says."""
    _abandoned.add(owner["claim"])


def is_visible(owner: dict[str, Any]) -> bool:
    """Return whether this process can look for the process that `this_process` described.

    It can on the same host, except for a container with its own process ids: containers of one
    machine may share its name and its boot.
    """
    if owner["host"] != config.settings.host_id:
        return False
    elsewhere = owner.get("boot") == _boot() and owner.get("pids") != _pid_namespace()
    return not (elsewhere and "pids" in owner)


def is_alive(owner: dict[str, Any]) -> bool:
    """Return whether the process that `this_process` described still runs.

    A process that is not visible from here counts as alive; its heartbeat decides.
    """
    if not is_visible(owner):
        return True
    if owner.get("claim") in _abandoned:
        return False
    try:
        started = _started(owner["pid"])
    except psutil.NoSuchProcess:
        return False
    same_start = abs(started - owner["started"]) < SAME_START_SECONDS
    return same_start and owner.get("boot") == _boot()


def _started(pid: int) -> float:
    """Return when a process started, in seconds since the boot on Linux, else since the epoch."""
    try:  # psutil's time follows the clock there: one that is set would void living claims
        # After the name in parentheses, which may hold spaces; the 22nd field of proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return psutil.Process(pid).create_time()


def _boot() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_namespace() -> str | None:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
