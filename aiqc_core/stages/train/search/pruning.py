"""Pruners, which stop what will not win: asked after each epoch and after each fold.

After an epoch, `keep` compares a training's history with those of other trainings: what is stopped
is recorded with the epochs that it has. After a fold, `keep_folds` compares a combination's mean
score with those of other combinations: what is stopped is not trained on its remaining folds.
Write another one as a class with these two methods; it goes to worker processes by value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import cloudpickle
import numpy as np

from aiqc_core import counts
from aiqc_core.errors import TrainingError
from aiqc_core.stages.evaluate.ranking import column_of, lower_is_better
from aiqc_core.stages.train.hooks.observer import verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    History = Mapping[str, list[float]]

GO_ON = "True to go on, False to stop"


@runtime_checkable
class Pruner(Protocol):
    """What `Queue.run_jobs(pruner=…)` takes."""

    def keep(self, history: History, rivals: Sequence[History]) -> bool:
        """Say after an epoch whether to go on; both hold `{name: one value an epoch}`."""
        ...

    def keep_folds(self, scores: Sequence[float], rivals: Sequence[Sequence[float]]) -> bool:
        """Say after a fold whether to train the combination on its remaining ones.

        Args:
            scores: its mean score over the first fold, over the first two, and so on; higher is
                better, as errors come with their sign changed.
            rivals: the same of the other combinations that were trained on the same folds.
        """
        ...


@dataclass(frozen=True, slots=True)
class MedianPruner:
    """Stops what is worse than the median of its rivals at the same epoch, or the same folds.

    The rule is that of Google Vizier (Golovin et al., KDD 2017, section 3.1.2): the best value up
    to now against the median of the rivals' best values up to the same epoch. Training whose last
    value is not finite is stopped too, whatever its rivals.

    Attributes:
        min_epochs: epochs that every training gets.
        min_rivals: rivals that must have come as far before anything is stopped.
        metric: the column of the history to watch; by default the one that holds the metric of
            the Queue, where it was given one and a history has it; else `val_loss`, or `loss`
            where nothing is evaluated.
    """

    min_epochs: int = 5
    min_rivals: int = 3
    metric: str | None = None
    leading: str | None = field(default=None, repr=False, kw_only=True)  # see `watch_metric`

    def __post_init__(self) -> None:
        for name in ("min_epochs", "min_rivals"):
            object.__setattr__(self, name, counts.whole(name, getattr(self, name), least=1))
        if self.metric is not None:
            counts.text("metric", self.metric)

    def keep(self, history: History, rivals: Sequence[History]) -> bool:
        """Say whether a training goes on.

        Raises:
            TrainingError: the history has no such metric.

        >>> rivals = [{"loss": [0.5, 0.3]}, {"loss": [0.6, 0.4]}, {"loss": [0.7, 0.2]}]
        >>> MedianPruner(min_epochs=2).keep({"loss": [0.6, 0.35]}, rivals)
        False
        """
        leading = None if self.leading is None else column_of(self.leading, history)
        metric = self.metric or leading or ("val_loss" if history.get("val_loss") else "loss")
        if not history.get(metric):
            raise TrainingError(
                f"metric: the history has no {metric!r}; choose among {sorted(history)}."
            )
        values = history[metric]
        epochs = len(values)
        if epochs < self.min_epochs:
            return True
        if not math.isfinite(values[-1]):
            return False
        sign = -1.0 if lower_is_better(metric) else 1.0
        others = [sign * np.array(r.get(metric, [])[:epochs]) for r in rivals]
        bests = [_best(values) for values in others if len(values) == epochs]
        return len(bests) < self.min_rivals or _best(sign * np.array(values)) >= median(bests)

    def keep_folds(self, scores: Sequence[float], rivals: Sequence[Sequence[float]]) -> bool:
        """Say whether a combination is trained on its remaining folds.

        >>> MedianPruner().keep_folds([0.7, 0.75], [[0.9, 0.8], [0.8, 0.8], [0.7, 0.6]])
        False
        """
        means = [_best(np.array([rival[len(scores) - 1]])) for rival in rivals]
        return len(means) < self.min_rivals or _best(np.array(scores[-1:])) >= median(means)


@dataclass(frozen=True, slots=True)
class Stops:
    """A pruner as the observer of a training asks it, True to stop."""

    pruner: Pruner

    def __call__(self, history: History, rivals: Sequence[History]) -> bool:
        """Say whether to stop here."""
        return not verdict("keep returned", self.pruner.keep(history, rivals), GO_ON)


def watch_metric(pruner: Any, metric: str | None) -> Any:
    """Let a `MedianPruner` that names no metric watch the one of its Queue, where that has one."""
    if metric is None or not isinstance(pruner, MedianPruner) or pruner.metric is not None:
        return pruner
    return replace(pruner, leading=metric)


def capture(pruner: Any) -> bytes:
    """Pickle a pruner as `Stops`, for `JobSpec.pruner`; raise TrainingError where it cannot be."""
    if isinstance(pruner, type) or not isinstance(pruner, Pruner):
        raise TrainingError(
            f"pruner: {pruner!r}; give an object with the methods keep(history, rivals) and "
            "keep_folds(scores, rivals), such as MedianPruner()."
        )
    try:
        return cloudpickle.dumps(Stops(pruner))
    except Exception as error:
        message = f"pruner: cannot be pickled ({type(error).__name__}: {error})."
        raise TrainingError(message) from error


def keeps_folds(
    pruner: Pruner, scores: Sequence[float], rivals: Sequence[Sequence[float]]
) -> bool:
    """Ask a pruner after a fold whether to go on."""
    return verdict("keep_folds returned", pruner.keep_folds(scores, rivals), GO_ON)


def _best(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if len(finite) else -math.inf
