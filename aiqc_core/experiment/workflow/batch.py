"""Predict a batch of new data with an experiment's champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from aiqc_core.config import home
from aiqc_core.errors import IngestError
from aiqc_core.experiment.workflow.champion import champion
from aiqc_core.experiment.workflow.keys import batches_of, free_batch
from aiqc_core.experiment.workflow.watch import table_of
from aiqc_core.orm import Prediction, Predictor, Snapshot
from aiqc_core.orm.inference import predict as predicting
from aiqc_core.orm.inference.infer import UNSEEN
from aiqc_core.orm.results.paired_evaluation import learned
from aiqc_core.stages.evaluate import drift
from aiqc_core.stages.evaluate.checks import WARNING, Finding, joined
from aiqc_core.stages.ingest.delimited import Hints
from aiqc_core.stages.ingest.tabular import read_table

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment

TABLES = (".csv", ".tsv", ".parquet", ".pq")


def predict(
    experiment: Experiment, batch: str = "", *, path: str = "", predictor_id: int | None = None
) -> tuple[str, Prediction]:
    """Predict a batch, and note which Prediction it has; return its key too.

    Where the file is a table that has the label's columns too, the predictions are scored.

    Args:
        experiment: the declaration.
        batch: the key of the batch; the present time, which no other batch has, if empty.
        path: the file or folder of the new data; without one, an earlier batch is found.
        predictor_id: another model than the champion.

    Raises:
        IngestError: a new batch without a path, or what is at the path cannot be read.
        NotFoundError: there is no champion yet.
        SelectionError: columns are missing or incompatible.
    """
    if not path and batch:
        return batch, of_batch(experiment, batch)
    if not path:
        message = f"path: a new batch of {experiment.name} needs the path of its data."
        raise IngestError(message)
    chosen = None if predictor_id is None else Predictor.get_by_id(predictor_id)
    predictor = champion(experiment).predictor if chosen is None else chosen
    columns = predictor.job.queue.splitset.label
    label = None
    if columns is not None and Path(path).suffix.lower() in TABLES:
        hints = Hints(dtypes=columns.get_dtypes(), quiet=True)  # `predict` warns
        frame, _ = read_table(path, hints=hints)
        if all(name in frame.columns for name in columns.columns):
            label = frame[columns.columns]
    row = predictor.predict(path, label, store=True)
    batch = batch or free_batch(experiment)
    Snapshot.put(batches_of(experiment), batch, "prediction", row)
    return batch, row


def of_batch(experiment: Experiment, batch: str) -> Prediction:
    """Return the Prediction of a batch; raise IngestError where it was not predicted yet."""
    noted = Snapshot.get_or_none(experiment=batches_of(experiment), key=batch)
    if noted is None or "prediction" not in noted.rows:
        message = (
            f"path: batch {batch!r} of {experiment.name} was not predicted yet; give the path of "
            "its data."
        )
        raise IngestError(message)
    return noted.get_row(Prediction, "prediction")


def write_table(experiment: Experiment, batch: str, row: Prediction) -> Path | None:
    """Write predictions as Parquet, whole or not at all; None where they are no table.

    It is the table of `Predictor.predict(…, carry=True)`: the prediction under the label's name,
    `probability_<class>` of each class, and the columns of the new data that are neither features
    nor label, such as an id to join by.
    """
    frame = predicting.table_of(row)
    if not isinstance(frame, pd.DataFrame):
        return None
    path = home() / "predictions" / experiment.name / f"{batch}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    frame.to_parquet(unfinished)
    return unfinished.replace(path)


def batch_drift(experiment: Experiment, batch: str) -> Finding:
    """Compare a batch's columns with the very rows that its Predictor learned from.

    Amber at least where it holds categories that training did not see.
    """
    row = of_batch(experiment, batch)
    splitset: Any = row.splitset
    before, feature = table_of(*learned(row.predictor)), splitset.features[0]
    found = drift.verdict(drift.compare(before, table_of(feature, None)))
    unseen = next(iter(row.metric_notes.values()), {}).get(UNSEEN)
    if unseen is None:
        return found
    summary = f"Values that training did not see: {unseen}."
    return joined(found, Finding(WARNING, summary, {UNSEEN: unseen}))
