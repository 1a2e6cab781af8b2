"""Walking a declared experiment through the metastore, one stage a function.

Each function makes the rows of its stage for a snapshot, or finds those that unchanged inputs made
before, and returns the row. A notebook calls `run`; Dagster's assets call the stages.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiqc_core.config import timezone_now
from aiqc_core.errors import TrainingError
from aiqc_core.orm import (
    Algorithm,
    Dataset,
    Declared,
    Feature,
    FeatureCoder,
    Hyperparamset,
    Job,
    Label,
    LabelCoder,
    Queue,
    Snapshot,
    Splitset,
    sampling,
)
from aiqc_core.preprocess import encode
from aiqc_core.train.fingerprint import fingerprint

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment, FeatureEncoder

FUNCTIONS = ("fn_build", "fn_train", "fn_predict", "fn_lose", "fn_optimize")


def today() -> str:
    """Return the key of a snapshot of today's data."""
    return timezone_now().strftime("%Y-%m-%d")


def dataset(experiment: Experiment, snapshot: str) -> Dataset:
    """Register the source's present content; unchanged content gives the same row."""
    about: dict[str, Any] = {"name": experiment.name, "description": experiment.description}
    row = (
        Dataset.Tabular.from_path(experiment.source, **about)
        if isinstance(experiment.source, Path)
        else Dataset.Tabular.from_df(experiment.load(), **about)
    )
    Snapshot.put(experiment.name, snapshot, "dataset", row)
    return row


def feature(experiment: Experiment, snapshot: str) -> Feature:
    """Choose the columns to learn from and attach their encoders."""
    source = _row(experiment, snapshot, Dataset, "dataset")
    pipeline = experiment.pipeline

    def make() -> Feature:
        row = (
            Feature.from_dataset(source.id, include_columns=pipeline.features)
            if pipeline.features is not None
            else Feature.from_dataset(source.id, exclude_columns=_listed(pipeline.label))
        )
        for coder in pipeline.feature_encoders:
            FeatureCoder.from_feature(
                row.id,
                coder.encoder,
                include=coder.include,
                dtypes=coder.dtypes,
                columns=coder.columns,
                verbose=False,
            )
        return row

    inputs = [
        source.id,
        pipeline.features,
        _listed(pipeline.label),
        [_coder_inputs(coder) for coder in pipeline.feature_encoders],
    ]
    return _stage(experiment, snapshot, Feature, "feature", inputs, make)


def label(experiment: Experiment, snapshot: str) -> Label:
    """Choose the column to predict and attach its encoder."""
    source = _row(experiment, snapshot, Dataset, "dataset")
    pipeline = experiment.pipeline

    def make() -> Label:
        row = Label.from_dataset(source.id, _listed(pipeline.label))
        if pipeline.label_encoder is not None:
            LabelCoder.from_label(row.id, pipeline.label_encoder)
        return row

    inputs = [source.id, _listed(pipeline.label), _encoder_digest(pipeline.label_encoder)]
    return _stage(experiment, snapshot, Label, "label", inputs, make)


def splitset(experiment: Experiment, snapshot: str) -> Splitset:
    """Cut the samples into splits and folds."""
    features = _row(experiment, snapshot, Feature, "feature")
    target = _row(experiment, snapshot, Label, "label")
    pipeline = experiment.pipeline
    cut: dict[str, Any] = {
        "size_test": pipeline.size_test,
        "size_validation": pipeline.size_validation,
        "bin_count": pipeline.bin_count,
        "fold_count": pipeline.fold_count,
        "seed": experiment.seed,
    }

    def make() -> Splitset:
        return Splitset.make([features.id], label_id=target.id, **cut)

    inputs = [features.id, target.id, cut]
    return _stage(experiment, snapshot, Splitset, "splitset", inputs, make)


def samples(experiment: Experiment, snapshot: str, fold_key: str) -> tuple[Splitset, Path]:
    """Cache the preprocessed samples of one fold; return its Splitset and the folder."""
    row = _row(experiment, snapshot, Splitset, "splitset")
    folds = dict(zip(experiment.fold_keys(), row.parts(), strict=True))
    return row, sampling.ensure(row, folds[fold_key])


