"""Train Jobs that differ only in numbers as one, by stacking their models (`torch.func`).

A small model leaves a processor idle between its operations. Each Job keeps its own seed, order of
samples, dropout, optimizer, history and outcome, which equal those of a run by itself within
rounding. What cannot be stacked trains by itself, and the log says why.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import torch

from aiqc_core.stages.train import run
from aiqc_core.stages.train.backends.torch import process
from aiqc_core.stages.train.hooks import fit_hook
from aiqc_core.stages.train.stacking.loop import train_together
from aiqc_core.stages.train.stacking.rules import groups, why_alone, why_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.train.backends.torch.loop import Training
    from aiqc_core.stages.train.spec import JobOutcome, JobSpec

__all__ = ["groups", "run_stacked"]

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0  # for a thread to end


def run_stacked(specs: Sequence[JobSpec]) -> list[JobOutcome]:
    """Train Jobs, best a group that `groups` gives, together where that is possible.

    The Jobs take turns in `run.run` until their `fn_train` calls `utils.pytorch.fit`. Then those
    alike are trained together, and each continues by itself. A Job that fails on the way runs once
    more by itself, so that its failure is its own.

    Returns:
        The outcomes, in the order of the specs. `seconds["train"]` is a Job's share of the time
        of all; `peak_memory_mb` is that of all.
    """
    turns = [Turn(spec) for spec in specs]
    try:
        live = turns
        while live:
            for turn in live:
                turn.take()
            live = [turn for turn in live if turn.training is not None]
            _train(live)
    finally:
        for turn in turns:
            turn.abandon()
    ended = [turn.outcome for turn in turns]
    return [
        outcome if outcome is not None and outcome.failure is None else run.run(spec)
        for spec, outcome in zip(specs, ended, strict=True)
    ]


def _train(waiting: list[Turn]) -> None:
    """Train those that wait in stacks of those alike; log why others are not stacked."""
    rest: list[Turn] = []
    for turn in waiting:
        if reason := why_alone(_training(turn)):
            _log_alone(turn, reason)
        else:
            rest.append(turn)
    while rest:
        first, *others = rest
        reasons = [why_apart(_training(first), _training(turn)) for turn in others]
        pairs = list(zip(others, reasons, strict=True))
        alike = [first, *(turn for turn, reason in pairs if reason is None)]
        rest = [turn for turn, reason in pairs if reason is not None]
        if len(alike) > 1:
            _stack(alike)
        else:
            _log_alone(first, "no other is alike" + (f" ({reasons[0]})" if reasons else ""))


def _stack(turns: list[Turn]) -> None:
    began, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(turns[0].spec.threads)
    try:
        states = [turn.generators["torch"] for turn in turns]
        ended = train_together([_training(turn) for turn in turns], states)
    except Exception as error:  # noqa: BLE001 - each trains by itself, and raises its own error
        for turn in turns:
            _training(turn).forget()
            _log_alone(turn, f"stacking failed: {type(error).__name__}: {error}")
        return
    finally:
        torch.set_num_threads(threads)
    logger.info("Trained together: %s", ", ".join(turn.spec.name for turn in turns))
    for turn, state in zip(turns, ended, strict=True):
        turn.generators["torch"], turn.trained = state, True
        turn.seconds += (time.perf_counter() - began) / len(turns)


def _log_alone(turn: Turn, reason: str) -> None:
    logger.info("%s is trained by itself: %s", turn.spec.name, reason)


def _training(turn: Turn) -> Training:
    if turn.training is None:
        raise RuntimeError(f"{turn.spec.name} does not wait in fit")
    return turn.training


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
