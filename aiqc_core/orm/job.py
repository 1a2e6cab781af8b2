"""Job and Attempt: what is to be trained, who is training it, and what came of it."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import psutil
from peewee import CharField, ForeignKeyField, IntegerField, TextField

from aiqc_core.config import timezone_now
from aiqc_core.orm import sampling
from aiqc_core.orm.base import BaseModel
from aiqc_core.orm.database import metastore
from aiqc_core.orm.fields import JSONField, TimeField
from aiqc_core.orm.hyperparameter import Hyperparamcombo
from aiqc_core.orm.queue import Queue
from aiqc_core.orm.splitset import Fold
from aiqc_core.preprocess import pipeline
from aiqc_core.preprocess.samples import Target
from aiqc_core.seeds import derive
from aiqc_core.train.outcome import JobSpec

if TYPE_CHECKING:
    from aiqc_core.orm.sampling import Fitted
    from aiqc_core.orm.splitset import Splitset
    from aiqc_core.train.outcome import JobOutcome

RUNNING, SUCCEEDED, FAILED, LOST = "running", "succeeded", "failed", "lost"


class Job(BaseModel):
    """One combination on one Fold, trained `repeat_count` times."""

    repeat_count = IntegerField()
    queue = ForeignKeyField(Queue, backref="jobs")
    hyperparamcombo = ForeignKeyField(Hyperparamcombo, backref="jobs", null=True)
    fold = ForeignKeyField(Fold, backref="jobs", null=True)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The combination's values; empty without one."""
        return {} if self.hyperparamcombo is None else self.hyperparamcombo.hyperparameters

    @property
    def key(self) -> str:
        """A name that follows from content: the Fold's index and the combination's hash."""
        fold = "nofold" if self.fold is None else f"f{self.fold.idx}"
        return f"{fold}_{self.combo_key}"

    @property
    def combo_key(self) -> str:
        """The hash of the combination's content; `default` without one."""
        return "default" if self.hyperparamcombo is None else self.hyperparamcombo.key

    def seed(self, repeat_index: int) -> int:
        """Return the seed of one training: of content and index only, never of order."""
        return derive(self.queue.seed, self.key, repeat_index)

    def missing(self) -> list[int]:
        """Return the repeat indices that have no Predictor."""
        trained = {predictor.repeat_index for predictor in self.predictors}
        return [index for index in range(self.repeat_count) if index not in trained]

    def claim(self, repeat_index: int) -> Attempt | None:
        """Take one training for this process, or return None when it is done or another's.

        A claim whose process has ended (killed, say) is void.
        """
        with metastore.atomic():
            if repeat_index not in self.missing():
                return None
            running = (Attempt.job == self) & (Attempt.repeat_index == repeat_index)
            for attempt in Attempt.select().where(running, Attempt.status == RUNNING):
                if attempt.is_alive():
                    return None
                attempt.finish(LOST, "its process ended before it was recorded")
            return Attempt.create(job=self, repeat_index=repeat_index, **_this_process())

    def spec(self, repeat_index: int) -> JobSpec:
        """Return all that training needs, as a value that another process can take."""
        queue, splitset, fold = self.queue, self.queue.splitset, self.fold
        folder = sampling.ensure(splitset, fold)
        fitted: Any = (fold or splitset).fitted
        positions = (fold or splitset).positions()
        return JobSpec(
            job_id=self.id,
            repeat_index=repeat_index,
            name=f"q{queue.id}_{self.key}_r{repeat_index}",
            library=queue.algorithm.library,
            analysis_type=queue.algorithm.analysis_type,
            functions=queue.algorithm.payloads(),
            hyperparameters=self.hyperparameters,
            seed=self.seed(repeat_index),
            samples={split: str(folder / split) for split in positions},
            key_train=splitset.key_train or "",
            key_evaluation=splitset.key_evaluation,
            feature_count=len(fitted.features),
            label=fitted.label or _own_target(splitset, fitted),
            feature_columns=tuple(feature.output_columns for feature in fitted.features),
            column_groups=_column_groups(splitset, fitted),
            permute_count=queue.permute_count,
            sources=queue.algorithm.sources,
        )

    def record(self, attempt: Attempt, outcome: JobOutcome) -> BaseModel | None:
        """Store what came of a training: a Predictor with its Prediction, or the failure.

        One transaction, and idempotent: a Predictor that is there already stays.
        """
        with metastore.atomic():
            if outcome.failure is not None:
                attempt.finish(FAILED, outcome.failure.message, outcome.failure.traceback)
                return None
            found = [p for p in self.predictors if p.repeat_index == outcome.repeat_index]
            predictor = (
                found[0] if found else type(self).predictors.rel_model.record(self, outcome)
            )
            attempt.finish(SUCCEEDED)
            return predictor


class Attempt(BaseModel):
    """One try at one training: which process, and how it ended."""

    repeat_index = IntegerField()
    status = CharField(default=RUNNING)
    owner = JSONField()
    reason = TextField(null=True)
    traceback = TextField(null=True)
    time_finished = TimeField(null=True)
    job = ForeignKeyField(Job, backref="attempts")

    def is_alive(self) -> bool:
        """Say whether the process that claimed it still runs.

        Of a process on another host nothing can be seen from here: it counts as alive.
        """
        if self.owner["host"] != socket.gethostname():
            return True
        try:
            started = psutil.Process(self.owner["pid"]).create_time()
        except psutil.NoSuchProcess:
            return False
        return abs(started - self.owner["started"]) < 1.0

    def finish(self, status: str, reason: str | None = None, traceback: str | None = None) -> None:
        """Record how the attempt ended."""
        self.status, self.reason, self.traceback = status, reason, traceback
        self.time_finished = timezone_now()
        self.save()


def _own_target(splitset: Splitset, fitted: Fitted) -> Target:
    """Return what a Splitset without a Label learns: its Feature itself."""
    (feature,) = splitset.features
    recipe = feature.recipe()
    shape = (*feature.preprocessed_shape()[:-1], len(fitted.features[0].output_columns))
    return Target(fitted.features[0], shape, recipe.reshape_indices)


def _column_groups(splitset: Splitset, fitted: Fitted) -> tuple[dict[str, Any] | None, ...]:
    """Return which encoded columns follow from which column; None where none can be permuted.

    Images have no columns of meaning, and a reshape moves columns away from the last axis.
    """
    return tuple(
        None
        if feature.dataset.typ == "image" or list(feature.featureshapers)
        else pipeline.column_groups(fit)
        for feature, fit in zip(splitset.features, fitted.features, strict=True)
    )


def _this_process() -> dict[str, dict[str, object]]:
    pid = os.getpid()
    started = psutil.Process(pid).create_time()
    return {"owner": {"host": socket.gethostname(), "pid": pid, "started": started}}
