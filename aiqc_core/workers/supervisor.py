"""The thread behind a `WarmPool`: starts workers, gives them tasks, and reaps them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from multiprocessing import Pipe, connection
from typing import TYPE_CHECKING

from aiqc_core.workers import handle
from aiqc_core.workers.handle import GLANCE_SECONDS, Finished, Task
from aiqc_core.workers.process import READY, STOP, TAKEN, RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiqc_core.workers.handle import On, Worker
    from aiqc_core.workers.slots import PoolSlots

_PATIENCE_SECONDS = 0.1  # a busy worker that frees itself at once is cheaper than a new one
_FAILED_STARTS = 3  # in a row, for each worker of the pool: then none will ever start
_IDLE_SECONDS = 10.0  # a worker without a task then gives its device slot to whoever waits


class Supervisor(threading.Thread):
    """Starts workers when tasks wait for them, gives them tasks, and reaps them."""

    def __init__(self, size: int, environment: dict[str, str], slots: PoolSlots) -> None:
        super().__init__(name="aiqc-warm-pool", daemon=True)
        self.finished: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()  # None: it broke
        self.fault: BaseException | None = None
        self._size = size
        self._environment = environment
        self._slots = slots
        self._commands: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._wakeup_reader, self._wakeup = Pipe(duplex=False)
        self._waiting: deque[Task] = deque()
        self._workers: list[Worker] = []  # the one used last is last
        self._failed_starts = 0
        self._stopping = False
        self._post_lock = threading.Lock()

    def post(self, command: str, argument: object = None) -> None:
        """Hand a command to the supervisor's thread; ignored once it has ended."""
        with self._post_lock, contextlib.suppress(OSError):
            self._commands.put((command, argument))
            self._wakeup.send_bytes(b"!")

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
                worker.reap()
            self._wakeup_reader.close()
            with self._post_lock:
                self._wakeup.close()

    def _step(self) -> None:
        self._feed()
        self._end_idle()
        self._grow()
        pipes = [worker.pipe for worker in self._workers]
        ready = connection.wait([self._wakeup_reader, *pipes], self._pause())
        for worker in [worker for worker in self._workers if worker.pipe in ready]:
            self._receive(worker)
        if self._wakeup_reader in ready:
            self._read_commands()
        for worker in list(self._workers):
            worker.measure()
            overdue = worker.kill_at is not None and time.monotonic() > worker.kill_at
            ended = worker.process.poll() is not None
            if (ended or worker.overran()) and worker.pipe.poll():
                self._receive(worker)  # its last message may be a result
            elif ended or overdue or worker.overran():
                self._reap(worker)

    def _pause(self) -> float | None:
        if any(self._vacancies(task.on) > 0 for task in self._waiting):
            return _PATIENCE_SECONDS
        at_rest = all(w.ready and w.task is None and w.lease is None for w in self._workers)
        return None if at_rest and not self._stopping else GLANCE_SECONDS

    def _read_commands(self) -> None:
        while self._wakeup_reader.poll():
            self._wakeup_reader.recv_bytes()
            command, argument = self._commands.get()
            if isinstance(argument, Task):
                self._waiting.append(argument)
                if self._stopping:
                    self._cancel(lambda task, new=argument: task is new)
            elif command == "cancel":
                self._cancel(lambda task, key=argument: task.key == key)
            else:
                self._stopping = True
                self._cancel(lambda _: True)
                for worker in self._workers:
                    worker.ask_to_end()

    def _cancel(self, chosen: Callable[[Task], bool]) -> None:
        self._fail_waiting(chosen, RemoteError("cancelled", "Cancelled before it started."))
        for worker in self._workers:
            if worker.task is not None and chosen(worker.task):
                worker.ask_to_end()

    def _feed(self) -> None:
        for worker in reversed(list(self._workers)):
            if not self._waiting:
                return
            if not worker.is_idle or not self._slots.may_continue(worker.lease, worker.on):
                continue
            task = next((task for task in self._waiting if task.on == worker.on), None)
            if task is None:
                continue
            try:
                worker.pipe.send_bytes(task.payload)
            except OSError:  # it died while idle: another takes the task
                self._reap(worker)
                continue
            self._waiting.remove(task)
            worker.task, worker.taken = task, False
            worker.peak_memory_mb = None
            self._workers.remove(worker)
            self._workers.append(worker)

    def _end_idle(self) -> None:
        """End workers whose device slot is of more use elsewhere."""
        wanted = {task.on for task in self._waiting}
        self._slots.drain(on="device" in wanted)
        for worker in self._workers:
            if worker.lease is None or not worker.is_idle:
                continue
            too_long = time.monotonic() - worker.idle_since > _IDLE_SECONDS
            is_whole = worker.on == "device" and worker.on not in wanted
            if too_long or is_whole or not self._slots.may_continue(worker.lease, worker.on):
                worker.ask_to_end()

    def _grow(self) -> None:
        kinds: dict[On, None] = {task.on: None for task in self._waiting}
        for on in kinds:
            if on != "cpu" and not self._slots.left:
                error = RemoteError("device_lost", self._slots.none_left())
                self._fail_waiting(lambda task, on=on: task.on == on, error)
                continue
            waiting = [task for task in self._waiting if task.on == on]
            workers = [worker for worker in self._workers if worker.on == on]
            impatient = time.monotonic() - waiting[0].since > _PATIENCE_SECONDS
            starting = sum(not worker.ready for worker in workers)
            wanted = min(self._vacancies(on), len(waiting) - starting)
            for _ in range(wanted if impatient or not workers else 0):
                lease = None if on == "cpu" else self._slots.lease(on)
                if lease is None and on != "cpu":
                    break  # others have the slots: the next step asks again
                try:
                    self._workers.append(handle.start(self._environment, on, lease))
                except BaseException:
                    if lease is not None:
                        lease.close()
                    raise

    def _vacancies(self, on: On) -> int:
        """Return how many more workers of a kind there may be."""
        most = {"cpu": self._size, "slot": min(self._size, len(self._slots.left)), "device": 1}
        return most[on] - sum(worker.on == on for worker in self._workers)

    def _fail_waiting(self, chosen: Callable[[Task], bool], error: RemoteError) -> None:
        waiting, self._waiting = self._waiting, deque()
        for task in waiting:
            if chosen(task):
                self._finish(task, error)
            else:
                self._waiting.append(task)

    def _receive(self, worker: Worker) -> None:
        try:
            message = worker.pipe.recv_bytes()
        except (EOFError, OSError):
            self._reap(worker)
            return
        if message == READY:
            worker.ready, self._failed_starts = True, 0
        elif message == TAKEN:
            worker.begin()
        elif (task := worker.release()) is not None:
            self._receive_answer(worker, task, message)

    def _receive_answer(self, worker: Worker, task: Task, message: bytes) -> None:
        answer = handle.unpack(message)
        error = answer.error
        if worker.kill_at is not None:  # its SIGTERM may still be under way: not used again
            error = error and RemoteError("cancelled", "Cancelled while it ran.", error.traceback)
            with contextlib.suppress(OSError):
                worker.pipe.send_bytes(STOP)
        if worker.lease is not None and answer.lost:
            self._slots.set_aside(worker.lease.device, answer.lost)
        self._finish(task, error, answer.value, worker)
        if worker.lease is not None and answer.spoilt:
            worker.ask_to_end()  # a new one takes its place

    def _reap(self, worker: Worker) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        overran = worker.overran()
        reason = handle.exit_reason(worker.reap(), worker.peak_memory_mb)
        if worker.lease is not None and worker.kill_at is None:
            reason += self._slots.check(worker.lease.device)
        if (task := worker.release()) is not None:
            if worker.kill_at is not None:
                error = RemoteError("cancelled", "Cancelled while it ran.")
            elif overran:
                limit = f"stopped after its time limit of {task.time_limit:g} s"
                error = RemoteError("time_limit", limit)
            else:
                error = RemoteError("died", reason)
            if worker.taken or worker.kill_at is not None:
                self._finish(task, error, worker=worker)
            else:
                self._waiting.appendleft(task)
        if not worker.ready and worker.kill_at is None:
            self._failed_starts += 1
            alive = any(other.ready for other in self._workers)
            if self._failed_starts >= _FAILED_STARTS * self._size and not alive:
                failed = f"{self._failed_starts} workers in a row could not start; see stderr."
                self._fail_waiting(lambda _: True, RemoteError("died", f"{failed} {reason}"))
                self._failed_starts = 0

    def _finish(
        self,
        task: Task,
        error: RemoteError | None,
        value: object = None,
        worker: Worker | None = None,
    ) -> None:
        peak = worker and worker.peak_memory_mb
        device = worker and worker.lease and worker.lease.device.label
        self.finished.put(Finished(task.key, None if error else value, error, peak, device))
