"""Running a Queue: claim, train, record, in this process or on a pool of warm ones."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiqc_core import config, keras_backend
from aiqc_core.devices import leases
from aiqc_core.errors import TrainingError, UnrecordedError
from aiqc_core.orm.tables.job import DEVICE_LOST, FAILED, MEMORY, SUCCEEDED, Attempt, Job
from aiqc_core.orm.training.measure import Measure
from aiqc_core.orm.training.options import Options
from aiqc_core.orm.training.pending import lacking
from aiqc_core.orm.training.progress import JobFailure, Progress, RunSummary
from aiqc_core.orm.training.record import record, recover
from aiqc_core.orm.training.scheduler import Schedule
from aiqc_core.orm.training.spec import spec_of
from aiqc_core.stages.train import run as runner
from aiqc_core.stages.train.search import pruning
from aiqc_core.workers.pool import WarmPool

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiqc_core.orm.tables.queue import Queue
    from aiqc_core.stages.train.search.pruning import Pruner
    from aiqc_core.stages.train.spec import Failure, JobOutcome
    from aiqc_core.workers.pool import Finished

__all__ = ["JobFailure", "Options", "RunSummary", "pending", "run", "run_jobs", "train_one"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
TRAIN = "aiqc_core.stages.train.run:run"
TRAIN_STACK = "aiqc_core.stages.train.stacking.run:run_stacked"


def run_jobs(
    queue: Queue,
    workers: int | None = None,
    *,
    raise_on_error: bool = True,
    progress: bool = True,
    time_limit: float | None = None,
    checkpoint_seconds: float | None = None,
    stack: bool = False,
    pruner: Pruner | None = None,
) -> RunSummary:
    """Train what has no Predictor yet; a finished Queue trains nothing and says so.

    Ctrl-C records what is done and gives the rest back; the next call goes on with it.

    Args:
        queue: the Queue; `Queue.run_jobs(7)` takes its id.
        workers: processes that train side by side; `None` or 1 trains in this process. Where
            there are GPUs (`AIQC_DEVICES`), training is always in processes of their own,
            one a device slot: `None` is all slots, and more workers than slots wait.
        raise_on_error: raise at the end when a Job failed, else return the summary.
        progress: show a bar with the best score so far.
        time_limit: seconds that one training may take; then it has failed. Training is then
            in a process of its own, with one worker too.
        checkpoint_seconds: keep the state of each training that often (0: after each epoch),
            so that it goes on from there when it was killed.
        stack: train together what differs only in numbers (PyTorch); the log says why where
            that cannot be. The results equal those of training alone within rounding.
        pruner: stops what will not win, a training after an epoch and a combination after a
            fold, such as `MedianPruner()`. See `train.pruning`.

    Returns:
        How many were trained, found, pruned and failed.

    Raises:
        TrainingError: an argument is out of range, before anything is written; or at the end,
            when Jobs failed: it lists each with its reason. The others are recorded, and the
            next call tries the failed ones again.
    """
    options = Options.checked(
        workers=workers, raise_on_error=raise_on_error, progress=progress,
        time_limit=time_limit,
        checkpoint_seconds=checkpoint_seconds, stack=stack,
        pruner=pruning.steered(pruner, queue.metric),
    )  # fmt: skip
    summary = run(queue, options)
    if summary.failures and raise_on_error:
        raise TrainingError(summary.describe()) from summary.cause()
    return summary


def run(queue: Queue, options: Options) -> RunSummary:
    """Train what a Queue lacks; see `run_jobs`."""
    todo = pending(queue)
    summary = RunSummary(
        queue.id,
        total=queue.total_runs,
        found=queue.runs_completed,
        pruned=queue.runs_pruned,
        skipped=queue.runs_skipped,
    )
    if summary.found + summary.skipped >= summary.total:
        logger.info(summary.describe())
        return summary
    _refuse_other_backend(queue.algorithm.library)
    queue.splitset.cache_samples()
    measure = Measure.of_queue(queue)
    with Progress(queue, summary, measure, shown=options.progress) as progress:
        schedule = Schedule(queue, todo, options, progress)
        _Run(schedule, progress, options).train()
    return summary


def pending(queue: Queue) -> list[tuple[Job, int]]:
    """Return the trainings that are lacking, Job by Job; those kept in a file are recorded now."""
    todo = lacking(queue)
    if not any(folder.is_dir() for folder in config.spill_paths()):
        return todo  # as nearly always: ten thousand Jobs need not look one by one
    return [(job, index) for job, index in todo if recover(job, index) is None]


def train_one(
    job: Job, repeat_index: int, *, checkpoint_seconds: float | None = None
) -> JobOutcome | None:
    """Claim, train and record one training in this process; None when it is another's.

    Args:
        job: whose training.
        repeat_index: which of its trainings.
        checkpoint_seconds: between two checkpoints; None writes none.
    """
    recovered = recover(job, repeat_index)
    if recovered is not None:
        return recovered
    _refuse_other_backend(job.queue.algorithm.library)
    leases.lease_for_this_process()
    attempt = job.claim(repeat_index)
    if attempt is None:
        return None
    with _released_when_interrupted([attempt]):
        outcome = runner.run(spec_of(job, repeat_index, checkpoint_seconds=checkpoint_seconds))
        record(job, attempt, outcome)
    return outcome


def _refuse_other_backend(library: str) -> None:
    """Refuse before a Job is claimed, not once in each of them."""
    if library == "keras":
        keras_backend.refuse_other()


@dataclass(frozen=True, slots=True)
class _Claim:
    """A training that this process has taken."""

    job: Job
    repeat_index: int
    attempt: Attempt


class _Run:
    """One call of `run_jobs`: takes what the schedule hands out, and records what comes of it."""

    def __init__(self, schedule: Schedule, progress: Progress, options: Options) -> None:
        self.schedule = schedule
        self.progress = progress
        self.options = options
        self.attempts: list[Attempt] = []  # claims that are neither recorded nor given back
        self.on_whole: set[tuple[Any, int]] = set()  # what is tried once more, on a whole device
        self.pool: WarmPool | None = None

    def train(self) -> None:
        """Train until nothing is left."""
        if not self.options.pooled:
            with _released_when_interrupted(self.attempts):
                while (claims := self.next_claims()) is not None:
                    self.train_here(claims)
            return
        flying: dict[str, list[_Claim]] = {}
        with (
            WarmPool(self.options.workers) as self.pool,
            _released_when_interrupted(self.attempts),
            self.recording_what_is_done(self.pool, flying),
        ):
            while self.has_submitted(self.pool, flying):
                for finished in self.pool.wait(POLL_SECONDS):
                    self.receive(flying.pop(finished.key), finished)

    def next_claims(self) -> list[_Claim] | None:
        """Claim the next trainings; those of other processes are left to them."""
        while (unit := self.schedule.next()) is not None:
            claims: list[_Claim] = []
            for job, repeat_index in unit:
                attempt = job.claim(repeat_index)
                if attempt is None:
                    self.progress.held(job, repeat_index)
                    self.schedule.settled(job, None)
                else:
                    self.attempts.append(attempt)
                    claims.append(_Claim(job, repeat_index, attempt))
            if claims:
                return claims
        return None

    def train_here(self, claims: list[_Claim]) -> None:
        """Train in this process and record."""
        specs = [self.schedule.spec(claim.job, claim.repeat_index) for claim in claims]
        if len(specs) == 1:
            self.record(claims[0], runner.run(specs[0]))
            return
        from aiqc_core.stages.train.stacking import run as stacked  # noqa: PLC0415 - it imports torch

        try:
            outcomes = stacked.run_stacked(specs)
        except Exception as error:  # noqa: BLE001 - memory, say; then each is trained alone
            self.separate(claims, f"{type(error).__name__}: {error}")
            return
        for claim, outcome in zip(claims, outcomes, strict=True):
            self.record(claim, outcome)

    def has_submitted(self, pool: WarmPool, flying: dict[str, list[_Claim]]) -> bool:
        """Keep the workers busy; False when nothing is left, in flight neither."""
        # One more than there are workers, so that none waits for the next specification.
        while len(flying) <= self.options.workers and (claims := self.next_claims()) is not None:
            specs = [self.schedule.spec(claim.job, claim.repeat_index) for claim in claims]
            limit = self.options.time_limit
            key = str(claims[0].attempt.id)
            flying[key] = claims
            target, payload = (TRAIN, specs[0]) if len(specs) == 1 else (TRAIN_STACK, specs)
            whole = None if limit is None else limit * len(specs)
            first = (claims[0].job.id, claims[0].repeat_index)
            on = "device" if first in self.on_whole else "slot"
            pool.submit(key, target, payload, time_limit=whole, on=on)
        return bool(flying)

    def receive(self, claims: list[_Claim], finished: Finished) -> None:
        """Record what came back from a worker."""
        if finished.error is not None and len(claims) > 1:
            self.separate(claims, finished.error.message)
        elif finished.error is not None:
            self.fail(claims[0], finished)
        else:
            value: Any = finished.value
            outcomes = value if len(claims) > 1 else [value]
            for claim, outcome in zip(claims, outcomes, strict=True):
                self.record(claim, outcome)

    def record(self, claim: _Claim, outcome: JobOutcome) -> None:
        """Record one outcome; where the store cannot be written, nothing more is begun."""
        if outcome.failure is not None and self.tries_again(claim, outcome.failure):
            record(claim.job, claim.attempt, outcome)
            self.attempts.remove(claim.attempt)
            self.schedule.again([(claim.job, claim.repeat_index)])
            return
        try:
            record(claim.job, claim.attempt, outcome)
        except UnrecordedError as error:
            self.progress.failed(claim.job, str(error))
            self.schedule.stop()  # what is in flight ends, and is kept as this one is
        else:
            if outcome.failure is not None:
                self.progress.failed(claim.job, outcome.failure.message, outcome.failure)
            elif claim.attempt.status == SUCCEEDED:
                self.progress.trained(outcome)
            else:  # another process took the claim over, and trains in this one's place
                self.progress.held(claim.job, claim.repeat_index)
        self.done(claim, outcome)

    def tries_again(self, claim: _Claim, failure: Failure) -> bool:
        """Say whether a training that failed for want of a device, or of memory, has another go.

        Each lost device is set aside, so this ends; memory is asked for once more, on a device
        that no other worker shares.
        """
        slots = 0 if self.pool is None else self.pool.device_slots
        training = (claim.job.id, claim.repeat_index)
        if failure.kind == DEVICE_LOST:
            return slots > 0
        wanted = failure.kind == MEMORY and self.options.retries_memory and slots > 0
        if not wanted or training in self.on_whole:
            return False
        logger.warning("Job %d is tried once more, on a whole device.", claim.job.id)
        self.on_whole.add(training)
        return True

    def fail(self, claim: _Claim, finished: Finished) -> None:
        """Record that the worker did not come to an end."""
        error = finished.error
        if error is None:
            return
        chosen = ", ".join(
            f"{name}={value!r}" for name, value in claim.job.hyperparameters.items()
        )
        reason = f"{error.message} (hyperparameters: {chosen or 'none'})"
        if error.kind == DEVICE_LOST:  # it never ran
            claim.attempt.release(reason)
            self.schedule.stop()
        else:
            claim.attempt.finish(
                FAILED,
                reason,
                error.traceback,
                kind=error.kind,
                peak_memory_mb=finished.peak_memory_mb,
                device={"slot": finished.device} if finished.device else None,
            )
        self.progress.failed(claim.job, reason)
        self.done(claim, None)

    def separate(self, claims: list[_Claim], reason: str) -> None:
        """Give back what could not be trained together, to be trained one by one."""
        logger.warning("stack: %d are trained one by one: %s", len(claims), reason)
        for claim in claims:
            self.attempts.remove(claim.attempt)
            claim.attempt.release(f"trained alone, as together it failed: {reason}")
        self.schedule.again([(claim.job, claim.repeat_index) for claim in claims])

    def done(self, claim: _Claim, outcome: JobOutcome | None) -> None:
        """Forget a claim."""
        self.attempts.remove(claim.attempt)
        self.schedule.settled(claim.job, outcome)

    @contextmanager
    def recording_what_is_done(
        self, pool: WarmPool, flying: dict[str, list[_Claim]]
    ) -> Generator[None]:
        """Record, when this process is stopped, what the workers have brought to an end."""
        try:
            yield
        except KeyboardInterrupt:
            for finished in pool.wait(0):
                if finished.error is None and finished.key in flying:
                    self.receive(flying.pop(finished.key), finished)
            raise


@contextmanager
def _released_when_interrupted(attempts: list[Attempt]) -> Generator[None]:
    """Give claims back when this process is stopped, so that the next run takes them at once."""
    try:
        yield
    except BaseException as error:
        for attempt in attempts:
            attempt.release(f"stopped by {type(error).__name__}")
        raise
