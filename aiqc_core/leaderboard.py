"""The comparison of a Queue's combinations over folds and repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from aiqc_core.errors import SelectionError
from aiqc_core.evaluate.leading import lower_is_better
from aiqc_core.orm import comparison

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
    """Return every trained model of a Queue, in the order of its Jobs; one query.

    Raises:
        SelectionError: no model has this metric; the message says which there are.
    """
    return [
        Entry(
            predictor_id=row["predictor_id"],
            job_key=f"{_fold_key(row['fold_index'])}_{row['combo_key']}",
            combo_key=row["combo_key"],
            hyperparameters=row["hyperparameters"],
            fold=row["fold_index"],
            scores={split: _value(values, metric) for split, values in row["metrics"].items()},
            seconds=sum(row["seconds"].values()),
            time_succeeded=row["time_succeeded"],
        )
        for row in comparison.trained(queue)
    ]


def _fold_key(index: int | None) -> str:
    return "nofold" if index is None else f"f{index}"


def _value(values: dict[str, float], metric: str) -> float:
    if metric not in values:
        message = f"metric: {metric!r} is none of {sorted(values)}."
        raise SelectionError(message)
    return values[metric]


def standings(
    trained: list[Entry], judged_on: str, *, metric: str | None = None
) -> list[Standing]:
    """Rank combinations by their mean score on the split that judges training, best first.

    The test split is shown and never ranks: a champion that it chose would be judged too well.
    A combination that lacks folds, for it was stopped or failed, comes behind those that have all.

    Args:
        trained: what `entries` gave.
        judged_on: the split that ranks, `Splitset.key_evaluation`; NaN ranks last.
        metric: what the scores are; of an error, such as the loss, the lowest is best.
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
    sign = 1 if metric is not None and lower_is_better(metric) else -1
    folds = {key: len({entry.fold for entry in group}) for key, group in grouped.items()}

    def place(standing: Standing) -> tuple[bool, bool, float]:
        score = standing.scores[judged_on]
        lacks = folds[standing.combo_key] < max(folds.values())
        return (math.isnan(score), lacks, sign * score)

    return sorted(ranked, key=place)
