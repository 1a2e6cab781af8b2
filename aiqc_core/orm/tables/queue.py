"""Queue: trains, resumes and compares every combination on every Fold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from peewee import CharField, ForeignKeyField, IntegerField

from aiqc_core.analysis import AnalysisType
from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.store.operation import LazyModule, derived, maker, operation
from aiqc_core.orm.tables.algorithm import Algorithm
from aiqc_core.orm.tables.hyperparameter import Hyperparamset
from aiqc_core.orm.tables.splitset import Splitset

if TYPE_CHECKING:
    from aiqc_core.orm.results import figures, frames
    from aiqc_core.orm.training import create_queue, pending, run
else:
    figures = LazyModule("aiqc_core.orm.results.figures")
    frames = LazyModule("aiqc_core.orm.results.frames")
    create_queue = LazyModule("aiqc_core.orm.training.create_queue")
    pending = LazyModule("aiqc_core.orm.training.pending")
    run = LazyModule("aiqc_core.orm.training.run")


class Queue(BaseModel):
    """An experiment: an Algorithm, a Splitset, the combinations, and the Jobs they make.

    Attributes:
        positive: of a binary analysis the class that precision, recall and f1 are of.
        metric: ranks its models by default; None for the default of the analysis type. It guides
            searches and pruners, and changes no trained model.
    """

    metric = CharField(null=True)
    repeat_count = IntegerField()
    total_runs = IntegerField()
    permute_count = IntegerField()
    seed = IntegerField()
    positive = JSONField(null=True)
    algorithm = ForeignKeyField(Algorithm, backref="queues")
    splitset = ForeignKeyField(Splitset, backref="queues")
    hyperparamset = ForeignKeyField(Hyperparamset, backref="queues", null=True)

    from_algorithm = maker(create_queue.from_algorithm)
    runs_completed = derived(pending.runs_completed)
    runs_skipped = derived(pending.runs_skipped)
    runs_pruned = derived(pending.runs_pruned)
    run_jobs = operation(run.run_jobs)
    metrics_df = operation(frames.metrics_df)
    metricsAggregate_df = operation(frames.metricsAggregate_df)
    plot_performance = operation(figures.plot_performance)
    compare_best = operation(frames.compare_best)

    @property
    def positive_class(self) -> Any:
        """The class that precision, recall and f1 are of; None unless the analysis is binary."""
        if self.positive is not None or self.algorithm.analysis_type != AnalysisType.BINARY:
            return self.positive
        return positive_of(self.algorithm, self.splitset)  # a Queue of an earlier version


def positive_of(algorithm: Algorithm, splitset: Splitset) -> Any:
    """Return the positive class of a binary analysis; None for another."""
    if algorithm.analysis_type != AnalysisType.BINARY:
        return None
    label: Any = splitset.label
    return label.positive_class
