"""Choose what a run of a Queue trains next: pending, suggested by a search, pruned, stacked."""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from aiqc_core.orm.tables.job import PRUNED
from aiqc_core.orm.training import search
from aiqc_core.orm.training.measure import Measure
from aiqc_core.orm.training.scores import Scores, histories
from aiqc_core.orm.training.spec import spec_of
from aiqc_core.stages.train.search import pruning

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiqc_core.orm.tables.job import Job
    from aiqc_core.orm.tables.queue import Queue
    from aiqc_core.orm.training.options import Options
    from aiqc_core.orm.training.progress import Progress
    from aiqc_core.stages.train.search.pruning import Pruner
    from aiqc_core.stages.train.spec import JobOutcome, JobSpec

    Training = tuple[Job, int]

logger = logging.getLogger(__name__)

STACK_AMONG = 256  # trainings to group at a time, as their specifications take memory


class Schedule:
    """Hand out the trainings `todo` of a Queue, alone or in stacks, and take their outcomes."""

    def __init__(
        self, queue: Queue, todo: Iterable[Training], options: Options, progress: Progress
    ) -> None:
        self._queue = queue
        self._todo = deque(todo)
        self._units: deque[list[Training]] = deque()
        self._options = options
        self._progress = progress
        self._open = Counter(job.hyperparamcombo_id for job, _ in self._todo)
        self._measure = Measure.of_queue(queue)
        self._scores = Scores.read(queue, self._measure)
        for score in self._scores.all():
            progress.seen(score)
        self._histories = {} if options.pruner is None else histories(queue)
        self._folds = [part and part.id for part in queue.splitset.parts()]
        self._verdicts: dict[tuple[Any, int], str | None] = {}
        self._asks = queue.hyperparamset is not None and queue.hyperparamset.is_adaptive
        self._stopped = False
        self._like: dict[int | None, JobSpec] = {}  # the latest of each Fold

    def next(self) -> list[Training] | None:
        """Return what to train together now; None when nothing is left or can begin."""
        while not self._stopped and (self._units or self._todo or self._has_asked()):
            if not self._units:
                self._units.extend(self._grouped())
            unit = [training for training in self._units.popleft() if not self._pruned(*training)]
            if unit:
                return unit
        return None

    def again(self, unit: list[Training]) -> None:
        """Take back what could not be trained together, to train each alone."""
        self._units.extendleft([training] for training in reversed(unit))

    def stop(self) -> None:
        """Hand nothing out any more."""
        self._stopped = True

    def settled(self, job: Job, outcome: JobOutcome | None) -> None:
        """Take the outcome of a training that is over; None where there is no outcome."""
        self._open[job.hyperparamcombo_id] -= 1
        if outcome is None or outcome.failure is not None:
            return
        score = self._measure.of(outcome.metrics)
        self._scores.put(job.hyperparamcombo_id, job.fold_id, outcome.repeat_index, score)
        if self._options.pruner is not None:
            self._histories.setdefault(job.fold_id, []).append(outcome.history)

    def spec(self, job: Job, repeat_index: int) -> JobSpec:
        """Return the specification of a training, with its rivals up to now."""
        spec = spec_of(
            job,
            repeat_index,
            like=self._like.get(job.fold_id),
            checkpoint_seconds=self._options.checkpoint_seconds,
            pruner=self._options.captured_pruner,
            rivals=tuple(self._histories.get(job.fold_id, ())),
        )
        self._like[job.fold_id] = spec
        return spec

    def _has_asked(self) -> bool:
        """Ask the search for one more combination, if fewer are open than there are workers."""
        if not self._asks:
            return False
        in_flight = self._options.workers
        known = search.trial_ids(self._queue)
        if any(self._open[combo] > 0 for combo in known[: len(known) - in_flight + 1]):
            return False
        jobs = search.ask(self._queue, in_flight=in_flight)
        self._asks = bool(jobs)
        new = [(job, index) for job in jobs for index in range(job.repeat_count)]
        self._todo.extend(new)
        self._open.update(job.hyperparamcombo_id for job, _ in new)
        return bool(jobs)

    def _grouped(self) -> list[list[Training]]:
        """Take the next training, or with `stack` many in their groups."""
        if not self._options.stack:
            return [[self._todo.popleft()]]
        taken = [self._todo.popleft() for _ in range(min(STACK_AMONG, len(self._todo)))]
        if len(taken) == 1:
            return [taken]
        from aiqc_core.stages.train.stacking import run  # noqa: PLC0415 - it imports torch

        groups, reasons = run.groups([self.spec(*training) for training in taken])
        for reason, count in Counter(reasons.values()).items():
            logger.info("stack: %d trained alone: %s", count, reason)
        shares = [math.ceil(len(group) / self._options.workers) for group in groups]
        together = [  # cut so that each worker has a share of each group
            group[start : start + share]
            for group, share in zip(groups, shares, strict=True)
            for start in range(0, len(group), share)
        ]
        alone = [[i] for i in sorted(set(range(len(taken))).difference(*groups))]
        return [[taken[i] for i in unit] for unit in sorted([*together, *alone])]

    def _pruned(self, job: Job, repeat_index: int) -> bool:
        """Record a training as pruned, if the pruner says so."""
        reason = self._verdict(job)
        if reason is None:
            return False
        attempt = job.claim(repeat_index)
        if attempt is None:
            self._progress.held(job, repeat_index)
        else:
            attempt.finish(PRUNED, reason)
            logger.info("Job %d (%s) %s", job.id, job.key, reason)
            self._progress.pruned()
        self.settled(job, None)
        return True

    def _verdict(self, job: Job) -> str | None:
        """Return why a combination is not trained further; ask the pruner once a fold."""
        combo, pruner = job.hyperparamcombo_id, self._options.pruner
        complete = self._scores.complete(combo, self._folds)
        if pruner is None or not complete or job.fold_id in complete:
            return None
        key = (combo, len(complete))
        if key not in self._verdicts:
            self._verdicts[key] = self._asked(pruner, combo, complete)
        return self._verdicts[key]

    def _asked(self, pruner: Pruner, combo: Any, complete: list[Any]) -> str | None:
        sign = -1.0 if self._measure.lower_is_better else 1.0
        rivals = [
            [sign * mean for mean in means]
            for other in self._scores.by_combo
            if other != combo and (means := self._scores.running_means(other, complete))
        ]
        means = self._scores.running_means(combo, complete) or (math.nan,)
        if pruning.keeps_folds(pruner, [sign * mean for mean in means], rivals):
            return None
        return (
            f"pruned after {len(complete)} of {len(self._folds)} folds: its mean "
            f"{self._measure.metric} on {self._measure.split} is {means[-1]:.4g}, and {pruner!r} "
            f"compared that with {len(rivals)} other combinations"
        )
