"""Prediction: what a Predictor says of each split, and how right it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import ForeignKeyField, IntegerField

from aiqc_core.orm.base import BaseModel
from aiqc_core.orm.fields import JSONField, PickleField
from aiqc_core.orm.predictor import Predictor

if TYPE_CHECKING:
    from aiqc_core.train.outcome import JobOutcome


class Prediction(BaseModel):
    """Decoded predictions, probabilities and metrics of each split.

    Attributes:
        predictions: `{split: array (samples,)}` in the label's own values.
        probabilities: `{split: array}`, binary `(samples,)`, multi `(samples, classes)`; None for
            regression.
        metrics: `{split: {metric: value}}`, unrounded; NaN where undefined.
        metric_notes: `{split: {metric: reason}}` for each NaN.
        metrics_aggregate: `{metric: {mean, median, pstdev, minimum, maximum}}` over the splits.
        feature_importance: `{feature id: {column: {median, loss_impacts}}}` on the train split.
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

    @classmethod
    def record(cls, predictor: Predictor, outcome: JobOutcome) -> Prediction:
        """Write the Prediction of a training, inside the transaction of `Job.record`."""
        queue = predictor.job.queue
        return cls.create(
            predictions=cls.predictions.store(outcome.predictions),
            probabilities=cls.probabilities.store(outcome.probabilities),
            permute_count=queue.permute_count,
            feature_importance=_by_feature_id(outcome, queue.splitset.feature_ids),
            metrics=outcome.metrics,
            metric_notes=outcome.metric_notes,
            metrics_aggregate=outcome.metrics_aggregate,
            plot_data=cls.plot_data.store(outcome.plot_data),
            predictor=predictor,
        )


def _by_feature_id(outcome: JobOutcome, feature_ids: list[int]) -> dict[str, object] | None:
    if outcome.feature_importance is None:
        return None
    return {str(feature_ids[i]): columns for i, columns in outcome.feature_importance.items()}
