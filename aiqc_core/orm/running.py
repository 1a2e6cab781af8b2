"""Running a Queue: claim, train, record, in this process or on a pool of warm ones."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from aiqc_core.errors import TrainingError
from aiqc_core.evaluate.leading import leading_metric
from aiqc_core.orm.job import FAILED, LOST, Attempt, Job
from aiqc_core.train import runner
from aiqc_core.workers import WarmPool

if TYPE_CHECKING:
    from collections.abc import Generator

    from aiqc_core.orm.queue import Queue
    from aiqc_core.train.outcome import JobOutcome

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
TRAIN = "aiqc_core.train.runner:run"


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A training that failed: which Job, and why."""

    job_id: int
    job_key: str
    hyperparameters: dict[str, object]
    reason: str


@dataclass(slots=True)
class RunSummary:
    """What one call of `run_jobs` did."""

    queue_id: int
    total: int
    found: int
    trained: int = 0
    held: int = 0
    best: float | None = None
    failures: list[JobFailure] = field(default_factory=list)

    def describe(self) -> str:
        """Return one line for people, and one more for each failure."""
        if self.found == self.total:
            return f"Queue {self.queue_id}: nothing to do, all {self.total} runs are trained."
        text = (
            f"Queue {self.queue_id}: {self.trained} trained, {self.found} found, of {self.total}"
        )
        if self.held:
            text += f"; {self.held} are being trained by another process"
        if not self.failures:
            return f"{text}."
        lines = [
            f"  Job {f.job_id} ({f.job_key}) {f.hyperparameters}: {f.reason}"
            for f in self.failures
        ]
        return "\n".join([f"{text}; {len(self.failures)} failed, run again to retry:", *lines])


def run(queue: Queue, *, workers: int | None, progress: bool) -> RunSummary:
    """Train what a Queue lacks; see `Queue.run_jobs`."""
    size = _checked_workers(workers)
    todo = pending(queue)
    summary = RunSummary(queue.id, total=queue.total_runs, found=queue.total_runs - len(todo))
    if not todo:
        logger.info(summary.describe())
        return summary
    queue.splitset.cache_samples()
    with tqdm(
        total=queue.total_runs,
        initial=summary.found,
        desc=f"Queue {queue.id}",
        disable=not progress,
        unit="model",
    ) as bar:
        if size == 1:
            _train_here(todo, summary, bar)
        else:
            _train_on_pool(todo, summary, bar, size)
    logger.info(summary.describe())
    return summary


def pending(queue: Queue) -> list[tuple[Job, int]]:
    """Return the trainings without a Predictor, Job by Job."""
    jobs = queue.jobs.order_by(Job.id)
    return [(job, index) for job in jobs for index in job.missing()]


def train_one(job: Job, repeat_index: int) -> JobOutcome | None:
    """Claim, train and record one training in this process; None when it is another's."""
    attempt = job.claim(repeat_index)
    if attempt is None:
        return None
    with _released_when_interrupted([attempt]):
        outcome = runner.run(job.spec(repeat_index))
        job.record(attempt, outcome)
    return outcome


def _train_here(todo: list[tuple[Job, int]], summary: RunSummary, bar: tqdm) -> None:
    for job, index in todo:
        _count(summary, bar, job, train_one(job, index))


def _train_on_pool(todo: list[tuple[Job, int]], summary: RunSummary, bar: tqdm, size: int) -> None:
    waiting = deque(todo)
    flying: dict[str, tuple[Job, Attempt]] = {}
    attempts: list[Attempt] = []
    with WarmPool(min(size, len(todo))) as pool, _released_when_interrupted(attempts):
        while waiting or flying:
            # One more than there are workers, so that none waits for the next specification.
            while waiting and len(flying) <= size:
                job, index = waiting.popleft()
                attempt = job.claim(index)
                if attempt is None:
                    _count(summary, bar, job, None)
                    continue
                attempts.append(attempt)
                flying[str(attempt.id)] = (job, attempt)
                pool.submit(str(attempt.id), TRAIN, job.spec(index))
            for finished in pool.wait(POLL_SECONDS):
                job, attempt = flying.pop(finished.key)
                outcome: Any = finished.value
                if finished.error is not None:
                    attempt.finish(FAILED, finished.error.message, finished.error.traceback)
                    _fail(summary, bar, job, finished.error.message)
                else:
                    job.record(attempt, outcome)
                    _count(summary, bar, job, outcome)
                attempts.remove(attempt)


def _count(summary: RunSummary, bar: tqdm, job: Job, outcome: JobOutcome | None) -> None:
    if outcome is None:
        summary.held += 1
    elif outcome.failure is not None:
        _fail(summary, bar, job, outcome.failure.message)
        return
    else:
        summary.trained += 1
        metric = leading_metric(job.queue.algorithm.analysis_type)
        split = job.queue.splitset.judged_on
        score = outcome.metrics[split][metric]
        summary.best = score if summary.best is None else max(summary.best, score)
        bar.set_postfix_str(f"best {split} {metric} {summary.best:.4f}")
    bar.update()


def _fail(summary: RunSummary, bar: tqdm, job: Job, reason: str) -> None:
    summary.failures.append(JobFailure(job.id, job.key, job.hyperparameters, reason))
    logger.error("Job %d (%s) failed: %s", job.id, job.key, reason)
    bar.update()


@contextmanager
def _released_when_interrupted(attempts: list[Attempt]) -> Generator[None]:
    """Give claims back when this process is stopped, so that the next run takes them at once."""
    try:
        yield
    except BaseException as error:
        for attempt in attempts:
            attempt.finish(LOST, f"stopped by {type(error).__name__}")
        raise


def _checked_workers(workers: int | None) -> int:
    if workers is None:
        return 1
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        message = f"workers: {workers!r}; give a whole number of at least 1, or None."
        raise TrainingError(message)
    return workers
