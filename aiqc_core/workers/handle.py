"""Handle of one worker process: start, measure, end, and say how it ended."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from multiprocessing import Pipe, connection
from typing import TYPE_CHECKING, Literal

import psutil

from aiqc_core.workers.process import STOP, Answer, RemoteError

if TYPE_CHECKING:
    from aiqc_core.devices.leases import Lease

    On = Literal["cpu", "slot", "device"]

_BOOT = (
    "import sys; sys.path[:] = sys.argv[3:]; from aiqc_core.workers.process import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_GRACE_SECONDS = 5.0  # between asking a worker to end and killing it
GLANCE_SECONDS = 0.2  # a dead worker's grandchildren can hold its socket open
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Finished:
    """A task that is over: its value, or an error.

    `peak_memory_mb` is the most memory (MiB) that its worker held during the task, measured five
    times a second; None for one that never ran. `device` is the label of its worker's device.
    """

    key: str
    value: object
    error: RemoteError | None
    peak_memory_mb: float | None = None
    device: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A pickled call; see `WarmPool.submit`."""

    key: str
    payload: bytes
    time_limit: float | None = None
    on: On = "cpu"
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False)
class Worker:
    """A process, what it is doing, and the device slot that it holds."""

    process: subprocess.Popen[bytes]
    pipe: connection.Connection
    lease: Lease | None = None
    on: On = "cpu"
    ready: bool = False
    task: Task | None = None
    taken: bool = False  # whether it has begun the task
    kill_at: float | None = None  # set once the worker was asked to end
    limit_at: float | None = None  # when the time of its task is over
    peak_memory_mb: float | None = None  # of its task
    idle_since: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        """Note that the worker has begun its task, and when its time is over."""
        self.taken = True
        if self.task is not None and self.task.time_limit is not None:
            self.limit_at = time.monotonic() + self.task.time_limit

    def release(self) -> Task | None:
        """Take the task from the worker, which is done with it or has ended."""
        task, self.task, self.limit_at = self.task, None, None
        self.idle_since = time.monotonic()
        return task

    @property
    def is_idle(self) -> bool:
        """Whether it could take a task."""
        return self.ready and self.task is None and self.kill_at is None

    def overran(self) -> bool:
        """Say whether the time of the task is over."""
        return self.limit_at is not None and time.monotonic() > self.limit_at

    def measure(self) -> None:
        """Note how much memory the worker holds, where the system shows it."""
        if self.taken and self.task is not None:
            with contextlib.suppress(psutil.Error):
                resident = psutil.Process(self.process.pid).memory_info().rss / _MEBIBYTE
                # A process that has ended and is not yet reaped holds 0.
                self.peak_memory_mb = max(resident, self.peak_memory_mb or 0.0) or None

    def ask_to_end(self) -> None:
        """Ask by message when idle and by SIGTERM when in a task; see `kill_at`."""
        if self.kill_at is not None:
            return
        self.kill_at = time.monotonic() + _GRACE_SECONDS
        if self.task is None and self.ready:
            with contextlib.suppress(OSError):
                self.pipe.send_bytes(STOP)
        else:
            self.process.terminate()

    def reap(self) -> int:
        """Kill the worker and what it started; return its exit code."""
        if self.kill_at is None and not self.overran():  # it ended: the exit code is its own
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GLANCE_SECONDS)
        # The worker leads its own process group, which lives on while it has members.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.pipe.close()
        return self.process.wait()


def start(environment: dict[str, str], on: On = "cpu", lease: Lease | None = None) -> Worker:
    """Start a worker for one kind of task; it inherits its lease, which is free when it ends."""
    held = () if lease is None else lease.descriptors
    variables = environment if lease is None else environment | lease.environment()
    ours, theirs = Pipe(duplex=True)
    arguments = [str(theirs.fileno()), str(os.getpid()), *map(str, sys.path)]
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own arguments
            [sys.executable, "-c", _BOOT, *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno(), *held],
            start_new_session=True,  # the parent decides on the terminal's Ctrl-C
        )
    if lease is not None:
        lease.note(process.pid)
        lease.close()
    return Worker(process, ours, lease, on)


def unpack(message: bytes) -> Answer:
    """Return the answer of a worker; where it cannot be read, one with the error."""
    try:
        return pickle.loads(message)  # noqa: S301 - our own
    except Exception as fault:  # noqa: BLE001 - whatever a foreign class raises
        prefix = "The result of the task cannot be read here: "
        return Answer(error=RemoteError.of(fault, prefix))


def exit_reason(code: int, peak_memory_mb: float | None) -> str:
    """Return a sentence on how a worker ended in the middle of its task."""
    if code >= 0:
        return f"The worker process ended with exit code {code} in the middle of the task."
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    text = f"The worker process was ended by signal {-code} ({name}) in the middle of the task."
    if -code == signal.SIGKILL:
        text += " Perhaps out of memory: use fewer workers, or smaller batches or models."
    if peak_memory_mb is not None:
        text += f" It was seen to hold {peak_memory_mb:,.0f} MiB."
    return text
