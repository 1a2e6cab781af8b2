"""Rank a Queue's combinations over folds and repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from difflib import get_close_matches
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from aiqc_core.errors import SelectionError
from aiqc_core.job_keys import fold_key, job_key
from aiqc_core.orm.results import frames
from aiqc_core.orm.training.measure import Measure
from aiqc_core.stages.evaluate import compare
from aiqc_core.stages.evaluate.ranking import lower_is_better
from aiqc_core.stages.train.hooks.observer import PRUNER

if TYPE_CHECKING:
    from datetime import datetime

    from aiqc_core.orm import Queue


@dataclass(frozen=True, slots=True)
class Entry:
    """One trained model.

    Attributes:
        job_key: fold and combination, e.g. `f0_1a2b3c4d`.
        notes: `{split: reason}` where the score is undefined, or is so by convention.
    """

    predictor_id: int
    job_key: str
    combo_key: str  # the combination's hash
    hyperparameters: dict[str, Any]
    fold: int | None  # the Fold's index; None without Folds
    scores: dict[str, float]  # `{split: value}` of the leading metric
    seconds: float
    time_succeeded: datetime
    stopped: str | None = None  # what ended it before its last epoch, see `Predictor.stopped`
    diverged: bool = False  # whether a loss or a prediction is not finite
    notes: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def ended(self) -> str:
        """How it ended, in a word; empty where it ran to its end."""
        return frames.ended(self.stopped, diverged=self.diverged)


@dataclass(frozen=True, slots=True)
class Standing:
    """One combination: its mean scores over folds and repeats."""

    combo_key: str  # the combination's hash
    hyperparameters: dict[str, Any]
    models: int  # how many models the means are over
    scores: dict[str, float]  # `{split: mean}` of the leading metric; NaN when one of them is NaN
    predictor_ids: tuple[int, ...] = ()
    pruned: int = 0  # how many of them a pruner cut short


@dataclass(frozen=True, slots=True)
class Board:
    """The models of a Queue by one metric, and its combinations, best first."""

    queue: Queue
    measure: Measure  # the metric, and the split that judges
    trained: list[Entry]  # the models
    ranked: list[Standing]  # the combinations

    @classmethod
    def of(cls, queue: Queue, metric: str | None = None) -> Self:
        """Rank what is trained by a metric, by default that of the Queue; see `entries`."""
        measure = Measure.of_queue(queue, metric)
        trained = entries(queue, measure.metric)
        ranked = standings(trained, measure.split, metric=measure.metric)
        return cls(queue, measure, trained, ranked)

    @property
    def undefined(self) -> str | None:
        """Why no model has a score, in a sentence; None where one has."""
        return why_undefined(self.trained, self.measure.metric, self.measure.split)

    @property
    def best(self) -> Standing | None:
        """The combination that leads; None where none is trained, or none has a score."""
        has_score = self.ranked and math.isfinite(self.ranked[0].scores[self.measure.split])
        return self.ranked[0] if has_score else None


def entries(queue: Queue, metric: str) -> list[Entry]:
    """Return every trained model of a Queue in the order of its Jobs, in one query.

    A score that an earlier version did not record is NaN.

    Raises:
        SelectionError: no model has this metric; the message says which there are.
    """
    rows = frames.trained(queue)
    known = {name for row in rows for values in row["metrics"].values() for name in values}
    if rows and metric not in known:
        close = get_close_matches(metric, sorted(known), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise SelectionError(f"metric: {metric!r} is none of {sorted(known)}.{hint}")
    return [
        Entry(
            predictor_id=row["predictor_id"],
            job_key=job_key(fold_key(row["fold_index"]), row["combo_key"]),
            combo_key=row["combo_key"],
            hyperparameters=row["hyperparameters"],
            fold=row["fold_index"],
            scores={s: values.get(metric, math.nan) for s, values in row["metrics"].items()},
            seconds=sum(row["seconds"].values()),
            time_succeeded=row["time_succeeded"],
            stopped=row["stopped"],
            diverged=bool(row["is_diverged"]),
            notes={
                s: notes[metric] for s, notes in row["metric_notes"].items() if metric in notes
            },
        )
        for row in rows
    ]


def why_undefined(trained: list[Entry], metric: str, split: str) -> str | None:
    """Return, in a sentence, why no model has a score on a split; None where one has."""
    scores = [entry.scores[split] for entry in trained]
    reasons = (entry.notes[split] for entry in trained if split in entry.notes)
    why = compare.why_undefined(metric, split, scores, reasons)
    return None if why is None else f"{why.rstrip('.')}."


def standings(
    trained: list[Entry], judged_on: str, *, metric: str | None = None
) -> list[Standing]:
    """Rank combinations by their mean score on the split that judges training, best first.

    The test split never ranks: a model that it chose would be judged too well. A combination that
    lacks folds, because it was stopped or failed, comes after those that have all.

    Args:
        judged_on: the split that ranks, `Splitset.key_evaluation`; NaN ranks last.
        metric: what the scores are; the lowest error, such as the loss, is best.
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
            predictor_ids=tuple(entry.predictor_id for entry in group),
            pruned=sum(entry.stopped == PRUNER for entry in group),
        )
        for key, group in grouped.items()
    ]
    sign = 1 if metric is not None and lower_is_better(metric) else -1
    folds = {key: len({entry.fold for entry in group}) for key, group in grouped.items()}

    def place(standing: Standing) -> tuple[bool, bool, float]:
        score = standing.scores[judged_on]
        lacks = folds[standing.combo_key] < max(folds.values())
        return (math.isnan(score), lacks, sign * score)

    return sorted(ranked, key=place)
