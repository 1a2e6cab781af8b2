"""The thread behind a `WarmPool`: starts workers, feeds them, hears them and buries them."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from multiprocessing import Pipe, connection
from typing import TYPE_CHECKING, Literal

import psutil

from aiqc_core.worker_process import READY, STOP, TAKEN, Answer, describe

if TYPE_CHECKING:
    from collections.abc import Callable

_BOOT = (
    "import sys; sys.path[:] = sys.argv[3:]; from aiqc_core.worker_process import serve; "
    "serve(int(sys.argv[1]), int(sys.argv[2]))"
)
_GRACE_SECONDS = 5.0  # between asking a worker to end and killing it
_PATIENCE_SECONDS = 0.1  # a busy worker that frees itself at once is cheaper than a new one
_GLANCE_SECONDS = 0.2  # a dead worker's grandchildren can hold its socket open
_FAILED_STARTS = 3  # in a row, a place in the pool: then no worker will ever start
_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class RemoteError:
    """Why a task gave no value: it raised, its worker died, it was cancelled, or took too long."""

    kind: Literal["exception", "died", "cancelled", "time_limit"]
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """A task that is over: its value, or the error that took the value's place.

    `peak_memory_mb` is the most memory (MiB) that its worker was seen to hold during the task,
    looked at five times a second; None for one that never ran.
    """

    key: str
    value: object
    error: RemoteError | None
    peak_memory_mb: float | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A pickled call that waits for a worker, or is with one."""

    key: str
    payload: bytes
    time_limit: float | None = None
    since: float = field(default_factory=time.monotonic)


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    pipe: connection.Connection
    ready: bool = False
    task: Task | None = None
    taken: bool = False  # whether it has begun the task
    kill_at: float | None = None  # set once the worker was asked to end
    limit_at: float | None = None  # when the time of its task is over
    peak_memory_mb: float | None = None  # of its task

    def begin(self) -> None:
        """Note that the worker has begun its task, and when it has to be done."""
        self.taken = True
        if self.task is not None and self.task.time_limit is not None:
            self.limit_at = time.monotonic() + self.task.time_limit

    def release(self) -> Task | None:
        """Return the task that the worker is done with, one way or the other."""
        task, self.task, self.limit_at = self.task, None, None
        return task

    def overran(self) -> bool:
        """Say whether the time of the task is over."""
        return self.limit_at is not None and time.monotonic() > self.limit_at

    def measure(self) -> None:
        """Note how much memory the worker holds, where that can be seen."""
        if self.taken and self.task is not None:
            with contextlib.suppress(psutil.Error):
                resident = psutil.Process(self.process.pid).memory_info().rss / _MEBIBYTE
                # A process that has ended and is not yet buried holds 0.
                self.peak_memory_mb = max(resident, self.peak_memory_mb or 0.0) or None

    def ask_to_end(self) -> None:
        """Ask nicely, by message when idle and by SIGTERM when in a task; see `kill_at`."""
        if self.kill_at is not None:
            return
        self.kill_at = time.monotonic() + _GRACE_SECONDS
        if self.task is None and self.ready:
            with contextlib.suppress(OSError):
                self.pipe.send_bytes(STOP)
        else:
            self.process.terminate()

    def bury(self) -> int:
        """End the worker and what it started, for certain; return its exit code."""
        seems_dead = self.kill_at is None and not self.overran()
        if seems_dead:  # let it be, so that the exit code is its own
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_GLANCE_SECONDS)
        # The worker leads its own process group, which lives on while it has members.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.pipe.close()
        return self.process.wait()


