"""Metadata of rows and figures that Dagster shows beside an asset."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
from pyarrow.parquet import ParquetFile

from aiqc_core.orm import Champion
from aiqc_core.orm.inference import UNSEEN
from aiqc_core.orm.training import Measure
from aiqc_dagster.ui import figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from aiqc_core.experiment.workflow import Challenge
    from aiqc_core.orm import Dataset, Feature, Job, Label, Prediction, Predictor, Splitset
    from aiqc_core.orm.results.leaderboard import Board

Metadata = dict[str, Any]
SHOWN_ROWS = 5
DIGITS = 4
OWN_COLUMNS = {"rank", "models", "pruned", "combination"}


def of_dataset(row: Dataset) -> Metadata:
    """Show what was registered."""
    return {
        "dataset_id": row.id,
        "version": row.version,
        "samples": row.shape["samples"],
        "columns": len(row.columns),
        "memory_MB": row.memory_MB,
        "contains_nan": bool(row.contains_nan),
        "sha256": row.sha256_hexdigest,
        "source_format": row.source_format,
        "dtypes": table([{"column": name, "dtype": d} for name, d in row.get_dtypes().items()]),
    }


def of_feature(row: Feature) -> Metadata:
    """Show which columns are learned from, and how they are encoded."""
    coders = [
        {"coder": type(c.sklearn_preprocess).__name__, "columns": ", ".join(c.matching_columns)}
        for c in row.ordered_coders()
    ]
    return {
        "feature_id": row.id,
        "columns": len(row.columns),
        "column_names": row.columns,
        "coders": table(coders) if coders else "none",
    }


def of_label(row: Label) -> Metadata:
    """Show what is predicted."""
    step = row.step()
    return {
        "label_id": row.id,
        "columns": row.columns,
        "classes": list(map(str, row.classes_by_code() or row.classes() or ["continuous"])),
        "coder": "none" if step is None else type(step.encoder).__name__,
        **positive(row.positive_class),
    }


def of_splitset(row: Splitset) -> Metadata:
    """Show how the samples were cut."""
    sizes = [
        {"split": split, "samples": int(size["count"]), "share": float(size["percent"])}
        for split, size in row.sizes.items()
    ]
    return {
        "splitset_id": row.id,
        "folds": row.fold_count or 0,
        "seed": row.seed,
        "sizes": table(sizes),
        **{f"samples_{size['split']}": size["samples"] for size in sizes},
        **figures.of_splitset(row),
    }


def of_predictor(job: Job, predictor: Predictor, trained: str) -> Metadata:
    """Show a trained model's numbers, which the UI plots over time, and when it was trained."""
    metrics = predictor.prediction.metrics
    measure = Measure.of_queue(job.queue)
    score = measure.of(metrics)
    return {
        "metrics": table([{"split": split, **values} for split, values in metrics.items()]),
        "hyperparameters": job.hyperparameters,
        "trained": trained,
        "seconds": float(sum(predictor.seconds.values())),
        "peak_memory_MB": float(predictor.peak_memory_mb),
        "epochs": predictor.epochs,
        "stopped": predictor.stopped or "no",
        "diverged": bool(predictor.is_diverged),
        "metric": measure.metric,
        **({measure.metric: score} if math.isfinite(score) else {}),
        "predictor_id": predictor.id,
        "job_id": job.id,
        "queue_id": job.queue_id,
        **positive(job.queue.positive_class),
        **numbers(metrics),
        **figures.of_curve(predictor),
    }


