"""Let Jobs take turns in one process, each in a thread and with random generators of its own.

A Job runs until its `fn_train` calls `fit`, waits there with its training, and continues later.
Only one runs at a time, so user code needs to know nothing of threads.
"""

from __future__ import annotations

import ctypes
import threading
import time
from typing import TYPE_CHECKING, Any

import torch

from aiqc_core.stages.train import run
from aiqc_core.stages.train.backends.torch import process
from aiqc_core.stages.train.hooks import fit_hook

if TYPE_CHECKING:
    from aiqc_core.stages.train.backends.torch.loop import Training
    from aiqc_core.stages.train.spec import JobOutcome, JobSpec

PATIENCE_SECONDS = 5.0


class Turn:
    """One Job in its thread, which starts with its first turn.

    Attributes:
        training: what it waits for, None while it does not wait.
        outcome: None until it has ended.
        generators: the states of its random generators while it waits.
        trained: whether its training was done while it waited; else it trains by itself.
        seconds: its share of the time spent on that.
    """

    def __init__(self, spec: JobSpec) -> None:
        self.spec = spec
        self.training: Training | None = None
        self.outcome: JobOutcome | None = None
        self.generators: dict[str, Any] = {}
        self.trained = False
        self.seconds = 0.0
        self._waited = 0.0
        self._error: BaseException | None = None
        self._abandoned = False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        # A daemon, as the runner refuses other threads that outlive a fn_train.
        self._thread = threading.Thread(target=self._run, name=spec.name, daemon=True)

    def take(self) -> None:
        """Let the Job run until it waits in `fit` or has ended."""
        mine, threads = process.generators(), torch.get_num_threads()
        if self._thread.ident is None:
            self._thread.start()
        self._go.release()
        try:
            self._back.acquire()
        finally:
            torch.set_num_threads(threads)
            process.restore(mine)
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """End the Job, as its process was interrupted."""
        if self._thread.ident is None or not self._thread.is_alive():
            return
        if self.training is None:  # runs: interrupted as the main thread would have been
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread.ident), ctypes.py_object(KeyboardInterrupt)
            )
        self._abandoned = True
        self._go.release()
        self._thread.join(PATIENCE_SECONDS)

    def train(self, training: Training) -> bool:
        """Wait in the Job's thread for its next turn; return whether the training was done."""
        began, threads = time.perf_counter(), torch.get_num_threads()
        self.training, self.trained = training, False
        self.generators = process.generators()
        self._back.release()
        self._go.acquire()
        if self._abandoned:
            raise KeyboardInterrupt
        self.training = None
        torch.set_num_threads(threads)
        process.restore(self.generators)
        self._waited += time.perf_counter() - began
        return self.trained

    def _run(self) -> None:
        self._go.acquire()
        try:
            with fit_hook.opened(self):
                outcome = run.run(self.spec)
            if "train" in outcome.seconds:  # less the time in which others trained
                outcome.seconds["train"] += self.seconds - self._waited
            self.outcome = outcome
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error
        finally:
            self.training = None
            self._back.release()
