"""Predictor: a trained model and how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from peewee import BooleanField, FloatField, ForeignKeyField, IntegerField

from aiqc_core.orm.base import BaseModel, rowmethod
from aiqc_core.orm.fields import BlobField, JSONField, PickleField, TimeField, digest_of
from aiqc_core.orm.job import Job
from aiqc_core.train import runner

if TYPE_CHECKING:
    from aiqc_core.train.outcome import JobOutcome


class Predictor(BaseModel):
    """One trained model of one Job.

    Attributes:
        adopted_from: id of the Predictor of another Queue that this one is a copy of, because all
            that it follows from was equal; None for one that was trained.
    """

    repeat_index = IntegerField()
    seed = IntegerField()
    time_started = TimeField()
    time_succeeded = TimeField()
    time_duration = IntegerField()
    seconds = JSONField()
    peak_memory_mb = FloatField()
    model_file = BlobField()
    features_shapes = PickleField()
    label_shape = PickleField()
    history = JSONField()
    is_diverged = BooleanField()
    versions = JSONField()
    fitted_preprocessing = PickleField()
    adopted_from = IntegerField(null=True)
    job = ForeignKeyField(Job, backref="predictors")

    class Meta:
        indexes = ((("job", "repeat_index"), True),)

    @classmethod
    def record(cls, job: Job, outcome: JobOutcome) -> Predictor:
        """Write a Predictor and its Prediction, inside the transaction of `Job.record`."""
        trained_on = job.fold or job.queue.splitset
        predictor = cls.create(
            repeat_index=outcome.repeat_index,
            seed=job.seed(outcome.repeat_index),
            time_started=outcome.time_started,
            time_succeeded=outcome.time_succeeded,
            time_duration=round(sum(outcome.seconds.values())),
            seconds=outcome.seconds,
            peak_memory_mb=outcome.peak_memory_mb,
            model_file=cls.model_file.store(outcome.model),
            features_shapes=cls.features_shapes.store(outcome.features_shapes),
            label_shape=cls.label_shape.store(outcome.label_shape),
            history=outcome.history,
            is_diverged=outcome.diverged,
            versions=outcome.versions,
            fitted_preprocessing=digest_of(trained_on, "fitted_preprocessing"),
            job=job,
        )
        cls.predictions.rel_model.record(predictor, outcome)
        return predictor

    @rowmethod
    def get_model(self) -> Any:
        """Return the trained model, ready to use on the CPU.

        Returns:
            The Keras model, compiled with its optimizer's state; for PyTorch `(model, optimizer)`,
            the model in eval mode.
        """
        algorithm = self.job.queue.algorithm
        return runner.load_model(
            algorithm.library,
            algorithm.payloads(),
            self.model_file,
            self.features_shapes,
            self.label_shape,
            self.job.hyperparameters,
        )

    @rowmethod
    def get_hyperparameters(self, as_pandas: bool = True) -> pd.DataFrame | dict[str, Any]:
        """Return the combination that trained this model.

        Args:
            as_pandas: a DataFrame of one row, a column a hyperparameter; else a dict.
        """
        values = self.job.hyperparameters
        return pd.DataFrame([values]) if as_pandas else values
