"""Ordinary processes that are started once, found again, and ended with all that they started.

Each leaves a file with its id and start time, so that a process which has since taken the same id
is left alone.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from aiqc_core.errors import AIQCError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, END_SECONDS = 90.0, 30.0
LOOK_SECONDS = 0.2
PRIVATE = 0o600
_CHILDREN: list[subprocess.Popen[bytes]] = []  # one that is forgotten while it runs warns


class ServiceError(AIQCError, RuntimeError):
    """A program is missing, a port is taken, or a process does not come up."""


@dataclass(frozen=True)
class Service:
    """One process.

    Args:
        name: of its log and process file.
        command: its command line.
        ready: says whether it can be used.
        user: whom it runs as; None for the present one.
        end: the signal that asks it to end.
        environment: of the process, beside the present one.
    """

    name: str
    command: list[str]
    ready: Callable[[], bool]
    user: str | None = None
    end: signal.Signals = signal.SIGTERM
    environment: dict[str, str] = field(default_factory=dict)


def is_free(port: int) -> bool:
    """Say whether nothing on this machine listens to a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    """Return a port that nothing listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(PRIVATE)
    path.chmod(PRIVATE)
    path.write_text(text)


def program(name: str) -> str:
    """Return the path of a program of Debian's packages.

    Raises:
        ServiceError: it is not installed.
    """
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
    found = shutil.which(name) or (str(versions[-1]) if versions else None)
    if found is None:
        message = f"{name} is not installed; on Debian: apt-get install redis-server postgresql"
        raise ServiceError(message)
    return found


def _version(path: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in path.parts[4].split(".") if part.isdecimal())


def log_of(folder: Path, name: str) -> Path:
    """Return the log of a process."""
    return folder / "logs" / f"{name}.log"


def start(folder: Path, service: Service) -> None:
    """Start a process in a session of its own and wait until it can be used.

    Raises:
        ServiceError: it ends, or is not ready in time.
    """
    log = log_of(folder, service.name)
    log.parent.mkdir(exist_ok=True)
    with log.open("ab") as output:
        started = subprocess.Popen(
            service.command,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            user=service.user, start_new_session=True, cwd="/" if service.user else ROOT,
            env=os.environ | service.environment,
        )  # fmt: skip
    _CHILDREN.append(started)
    account = {"pid": started.pid, "started": psutil.Process(started.pid).create_time()}
    (folder / f"{service.name}.pid").write_text(json.dumps(account))
    deadline = time.monotonic() + START_SECONDS
    while not service.ready():
        if started.poll() is not None or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            message = f"{service.name} does not come up; the end of {log}:\n{tail}"
            raise ServiceError(message)
        time.sleep(LOOK_SECONDS)


def process_of(folder: Path, name: str) -> psutil.Process | None:
    """Return the process that was started here under this name, if it still runs."""
    file = folder / f"{name}.pid"
    if not file.exists():
        return None
    account = json.loads(file.read_text())
    try:
        process = psutil.Process(account["pid"])
        is_same = abs(process.create_time() - account["started"]) < 1
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def end(process: psutil.Process, number: signal.Signals) -> None:
    """Ask it to end, wait, then kill what is left of its session."""
    family = [process, *process.children(recursive=True)]
    process.send_signal(number)
    psutil.wait_procs([process], timeout=END_SECONDS)
    _, left = psutil.wait_procs(family, timeout=1)
    for one in left:
        one.kill()
    psutil.wait_procs(left, timeout=END_SECONDS)