def hyperparamset(experiment: Experiment) -> Hyperparamset | None:
    """Register the Algorithm and its combinations; None without hyperparameters."""
    training = experiment.training
    algorithm = _algorithm(experiment)
    if not training.hyperparameters:
        return None
    search: dict[str, Any] = {
        "hyperparameters": training.hyperparameters,
        "search_count": training.search_count,
        "search_percent": training.search_percent,
        "seed": experiment.seed,
    }

    def make() -> Hyperparamset:
        return Hyperparamset.from_algorithm(algorithm.id, **search)

    inputs = [algorithm.id, list(training.hyperparameters), search]
    return Declared.find_or_make(Hyperparamset, experiment.name, "hyperparamset", inputs, make)


def queue(experiment: Experiment, snapshot: str) -> Queue:
    """Make the Jobs of a snapshot; unchanged inputs give the same Queue."""
    cut = _row(experiment, snapshot, Splitset, "splitset")
    combos = hyperparamset(experiment)
    algorithm = _algorithm(experiment)
    training = experiment.training
    counts: dict[str, Any] = {
        "repeat_count": training.repeat_count,
        "permute_count": training.permute_count,
        "seed": experiment.seed,
        "hyperparamset_id": None if combos is None else combos.id,
    }

    def make() -> Queue:
        return Queue.from_algorithm(
            algorithm.id, cut.id, description=experiment.description, **counts
        )

    inputs = [algorithm.id, cut.id, counts]
    return _stage(experiment, snapshot, Queue, "queue", inputs, make)


def job(experiment: Experiment, snapshot: str, job_key: str) -> Job:
    """Return the Job with this key in a snapshot's Queue.

    Raises:
        TrainingError: the Queue has no such Job; the message lists those there are.
    """
    jobs = {row.key: row for row in _row(experiment, snapshot, Queue, "queue").jobs}
    if job_key not in jobs:
        message = f"job: {job_key!r} is none of {sorted(jobs)}."
        raise TrainingError(message)
    return jobs[job_key]


def prepare(experiment: Experiment, snapshot: str) -> Queue:
    """Walk from the source to the Queue, and return it untrained."""
    for stage in (dataset, feature, label, splitset):
        stage(experiment, snapshot)
    return queue(experiment, snapshot)


def run(
    experiment: Experiment, *, snapshot: str | None = None, workers: int | None = None
) -> Queue:
    """Walk the whole chain and train what is missing; no Dagster needed.

    Args:
        experiment: the declaration.
        snapshot: the key of "the data as of"; today's date by default.
        workers: processes that train side by side.

    Raises:
        TrainingError: Jobs failed; the others are recorded.
    """
    row = prepare(experiment, snapshot or today())
    row.run_jobs(workers=workers)
    return row


def _algorithm(experiment: Experiment) -> Algorithm:
    training = experiment.training
    given = {role: getattr(training, role) for role in FUNCTIONS}

    def make() -> Algorithm:
        return Algorithm.make(training.library, training.analysis_type, **given)

    inputs = [
        training.library,
        training.analysis_type,
        {role: None if fn is None else fingerprint(fn) for role, fn in given.items()},
    ]
    return Declared.find_or_make(Algorithm, experiment.name, "algorithm", inputs, make)


def _stage(
    experiment: Experiment, snapshot: str, table: type[Any], stage: str, inputs: Any, make: Any
) -> Any:
    row = Declared.find_or_make(table, experiment.name, stage, inputs, make)
    Snapshot.put(experiment.name, snapshot, stage, row)
    return row


def _row(experiment: Experiment, snapshot: str, table: type[Any], stage: str) -> Any:
    return Snapshot.of(experiment.name, snapshot).get_row(table, stage)


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _coder_inputs(coder: FeatureEncoder) -> list[object]:
    return [_encoder_digest(coder.encoder), coder.include, coder.dtypes, coder.columns]


def _encoder_digest(encoder: object) -> str | None:
    if encoder is None:
        return None
    return hashlib.sha256(pickle.dumps(encode.checked(encoder))).hexdigest()
