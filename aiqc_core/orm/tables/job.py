"""Job and Attempt: what is to be trained, who is training it, and what came of it."""

from __future__ import annotations

import hashlib
import logging
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from peewee import CharField, FloatField, ForeignKeyField, IntegerField, PeeweeException, TextField

from aiqc_core import config
from aiqc_core.config import checkpoint_path, timezone_now
from aiqc_core.errors import MetastoreError, UnrecordedError
from aiqc_core.orm.samples import cache
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField, TimeField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo
from aiqc_core.orm.tables.queue import Queue
from aiqc_core.orm.tables.splitset import Fold
from aiqc_core.orm.training import heartbeat, outbox, process_identity
from aiqc_core.seeds import derive
from aiqc_core.stages.preprocess import pipeline
from aiqc_core.stages.preprocess.samples import Target
from aiqc_core.stages.train.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from aiqc_core.orm.samples.cache import Fitted
    from aiqc_core.orm.tables.splitset import Splitset
    from aiqc_core.stages.train.spec import JobOutcome

logger = logging.getLogger(__name__)

RUNNING, SUCCEEDED, FAILED, LOST = "running", "succeeded", "failed", "lost"
PRUNED = "pruned"  # never begun, as its combination would not win: it counts as done
MEMORY, DEVICE_LOST = "out_of_memory", "device_lost"


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
        """Return the repeat indices that have no Predictor and were not pruned."""
        done = {predictor.repeat_index for predictor in self.predictors}
        pruned = Attempt.select().where(Attempt.job == self, Attempt.status == PRUNED)
        done |= {attempt.repeat_index for attempt in pruned}
        return [index for index in range(self.repeat_count) if index not in done]

    def claim(self, repeat_index: int) -> Attempt | None:
        """Take one training for this process, or return None when it is done or another's.

        A claim whose process has ended (killed, say) is void, and so is one of another host that
        has had no heartbeat for `AIQC_LEASE_SECONDS`.
        """
        with metastore.atomic():
            if repeat_index not in self.missing():
                return None
            for attempt in self._running(repeat_index):
                if attempt.is_alive():
                    return None
                attempt.finish(LOST, attempt.epitaph())
            attempt = Attempt.create(
                job=self,
                repeat_index=repeat_index,
                owner=process_identity.this_process(),
                holder=heart.name,
                beat=heartbeat.now(),
            )
        heart.hold(attempt.id)
        return attempt

    def is_trained_in(self, run: str) -> bool:
        """Say whether a training of this Job is recorded that a run has done itself.

        Args:
            run: what `liveness.working_for` was given when the training was claimed.
        """
        done = Attempt.select().where(Attempt.job == self, Attempt.status == SUCCEEDED)
        return any(attempt.owner.get("run") == run for attempt in done)

    def training_name(self, repeat_index: int) -> str:
        """Return what names one training in logs and files: of ids and content, no path in it."""
        return f"q{self.queue_id}_{self.key}_r{repeat_index}"

    def file_name(self, repeat_index: int) -> str:
        """Return what names the files of one training while it is not recorded.

        With the moment at which its Queue was made: a store that takes the place of another one
        gives out the same ids, and must not take the other's files for its own.
        """
        made = hashlib.sha256(self.queue.time_created.isoformat().encode()).hexdigest()
        return f"{self.training_name(repeat_index)}_{made[:8]}"

    def spec(
        self,
        repeat_index: int,
        *,
        checkpoint_seconds: float | None = None,
        pruner: bytes | None = None,
        rivals: Sequence[dict[str, list[float]]] = (),
    ) -> JobSpec:
        """Return all that training needs, as a value that another process can take.

        Args:
            repeat_index: which of the Job's trainings.
            checkpoint_seconds: between two checkpoints; None writes none, but a training that was
                killed goes on from the one that it left.
            pruner: the captured function that may stop a training early.
            rivals: the histories that the pruner compares with.
        """
        splitset, fold = self.queue.splitset, self.fold
        folder = cache.ensure(splitset, fold)
        fitted: Any = (fold or splitset).fitted
        return replace(
            self.spec_over(repeat_index, folder, fitted),
            checkpoint=str(checkpoint_path(self.file_name(repeat_index))),
            checkpoint_seconds=checkpoint_seconds,
            pruner=pruner,
            rivals=tuple(rivals),
        )

    def spec_over(self, repeat_index: int, folder: Path, fitted: Fitted) -> JobSpec:
        """Return what training needs over samples that lie anywhere, without a checkpoint.

        Args:
            repeat_index: which of the Job's trainings.
            folder: holds a folder of samples for each split.
            fitted: the preprocessing that made them.
        """
        queue, splitset = self.queue, self.queue.splitset
        positions = (self.fold or splitset).positions()
        return JobSpec(
            job_id=self.id,
            repeat_index=repeat_index,
            name=self.training_name(repeat_index),
            library=queue.algorithm.library,
            analysis_type=queue.algorithm.analysis_type,
            functions=queue.algorithm.payloads(),
            hyperparameters=self.hyperparameters,
            seed=self.seed(repeat_index),
            samples={split: str(folder / split) for split in positions},
            key_train=splitset.key_train or "",
            key_evaluation=splitset.key_evaluation,
            feature_count=len(fitted.features),
            label=target_of(splitset, fitted),
            feature_columns=tuple(feature.output_columns for feature in fitted.features),
            column_groups=_column_groups(splitset, fitted),
            permute_count=queue.permute_count,
            sources=queue.algorithm.sources,
            outputs=queue.algorithm.outputs,
        )

    def record(self, attempt: Attempt, outcome: JobOutcome) -> BaseModel | None:
        """Store what came of a training: a Predictor with its Prediction, or the failure.

        One transaction, and idempotent: a Predictor that is there already stays. A claim that
        another process has taken over meanwhile records nothing. The training's checkpoint goes,
        unless memory or the device was at fault, which may go better another time.

        Returns:
            The Predictor; None of a failure, or where another process trains in this one's place.

        Raises:
            UnrecordedError: what was trained cannot be written (a full disk, a read-only store).
                It is kept in a file that the error names, and `recover` records it later.
        """
        if outcome.failure is not None:
            attempt.finish(
                FAILED, outcome.failure.message, outcome.failure.traceback,
                kind=outcome.failure.kind, peak_memory_mb=outcome.peak_memory_mb,
                device=outcome.device,
            )  # fmt: skip
            if outcome.failure.kind not in {MEMORY, DEVICE_LOST}:
                self._forget_checkpoint(outcome.repeat_index)
            return None
        try:
            predictor = self._record_trained(outcome, attempt)
        except BaseException as error:
            kept = outbox.keep(self, outcome, error)
            if not isinstance(error, Exception):
                raise  # Ctrl-C: the next run finds the file
            attempt.release(f"could not be recorded and is kept in {kept}")
            raise UnrecordedError(outbox.describe(self, outcome, error, kept)) from error
        self._forget_checkpoint(outcome.repeat_index)
        return predictor

    def recover(self, repeat_index: int) -> JobOutcome | None:
        """Record what was trained already but could not be recorded then; None where nothing was.

        Raises:
            UnrecordedError: it still cannot be written; the file stays.
        """
        found = outbox.find(self, repeat_index)
        if found is None:
            return None
        path, outcome = found
        try:
            self._record_trained(outcome)
        except Exception as error:
            raise UnrecordedError(outbox.describe(self, outcome, error, path)) from error
        outbox.forget(path)
        self._forget_checkpoint(repeat_index)
        logger.info("Job %d (%s): recorded what was kept in %s.", self.id, self.key, path)
        return outcome

    def _record_trained(
        self, outcome: JobOutcome, attempt: Attempt | None = None
    ) -> BaseModel | None:
        """Write the Predictor, where the claim is still held, and end the attempts at it."""
        table = type(self).predictors.rel_model
        table.send_ahead(outcome)
        with metastore.atomic():
            if attempt is not None and not attempt.succeed(outcome):
                return self.predictors.where(table.repeat_index == outcome.repeat_index).first()
            for left in self._running(outcome.repeat_index):
                left.succeed(outcome)
            found = [p for p in self.predictors if p.repeat_index == outcome.repeat_index]
            return found[0] if found else table.record(self, outcome)

    def _running(self, repeat_index: int) -> list[Attempt]:
        of_this = (Attempt.job == self) & (Attempt.repeat_index == repeat_index)
        return list(Attempt.select().where(of_this, Attempt.status == RUNNING))

    def _forget_checkpoint(self, repeat_index: int) -> None:
        shutil.rmtree(checkpoint_path(self.file_name(repeat_index)), ignore_errors=True)


