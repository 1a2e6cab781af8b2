"""Queue: every combination on every Fold, trained, compared and resumed."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any

from pandas.api import types
from peewee import CharField, ForeignKeyField, IntegerField, chunked

from aiqc_core import counts
from aiqc_core.errors import AlgorithmError, TrainingError
from aiqc_core.orm.inference import infer
from aiqc_core.orm.results import frames
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField
from aiqc_core.orm.store.model import BaseModel, rowmethod
from aiqc_core.orm.tables.algorithm import Algorithm
from aiqc_core.orm.tables.hyperparameter import (
    ROWS_A_STATEMENT,
    Hyperparamcombo,
    Hyperparamset,
    refuse_unfit,
)
from aiqc_core.orm.tables.splitset import Splitset
from aiqc_core.orm.training import measure
from aiqc_core.seeds import SEED_BITS
from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.train import label_check
from aiqc_core.stages.train.search import pruning

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from plotly.graph_objects import Figure

    from aiqc_core.orm.tables.label import Label
    from aiqc_core.orm.training.run import RunSummary
    from aiqc_core.stages.evaluate.compare import Comparison
    from aiqc_core.stages.train.search.pruning import Pruner

logger = logging.getLogger(__name__)

BINARY = "classification_binary"


class Queue(BaseModel):
    """An experiment: an Algorithm, a Splitset, the combinations, and the Jobs they make.

    Attributes:
        positive: of a binary analysis the class that precision, recall and f1 are of.
        metric: what ranks its models wherever no other is named; None for the default of the
            analysis type. It steers searches and pruners, and changes no model that is trained.
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

    @classmethod
    def from_algorithm(
        cls,
        algorithm_id: int,
        splitset_id: int,
        repeat_count: int = 1,
        permute_count: int = 3,
        hyperparamset_id: int | None = None,
        description: str | None = None,
        seed: int | None = None,
        metric: str | None = None,
    ) -> Queue:
        """Make the Jobs: combinations × Folds, each trained `repeat_count` times.

        Args:
            algorithm_id: whose functions train.
            splitset_id: whose samples train.
            repeat_count: Predictors a Job, each with a seed of its own.
            permute_count: permutations of each column for its importance; 0 skips that.
            hyperparamset_id: the combinations; `None` trains one model without hyperparameters.
            description: what is particular about this experiment.
            seed: from which each Job's seed follows; `None` draws one, which is stored.
            metric: what ranks the models in search, pruning, comparison, figures and leaderboard
                wherever a call names none; `None` is accuracy, or r2 for a regression.

        The combinations of a search by TPE, and their Jobs, come one by one while it runs;
        `total_runs` counts them from the start.

        Raises:
            AlgorithmError: the label does not go with the analysis type, its coder does not tell
                its classes apart, it has a positive class and the analysis is not binary, a column
                is neither numeric nor encoded, a count is out of range, or there is no such
                metric.
        """
        algorithm = Algorithm.get_by_id(algorithm_id)
        splitset = Splitset.get_by_id(splitset_id)
        infer.refuse_training(splitset)
        combos, count = _combos(algorithm, hyperparamset_id)
        repeat_count = counts.whole("repeat_count", repeat_count, least=1)
        permute_count = counts.whole("permute_count", permute_count, least=0)
        seed = secrets.randbits(SEED_BITS) if seed is None else counts.seed(seed)
        measure.refuse_metric(metric, algorithm.analysis_type, splitset)
        label_check.refuse_mismatch(algorithm.analysis_type, _label_facts(splitset.label))
        _refuse_positive(algorithm, splitset.label)
        _refuse_text_columns(splitset)
        parts, positive = splitset.parts(), _positive_of(algorithm, splitset)
        with metastore.atomic():
            queue = cls.create(
                metric=metric,
                repeat_count=repeat_count,
                total_runs=count * len(parts) * repeat_count,
                permute_count=permute_count,
                seed=seed,
                positive=positive,
                algorithm=algorithm,
                splitset=splitset,
                hyperparamset=hyperparamset_id,
                description=description,
            )
            queue.add_jobs(combos)
        return queue

    @property
    def positive_class(self) -> Any:
        """The class that precision, recall and f1 are of; None but for a binary analysis."""
        if self.positive is not None:
            return self.positive
        if self.algorithm.analysis_type != BINARY:
            return None
        return _positive_of(self.algorithm, self.splitset)  # of an earlier version

    @property
    def runs_completed(self) -> int:
        """How many Predictors are recorded."""
        return frames.predictors_of(self).count()

    @property
    def runs_skipped(self) -> int:
        """How many runs a pruner stopped before they began; they count as done."""
        from aiqc_core.orm.training.pending import skipped_of  # noqa: PLC0415 - it reads tables below

        return skipped_of(self).count()

    @property
    def runs_pruned(self) -> int:
        """How many runs a pruner stopped: before they began, or after some of their epochs.

        The latter have a Predictor, marked `stopped='pruner'`, and so are among those completed.
        """
        from aiqc_core.orm.training.pending import pruned_of  # noqa: PLC0415 - it reads tables below

        return pruned_of(self)

    def add_jobs(self, combos: Sequence[int | None]) -> None:
        """Write a Job for each combination on each Fold, inside the caller's transaction."""
        rows = (
            {
                "repeat_count": self.repeat_count,
                "queue": self.id,
                "hyperparamcombo": combo,
                "fold": fold and fold.id,
            }
            for parts in [self.splitset.parts()]
            for combo in combos
            for fold in parts
        )
        for chunk in chunked(rows, ROWS_A_STATEMENT):
            type(self).jobs.rel_model.insert_many(chunk).execute()

    @rowmethod
    def run_jobs(
        self,
        workers: int | None = None,
        *,
        raise_on_error: bool = True,
        progress: bool = True,
        time_limit: float | None = None,
        checkpoint_seconds: float | None = None,
        stack: bool = False,
        pruner: Pruner | None = None,
    ) -> RunSummary:
        """Train what has no Predictor yet; a finished Queue trains nothing and says so.

        Ctrl-C records what is done and gives the rest back; the next call goes on with it.

        Args:
            workers: processes that train side by side; `None` or 1 trains in this process. Where
                there are GPUs (`AIQC_DEVICES`), training is always in processes of their own,
                one a device slot: `None` is all slots, and more workers than slots wait.
            raise_on_error: raise at the end when a Job failed, else return the summary.
            progress: show a bar with the best score so far.
            time_limit: seconds that one training may take; then it has failed. Training is then
                in a process of its own, with one worker too.
            checkpoint_seconds: keep the state of each training that often (0: after each epoch),
                so that it goes on from there when it was killed.
            stack: train together what differs only in numbers (PyTorch); the log says why where
                that cannot be. The results equal those of training alone within rounding.
            pruner: stops what will not win, a training after an epoch and a combination after a
                fold, such as `MedianPruner()`. See `train.pruning`.

        Returns:
            How many were trained, found, pruned and failed.

        Raises:
            TrainingError: an argument is out of range, before anything is written; or at the end,
                when Jobs failed: it lists each with its reason. The others are recorded, and the
                next call tries the failed ones again.
        """
        from aiqc_core.orm.training.run import Options, run  # noqa: PLC0415 - it reads tables below

        options = Options.checked(
            workers=workers, raise_on_error=raise_on_error, progress=progress,
            time_limit=time_limit,
            checkpoint_seconds=checkpoint_seconds, stack=stack,
            pruner=pruning.steered(pruner, self.metric),
        )  # fmt: skip
        summary = run(self, options)
        if summary.failures and raise_on_error:
            raise TrainingError(summary.describe()) from summary.cause()
        return summary

    @rowmethod
    def metrics_df(
        self,
        selected_metrics: Sequence[str] | None = None,
        sort_by: str | None = None,
        ascending: bool = False,
        hyperparameters: bool = True,
    ) -> pd.DataFrame:
        """Return the metrics of each split of each Predictor, a row each.

        Of a binary analysis the column `positive`, and `frame.attrs`, say which class precision,
        recall and f1 are of.

        Args:
            selected_metrics: only these metrics.
            sort_by: a column; NaN comes last both ways.
            ascending: from low to high.
            hyperparameters: also a column for each hyperparameter that differs between the
                Queue's combinations, before the metrics; `hyperparameter_<name>` where its own
                name is another column's.

        Returns:
            `hyperparamcombo_id`, `fold_index` (with Folds), `job_id`, `repeat_index` (with
            repeats), `predictor_id`, `split`, the hyperparameters, and the metrics. Where a
            training did not run to its end, also `ended` before the metrics: `'pruned'`,
            `'own rule'` (MetricCutoff, EarlyStopping) or `'diverged'`, else empty.

        Raises:
            TrainingError: nothing is trained yet.
            SelectionError: an unknown metric or column.
        """
        return frames.metrics(
            self, selected_metrics, sort_by, ascending=ascending, hyperparameters=hyperparameters
        )

    @rowmethod
    def metricsAggregate_df(
        self,
        ascending: bool = False,
        selected_metrics: Sequence[str] | None = None,
        selected_stats: Sequence[str] | None = None,
        sort_by: str | None = None,
        hyperparameters: bool = True,
    ) -> pd.DataFrame:
        """Return mean, median, pstdev, minimum and maximum over splits, a row a metric.

        The arguments are those of `metrics_df`; `selected_stats` chooses among the statistics.
        The column `positive` is as there.
        """
        return frames.aggregates(
            self, selected_metrics, selected_stats, sort_by, ascending=ascending,
            hyperparameters=hyperparameters,
        )  # fmt: skip

    @rowmethod
    def plot_performance(
        self,
        call_display: bool = True,
        max_loss: float | None = None,
        min_score: float | None = None,
        score_type: str | None = None,
        height: int | None = None,
    ) -> Figure | None:
        """Plot loss against score of every model, a point for each split.

        Args:
            call_display: display the figure, else return it.
            max_loss: leave out models of which a split has a higher loss, or NaN.
            min_score: leave out models of which a split has a worse score (a lower one; of an
                error, such as mse, a higher one), or NaN.
            score_type: a metric; by default that of the Queue. Where that is the loss, which the
                other axis shows already, it is accuracy, or r2 for a regression.
            height: in pixels; 560 by default.

        Raises:
            TrainingError: nothing is trained yet.
            SelectionError: an unknown metric, or no model is left.
        """
        from aiqc_core.orm.results import figures  # noqa: PLC0415 - it loads plotly

        drawn = figures.of_queue(self, max_loss, min_score, score_type, height)
        return figures.given(drawn, call_display)

    @rowmethod
    def compare_best(self, metric: str | None = None, level: float = 0.95) -> Comparison:
        """Say whether the best combination beats the second, or whether that may be chance.

        Both are compared on the Folds that they share, on the split that judges training, by the
        corrected resampled t-test of Nadeau & Bengio (2003).

        Args:
            metric: what ranks them; by default that of the Queue.
            level: of the interval; 1 - level is the p-value below which the best counts as better.

        Returns:
            The difference with its error, t, p and interval, and `verdict`, a sentence; where
            nothing can be told (one combination, no Folds) it begins "Cannot tell because".

        Raises:
            TrainingError: nothing is trained yet.
            SelectionError: an unknown metric, or a level out of range.
        """
        return frames.paired(self, metric, level)


