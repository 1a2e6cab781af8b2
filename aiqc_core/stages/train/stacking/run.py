"""Train Jobs that differ only in numbers as one, by stacking their models (`torch.func`).

A small model leaves a processor idle between its operations. Each Job keeps its own seed, order of
samples, dropout, optimizer, history and outcome, which equal those of a run by itself within
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
from aiqc_core.stages.train.stacking.rules import why_alone, why_apart
from aiqc_core.stages.train.stacking.turns import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.stages.train.backends.torch.loop import Training
    from aiqc_core.stages.train.spec import JobOutcome, JobSpec

__all__ = ["groups", "run_stacked"]

logger = logging.getLogger(__name__)


def run_stacked(specs: Sequence[JobSpec]) -> list[JobOutcome]:
    """Train Jobs, together where that is possible, and score each on its own splits.

    The Jobs take turns in `run.run` until their `fn_train` calls `utils.pytorch.fit`. Then those
    alike are trained together, and each continues by itself. A Job that fails on the way runs once
    more by itself, so that its failure is its own.

    Args:
        specs: best a group that `groups` gives; all of them are held in memory at once.

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
        reasons = {id(turn): why_apart(_training(first), _training(turn)) for turn in others}
        alike = [first, *(turn for turn in others if reasons[id(turn)] is None)]
        rest = [turn for turn in others if reasons[id(turn)] is not None]
        if len(alike) > 1:
            _stack(alike)
        else:
            reason = next((f" ({reason})" for reason in reasons.values()), "")
            _log_alone(first, f"no other is alike{reason}")


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
    training = turn.training
    if training is None:
        raise RuntimeError(f"{turn.spec.name} does not wait in fit")
    return training