class Attempt(BaseModel):
    """One try at one training: which process, and how it ended.

    Attributes:
        kind: of a failure: `'exception'`, `'out_of_memory'`, `'exit'`, `'bad_result'`, `'died'`,
            `'time_limit'` or `'device_lost'`.
        peak_memory_mb: the most memory (MiB) that its process held; None where it was not seen.
        device: what it trained on; see `JobOutcome`. None where that is not known.
        holder: the process that claimed it, for its heartbeat.
        beat: when that was last heard of, in whole seconds since 1970 by the database's time.
    """

    repeat_index = IntegerField()
    status = CharField(default=RUNNING)
    owner = JSONField()
    kind = CharField(null=True)
    reason = TextField(null=True)
    traceback = TextField(null=True)
    peak_memory_mb = FloatField(null=True)
    device = JSONField(null=True)
    holder = CharField(null=True, index=True)
    beat = IntegerField(null=True)
    time_finished = TimeField(null=True)
    job = ForeignKeyField(Job, backref="attempts")

    def is_alive(self) -> bool:
        """Say whether the process that claimed it still runs, or may well do so.

        Of one that cannot be seen from here, on another host or in another container, its
        heartbeat tells.
        """
        if process_identity.is_visible(self.owner):
            return process_identity.is_alive(self.owner)
        return not heartbeat.is_overdue(self.beat, self.time_created)

    def epitaph(self) -> str:
        """Return why a claim that is not alive is void."""
        if process_identity.is_visible(self.owner):
            return "its process ended before it was recorded"
        return (
            f"its process {self.owner['pid']} on {self.owner['host']} gave no sign of life for "
            f"{config.lease_seconds():g} s"
        )

    def succeed(self, outcome: JobOutcome) -> bool:
        """Record that a Predictor came of it; False when the claim is another's by now."""
        return self.finish(
            SUCCEEDED,
            peak_memory_mb=outcome.peak_memory_mb,
            device=getattr(outcome, "device", None),  # one kept by an earlier version has none
        )

    def finish(
        self,
        status: str,
        reason: str | None = None,
        traceback: str | None = None,
        *,
        kind: str | None = None,
        peak_memory_mb: float | None = None,
        device: dict[str, Any] | None = None,
    ) -> bool:
        """Record how the attempt ended, and let go of the claim.

        Returns:
            False, and nothing is written, when the claim was taken over: its process was stopped
            for longer than a lease, and another one trains or has trained in its place.
        """
        self.status, self.reason, self.traceback = status, reason, traceback
        self.kind, self.peak_memory_mb, self.device = kind, peak_memory_mb, device
        self.time_updated = self.time_finished = timezone_now()
        heart.drop(self.id)
        written = [
            "status", "reason", "traceback", "kind", "peak_memory_mb", "device", "time_updated",
            "time_finished",
        ]  # fmt: skip
        held = (Attempt.id == self.id) & (Attempt.status == RUNNING)
        values = {name: getattr(self, name) for name in written}
        if Attempt.update(values).where(held).execute():
            return True
        self.status = LOST
        logger.warning(
            "Job %d: its claim was taken over after no sign of life for %g s, so this process "
            "records nothing of it (%s).", self.job_id, config.lease_seconds(), status,
        )  # fmt: skip
        return False

    def release(self, reason: str) -> None:
        """Give the claim back, so that the next run takes it at once.

        Where the store cannot be written this is only logged: something else went wrong before,
        which must not be hidden.
        """
        try:
            self.finish(LOST, reason)
        except (PeeweeException, MetastoreError) as error:
            process_identity.abandon(self.owner)
            logger.warning("The claim of Job %d could not be given back: %s", self.job_id, error)


heart = heartbeat.Heart(Attempt, RUNNING)


def target_of(splitset: Splitset, fitted: Fitted) -> pipeline.FittedLabel | Target:
    """Return what was fitted on the Label, with its positive class, or on what is its own."""
    if fitted.label is None or splitset.label is None:
        return own_target(splitset, fitted)
    return replace(fitted.label, positive=splitset.label.positive)


def own_target(splitset: Splitset, fitted: Fitted) -> Target:
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