def _combos(algorithm: Algorithm, hyperparamset_id: int | None) -> tuple[list[int | None], int]:
    """Return the ids of the combinations that are there, and how many there will be."""
    if hyperparamset_id is None:
        refuse_unfit(algorithm, None)
        return [None], 1
    hyperparamset = Hyperparamset.get_by_id(hyperparamset_id)
    if hyperparamset.algorithm_id != algorithm.id:
        message = (
            f"hyperparamset_id: Hyperparamset {hyperparamset.id} belongs to Algorithm "
            f"{hyperparamset.algorithm_id}, not to Algorithm {algorithm.id}."
        )
        raise AlgorithmError(message)
    if hyperparamset.is_adaptive:
        return [], hyperparamset.planned().count
    query = hyperparamset.hyperparamcombos.order_by(Hyperparamcombo.idx)
    ids = [combo for (combo,) in query.select(Hyperparamcombo.id).tuples()]
    return ids, len(ids)


def _label_facts(label: Label | None) -> label_check.LabelFacts | None:
    if label is None:
        return None
    step, ordered = label.step(), label.classes_by_code()
    encoded = None if step is None else encode.fit(label.to_df(), step.encoder)
    return label_check.LabelFacts(
        columns=tuple(label.columns),
        dtypes=tuple(label.get_dtypes().values()),
        classes=ordered or label.classes(),
        encoder=None if step is None else step.encoder,
        encoded_width=len(label.columns) if encoded is None else len(encoded.output_columns),
        tells_apart=ordered is not None or label.classes() is None,
    )


def _positive_of(algorithm: Algorithm, splitset: Splitset) -> Any:
    if algorithm.analysis_type != BINARY:
        return None
    label: Any = splitset.label
    return label.positive_class


def _refuse_positive(algorithm: Algorithm, label: Label | None) -> None:
    analysis = algorithm.analysis_type
    if label is not None and label.positive is not None and analysis != BINARY:
        message = (
            f"positive: {label.positive!r} of Label {label.id}; {analysis!r} averages over all "
            "classes. Use 'classification_binary', or a Label without a positive class."
        )
        raise AlgorithmError(message)


def _refuse_text_columns(splitset: Splitset) -> None:
    for feature in splitset.features:
        coded = {name for coder in feature.ordered_coders() for name in coder.matching_columns}
        text = {
            name: dtype
            for name, dtype in feature.get_dtypes().items()
            if name not in coded
            and not types.is_numeric_dtype(dtype)
            and not types.is_bool_dtype(dtype)
        }
        if text:
            message = (
                f"splitset_id: Feature {feature.id} has columns that a model cannot take: {text}. "
                "Attach a FeatureCoder to them, or leave them out (exclude_columns)."
            )
            raise AlgorithmError(message)
