"""Children of a harness: forks that need not import again what their parent has."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_SECONDS = 300.0
HUNG = 124


def fork(function: Callable[[], Any], log: Path) -> int:
    """Start a child, the leader of a session, that calls a function; return its id.

    Args:
        function: what it does; it never returns into the parent's code.
        log: a file for what it says on stderr.
    """
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    os.setsid()  # what it starts can be killed with it
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    try:
        function()
    except BaseException:  # noqa: BLE001 - reported, and the child ends here
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(pid: int) -> int:
    """Return how a child ended: its exit code, or below 0 the signal; one that hangs is killed."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return HUNG


def answer(function: Callable[[], Any], log: Path) -> Any:
    """Call a function in a child and return what it gives, by way of JSON."""
    reported = log.with_suffix(".answer")

    def write() -> None:
        reported.write_text(json.dumps(function(), default=lambda _: None))

    if ended := wait(fork(write, log)):
        raise SystemExit(f"{function} ended with {ended}: {log.read_text()[-3000:]}")
    return json.loads(reported.read_text())


def load_once(work: Callable[[], Any]) -> None:
    """Import what some work imports, found by doing it in a child that is thrown away."""

    def modules() -> list[str]:
        work()
        return sorted(name for name in sys.modules if name.startswith(("torch", "sklearn")))

    with tempfile.TemporaryDirectory() as folder:
        for name in answer(modules, Path(folder) / "log"):
            with contextlib.suppress(Exception):  # some are made up while they are used
                importlib.import_module(name)
