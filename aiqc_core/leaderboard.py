"""The comparison of a Queue's combinations over folds and repeats."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    from aiqc_core.orm import Queue


@dataclass(frozen=True, slots=True)
class Entry:
    """One trained model as the leaderboard shows it.

    Attributes:
        predictor_id: its Predictor.
        job_key: fold and combination, e.g. `f0_1a2b3c4d`.
        combo_key: the combination's hash.
        hyperparameters: the combination's values.
        fold: the Fold's index, None where there are none.
        scores: `{split: value}` of the leading metric.
        seconds: how long it took.
        time_succeeded: when it was done.
    """

    predictor_id: int
    job_key: str
    combo_key: str
    hyperparameters: dict[str, Any]
    fold: int | None
    scores: dict[str, float]
    seconds: float
    time_succeeded: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """One combination: its mean scores over folds and repeats.

    Attributes:
        combo_key: the combination's hash.
        hyperparameters: its values.
        models: how many models the means are over.
        scores: `{split: mean}` of the leading metric; NaN when one of them is NaN.
    """

    combo_key: str
    hyperparameters: dict[str, Any]
    models: int
    scores: dict[str, float]


def entries(queue: Queue, metric: str) -> list[Entry]:
    """Return every trained model of a Queue, in the order of its Jobs."""
    return [
        Entry(
            predictor_id=predictor.id,
            job_key=job.key,
            combo_key=job.combo_key,
            hyperparameters=job.hyperparameters,
            fold=None if job.fold is None else job.fold.idx,
            scores={split: m[metric] for split, m in predictor.predictions[0].metrics.items()},
            seconds=sum(predictor.seconds.values()),
            time_succeeded=predictor.time_succeeded,
        )
        for job in queue.jobs
        for predictor in job.predictors
    ]


def standings(trained: list[Entry], judged_on: str) -> list[Standing]:
    """Rank combinations by their mean score on the split that judges training, best first.

    The test split is shown and never ranks: a champion that it chose would be judged too well.

    Args:
        trained: what `entries` gave.
        judged_on: the split that ranks, `Splitset.key_evaluation`; NaN ranks last.
    """
    grouped: dict[str, list[Entry]] = {}
    for entry in trained:
        grouped.setdefault(entry.combo_key, []).append(entry)
    ranked = [
        Standing(
            combo_key=key,
            hyperparameters=group[0].hyperparameters,
            models=len(group),
            scores={
                split: fmean(entry.scores[split] for entry in group) for split in group[0].scores
            },
        )
        for key, group in grouped.items()
    ]
    return sorted(ranked, key=lambda s: _descending(s.scores[judged_on]))


def _descending(score: float) -> tuple[bool, float]:
    return (score != score, -score)  # noqa: PLR0124 - true for NaN alone, which comes last
