"""What one call of `run_jobs` did, and the bar that shows it while it does."""

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
    """A training that failed: which Job, and why.

    `failure` is what the training itself reports; None where its worker came to no end.
    """

    job_id: int
    job_key: str
    hyperparameters: dict[str, object]
    reason: str
    failure: Failure | None = None


@dataclass(slots=True)
class RunSummary:
    """What one call of `run_jobs` did.

    Attributes:
        queue_id: of which Queue.
        total: the runs of the Queue in all.
        found: those that had a Predictor before.
        trained: those that got one now.
        held: those that a living process is training.
        elsewhere: those that another process trained meanwhile.
        pruned: those that a pruner stopped, now or before: before they began, or with epochs to
            go; the latter are among the trained or found too.
        skipped: those of them that never began.
        best: the best score of the leading metric on the split that judges; None before there is a
            finite one.
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
        return "\n".join([f"{text}; {len(self.failures)} failed, {_remedy(lasting)}:", *lines])

    def cause(self) -> BaseException | None:
        """Return the first error of a training: of another process, its traceback."""
        for failed in self.failures:
            if failed.failure is not None:
                return failed.failure.error or RemoteTraceback(failed.failure.traceback)
        return None


def _remedy(lasting: int) -> str:
    if not lasting:
        return "run again to retry"
    return (
        f"{lasting} of them in the code, which would fail again: mend it and make a new "
        "Algorithm, or run the Experiment again"
    )


class Progress:
    """Counts what is done into a summary, and shows it with the best score so far.

    Args:
        queue: whose runs.
        summary: to count into.
        measure: what is best.
        shown: whether to show a bar.
    """

    def __init__(
        self, queue: Queue, summary: RunSummary, measure: Measure, *, shown: bool
    ) -> None:
        """Show the bar, with what was found already done."""
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
        """Return the progress."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the bar as it is, and log what was done."""
        self._bar.close()
        self._tell_apart()
        logger.info(self.summary.describe())

    def seen(self, score: float) -> None:
        """Take a score into account; one that is not finite is never the best."""
        if not math.isfinite(score):
            if self.summary.best is None:
                told = f"{self._measure.split} {self._measure.metric} undefined so far"
                self._bar.set_postfix_str(told, refresh=False)
            return
        best = self.summary.best
        if best is None or self._measure.is_better(score, best):
            self.summary.best = score
        measure = self._measure
        self._bar.set_postfix_str(
            f"best {measure.split} {measure.metric} {self.summary.best:.4f}", refresh=False
        )

    def held(self, job: Job, repeat_index: int) -> None:
        """Count a training that another process holds, or has brought to an end."""
        self._left.append((job, repeat_index))
        self.summary.held += 1
        self._bar.update()

    def _tell_apart(self) -> None:
        """Of what was left to other processes, count what they have trained by now."""
        done = sum(repeat_index not in job.missing() for job, repeat_index in self._left)
        self.summary.held -= done
        self.summary.elsewhere += done
        self._left.clear()

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
