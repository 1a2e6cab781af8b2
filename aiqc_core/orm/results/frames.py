"""Compare the models of a Queue in DataFrames; this reads numbers, never models."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, Any

import pandas as pd
from peewee import JOIN

from aiqc_core.errors import SelectionError, TrainingError
from aiqc_core.job_keys import NO_COMBINATION
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo
from aiqc_core.orm.tables.job import Job
from aiqc_core.orm.tables.prediction import Prediction
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.tables.splitset import Fold
from aiqc_core.orm.training.measure import Measure
from aiqc_core.stages.evaluate.compare import Candidate, Comparison, best_two, why_undefined
from aiqc_core.stages.ingest.selection import listed
from aiqc_core.stages.train.hooks.observer import CALLBACK, PRUNER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.tables.queue import Queue

STATISTICS = ("mean", "median", "pstdev", "minimum", "maximum")


def metrics_df(
    queue: Queue,
    selected_metrics: Sequence[str] | None = None,
    sort_by: str | None = None,
    ascending: bool = False,
    hyperparameters: bool = True,
) -> pd.DataFrame:
    """Return the metrics of each split of each Predictor, a row each.

    In a binary analysis the column `positive`, and `frame.attrs`, say which class precision,
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
    recorded = _recorded(queue, "metrics")
    names = list(dict.fromkeys(n for r in recorded for m in r["metrics"].values() for n in m))
    chosen = _chosen("selected_metrics", selected_metrics, names)
    parts = [record["metrics"] for record in recorded]
    frame = _table(queue, recorded, ("split", parts), (names, chosen), hyperparameters)
    return _sorted(frame, sort_by, ascending)


