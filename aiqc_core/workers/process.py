"""Run in a worker process of `workers.pool`: take a task, perform it, answer.

It is light: a worker imports this module and then only what its tasks name.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any, Literal, Self

from aiqc_core.config import SLOT_VARIABLE

READY = b""  # from the worker: it has started
TAKEN = b"taken"  # from the worker: it begins the task; before this, another may have it
STOP = b""  # to the worker: no more tasks
_WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RemoteError:
    """Why a task gave no value; with `device_lost` it never ran, as no device is left for it."""

    kind: Literal["exception", "died", "cancelled", "time_limit", "device_lost"]
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, fault: BaseException, prefix: str = "") -> Self:
        """Describe what a task raised, with its traceback; call it where `fault` is handled."""
        text = "".join(traceback.format_exception_only(fault)).strip()
        return cls("exception", prefix + text, traceback.format_exc())


@dataclass(frozen=True, slots=True)
class Answer:
    """The value of a task, or its error, with what `devices.faults.Note` says of the worker."""

    value: object = None
    error: RemoteError | None = None
    lost: str | None = None
    spoilt: bool = False


def serve(descriptor: int, parent: int) -> None:
    """Perform tasks until `STOP` comes, or the process `parent` of the pool ends.

    Args:
        descriptor: The open socket to the pool.
        parent: Process id.
    """
    lease = [int(file) for file in os.environ.pop(SLOT_VARIABLE, "").split(",") if file]
    for inherited in (descriptor, *lease):  # what this process starts holds neither
        os.set_inheritable(inherited, False)  # noqa: FBT003 - positional only
    del sys.argv[1:]
    with contextlib.suppress(Exception):  # stderr may be closed
        faulthandler.enable()  # a crash in compiled code leaves a trace on stderr
    pipe = Connection(descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox, parent), daemon=True).start()
    pipe.send_bytes(READY)
    with contextlib.suppress(KeyboardInterrupt):  # asked to end between two tasks
        while payload := inbox.get():
            pipe.send_bytes(TAKEN)
            pipe.send_bytes(_perform(payload))
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    _flush()
    os._exit(0)  # without half a second in which the frameworks are taken down piece by piece


def _receive(pipe: Connection, inbox: queue.SimpleQueue[bytes], parent: int) -> None:
    """Receive tasks at once, so that the end of the parent is noticed during a task."""
    with contextlib.suppress(EOFError, OSError):
        while os.getppid() == parent:  # a fork of the parent may hold its end of the pipe open
            if pipe.poll(_WATCH_SECONDS):
                inbox.put(pipe.recv_bytes())
    os.killpg(0, signal.SIGKILL)  # this process and those it started: it leads its own group


def _perform(payload: bytes) -> bytes:
    try:
        target, arguments = pickle.loads(payload)  # noqa: S301 - written by our own parent
        module, _, function = target.partition(":")
        value = getattr(importlib.import_module(module), function)(*arguments)
        message = pickle.dumps(Answer(value, **_note()))
    except BaseException as fault:  # noqa: BLE001 - SystemExit too: a task never ends its worker
        message = pickle.dumps(Answer(None, RemoteError.of(fault), **_note()))
    _flush()
    return message


def _note() -> dict[str, Any]:
    """Return what the task noted of the worker's device, if it has loaded the module."""
    faults = sys.modules.get("aiqc_core.devices.faults")
    return {} if faults is None else asdict(faults.take_note())


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # a task may have closed or replaced it
            stream.flush()