def of_standings(experiment: str, board: Board) -> Metadata:
    """Show the comparison of all combinations, best first, and the champion of the experiment."""
    queue, ranked, metric = board.queue, board.ranked, board.measure.metric
    short = any(s.pruned for s in ranked)
    values: dict[str, set[str]] = {name: set() for s in ranked for name in s.hyperparameters}
    for name, found in values.items():
        found.update(json.dumps(s.hyperparameters.get(name), default=str) for s in ranked)
    varied = [name for name, found in values.items() if len(found) > 1]
    columns = {n: f"{n} (hyperparameter)" if n in OWN_COLUMNS else n for n in varied}
    splits = sorted(ranked[0].scores, key=lambda split: split != queue.splitset.judged_on)
    # What decides comes first: the page shows the first columns, and the rest by scrolling.
    rows = [
        {"rank": rank}
        | {f"{metric} {split}": s.scores[split] for split in splits}
        | {columns[name]: s.hyperparameters.get(name) for name in varied}
        | {"models": s.models}
        | ({"pruned": s.pruned} if short else {})
        | {"combination": s.combo_key}
        for rank, s in enumerate(ranked, start=1)
    ]
    fixed = {n: v for n, v in ranked[0].hyperparameters.items() if n not in varied}
    best = {f"best_{split}_{metric}": value for split, value in ranked[0].scores.items()}
    in_force = Champion.of(experiment)
    return {
        "queue_id": queue.id,
        "models": sum(s.models for s in ranked),
        "pruned": queue.runs_pruned,
        "metric": metric,
        "direction": f"{'lower' if board.measure.lower_is_better else 'higher'} is better",
        "best": board.undefined or ranked[0].combo_key,
        **({} if in_force is None else {"champion_predictor_id": in_force.predictor_id}),
        **positive(queue.positive_class),
        "leaderboard": table(rows),
        **({"fixed_hyperparameters": fixed} if fixed else {}),
        **{name: value for name, value in best.items() if math.isfinite(value)},
    }


def of_champion(row: Champion, result: Challenge) -> Metadata:
    """Show which model is in use, and how its challenger did."""
    contest = {} if result.contest is None else asdict(result.contest)
    metric = Measure.of_queue(row.predictor.job.queue).metric
    metrics = row.predictor.prediction.metrics
    scores = {split: {metric: m[metric]} for split, m in metrics.items() if metric in m}
    return {
        "predictor_id": row.predictor_id,
        "snapshot_of_champion": row.snapshot,
        "promoted": result.is_promoted,
        "verdict": result.finding.summary,
        **({} if result.challenger is None else {"challenger_predictor_id": result.challenger.id}),
        "hyperparameters": row.predictor.job.hyperparameters,
        "metric": metric,
        **numbers(scores),  # the first champion has no contest
        **positive(row.predictor.positive_class),
        **({"contest": table([contest])} if contest else {}),
        **{name: v for name, v in contest.items() if isinstance(v, float) and math.isfinite(v)},
        **figures.of_champion(row.predictor),
    }


def of_prediction(row: Prediction, path: Path | None) -> Metadata:
    """Show the predictions of a batch: rows, rows of each class, and metrics."""
    (split,) = row.predictions
    predicted = row.predictions[split]
    shown: Metadata = {
        "prediction_id": row.id,
        "predictor_id": row.predictor_id,
        "samples": len(predicted),
        **positive(row.predictor.positive_class),
        **numbers(row.metrics),
    }
    if row.probabilities is not None:
        values, counts = np.unique(predicted, return_counts=True)
        pairs = zip(values.tolist(), counts.tolist(), strict=True)
        shown["classes"] = table([{"class": str(v), "samples": n} for v, n in pairs])
    if UNSEEN in row.metric_notes.get(split, {}):
        shown["values_not_seen_in_training"] = row.metric_notes[split][UNSEEN]
    if path is not None:
        first = next(ParquetFile(path).iter_batches(batch_size=SHOWN_ROWS)).to_pylist()
        shown["first_rows"] = table(first)
        shown["file"] = dg.MetadataValue.path(str(path))
    return shown


def positive(name: object) -> Metadata:
    """Say of two classes which one precision, recall and f1 are of."""
    return {} if name is None else {"positive_class": str(name)}


def numbers(metrics: Mapping[str, Mapping[str, float]]) -> Metadata:
    """Flatten `{split: {metric: value}}` to `accuracy_test: 0.95`, without what is undefined."""
    return {
        f"{metric}_{split}": float(value)
        for split, values in metrics.items()
        for metric, value in values.items()
        if math.isfinite(value)
    }


def table(rows: Sequence[Mapping[str, object]]) -> dg.TableMetadataValue:
    """Show rows as a table: numbers to four digits, so that a row fits the page; NaN as text.

    Whole digits all stay. The store, and metadata that is a single number, have every digit.
    """
    return dg.MetadataValue.table(
        [dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows]
    )


def _cell(value: object) -> str | int | float | bool:
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return float(f"{value:.{DIGITS}g}") if abs(value) < 10**DIGITS else float(round(value))
    return value if isinstance(value, str | int | float | bool) else str(value)
