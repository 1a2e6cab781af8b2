"""Read the scores of a Queue by combination, fold and repeat, for a search and a pruner."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, Any, Self

from aiqc_core.orm.tables.job import Job
from aiqc_core.orm.tables.prediction import Prediction
from aiqc_core.orm.tables.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.tables.queue import Queue
    from aiqc_core.orm.training.measure import Measure


@dataclass(slots=True)
class Scores:
    """The recorded scores.

    Attributes:
        repeat_count: scores of a complete fold.
        by_combo: `{combination: {fold: {repeat: score}}}` by ids; None without combinations or
            folds.
    """

    repeat_count: int
    by_combo: dict[int | None, dict[int | None, dict[int, float]]] = field(default_factory=dict)

    @classmethod
    def read(cls, queue: Queue, measure: Measure) -> Self:
        """Read all scores of a Queue in one query."""
        query: Any = (
            Prediction.select(
                Job.hyperparamcombo, Job.fold, Predictor.repeat_index, Prediction.metrics
            )
            .join(Predictor)
            .join(Job)
            .where(Job.queue == queue, Prediction.splitset.is_null())  # none of new data
            .tuples()
        )
        scores = cls(queue.repeat_count)
        for combo, fold, repeat_index, metrics in query:
            scores.put(combo, fold, repeat_index, measure.of(metrics))
        return scores

    def put(self, combo: int | None, fold: int | None, repeat_index: int, score: float) -> None:
        """Add a score."""
        self.by_combo.setdefault(combo, {}).setdefault(fold, {})[repeat_index] = score

    def all(self) -> list[float]:
        """Return every score."""
        return [
            score
            for folds in self.by_combo.values()
            for repeats in folds.values()
            for score in repeats.values()
        ]

    def complete(self, combo: int | None, folds: Sequence[int | None]) -> list[int | None]:
        """Return the folds that have the scores of all repeats."""
        found = self.by_combo.get(combo, {})
        return [fold for fold in folds if len(found.get(fold, ())) == self.repeat_count]

    def running_means(
        self, combo: int | None, folds: Sequence[int | None]
    ) -> tuple[float, ...] | None:
        """Return the mean over repeats and the first fold, the first two, and so on.

        None where one of the folds is not complete.
        """
        if len(self.complete(combo, folds)) < len(folds):
            return None
        found = self.by_combo.get(combo, {})
        means = [fmean(found[fold].values()) for fold in folds]
        return tuple(fmean(means[: count + 1]) for count in range(len(means)))


def histories(queue: Queue) -> dict[Any, list[dict[str, list[float]]]]:
    """Return the histories of a Queue's Predictors by the id of their fold, in one query."""
    query: Any = (
        Predictor.select(Job.fold, Predictor.history)
        .join(Job)
        .where(Job.queue == queue)
        .order_by(Predictor.id)
        .tuples()
    )
    found: dict[Any, list[dict[str, list[float]]]] = {}
    for fold, history in query:
        found.setdefault(fold, []).append(history)
    return found
