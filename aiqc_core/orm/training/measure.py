"""Choose the metric and the split that judge the models of a Queue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiqc_core.stages.evaluate.ranking import leading_metric, lower_is_better

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiqc_core.orm.tables.queue import Queue


@dataclass(frozen=True, slots=True)
class Measure:
    """The metric that judges the trainings of a Queue, and the split it is taken on."""

    metric: str
    split: str

    @classmethod
    def of_queue(cls, queue: Queue, metric: str | None = None) -> Self:
        """Return the measure of a Queue; everything that ranks calls this.

        A `metric` that a call names wins over the Queue's own, which its experiment declares, and
        that over the default of the analysis type.
        """
        chosen = metric or queue.metric or leading_metric(queue.algorithm.analysis_type)
        return cls(chosen, queue.splitset.judged_on)

    @property
    def lower_is_better(self) -> bool:
        """Whether the metric counts errors."""
        return lower_is_better(self.metric)

    def of(self, metrics: Mapping[str, Mapping[str, float]]) -> float:
        """Return the number among the metrics of a Prediction; NaN where it lacks this one."""
        return metrics[self.split].get(self.metric, math.nan)

    def is_better(self, score: float, than: float) -> bool:
        """Compare two numbers that are not NaN."""
        return score < than if self.lower_is_better else score > than
