"""Predictor: a trained model and how it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from peewee import BooleanField, CharField, FloatField, ForeignKeyField, IntegerField

from aiqc_core.orm.inference import predict as predicting
from aiqc_core.orm.store.fields import BlobField, JSONField, PickleField, TimeField, digest_of
from aiqc_core.orm.store.model import BaseModel, rowmethod
from aiqc_core.orm.tables.job import Job, target_of
from aiqc_core.stages.train import run
from aiqc_core.stages.train.compare import TOLERANCE
from aiqc_core.stages.train.trained_model import StoredModel

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from aiqc_core.orm.lineage.diff import Diff
    from aiqc_core.orm.lineage.reproduce import Reproduction
    from aiqc_core.orm.tables.prediction import Prediction
    from aiqc_core.stages.train.spec import JobOutcome


class Predictor(BaseModel):
    """One trained model of one Job.

    Attributes:
        adopted_from: id of the Predictor of another Queue that this one is a copy of, because all
            that it follows from was equal; None for one that was trained.
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

    @classmethod
    def send_ahead(cls, outcome: JobOutcome) -> None:
        """Bring what `record` will store to the object store, before the transaction begins."""
        cls.model_file.send_ahead(outcome.model)
        cls.predictions.rel_model.send_ahead(outcome)

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
            # What an earlier version kept in a file lacks these.
            device=getattr(outcome, "device", None),
            stopped=getattr(outcome, "stopped", None),
            outputs=getattr(outcome, "outputs", None),
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
        return run.load_model(
            algorithm.library,
            algorithm.payloads(),
            self.model_file,
            self.features_shapes,
            self.label_shape,
            self.job.hyperparameters,
            seed=self.seed,
        )

    @rowmethod
    def get_hyperparameters(self, as_pandas: bool = True) -> pd.DataFrame | dict[str, Any]:
        """Return the combination that trained this model.

        Args:
            as_pandas: a DataFrame of one row, a column a hyperparameter; else a dict.
        """
        values = self.job.hyperparameters
        return pd.DataFrame([values]) if as_pandas else values

    @rowmethod
    def predict(
        self, features: Any, label: Any = None, *, store: bool = False, carry: bool = False
    ) -> Any:
        """Predict new data in one call, by the preprocessing that the training fitted.

        Columns are matched by name, in any order, and what training did not know is left out; an
        array has its columns in the order of training. Rows that an interpolater fills are
        filled among themselves, in their order. Data is read batch by batch: one row or a million.

        Args:
            features: a DataFrame, an array, the path of a file or folder, or a Dataset; a list of
                them for a Predictor of several Features, in their order. Of a table also a dict, a
                Series or a list for one row, a dict of lists, a list or an iterator of rows for
                several, a tensor, or a table of Arrow; of a sequence one sample,
                `(rows, columns)`; of images one, as Pillow, a file or an array, or a list of such.
                Where training had a Window, rows: each window of them is a sample, and the last
                ends with the last row, so that a forecast of what comes next is the last one.
            label: the truth, when it is known: a DataFrame, a Series, an array, a list, a dict, a
                value for one row, or a path.
            store: whether data and Prediction are written to the store.
            carry: whether the table ends with the columns of `features` that are neither features
                nor label, such as an id, so that rows can be joined without their index. A name
                that is taken gets a number; of a window it is the value of the last row. The files
                of `predict_<experiment>` are this table.

        Returns:
            A DataFrame under the index of `features`, with the predictions in a column named as
            the label (as the feature's columns without a label, `prediction` where a label is
            one-hot), and for a classification `probability_<class>` of each class.
            `frame.attrs["metrics"]` holds the metrics, where they can be measured, and
            `frame.attrs["positive"]` of two classes the one that precision, recall and f1 are of.
            An array `(samples, …, columns)` in the original units where that is no table: windows
            `(windows, size_window, columns)`, sequences `(samples, rows, columns)`, images
            `(samples, channels, rows, columns)`.
            With `store` the Prediction, whose Splitset holds the new data.

        Raises:
            SelectionError: columns are missing or incompatible, or windows, rows or channels
                differ; the message lists all of them.
            PreprocessError: a category or class that training did not see, by column and value,
                or blanks.
        """
        return predicting.predict(self, features, label, store=store, carry=carry)

    @rowmethod
    def plot_learning_curve(
        self, skip_head: bool = True, call_display: bool = True
    ) -> list[Figure] | None:
        """Plot the history over the epochs, a figure for each train-evaluation pair of metrics.

        Args:
            skip_head: leave out the first 15 % of the epochs, whose losses hide the rest.
            call_display: display the figures, else return a list of them.

        Raises:
            TrainingError: the training returned no history.
        """
        from aiqc_core.orm.results import figures  # noqa: PLC0415 - it loads plotly

        return figures.given(figures.learning_curves(self, skip_head), call_display)

    @rowmethod
    def diff(self, other: Predictor | int) -> Diff:
        """Compare with another Predictor, ancestor by ancestor in the order in which data flows.

        Source, dtypes, columns, interpolaters, encoders, window, shape, split, fold, fit, code,
        hyperparameters, seed, library versions, weights: by content, never by id or time.

        Args:
            other: a Predictor, or its id.

        Returns:
            `first`, the first ancestor that differs, with both values; all `differences`; what is
            the `same`.
        """
        from aiqc_core.orm.lineage import diff as differing  # noqa: PLC0415 - it reads tables below

        right = other if isinstance(other, Predictor) else type(self).get_by_id(other)
        return differing.diff(self, right)

    @rowmethod
    def reproduce(self, tolerance: float = TOLERANCE) -> Reproduction:
        """Train again in a new process, from what is stored, and say whether the same comes out.

        Sources are hashed, samples cut, preprocessing fitted, samples built, code and seed checked
        again; then the model is trained and weights and predictions are compared. The store is
        only read, and the samples lie in a folder for temporary files.

        Args:
            tolerance: how far numbers may be apart, times their size (1 for smaller ones).

        Returns:
            `verdict`: `'bit-equal'`, `'equal within tolerance'` with the `largest` difference of
            two weights, or `'different'` with the `first_difference`, the stage; each stage; and
            the library versions that moved since.

        Raises:
            TrainingError: a tolerance out of range.
        """
        from aiqc_core.orm.lineage import reproduce as reproducing  # noqa: PLC0415 - it reads tables below

        return reproducing.reproduce(self, tolerance=tolerance)

    @rowmethod
    def as_estimator(self) -> Any:
        """Return the Predictor with the face of a fitted scikit-learn estimator.

        It has `predict`, `predict_proba`, `classes_` (sorted, as scikit-learn has them),
        `feature_names_in_` and `score`, and works with `sklearn.inspection`, `sklearn.metrics` and
        in a fitted Pipeline. It is frozen: `fit` and `clone` refuse, and so do `cross_val_score`
        and `GridSearchCV`; `sklearn.frozen.FrozenEstimator` around it serves
        `CalibratedClassifierCV` and the like. `joblib.dump` writes all that it predicts with, so
        that its file works anywhere.

        Raises:
            SelectionError: several Features, or no Label.
        """
        from aiqc_core.orm.inference.sklearn import estimator_of  # noqa: PLC0415 - it imports scikit-learn

        return estimator_of(self)

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """The classes by their codes, as the fitted label coder orders them; None without.

        All that turns a code into a class asks here: figures, tables, traces and estimators.
        """
        fitted: Any = self.fitted_preprocessing
        return None if fitted.label is None else fitted.label.classes

    @property
    def positive_class(self) -> Any:
        """The class that precision, recall and f1 are of; None but for a binary analysis."""
        return self.job.queue.positive_class

    @property
    def prediction(self) -> Prediction:
        """The Prediction that came with the training; those of `infer` have a Splitset."""
        table = type(self).predictions.rel_model
        return self.predictions.where(table.splitset.is_null()).get()

    @property
    def notes(self) -> dict[str, dict[str, str]]:
        """What training noted beside the metrics, `{split: {name: note}}`."""
        return self.prediction.metric_notes

    def stored(self) -> StoredModel:
        """Return all that it takes to predict with this model, as a value."""
        queue = self.job.queue
        fitted: Any = self.fitted_preprocessing
        return StoredModel(
            library=queue.algorithm.library,
            analysis_type=queue.algorithm.analysis_type,
            functions=queue.algorithm.payloads(),
            hyperparameters=self.job.hyperparameters,
            seed=self.seed,
            model=self.model_file,
            features_shapes=self.features_shapes,
            label_shape=self.label_shape,
            label=target_of(queue.splitset, fitted),
            sources=queue.algorithm.sources,
            outputs=self.outputs,
        )