def metricsAggregate_df(
    queue: Queue,
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
    recorded = _recorded(queue, "metrics_aggregate")
    known = list(dict.fromkeys(name for row in recorded for name in row["metrics_aggregate"]))
    names = _chosen("selected_metrics", selected_metrics, known)
    stats = _chosen("selected_stats", selected_stats, list(STATISTICS))
    parts = [
        {name: values for name, values in row["metrics_aggregate"].items() if name in names}
        for row in recorded
    ]
    frame = _table(queue, recorded, ("metric", parts), (STATISTICS, stats), hyperparameters)
    return _sorted(frame, sort_by, ascending)


def compare_best(queue: Queue, metric: str | None = None, level: float = 0.95) -> Comparison:
    """Say whether the best combination beats the second, or whether that may be chance.

    Both are compared on the Folds that they share, on the split that judges training, by the
    corrected resampled t-test of Nadeau & Bengio (2003).

    Args:
        metric: what ranks them; by default that of the Queue.
        level: of the interval; 1 - level is the p-value below which the best counts as better.

    Returns:
        The difference with its error, t, p and interval, and `verdict`, a sentence; without
        an answer (one combination, no Folds) it begins "Cannot tell because".

    Raises:
        TrainingError: nothing is trained yet.
        SelectionError: an unknown metric, or a level out of range.
    """
    measure = Measure.of_queue(queue, metric)
    chosen, split = measure.metric, measure.split
    rows = trained(queue)
    if not rows:
        raise TrainingError(untrained(queue))
    values = {row["combo_key"]: row["hyperparameters"] for row in rows}
    scores: dict[str, dict[int, list[float]]] = {key: {} for key in values}
    _chosen("metric", [chosen], list(dict.fromkeys(n for r in rows for n in r["metrics"][split])))
    for row in rows:
        by_fold = scores[row["combo_key"]]
        by_fold.setdefault(row["fold_index"] or 0, []).append(measure.of(row["metrics"]))
    reasons = [row["metric_notes"].get(split, {}).get(chosen) for row in rows]
    undefined = why_undefined(
        chosen, split, [measure.of(row["metrics"]) for row in rows], filter(None, reasons)
    )
    differing = varied(list(values.values()))
    names = {
        key: f"{', '.join(f'{n}={each.get(n)!r}' for n in differing)} ({key})".lstrip()
        for key, each in values.items()
    }
    return best_two(
        [Candidate(names[key], by_fold) for key, by_fold in scores.items()],
        metric=chosen,
        split=split,
        test_share=_test_share(queue),
        level=level,
        positive=queue.positive_class,
        undefined=undefined,
    )


def trained(queue: Queue) -> list[dict[str, Any]]:
    """Return what a comparison needs of each Predictor, in one query without blobs.

    Returns:
        In the order of Jobs and repeats: `job_id, fold_index, predictor_id, repeat_index,
        combo_key, hyperparameters, seconds, time_succeeded, metrics, metric_notes, stopped,
        is_diverged`.
    """
    query = _joined(
        queue,
        Hyperparamcombo.key.alias("combo_key"),
        Hyperparamcombo.hyperparameters,
        Predictor.seconds,
        Predictor.time_succeeded,
        Prediction.metrics,
        Prediction.metric_notes,
        Predictor.stopped,
        Predictor.is_diverged,
    )
    rows = list(query.order_by(Job.id, Predictor.repeat_index).dicts())
    for row in rows:
        if row["combo_key"] is None:  # the Queue has no hyperparameters
            row |= {"combo_key": NO_COMBINATION, "hyperparameters": {}}
    return rows


def _test_share(queue: Queue) -> float:
    """Return the mean ratio of judging to training rows over the Folds."""
    splitset = queue.splitset
    evaluation, train = splitset.judged_on, splitset.key_train or ""
    cuts = [fold.positions() for fold in splitset.ordered_folds]
    return fmean(len(cut[evaluation]) / len(cut[train]) for cut in cuts) if cuts else 0.0


def _joined(queue: Queue, *columns: Any) -> Any:
    """Return the query for what names each Predictor of a Queue, and for further columns."""
    return (
        Prediction.select(
            Job.hyperparamcombo.alias("hyperparamcombo_id"),
            Fold.idx.alias("fold_index"),
            Job.id.alias("job_id"),
            Predictor.repeat_index,
            Predictor.id.alias("predictor_id"),
            *columns,
        )
        .join(Predictor)
        .join(Job)
        .join(Fold, JOIN.LEFT_OUTER)
        .switch(Job)
        .join(Hyperparamcombo, JOIN.LEFT_OUTER)
        .where(Job.queue == queue, Prediction.splitset.is_null())  # none of new data
    )


def _table(
    queue: Queue,
    recorded: list[dict[str, Any]],
    rows: tuple[str, list[dict[str, dict[str, Any]]]],
    values: tuple[Sequence[str], Sequence[str]],
    hyperparameters: bool,
) -> pd.DataFrame:
    """Return a table of what `_recorded` returns.

    `rows` are the column that names rows, and `{name: values}` of each record; `values` the names
    of all values, and of those that are columns.
    """
    (row_name, parts), (known, chosen) = rows, values
    found = queue.positive_class
    positive = {} if found is None else {"positive": found}
    fold = ["fold_index"] if any(row["fold_index"] is not None for row in recorded) else []
    repeat = ["repeat_index"] if queue.repeat_count > 1 else []
    identity = ["hyperparamcombo_id", *fold, "job_id", *repeat, "predictor_id", row_name]
    identity += positive
    about = _about(recorded, {*identity, *known}, hyperparameters=hyperparameters)
    frame = pd.DataFrame(
        [
            record | more | {row_name: name} | positive | numbers
            for record, more, part in zip(recorded, about, parts, strict=True)
            for name, numbers in part.items()
        ],
        columns=[*identity, *about[0], *chosen],
    )
    frame.attrs |= positive
    return frame


def _recorded(queue: Queue, column: str) -> list[dict[str, Any]]:
    """Return what names each Predictor, how it ended, and one column of its Prediction."""
    wanted = getattr(Prediction, column), Predictor.stopped, Predictor.is_diverged
    query = _joined(queue, *wanted, Hyperparamcombo.hyperparameters)
    rows = list(query.order_by(Predictor.id).dicts())
    if not rows:
        raise TrainingError(untrained(queue))
    return rows


def _about(
    recorded: list[dict[str, Any]], taken: set[str], *, hyperparameters: bool
) -> list[dict[str, Any]]:
    """Return what differs of each Predictor, beside columns that are `taken`, and how it ended."""
    combos = [row["hyperparameters"] or {} for row in recorded]
    differing = varied(combos) if hyperparameters else []
    names = {n: f"hyperparameter_{n}" if n in {*taken, "ended"} else n for n in differing}
    found = [{names[name]: combo.get(name) for name in differing} for combo in combos]
    ends = [ended(row["stopped"], diverged=bool(row["is_diverged"])) for row in recorded]
    if any(ends):
        found = [more | {"ended": end} for more, end in zip(found, ends, strict=True)]
    return found


def varied(combos: Sequence[dict[str, Any]]) -> list[str]:
    """Return the hyperparameters in which combinations differ.

    >>> varied([{"lr": 0.1, "width": 8}, {"lr": 0.1, "width": 16}])
    ['width']
    """
    known = dict.fromkeys(name for combo in combos for name in combo)
    return [n for n in known if len({repr(combo.get(n)) for combo in combos}) > 1]


def ended(stopped: str | None, *, diverged: bool) -> str:
    """Return how a training ended, in words; empty where it ran to its end.

    >>> ended("pruner", diverged=False)
    'pruned'
    """
    how = {PRUNER: "pruned", CALLBACK: "own rule"}.get(stopped or "")
    return ", ".join(word for word in (how, "diverged" if diverged else None) if word)


def untrained(queue: Queue) -> str:
    """Return the error text of a Queue without a Predictor."""
    return f"Queue {queue.id} has no trained Predictor yet; run queue.run_jobs()."


def _chosen(argument: str, asked: Sequence[str] | None, known: list[str]) -> list[str]:
    names = known if asked is None else listed(asked) or []
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise SelectionError(f"{argument}: {unknown or 'an empty list'}; choose among {known}.")
    return names


def _sorted(frame: pd.DataFrame, sort_by: str | None, ascending: bool) -> pd.DataFrame:
    if sort_by is None:
        return frame
    if sort_by not in frame.columns:
        message = f"sort_by: {sort_by!r} is no column; choose among {list(frame.columns)}."
        raise SelectionError(message)
    ordered = frame.sort_values(sort_by, ascending=ascending, na_position="last", kind="stable")
    return ordered.reset_index(drop=True)
