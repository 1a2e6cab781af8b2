"""Run tasks in worker processes that stay warm: what a task imports is there for the next.

A worker is a new Python interpreter, never a fork of this process and never a second run of its
`__main__`. So scripts without a `__main__` guard, notebooks, `python -c` and stdin all work, and
CUDA or open database connections are never shared. It needs process groups (POSIX).

    caller ── submit, cancel, wait ──> WarmPool ──> supervisor thread ── sockets ──> workers

The supervisor thread alone touches the workers; the caller's threads only post and collect.
"""

from __future__ import annotations

import os
import queue
import weakref
from typing import TYPE_CHECKING, Self

from aiqc_core import counts, keras_backend
from aiqc_core.config import PARENT_VARIABLE
from aiqc_core.devices import devices
from aiqc_core.errors import TrainingError
from aiqc_core.usercode import byvalue
from aiqc_core.workers.handle import Finished, Task
from aiqc_core.workers.process import RemoteError
from aiqc_core.workers.slots import PoolSlots
from aiqc_core.workers.supervisor import Supervisor

if TYPE_CHECKING:
    from aiqc_core.workers.handle import On

__all__ = ["Finished", "RemoteError", "WarmPool"]

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip


class WarmPool:
    """Worker processes that take one task after another.

    Workers start when tasks wait for them, up to `size`; one that died is replaced. They end with
    the pool and with this process, also in a task.

    Where there are devices (`devices.slots`), a worker that needs one leases a slot for its life
    and sees only that device; other workers see none. The pool waits for slots that other
    processes hold, as the log says, and sets those of a lost device aside.

    Args:
        size: The most workers at a time.
        threads: Threads that the numerical libraries of one worker may use. 1, the default, makes
            results independent of the machine.
        environment: More environment variables for the workers, set before any import.

    Raises:
        TrainingError: `size` or `threads` is not a positive integer, or a setting of devices is
            malformed.
    """

    def __init__(
        self, size: int, *, threads: int = 1, environment: dict[str, str] | None = None
    ) -> None:
        for name, value in (("size", size), ("threads", threads)):
            if type(value) is not int or value < 1:
                raise TrainingError(
                    f"{name}={value!r}: give the WarmPool a whole number of at least 1."
                )
        self._outstanding: dict[str, None] = {}
        self._slots = PoolSlots(devices.slots())
        variables = {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **os.environ,
            keras_backend.VARIABLE: keras_backend.OURS,
            PARENT_VARIABLE: keras_backend.chosen()[0],  # which a worker may refuse
        }
        variables |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
        variables |= self._slots.environment | (environment or {})
        self._supervisor = Supervisor(size, variables, self._slots)
        self._supervisor.start()
        weakref.finalize(self, self._supervisor.post, "stop")  # a pool that nobody closed

    @property
    def device_slots(self) -> int:
        """How many device slots are left; 0 where training is on the CPU, or all are lost."""
        return len(self._slots.left)

    @property
    def busy(self) -> list[str]:
        """Keys that were submitted and not yet returned by `wait`, oldest first."""
        return list(self._outstanding)

    def submit(
        self, key: str, target: str, *args: object, time_limit: float | None = None, on: On = "cpu"
    ) -> None:
        """Queue a task; it starts as soon as a worker is free.

        Args:
            key: Names the task in `wait` and `cancel`.
            target: The function to call in the worker, as "package.module:function".
            args: Picklable arguments, of types that a module defines (not `__main__`).
            time_limit: Seconds that the task may run, waiting not counted. Then its worker is
                killed and replaced, and the error has the kind "time_limit". None for no limit.
            on: "cpu" for work that needs no device and sees none; "slot" for a share of one;
                "device" for a whole one. Where there are no devices, it is the same.

        Raises:
            TrainingError: The pool has ended, the key is in use, the target is malformed, or the
                time limit is no positive number.
        """
        if time_limit is not None:
            wanted = "a number of seconds above 0, or None"
            counts.real("time_limit", time_limit, lambda s: s > 0, wanted)
        if not self._supervisor.is_alive():
            raise TrainingError(
                f"The task {key!r} came after the WarmPool ended. Make a new pool."
            ) from self._supervisor.fault
        if key in self._outstanding:
            raise TrainingError(
                f"key={key!r}: a task with this key is not finished. Give each its own key."
            )
        module, _, function = target.partition(":")
        if not module or not function.isidentifier():
            raise TrainingError(f"target={target!r}: write it as 'package.module:function'.")
        payload = byvalue.sent((target, args))
        self._outstanding[key] = None
        self._supervisor.post(
            "submit", Task(key, payload, time_limit, on if self._slots.all else "cpu")
        )

    def wait(self, timeout: float) -> list[Finished]:
        """Return the tasks that are over, waiting up to `timeout` seconds for the first of any."""
        finished: list[Finished] = []
        while self._outstanding:
            try:
                item = self._supervisor.finished.get(timeout=0 if finished else max(timeout, 0))
            except queue.Empty:
                break
            if item is None:
                self._supervisor.finished.put(None)  # for the next call too
                raise TrainingError(
                    "The supervisor of the WarmPool broke; its workers were ended."
                ) from self._supervisor.fault
            self._outstanding.pop(item.key)
            finished.append(item)
        return finished

    def cancel(self, key: str) -> None:
        """Drop a task that waits; end one that runs by SIGTERM, and by SIGKILL after a grace.

        `wait` still returns it, with an error of kind "cancelled", or with its value if it was
        faster. An unknown or finished key is ignored.
        """
        self._supervisor.post("cancel", key)

    def close(self) -> None:
        """Cancel what is left and end all workers; returns when they are gone."""
        self._supervisor.post("stop")
        self._supervisor.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
