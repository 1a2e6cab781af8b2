"""Prediction: the predictions of a Predictor for each split, and their metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import ForeignKeyField, IntegerField

from aiqc_core.orm.store.fields import JSONField, PickleField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.store.operation import LazyModule, operation
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.splitset import Splitset

if TYPE_CHECKING:
    from aiqc_core.orm.lineage import trace as tracing
    from aiqc_core.orm.results import figures, intervals
else:
    tracing = LazyModule("aiqc_core.orm.lineage.trace")
    figures = LazyModule("aiqc_core.orm.results.figures")
    intervals = LazyModule("aiqc_core.orm.results.intervals")


class Prediction(BaseModel):
    """Decoded predictions, probabilities and metrics of each split.

    Attributes:
        predictions: `{split: array (samples,)}` in the label's own values.
        probabilities: `{split: array}`, binary `(samples,)`, multi `(samples, classes)`; None for
            regression.
        metrics: `{split: {metric: value}}`, unrounded; NaN where undefined.
        metric_notes: `{split: {metric: reason}}` for each NaN; for the training split also notes
            on the model's `'outputs'`, `'predictions'` and `'weights'`.
        metrics_aggregate: `{metric: {mean, median, pstdev, minimum, maximum}}` over the splits.
        feature_importance: `{feature id: {column: {median, loss_impacts}}}` on the train split.
        splitset: the inference Splitset that was predicted; None for the Prediction of a training.
    """

    predictions = PickleField()
    probabilities = PickleField()
    permute_count = IntegerField()
    feature_importance = JSONField(null=True)
    metrics = JSONField()
    metric_notes = JSONField()
    metrics_aggregate = JSONField()
    plot_data = PickleField()
    predictor = ForeignKeyField(Predictor, backref="predictions")
    splitset = ForeignKeyField(Splitset, backref="predictions", null=True, unique=True)

    trace = operation(tracing.trace)
    calc_featureImportance = operation(intervals.calc_featureImportance)
    importance_df = operation(intervals.importance_df)
    metrics_interval = operation(intervals.metrics_interval)
    plot_feature_importance = operation(figures.plot_feature_importance)
    plot_roc_curve = operation(figures.plot_roc_curve)
    plot_precision_recall = operation(figures.plot_precision_recall)
    plot_confusion_matrix = operation(figures.plot_confusion_matrix)
    plot_confidence = operation(figures.plot_confidence)
