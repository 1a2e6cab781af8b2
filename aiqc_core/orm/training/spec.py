"""Make the plain value that another process needs to train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiqc_core.config import checkpoint_path
from aiqc_core.orm.samples import cache
from aiqc_core.orm.samples.target import target_of
from aiqc_core.stages.preprocess import pipeline
from aiqc_core.stages.train.spec import JobSpec
from aiqc_core.storage import cache as stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.job import Job
    from aiqc_core.orm.tables.splitset import Splitset


def spec_of(
    job: Job,
    repeat_index: int,
    *,
    like: JobSpec | None = None,
    checkpoint_seconds: float | None = None,
    pruner: bytes | None = None,
    rivals: Sequence[dict[str, list[float]]] = (),
) -> JobSpec:
    """Return everything that one training of a Job needs.

    Args:
        like: that of another Job of the same Queue and Fold: only what differs is read. Its
            samples are made again if they are no longer there.
        checkpoint_seconds: between two checkpoints; None writes none, but a killed training
            continues from the one that it left.
        pruner: the captured function that may stop a training early.
        rivals: the histories that the pruner compares with.
    """
    if like is not None and stored.is_whole(Path(like.samples[like.key_train]).parent):
        spec = replace(like, **_own(job, repeat_index))
    else:
        splitset, fold = job.queue.splitset, job.fold
        folder = cache.keep(splitset, fold)
        fitted: Any = (fold or splitset).fitted
        spec = spec_over(job, repeat_index, folder, fitted)
    return replace(
        spec,
        checkpoint=str(checkpoint_path(job.file_name(repeat_index))),
        checkpoint_seconds=checkpoint_seconds,
        pruner=pruner,
        rivals=tuple(rivals),
    )


def spec_over(job: Job, repeat_index: int, folder: Path, fitted: Fitted) -> JobSpec:
    """Return what training needs over samples in any folder, without a checkpoint.

    Args:
        folder: holds a folder of samples for each split.
        fitted: the preprocessing that made them.
    """
    queue, splitset = job.queue, job.queue.splitset
    return JobSpec(
        **_own(job, repeat_index),
        library=queue.algorithm.library,
        analysis_type=queue.algorithm.analysis_type,
        functions=queue.algorithm.payloads(),
        samples={split: str(folder / split) for split in (job.fold or splitset).positions()},
        key_train=splitset.key_train or "",
        key_evaluation=splitset.key_evaluation,
        feature_count=len(fitted.features),
        label=target_of(splitset, fitted),
        column_groups=_column_groups(splitset, fitted),
        permute_count=queue.permute_count,
        sources=queue.algorithm.sources,
        outputs=queue.algorithm.outputs,
    )


def _own(job: Job, repeat_index: int) -> dict[str, Any]:
    """Return what the specifications of a Queue's trainings on one Fold do not share."""
    return {
        "job_id": job.id,
        "repeat_index": repeat_index,
        "name": job.training_name(repeat_index),
        "hyperparameters": job.hyperparameters,
        "seed": job.seed(repeat_index),
    }


def _column_groups(splitset: Splitset, fitted: Fitted) -> tuple[dict[str, Any] | None, ...]:
    """Return which encoded columns follow from each column; None for images and reshaped ones."""
    return tuple(
        None
        if feature.dataset.typ == "image" or list(feature.featureshapers)
        else pipeline.column_groups(fit)
        for feature, fit in zip(splitset.features, fitted.features, strict=True)
    )
