"""Predictor: a trained model and its history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from peewee import BooleanField, CharField, FloatField, ForeignKeyField, IntegerField

from aiqc_core.orm.store.fields import BlobField, JSONField, PickleField, TimeField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.store.operation import LazyModule, operation
from aiqc_core.orm.tables.job import Job

if TYPE_CHECKING:
    from aiqc_core.orm.inference import load, sklearn
    from aiqc_core.orm.inference import predict as predicting
    from aiqc_core.orm.lineage import diff as differences
    from aiqc_core.orm.lineage import reproduce as reproduction
    from aiqc_core.orm.results import figures
    from aiqc_core.orm.tables.prediction import Prediction
else:
    load = LazyModule("aiqc_core.orm.inference.load")
    sklearn = LazyModule("aiqc_core.orm.inference.sklearn")
    predicting = LazyModule("aiqc_core.orm.inference.predict")
    differences = LazyModule("aiqc_core.orm.lineage.diff")
    reproduction = LazyModule("aiqc_core.orm.lineage.reproduce")
    figures = LazyModule("aiqc_core.orm.results.figures")


class Predictor(BaseModel):
    """One trained model of one Job.

    Attributes:
        adopted_from: id of the equal Predictor of another Queue that this one is a copy of; None
            for one that was trained.
        outputs: what a classifier gives, and how that is known: `{"kind": "probabilities",
            "how": "last activation"}`. The other kinds are `"logits"` and `"log-probabilities"`;
            `how` is also `"stated"`, `"loss"` or `"values"`, the last of which is a guess.
        stopped: what ended the training before its last epoch: `'pruner'`, which cut it short, or
            `'callback'`, a rule of the user's own such as MetricCutoff or Keras' EarlyStopping;
            None where it ran to its end, or an earlier version recorded it.
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
    device = JSONField(null=True)
    outputs = JSONField(null=True)
    stopped = CharField(null=True)
    job = ForeignKeyField(Job, backref="predictors")

    class Meta:
        indexes = ((("job", "repeat_index"), True),)

    @property
    def epochs(self) -> int:
        """How many epochs its history has; 0 without one."""
        return max((len(values) for values in self.history.values()), default=0)

    get_model = operation(load.get_model)
    stored = operation(load.stored)
    predict = operation(predicting.predict)
    plot_learning_curve = operation(figures.plot_learning_curve)
    diff = operation(differences.diff)
    reproduce = operation(reproduction.reproduce)
    as_estimator = operation(sklearn.as_estimator)

    @operation
    def get_hyperparameters(self, as_pandas: bool = True) -> pd.DataFrame | dict[str, Any]:
        """Return the combination that trained this model.

        Args:
            as_pandas: a DataFrame of one row, a column a hyperparameter; else a dict.
        """
        values = self.job.hyperparameters
        return pd.DataFrame([values]) if as_pandas else values

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The classes by the codes of the fitted label coder; None without a label."""
        fitted: Any = self.fitted_preprocessing
        return None if fitted.label is None else fitted.label.classes

    @property
    def positive_class(self) -> Any:
        """The class that precision, recall and f1 are of; None unless the analysis is binary."""
        return self.job.queue.positive_class

    @property
    def prediction(self) -> Prediction:
        """The Prediction that came with the training; those of `infer` have a Splitset."""
        return self.predictions.filter(splitset=None).get()

    @property
    def notes(self) -> dict[str, dict[str, str]]:
        """What training noted beside the metrics, `{split: {name: note}}`."""
        return self.prediction.metric_notes
