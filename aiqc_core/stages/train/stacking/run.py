"""Stacked training: Jobs that differ only in numbers, trained together as one.

A small model leaves a processor idle between its operations. Here the models of several Jobs are
stacked by `torch.func` and moved through every batch together; each keeps its own seed, order of
samples, dropout, optimizer, history and outcome, which equal those of a run by itself but for
rounding. What cannot be stacked trains by itself, and the log says why.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import torch

from aiqc_core.stages.train import run
from aiqc_core.stages.train.stacking.grouping import groups
from aiqc_core.stages.train.stacking.loop import train_together
from aiqc_core.stages.train.stacking.rules import apart, cannot
from aiqc_core.stages.train.stacking.turns import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.train.backends.torch.loop import Training
    from aiqc_core.stages.train.spec import JobOutcome, JobSpec

__all__ = ["groups", "run_stacked"]

logger = logging.getLogger(__name__)


def run_stacked(specs: Sequence[JobSpec]) -> list[JobOutcome]:
    """Train Jobs, those together that can be, and judge each on its own splits.

    Each Job runs as `runner.run` would run it, in turns with the others, up to where its
    `fn_train` calls `utils.pytorch.fit`. When all have come that far, those alike are trained
    together, and each goes on by itself. A Job that fails on the way is run once more by itself,
    so that its failure is its own.

    Args:
        specs: best a group that `groups` gives; all of them are held in memory at once.

    Returns:
        The outcomes, in the order of the specs. `seconds["train"]` of a Job is its share of the
        time that was spent on all; `peak_memory_mb` is that of all.
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
    return [_outcome(turn) for turn in turns]


def _train(waiting: list[Turn]) -> None:
    """Train those that wait, in stacks of those alike; say of the others why not."""
    rest: list[Turn] = []
    for turn in waiting:
        reason = cannot(_of(turn))
        if reason is None:
            rest.append(turn)
        else:
            _by_itself(turn, reason)
    while rest:
        first, *others = rest
        reasons = {id(turn): apart(_of(first), _of(turn)) for turn in others}
        alike = [first, *(turn for turn in others if reasons[id(turn)] is None)]
        rest = [turn for turn in others if reasons[id(turn)] is not None]
        if len(alike) > 1:
            _stack(alike)
        else:
            told = next((f" ({reason})" for reason in reasons.values()), "")
            _by_itself(first, f"no other is alike{told}")


def _stack(turns: list[Turn]) -> None:
    began, threads = time.perf_counter(), torch.get_num_threads()
    torch.set_num_threads(turns[0].spec.threads)
    try:
        states = [turn.generators["torch"] for turn in turns]
        ended = train_together([_of(turn) for turn in turns], states)
    except Exception as error:  # noqa: BLE001 - each trains by itself, and tells its own error
        for turn in turns:
            _of(turn).forget()
            _by_itself(turn, f"stacking failed: {type(error).__name__}: {error}")
        return
    finally:
        torch.set_num_threads(threads)
    logger.info("Trained together: %s", ", ".join(turn.spec.name for turn in turns))
    for turn, state in zip(turns, ended, strict=True):
        turn.generators["torch"], turn.trained = state, True
        turn.seconds += (time.perf_counter() - began) / len(turns)


def _by_itself(turn: Turn, reason: str) -> None:
    logger.info("%s is trained by itself: %s", turn.spec.name, reason)


def _of(turn: Turn) -> Training:
    training = turn.training
    if training is None:
        raise RuntimeError(f"{turn.spec.name} does not wait in fit")
    return training


def _outcome(turn: Turn) -> JobOutcome:
    if turn.outcome is None or turn.outcome.failure is not None:
        return run.run(turn.spec)
    return turn.outcome
