"""What a process has started ends when it ends, whatever ends it.

A fixture ends its server, and `atexit` does where a fixture cannot. Neither runs in a process that
is killed, as pytest-xdist kills its workers at Ctrl-C. So another process looks on: it remembers
what the first one starts, and ends what is left when that is gone.

    python tests/support/tied.py COMMAND …    run a command so, for the targets of `make`
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil

LOOK_SECONDS = 0.5
END_SECONDS = 5.0
DEATH_SIGNAL = 1  # of prctl(2): which signal the kernel sends when the parent has ended


def begin(*folders: str) -> None:
    """Have all that this process starts from now on end with it.

    Args:
        folders: what only this process uses; they are deleted then.
    """
    watcher = subprocess.Popen(
        # In a session of its own, which Ctrl-C does not reach.
        [sys.executable, __file__, "--look-on", str(os.getpid()), *folders],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, cwd="/",
    )  # fmt: skip
    watcher.returncode = 0  # it outlives this process by intent, of which Python would warn


def run(command: list[str]) -> None:
    """Become a command that is interrupted when the parent of this process has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGINT)
    begin()
    os.execvp(command[0], command)  # noqa: S606 - that is what it is for


def look_on(starter: psutil.Process, folders: list[str]) -> None:
    """Remember what a process starts, until it is gone, and end what is left."""
    known: dict[int, psutil.Process] = {}
    while _runs(starter):
        with contextlib.suppress(psutil.NoSuchProcess):
            known |= {child.pid: child for child in starter.children(recursive=True)}
        time.sleep(LOOK_SECONDS)
    left = [process for process in known.values() if _runs(process) and not _looks_on(process)]
    for process in left:
        with contextlib.suppress(psutil.Error):
            # PostgreSQL heeds SIGTERM once its clients are gone; this is its immediate end.
            is_server = process.name() == "postgres"
            process.send_signal(signal.SIGQUIT if is_server else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(left, timeout=END_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _runs(process: psutil.Process) -> bool:
    """Say whether a process runs, and is not another one of that id."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _looks_on(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return __file__ in process.cmdline()
    return False


if __name__ == "__main__":
    if sys.argv[1] == "--look-on":
        look_on(psutil.Process(int(sys.argv[2])), sys.argv[3:])
    else:
        run(sys.argv[1:])
