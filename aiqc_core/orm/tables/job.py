"""Job and Attempt: what to train, the process that trains it, and the result."""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any

from peewee import CharField, FloatField, ForeignKeyField, IntegerField, PeeweeException, TextField

from aiqc_core import config, job_keys
from aiqc_core.config import timezone_now
from aiqc_core.errors import MetastoreError
from aiqc_core.orm.store import heartbeat, process_identity
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField, TimeField
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.hyperparameter import Hyperparamcombo
from aiqc_core.orm.tables.queue import Queue
from aiqc_core.orm.tables.splitset import Fold
from aiqc_core.seeds import derive

if TYPE_CHECKING:
    from aiqc_core.stages.train.spec import JobOutcome

logger = logging.getLogger(__name__)

RUNNING, SUCCEEDED, FAILED, LOST = "running", "succeeded", "failed", "lost"
PRUNED = "pruned"  # not started, as its combination would not win: it counts as done
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
        """A name from content: the Fold's index and the combination's hash."""
        return job_keys.job_key(self.fold_key, self.combo_key)

    @property
    def fold_key(self) -> str:
        """The Fold's index, such as `f0`; `nofold` without one."""
        return job_keys.fold_key(self.fold and self.fold.idx)

    @property
    def combo_key(self) -> str:
        """The hash of the combination's content; `default` without one."""
        return (
            job_keys.NO_COMBINATION if self.hyperparamcombo is None else self.hyperparamcombo.key
        )

    def seed(self, repeat_index: int) -> int:
        """Return the seed of one training, from content and index, never from order."""
        return derive(self.queue.seed, self.key, repeat_index)

    def missing(self) -> list[int]:
        """Return the repeat indices that have no Predictor and were not pruned."""
        done = {predictor.repeat_index for predictor in self.predictors}
        pruned = Attempt.select().where(Attempt.job == self, Attempt.status == PRUNED)
        done |= {attempt.repeat_index for attempt in pruned}
        return [index for index in range(self.repeat_count) if index not in done]

    def claim(self, repeat_index: int) -> Attempt | None:
        """Claim one training for this process; None if it is done or another process has it.

        A claim of a process that has ended is void, and one of another host without a heartbeat
        for `AIQC_LEASE_SECONDS`.
        """
        with metastore.atomic():
            if repeat_index not in self.missing():
                return None
            for attempt in self.running(repeat_index):
                if attempt.is_alive():
                    return None
                attempt.finish(LOST, attempt.void_reason())
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
        """Return whether a run, as `process_identity.working_for` had it, trained this Job."""
        done = Attempt.select().where(Attempt.job == self, Attempt.status == SUCCEEDED)
        return any(attempt.owner.get("run") == run for attempt in done)

    def training_name(self, repeat_index: int) -> str:
        """Return the name of one training in logs and files, from ids and content."""
        return f"q{self.queue_id}_{self.key}_r{repeat_index}"

    def file_name(self, repeat_index: int) -> str:
        """Return the name of the files of one training until it is recorded.

        It holds the time at which the Queue was made: another store in the same place gives out
        the same ids, and must not take these files for its own.
        """
        made = hashlib.sha256(self.queue.time_created.isoformat().encode()).hexdigest()
        return f"{self.training_name(repeat_index)}_{made[:8]}"

    def running(self, repeat_index: int) -> list[Attempt]:
        """Return the attempts at one training that have not ended."""
        of_this = (Attempt.job == self) & (Attempt.repeat_index == repeat_index)
        return list(Attempt.select().where(of_this, Attempt.status == RUNNING))


class Attempt(BaseModel):
    """One try at one training: which process, and how it ended.

    Attributes:
        kind: of a failure: `'exception'`, `'out_of_memory'`, `'exit'`, `'bad_result'`, `'died'`,
            `'time_limit'` or `'device_lost'`.
        peak_memory_mb: the most memory (MiB) of its process; None if it was not measured.
        device: what it trained on; see `JobOutcome`. None if unknown.
        holder: the process that claimed it, for its heartbeat.
        beat: the last heartbeat, in whole seconds since 1970 by the database's time.
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
        """Return whether the process that claimed it still runs.

        For a process on another host or in another container its heartbeat decides.
        """
        if process_identity.is_visible(self.owner):
            return process_identity.is_alive(self.owner)
        return not heartbeat.is_overdue(self.beat, self.time_created)

    def void_reason(self) -> str:
        """Return why the claim of a process that is not alive is void."""
        if process_identity.is_visible(self.owner):
            return "its process ended before it was recorded"
        return (
            f"its process {self.owner['pid']} on {self.owner['host']} gave no sign of life for "
            f"{config.settings.lease_seconds:g} s"
        )

    def succeed(self, outcome: JobOutcome) -> bool:
        """Record a training that succeeded; False if another process has taken the claim."""
        return self.finish(
            SUCCEEDED,
            peak_memory_mb=outcome.peak_memory_mb,
            device=getattr(outcome, "device", None),  # not in files of an earlier version
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
        """Record how the attempt ended, and release the claim.

        Returns:
            False, with nothing written, if another process took the claim over, because this one
            was stopped for longer than a lease.
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
            "records nothing of it (%s).", self.job_id, config.settings.lease_seconds, status,
        )  # fmt: skip
        return False

    def release(self, reason: str) -> None:
        """Release the claim, so that the next run takes it at once.

        A store that cannot be written is only logged: it must not hide an earlier error.
        """
        try:
            self.finish(LOST, reason)
        except (PeeweeException, MetastoreError) as error:
            process_identity.abandon(self.owner)
            logger.warning("The claim of Job %d could not be given back: %s", self.job_id, error)


heart = heartbeat.Heart(Attempt, RUNNING)
