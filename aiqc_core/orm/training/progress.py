"""Count what one call of `run_jobs` does, and show it in a bar."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tqdm.auto import tqdm

from aiqc_core.frames import RemoteTraceback
from aiqc_core.stages.train.hooks.observer import PRUNER

if TYPE_CHECKING:
    from aiqc_core.orm.tables.job import Job
    from aiqc_core.orm.tables.queue import Queue
    from aiqc_core.orm.training.measure import Measure
    from aiqc_core.stages.train.spec import Failure, JobOutcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobFailure:
    """A training that failed; `failure` is its own report, None where its worker died."""

    job_id: int
    job_key: str
    hyperparameters: dict[str, object]
    reason: str
    failure: Failure | None = None


@dataclass(slots=True)
class RunSummary:
    """What one call of `run_jobs` did.

    Attributes:
        total: the runs of the Queue in all.
        found: those that had a Predictor before.
        trained: those that got one now.
        held: those that a living process is training.
        elsewhere: those that another process trained meanwhile.
        pruned: those that a pruner stopped, now or before, before they began or with epochs left;
            the latter also count as trained or found.
        skipped: those of them that never began.
        best: the best finite score of the leading metric on the split that judges; None without.
        failures: those that failed now.
    """

    queue_id: int
    total: int
    found: int
    trained: int = 0
    held: int = 0
    elsewhere: int = 0
    pruned: int = 0
    skipped: int = 0
    best: float | None = None
    failures: list[JobFailure] = field(default_factory=list)

    def describe(self) -> str:
        """Return one line for people, and one more for each failure."""
        pruned = f", {self.pruned} pruned" if self.pruned else ""
        if cut_short := self.pruned - self.skipped:
            pruned += f" ({cut_short} of them cut short, with a model)"
        if self.found + self.skipped == self.total and not self.trained + self.elsewhere:
            done = f"{self.found} trained{pruned}" if pruned else "trained"
            return f"Queue {self.queue_id}: nothing to do, all {self.total} runs are {done}."
        text = (
            f"Queue {self.queue_id}: {self.trained} trained, {self.found} found{pruned}, "
            f"of {self.total}"
        )
        if self.elsewhere:
            text += f"; {self.elsewhere} were trained by another process meanwhile"
        if self.held:
            text += f"; {self.held} are being trained by another process"
        if not self.failures:
            return f"{text}."
        lines = [
            f"  Job {f.job_id} ({f.job_key}) {f.hyperparameters}: {f.reason}"
            for f in self.failures
        ]
        lasting = sum(f.failure is not None and f.failure.lasts for f in self.failures)
        remedy = "run again to retry"
        if lasting:
            remedy = (
                f"{lasting} of them in the code, which would fail again: mend it and make a new "
                "Algorithm, or run the Experiment again"
            )
        return "\n".join([f"{text}; {len(self.failures)} failed, {remedy}:", *lines])

    def cause(self) -> BaseException | None:
        """Return the first error of a training, or its traceback from another process."""
        for failed in self.failures:
            if failed.failure is not None:
                return failed.failure.error or RemoteTraceback(failed.failure.traceback)
        return None


class Progress:
    """Count what is done into a summary, and show it in a bar with the best score so far."""

    def __init__(
        self, queue: Queue, summary: RunSummary, measure: Measure, *, shown: bool
    ) -> None:
        self.summary = summary
        self._measure = measure
        self._left: list[tuple[Job, int]] = []
        self._bar = tqdm(
            total=summary.total,
            initial=summary.found + summary.skipped,
            desc=f"Queue {queue.id}",
            disable=not shown,
            unit="model",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Count what other processes have trained by now of what they held, and log all."""
        self._bar.close()
        done = sum(repeat_index not in job.missing() for job, repeat_index in self._left)
        self.summary.held -= done
        self.summary.elsewhere += done
        self._left.clear()
        logger.info(self.summary.describe())

    def seen(self, score: float) -> None:
        """Take a score into account; one that is not finite is never the best."""
        measure, best = self._measure, self.summary.best
        if math.isfinite(score) and (best is None or measure.is_better(score, best)):
            self.summary.best = best = score
        text = f"{measure.split} {measure.metric}"
        text = f"{text} undefined so far" if best is None else f"best {text} {best:.4f}"
        self._bar.set_postfix_str(text, refresh=False)

    def held(self, job: Job, repeat_index: int) -> None:
        """Count a training that another process holds or has finished."""
        self._left.append((job, repeat_index))
        self.summary.held += 1
        self._bar.update()

    def trained(self, outcome: JobOutcome) -> None:
        """Count a training that is recorded."""
        self.summary.trained += 1
        self.summary.pruned += outcome.stopped == PRUNER
        self.seen(self._measure.of(outcome.metrics))
        self._bar.update()

    def pruned(self) -> None:
        """Count a training that will not be done."""
        self.summary.pruned += 1
        self.summary.skipped += 1
        self._bar.update()

    def failed(self, job: Job, reason: str, failure: Failure | None = None) -> None:
        """Count a training that failed."""
        failed = JobFailure(job.id, job.key, job.hyperparameters, reason, failure)
        self.summary.failures.append(failed)
        logger.error("Job %d (%s) failed: %s", job.id, job.key, reason)
        self._bar.update()
