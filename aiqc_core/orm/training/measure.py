"""The number that judges the models of a Queue: which metric, on which split, which way is up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from aiqc_core.stages.evaluate.ranking import checked_metric, leading_metric, lower_is_better

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiqc_core.orm.tables.queue import Queue
    from aiqc_core.orm.tables.splitset import Splitset


@dataclass(frozen=True, slots=True)
class Measure:
    """The number by which trainings of a Queue are judged.

    Attributes:
        metric: what is measured.
        split: the split that judges training.
    """

    metric: str
    split: str

    @classmethod
    def of_queue(cls, queue: Queue, metric: str | None = None) -> Self:
        """Return what judges the trainings of a Queue; everything that ranks asks here.

        Args:
            queue: whose trainings.
            metric: what a call names, which wins; else the Queue's own counts, which is the metric
                that its experiment declares, else the default of its analysis type.
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


def refuse_metric(metric: object, analysis_type: str, splitset: Splitset) -> None:
    """Refuse a metric by which the models of a Splitset cannot be ranked.

    Raises:
        AlgorithmError: the analysis type has no such metric.
    """
    if metric is None:
        return
    label = splitset.label
    coder = splitset.features[0].ordered_coders() if label is None else label.step()
    checked_metric(metric, analysis_type, has_units=bool(coder))
