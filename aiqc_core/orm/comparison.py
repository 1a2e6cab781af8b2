"""The comparisons of a Queue as DataFrames; they read numbers, never models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from peewee import JOIN

from aiqc_core.errors import SelectionError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiqc_core.orm.queue import Queue

STATISTICS = ("mean", "median", "pstdev", "minimum", "maximum")


def predictors_of(queue: Queue) -> Any:
    """Return the query for the Predictors of a Queue, in the order they were recorded."""
    job = type(queue).jobs.rel_model
    predictor = job.predictors.rel_model
    return predictor.select().join(job).where(job.queue == queue).order_by(predictor.id)


def metrics(
    queue: Queue,
    selected_metrics: Sequence[str] | None,
    sort_by: str | None,
    *,
    ascending: bool,
) -> pd.DataFrame:
    """Return a row for each split of each Predictor; see `Queue.metrics_df`."""
    rows = [
        identity | {"split": split} | values
        for identity, prediction in _recorded(queue)
        for split, values in prediction["metrics"].items()
    ]
    known = {*_identity_columns(queue), "split"}
    names = list(dict.fromkeys(n for row in rows for n in row if n not in known))
    chosen = _chosen("selected_metrics", selected_metrics, names)
    frame = pd.DataFrame(rows, columns=[*_identity_columns(queue), "split", *chosen])
    return _sorted(frame, sort_by, ascending=ascending)


def aggregates(
    queue: Queue,
    selected_metrics: Sequence[str] | None,
    selected_stats: Sequence[str] | None,
    sort_by: str | None,
    *,
    ascending: bool,
) -> pd.DataFrame:
    """Return a row for each metric of each Predictor; see `Queue.metricsAggregate_df`."""
    rows = [
        identity | {"metric": metric} | values
        for identity, prediction in _recorded(queue)
        for metric, values in prediction["metrics_aggregate"].items()
    ]
    known = list(dict.fromkeys(row["metric"] for row in rows))
    names = _chosen("selected_metrics", selected_metrics, known)
    stats = _chosen("selected_stats", selected_stats, list(STATISTICS))
    kept = [row for row in rows if row["metric"] in names]
    frame = pd.DataFrame(kept, columns=[*_identity_columns(queue), "metric", *stats])
    return _sorted(frame, sort_by, ascending=ascending)


def _identity_columns(queue: Queue) -> list[str]:
    fold = ["fold_index"] if queue.splitset.fold_count else []
    repeat = ["repeat_index"] if queue.repeat_count > 1 else []
    return ["hyperparamcombo_id", *fold, "job_id", *repeat, "predictor_id"]


def _recorded(queue: Queue) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield what names each Predictor, and its metrics, in one query without blobs."""
    job = type(queue).jobs.rel_model
    fold = job.fold.rel_model
    predictor = job.predictors.rel_model
    prediction = predictor.predictions.rel_model
    query = (
        prediction.select(
            job.hyperparamcombo.alias("hyperparamcombo_id"),
            fold.idx.alias("fold_index"),
            job.id.alias("job_id"),
            predictor.repeat_index,
            predictor.id.alias("predictor_id"),
            prediction.metrics,
            prediction.metrics_aggregate,
        )
        .join(predictor)
        .join(job)
        .join(fold, JOIN.LEFT_OUTER)
        .where(job.queue == queue)
        .order_by(predictor.id)
    )
    columns = _identity_columns(queue)
    rows = list(query.dicts())
    if not rows:
        message = f"Queue {queue.id} has no trained Predictor yet; run queue.run_jobs()."
        raise TrainingError(message)
    for row in rows:
        yield {name: row[name] for name in columns}, row


def _chosen(argument: str, asked: Sequence[str] | None, known: list[str]) -> list[str]:
    names = known if asked is None else [asked] if isinstance(asked, str) else list(asked)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        message = f"{argument}: {unknown or 'an empty list'}; choose among {known}."
        raise SelectionError(message)
    return names


def _sorted(frame: pd.DataFrame, sort_by: str | None, *, ascending: bool) -> pd.DataFrame:
    if sort_by is None:
        return frame
    if sort_by not in frame.columns:
        message = f"sort_by: {sort_by!r} is no column; choose among {list(frame.columns)}."
        raise SelectionError(message)
    ordered = frame.sort_values(sort_by, ascending=ascending, na_position="last", kind="stable")
    return ordered.reset_index(drop=True)
