"""Run a Queue: claim, train and record, in this process or on a pool of warm ones."""

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
from aiqc_core.orm.training.pending import pending
from aiqc_core.orm.training.progress import Progress, RunSummary
from aiqc_core.orm.training.record import record, recover
from aiqc_core.orm.training.scheduler import Schedule
from aiqc_core.orm.training.spec import spec_of
from aiqc_core.stages.train import run as train_run
from aiqc_core.stages.train.search import pruning
from aiqc_core.workers.pool import WarmPool

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiqc_core.orm.tables.queue import Queue
    from aiqc_core.stages.train.search.pruning import Pruner
    from aiqc_core.stages.train.spec import Failure, JobOutcome
    from aiqc_core.workers.pool import Finished

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

    Ctrl-C records what is done and releases the rest; the next call continues.

    Args:
        queue: the Queue; `Queue.run_jobs(7)` takes its id.
        workers: processes that train side by side; `None` or 1 trains in this process. Where
            there are GPUs (`AIQC_DEVICES`), training is always in processes of their own,
            one a device slot: `None` is all slots, and more workers than slots wait.
        raise_on_error: raise at the end when a Job failed, else return the summary.
        progress: show a bar with the best score so far.
        time_limit: seconds after which a training fails. Training is then in a process of its
            own, with one worker too.
        checkpoint_seconds: save the state of each training that often (0: after each epoch),
            so that it continues from there after it was killed.
        stack: train together what differs only in numbers (PyTorch); the log says what cannot
            be stacked and why. Results equal those of training alone within rounding.
        pruner: stops what will not win, a training after an epoch and a combination after a
            fold, such as `MedianPruner()`. See `train.pruning`.

    Returns:
        How many were trained, found, pruned and failed.

    Raises:
        TrainingError: an argument is out of range, before anything is written; or at the end,
            when Jobs failed: it lists each with its reason. The others are recorded, and the
            next call retries the failed ones.
    """
    options = Options.checked(
        workers=workers, raise_on_error=raise_on_error, progress=progress,
        time_limit=time_limit,
        checkpoint_seconds=checkpoint_seconds, stack=stack,
        pruner=pruning.watch_metric(pruner, queue.metric),
    )  # fmt: skip
    summary = run(queue, options)
    if summary.failures and raise_on_error:
        raise TrainingError(summary.describe()) from summary.cause()
    return summary


def run(queue: Queue, options: Options) -> RunSummary:
    """Train what is pending in a Queue; see `run_jobs`."""
    todo = still_pending(queue)
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


def still_pending(queue: Queue) -> list[tuple[Job, int]]:
    """Return the pending trainings, after recording those that are kept in a file."""
    todo = pending(queue)
    if not any(folder.is_dir() for folder in config.spill_paths()):
        return todo  # nearly always: ten thousand Jobs need not look one by one
    return [(job, index) for job, index in todo if recover(job, index) is None]


def train_one(
    job: Job, repeat_index: int, *, checkpoint_seconds: float | None = None
) -> JobOutcome | None:
    """Claim, train and record one training in this process; None when another process holds it."""
    recovered = recover(job, repeat_index)
    if recovered is not None:
        return recovered
    _refuse_other_backend(job.queue.algorithm.library)
    leases.lease_for_this_process()
    attempt = job.claim(repeat_index)
    if attempt is None:
        return None
    with _released_when_interrupted([attempt]):
        outcome = train_run.run(spec_of(job, repeat_index, checkpoint_seconds=checkpoint_seconds))
        record(job, attempt, outcome)
    return outcome


def _refuse_other_backend(library: str) -> None:
    """Refuse once, before any Job is claimed."""
    if library == "keras":
        keras_backend.refuse_other()


@dataclass(frozen=True, slots=True)
class _Claim:
    """A training that this process has taken."""

    job: Job
    repeat_index: int
    attempt: Attempt


class _Run:
    """One call of `run_jobs`: train what the schedule gives, and record the outcomes."""

    def __init__(self, schedule: Schedule, progress: Progress, options: Options) -> None:
        self.schedule = schedule
        self.progress = progress
        self.options = options
        self.attempts: list[Attempt] = []  # claims that are neither recorded nor released
        self.on_whole: set[tuple[Any, int]] = set()  # trainings to retry on a whole device
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
        """Claim the next trainings, except those that other processes hold."""
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
            self.record(claims[0], train_run.run(specs[0]))
            return
        from aiqc_core.stages.train.stacking import run as stacked  # noqa: PLC0415 - it imports torch

        try:
            outcomes = stacked.run_stacked(specs)
        except Exception as error:  # noqa: BLE001 - such as memory; then each is trained alone
            self.separate(claims, f"{type(error).__name__}: {error}")
            return
        for claim, outcome in zip(claims, outcomes, strict=True):
            self.record(claim, outcome)

    def has_submitted(self, pool: WarmPool, flying: dict[str, list[_Claim]]) -> bool:
        """Keep the workers busy; return False when nothing is left or in flight."""
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
        """Record one outcome; if the store cannot be written, start nothing more."""
        if outcome.failure is not None and self.can_retry(claim, outcome.failure):
            record(claim.job, claim.attempt, outcome)
            self.attempts.remove(claim.attempt)
            self.schedule.again([(claim.job, claim.repeat_index)])
            return
        try:
            record(claim.job, claim.attempt, outcome)
        except UnrecordedError as error:
            self.progress.failed(claim.job, str(error))
            self.schedule.stop()  # what is in flight ends, and is kept in files too
        else:
            if outcome.failure is not None:
                self.progress.failed(claim.job, outcome.failure.message, outcome.failure)
            elif claim.attempt.status == SUCCEEDED:
                self.progress.trained(outcome)
            else:  # another process took the claim over
                self.progress.held(claim.job, claim.repeat_index)
        self.done(claim, outcome)

    def can_retry(self, claim: _Claim, failure: Failure) -> bool:
        """Say whether to retry a training that lost its device or ran out of memory.

        A lost device is not used again, so this ends. Out of memory, it is tried once more, on a
        whole device.
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
        """Record that the worker did not finish."""
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
        """Release what could not be trained together, to train it one by one."""
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
        """When this process is interrupted, record what the workers have finished."""
        try:
            yield
        except KeyboardInterrupt:
            for finished in pool.wait(0):
                if finished.error is None and finished.key in flying:
                    self.receive(flying.pop(finished.key), finished)
            raise


@contextmanager
def _released_when_interrupted(attempts: list[Attempt]) -> Generator[None]:
    """Release claims when this process is interrupted, so that the next run can take them."""
    try:
        yield
    except BaseException as error:
        for attempt in attempts:
            attempt.release(f"stopped by {type(error).__name__}")
        raise
