"""Prediction: what a Predictor says of each split, and how right it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from peewee import ForeignKeyField, IntegerField

from aiqc_core import counts
from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.orm.results import intervals
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField, PickleField
from aiqc_core.orm.store.model import BaseModel, rowmethod
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.stages.evaluate import metrics
from aiqc_core.stages.evaluate.importance import ranked

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from aiqc_core.orm.lineage.trace import Trace
    from aiqc_core.stages.train.scoring import SplitScores
    from aiqc_core.stages.train.spec import JobOutcome

IMPORTANCE_COLUMNS = ("feature_id", "column", "median", "mean", "pstdev")


class Prediction(BaseModel):
    """Decoded predictions, probabilities and metrics of each split.

    Attributes:
        predictions: `{split: array (samples,)}` in the label's own values.
        probabilities: `{split: array}`, binary `(samples,)`, multi `(samples, classes)`; None for
            regression.
        metrics: `{split: {metric: value}}`, unrounded; NaN where undefined.
        metric_notes: `{split: {metric: reason}}` for each NaN; of the training split also what
            is to be known of the model, by `'outputs'`, `'predictions'` and `'weights'`.
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

    @classmethod
    def send_ahead(cls, outcome: JobOutcome) -> None:
        """Bring what `record` will store to the object store, before the transaction begins."""
        cls.predictions.send_ahead(outcome.predictions)
        cls.probabilities.send_ahead(outcome.probabilities)
        cls.plot_data.send_ahead(outcome.plot_data)

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

    @classmethod
    def record_inference(
        cls, splitset: Splitset, scores: SplitScores, notes: dict[str, str], *, force: bool
    ) -> Prediction:
        """Write what was predicted of an inference Splitset, once, or again with `force`."""
        (split,) = splitset.sizes
        measured = {split: scores.values}
        sure = {} if scores.probabilities is None else {split: scores.probabilities}
        pickled: dict[str, Any] = {
            "predictions": {split: scores.predictions},
            "probabilities": sure or None,
            "plot_data": {split: d} if (d := scores.plot_data) else {},
        }
        columns: dict[str, Any] = {
            "permute_count": 0,
            "metrics": measured,
            "metric_notes": {split: notes} if notes else {},
            "metrics_aggregate": metrics.aggregate(measured),
        }
        fields = cls._meta.fields
        for name, value in pickled.items():
            fields[name].send_ahead(value)
        with metastore.atomic():
            found = cls.get_or_none(cls.splitset == splitset)
            if found is not None and not force:
                return found
            columns |= {name: fields[name].store(value) for name, value in pickled.items()}
            if found is None:
                return cls.create(predictor=splitset.predictor, splitset=splitset, **columns)
            for name, value in columns.items():
                setattr(found, name, value)
            found.save()
            return found

    @rowmethod
    def trace(self, row: int, split: str | None = None, check_source: bool = True) -> Trace:
        """Return one predicted sample with all that it follows from.

        Args:
            row: the sample's position among those of the Splitset, which without a Window is the
                row of its Dataset; with `split` its place in that split, as in
                `predictions[split]`.
            split: which split `row` counts in; None finds the split that the sample is in.
            check_source: read the files that the Datasets came from, to see if they still match.

        Returns:
            What was predicted and what is true, the rows under the sample, the training samples,
            the model with seed and versions, sources, preprocessing and code.

        Raises:
            SelectionError: no such split or sample, or the sample lies in a gap.
        """
        from aiqc_core.orm.lineage import trace as tracing  # noqa: PLC0415 - it reads tables below

        return tracing.trace(self, row, split, look=check_source)

    @rowmethod
    def calc_featureImportance(
        self, permute_count: int, split_name: str | None = None
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Measure how much the loss of the stored model grows when a column is permuted.

        The encoded columns of a column move together; of sequences and windows a column's whole
        series moves between samples. Images have no columns: they are left out, which the log
        says. The same call gives the same numbers: permutations follow from the Predictor's seed.

        Args:
            permute_count: permutations of each column; the importance is the median over them.
            split_name: whose samples are permuted; by default those that trained, as during
                training, and only these are stored in `feature_importance`.

        Returns:
            `{feature id: {column: {median, loss_impacts}}}`; positive matters.

        Raises:
            AlgorithmError: not a whole number of at least 1.
            SelectionError: no such split.
        """
        count = counts.whole("permute_count", permute_count, least=1)
        found = intervals.importance(self, split_name, count)
        trained_on = self.predictor.job.queue.splitset.key_train
        if found and split_name in {None, trained_on}:
            self.feature_importance, self.permute_count = found, count
            self.save(only=["feature_importance", "permute_count", "time_updated"])
        return found

    @rowmethod
    def importance_df(
        self, top_n: int | None = None, feature_id: int | None = None
    ) -> pd.DataFrame:
        """Return the columns by importance, the highest median first.

        Args:
            top_n: only so many columns.
            feature_id: only those of this Feature.

        Returns:
            `feature_id, column, median, mean, pstdev` (of the loss impacts).

        Raises:
            TrainingError: no importance was measured.
            SelectionError: no such Feature among those that were measured, or `top_n` below 1.
        """
        if not self.feature_importance:
            message = (
                f"Prediction {self.id} has no feature importance: its Queue's permute_count was "
                "0, or no Feature has columns. Run prediction.calc_featureImportance(3)."
            )
            raise TrainingError(message)
        known = [int(key) for key in self.feature_importance]
        if feature_id is not None and str(feature_id) not in self.feature_importance:
            message = f"feature_id: {feature_id!r}; importance was measured of Features {known}."
            raise SelectionError(message)
        if top_n is not None:
            counts.whole("top_n", top_n, least=1)
        wanted = known if feature_id is None else [feature_id]
        chosen = {key: self.feature_importance[str(key)] for key in wanted}
        return pd.DataFrame(ranked(chosen)[:top_n], columns=list(IMPORTANCE_COLUMNS))

    @rowmethod
    def metrics_interval(
        self,
        split_name: str | None = None,
        level: float = 0.95,
        resamples: int = 1000,
        seed: int | None = None,
    ) -> pd.DataFrame:
        """Return how sure each metric is: its bootstrap interval, from what is stored.

        Samples are drawn again with replacement; where the Splitset has `groups`, whole groups;
        where it is ordered by time or windowed, runs of neighbours, which wrap around. The
        interval runs between percentiles of the metric over these (Efron & Tibshirani 1993,
        section 13.3). It says what another draw of samples would change, not another training.

        Args:
            split_name: one split; all by default.
            level: the share of intervals that hold the truth in the long run.
            resamples: how many draws; more make the ends steadier.
            seed: of the draws; by default it follows from the Predictor's.

        Returns:
            A row for each metric of each split: `split, metric, value, low, high, level,
            resamples` (over how many it is), `undefined` (how many more gave NaN: a class was not
            drawn), `note` (why there is no interval, say) and `drawn` (what was drawn). The loss
            has none, since the model's outputs are not stored. Of a binary analysis `positive`,
            the last column, is the class that precision, recall and f1 are of.

        Raises:
            SelectionError: no such split, or a level or count out of range.
        """
        return intervals.metrics_interval(
            self, split_name, level=level, resamples=resamples, seed=seed
        )

    @rowmethod
    def plot_feature_importance(
        self,
        call_display: bool = True,
        top_n: int | None = 10,
        height: int | None = None,
        margin_left: int | None = None,
    ) -> list[Figure] | None:
        """Plot the importance of the columns, a figure for each Feature.

        Args:
            call_display: display the figures, else return a list of them.
            top_n: how many columns; all where there are fewer, or for None.
            height: in pixels; by default as high as the columns need.
            margin_left: pixels for the columns' names; by default as wide as the longest.

        Raises:
            TrainingError: no importance was calculated.
            SelectionError: `top_n` below 1.
        """
        from aiqc_core.orm.results import figures  # noqa: PLC0415 - it loads plotly

        drawn = figures.importances(self, top_n, height, margin_left)
        return figures.given(drawn, call_display)

    @rowmethod
    def plot_roc_curve(self, call_display: bool = True) -> Figure | None:
        """Plot the receiver operating curves of every split, of several classes a line each.

        Args:
            call_display: display the figure, else return it.

        Raises:
            SelectionError: a regression, or no split has a curve.
        """
        from aiqc_core.orm.results import figures  # noqa: PLC0415 - it loads plotly

        return figures.given(figures.roc(self), call_display)

    @rowmethod
    def plot_precision_recall(self, call_display: bool = True) -> Figure | None:
        """Plot precision over recall of every split, of several classes a line each.

        Args:
            call_display: display the figure, else return it.

        Raises:
            SelectionError: a regression, or no split has a curve.
        """
        from aiqc_core.orm.results import figures  # noqa: PLC0415 - it loads plotly

        return figures.given(figures.precision_and_recall(self), call_display)

    @rowmethod
    def plot_confusion_matrix(self, call_display: bool = True) -> list[Figure] | None:
        """Plot the confusion matrix of each split: rows true, columns predicted.

        Classes stand in the order of the label coder's codes: sorted, unless the coder was given
        an order of its own, such as `OrdinalEncoder(categories=[["low", "mid", "high"]])`.

        Args:
            call_display: display the figures, else return a list of them.

        Raises:
            SelectionError: a regression, or no split has a label.
        """
        from aiqc_core.orm.results import figures  # noqa: PLC0415 - it loads plotly

        return figures.given(figures.confusion_matrices(self), call_display)

    @rowmethod
    def plot_confidence(
        self,
        prediction_index: int = 0,
        height: int = 175,
        call_display: bool = True,
        split_name: str | None = None,
    ) -> Figure | None:
        """Plot the probability of each class for one sample.

        Args:
            prediction_index: which sample of the split, from 0.
            height: in pixels.
            call_display: display the figure, else return it.
            split_name: which split; by default the first of `probabilities`.

        Raises:
            SelectionError: a regression, no such split, or the index is out of range.
            TrainingError: the model gives no probabilities.
        """
        from aiqc_core.orm.results import figures  # noqa: PLC0415 - it loads plotly

        drawn = figures.confidence_of(self, prediction_index, split_name, height)
        return figures.given(drawn, call_display)


def _by_feature_id(outcome: JobOutcome, feature_ids: list[int]) -> dict[str, object] | None:
    if outcome.feature_importance is None:
        return None
    return {str(feature_ids[i]): columns for i, columns in outcome.feature_importance.items()}