class Supervisor(threading.Thread):
    """Starts workers, feeds them, hears them and buries them."""

    def __init__(self, size: int, environment: dict[str, str]) -> None:
        """Prepare the thread; it starts workers only when tasks wait for them."""
        super().__init__(name="aiqc-warm-pool", daemon=True)
        self.finished: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()  # None: it broke
        self.fault: BaseException | None = None
        self._size = size
        self._environment = environment
        self._commands: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._bell_reader, self._bell = Pipe(duplex=False)
        self._waiting: deque[Task] = deque()
        self._workers: list[_Worker] = []  # the one used last is last
        self._failed_starts = 0
        self._stopping = False
        self._post_lock = threading.Lock()

    def post(self, command: str, argument: object = None) -> None:
        """Hand a command to the supervisor's thread; ignored once it has ended."""
        with self._post_lock, contextlib.suppress(OSError):
            self._commands.put((command, argument))
            self._bell.send_bytes(b"!")

    def run(self) -> None:
        """Serve until stopped and all workers are gone."""
        try:
            while not self._stopping or self._workers:
                self._step()
        except BaseException as fault:  # noqa: BLE001 - handed to the caller by `wait`
            self.fault = fault
            self.finished.put(None)
        finally:
            for worker in self._workers:
                worker.bury()
            self._bell_reader.close()
            with self._post_lock:
                self._bell.close()

    def _step(self) -> None:
        self._feed()
        self._grow()
        pipes = [worker.pipe for worker in self._workers]
        ready = connection.wait([self._bell_reader, *pipes], self._pause())
        for worker in [worker for worker in self._workers if worker.pipe in ready]:
            self._hear(worker)
        if self._bell_reader in ready:
            self._listen()
        for worker in list(self._workers):
            worker.measure()
            overdue = worker.kill_at is not None and time.monotonic() > worker.kill_at
            ended = worker.process.poll() is not None
            if (ended or worker.overran()) and worker.pipe.poll():
                self._hear(worker)  # its last word may be a result
            elif ended or overdue or worker.overran():
                self._lose(worker)

    def _pause(self) -> float | None:
        if self._waiting and len(self._workers) < self._size:
            return _PATIENCE_SECONDS
        at_rest = all(worker.ready and worker.task is None for worker in self._workers)
        return None if at_rest and not self._stopping else _GLANCE_SECONDS

    def _listen(self) -> None:
        while self._bell_reader.poll():
            self._bell_reader.recv_bytes()
            self._obey(*self._commands.get())

    def _obey(self, command: str, argument: object) -> None:
        if isinstance(argument, Task):
            self._waiting.append(argument)
            if self._stopping:
                self._cancel(lambda task: task is argument)
        elif command == "cancel":
            self._cancel(lambda task: task.key == argument)
        else:
            self._stopping = True
            self._cancel(lambda _: True)
            for worker in self._workers:
                worker.ask_to_end()

    def _cancel(self, chosen: Callable[[Task], bool]) -> None:
        waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            if chosen(task):
                self._finish(task, RemoteError("cancelled", "Cancelled before it started."))
            else:
                self._waiting.append(task)
        for worker in self._workers:
            if worker.task is not None and chosen(worker.task):
                worker.ask_to_end()

    def _feed(self) -> None:
        for worker in reversed(list(self._workers)):
            if not self._waiting:
                return
            if not worker.ready or worker.task is not None or worker.kill_at is not None:
                continue
            try:
                worker.pipe.send_bytes(self._waiting[0].payload)
            except OSError:  # it died while idle: another takes the task
                self._lose(worker)
                continue
            worker.task, worker.taken = self._waiting.popleft(), False
            worker.peak_memory_mb = None
            self._workers.remove(worker)
            self._workers.append(worker)

    def _grow(self) -> None:
        now = time.monotonic()
        impatient = self._waiting and now - self._waiting[0].since > _PATIENCE_SECONDS
        starting = sum(not worker.ready for worker in self._workers)
        wanted = min(self._size - len(self._workers), len(self._waiting) - starting)
        if wanted > 0 and (impatient or not self._workers):
            self._workers += [_start(self._environment) for _ in range(wanted)]

    def _hear(self, worker: _Worker) -> None:
        try:
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            self._lose(worker)
            return
        if message == READY:
            worker.ready, self._failed_starts = True, 0
            return
        if message == TAKEN:
            worker.begin()
            return
        if (task := worker.release()) is None:
            return
        value, error = _unpack(message)
        if worker.kill_at is not None:  # its SIGTERM may still be under way: not used again
            error = error and RemoteError("cancelled", "Cancelled while it ran.", error.traceback)
            with contextlib.suppress(OSError):
                worker.pipe.send_bytes(STOP)
        self._finish(task, error, value, worker.peak_memory_mb)

    def _lose(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        overran = worker.overran()
        reason = _obituary(worker.bury(), worker.peak_memory_mb)
        if (task := worker.release()) is not None:
            if worker.kill_at is not None:
                error = RemoteError("cancelled", "Cancelled while it ran.")
            elif overran:
                error = RemoteError(
                    "time_limit", f"stopped after its time limit of {task.time_limit:g} s"
                )
            else:
                error = RemoteError("died", reason)
            if worker.taken or worker.kill_at is not None:
                self._finish(task, error, peak_memory_mb=worker.peak_memory_mb)
            else:
                self._waiting.appendleft(task)
        if not worker.ready and worker.kill_at is None:
            self._failed_starts += 1
            alive = any(other.ready for other in self._workers)
            if self._failed_starts >= _FAILED_STARTS * self._size and not alive:
                self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        message = f"{self._failed_starts} workers in a row could not start; see stderr. {reason}"
        self._failed_starts = 0
        while self._waiting:
            self._finish(self._waiting.popleft(), RemoteError("died", message))

    def _finish(
        self,
        task: Task,
        error: RemoteError | None,
        value: object = None,
        peak_memory_mb: float | None = None,
    ) -> None:
        self.finished.put(Finished(task.key, None if error else value, error, peak_memory_mb))


def _start(environment: dict[str, str]) -> _Worker:
    ours, theirs = Pipe(duplex=True)
    arguments = [str(theirs.fileno()), str(os.getpid()), *map(str, sys.path)]
    with theirs:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter with our own arguments
            [sys.executable, "-c", _BOOT, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # the terminal's Ctrl-C is for the parent to judge
        )
    return _Worker(process, ours)


def _unpack(message: bytes) -> tuple[object, RemoteError | None]:
    try:
        answer: Answer = pickle.loads(message)  # noqa: S301 - written by our own worker
    except Exception as fault:  # noqa: BLE001 - whatever a foreign class raises
        text = f"The result of the task cannot be read here: {describe(fault)}"
        return None, RemoteError("exception", text, traceback.format_exc())
    if answer.fault is None:
        return answer.value, None
    return None, RemoteError("exception", answer.fault, answer.traceback)


def _obituary(code: int, peak_memory_mb: float | None) -> str:
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
