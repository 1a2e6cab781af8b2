"""Record a training: a Predictor with its Prediction, in one transaction."""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Any

from aiqc_core.config import checkpoint_path
from aiqc_core.errors import UnrecordedError
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import digest_of
from aiqc_core.orm.tables.job import DEVICE_LOST, FAILED, MEMORY
from aiqc_core.orm.tables.prediction import Prediction
from aiqc_core.orm.tables.predictor import Predictor
from aiqc_core.orm.training import outbox

if TYPE_CHECKING:
    from aiqc_core.orm.tables.job import Attempt, Job
    from aiqc_core.stages.train.spec import JobOutcome

logger = logging.getLogger(__name__)


def record(job: Job, attempt: Attempt, outcome: JobOutcome) -> Predictor | None:
    """Record a training: its Predictor with the Prediction, or its failure.

    This is one transaction and idempotent: an existing Predictor stays. A claim that another
    process has taken over records nothing. The checkpoint is deleted, unless memory or the device
    was at fault, so that a retry can use it.

    Returns:
        The Predictor; None for a failure, or where another process trains instead.

    Raises:
        UnrecordedError: the store cannot be written (a full disk, a read-only store). The error
            names the file that keeps the outcome, and `recover` records it later.
    """
    if outcome.failure is not None:
        attempt.finish(
            FAILED, outcome.failure.message, outcome.failure.traceback,
            kind=outcome.failure.kind, peak_memory_mb=outcome.peak_memory_mb,
            device=outcome.device,
        )  # fmt: skip
        if outcome.failure.kind not in {MEMORY, DEVICE_LOST}:
            _forget_checkpoint(job, outcome.repeat_index)
        return None
    try:
        predictor = _record_trained(job, outcome, attempt)
    except BaseException as error:
        kept = outbox.keep(job, outcome, error)
        if not isinstance(error, Exception):
            raise  # Ctrl-C: the next run finds the file
        attempt.release(f"could not be recorded and is kept in {kept}")
        raise UnrecordedError(outbox.describe(job, outcome, error, kept)) from error
    _forget_checkpoint(job, outcome.repeat_index)
    return predictor


def recover(job: Job, repeat_index: int) -> JobOutcome | None:
    """Record a training that is kept in a file; None where there is none.

    Raises:
        UnrecordedError: it still cannot be written; the file stays.
    """
    found = outbox.find(job, repeat_index)
    if found is None:
        return None
    path, outcome = found
    try:
        _record_trained(job, outcome)
    except Exception as error:
        raise UnrecordedError(outbox.describe(job, outcome, error, path)) from error
    outbox.forget(path)
    _forget_checkpoint(job, repeat_index)
    logger.info("Job %d (%s): recorded what was kept in %s.", job.id, job.key, path)
    return outcome


def _record_trained(
    job: Job, outcome: JobOutcome, attempt: Attempt | None = None
) -> Predictor | None:
    """Write the Predictor if the claim is still held, and end its attempts."""
    for column, value in _blobs(outcome).items():
        column.send_ahead(value)  # to the object store, before the transaction begins
    with metastore.atomic():
        if attempt is not None and not attempt.succeed(outcome):
            return job.predictors.where(Predictor.repeat_index == outcome.repeat_index).first()
        for left in job.running(outcome.repeat_index):
            left.succeed(outcome)
        found = [p for p in job.predictors if p.repeat_index == outcome.repeat_index]
        return found[0] if found else _write(job, outcome)


def _blobs(outcome: JobOutcome) -> dict[Any, Any]:
    """Return the columns that store bytes as blobs, and their values."""
    return {
        Predictor.model_file: outcome.model,
        Predictor.features_shapes: outcome.features_shapes,
        Predictor.label_shape: outcome.label_shape,
        Prediction.predictions: outcome.predictions,
        Prediction.probabilities: outcome.probabilities,
        Prediction.plot_data: outcome.plot_data,
    }


def _write(job: Job, outcome: JobOutcome) -> Predictor:
    """Write a Predictor and its Prediction, inside the caller's transaction."""
    queue, stored = job.queue, {}
    for column, value in _blobs(outcome).items():
        stored.setdefault(column.model, {})[column.name] = column.store(value)
    predictor = Predictor.create(
        repeat_index=outcome.repeat_index,
        seed=job.seed(outcome.repeat_index),
        time_started=outcome.time_started,
        time_succeeded=outcome.time_succeeded,
        time_duration=round(sum(outcome.seconds.values())),
        seconds=outcome.seconds,
        peak_memory_mb=outcome.peak_memory_mb,
        history=outcome.history,
        is_diverged=outcome.diverged,
        versions=outcome.versions,
        # A file of an earlier version lacks these.
        device=getattr(outcome, "device", None),
        stopped=getattr(outcome, "stopped", None),
        outputs=getattr(outcome, "outputs", None),
        fitted_preprocessing=digest_of(job.fold or queue.splitset, "fitted_preprocessing"),
        job=job,
        **stored[Predictor],
    )
    importance, ids = outcome.feature_importance, queue.splitset.feature_ids
    Prediction.create(
        permute_count=queue.permute_count,
        feature_importance=importance and {str(ids[i]): each for i, each in importance.items()},
        metrics=outcome.metrics,
        metric_notes=outcome.metric_notes,
        metrics_aggregate=outcome.metrics_aggregate,
        predictor=predictor,
        **stored[Prediction],
    )
    return predictor


def _forget_checkpoint(job: Job, repeat_index: int) -> None:
    shutil.rmtree(checkpoint_path(job.file_name(repeat_index)), ignore_errors=True)
