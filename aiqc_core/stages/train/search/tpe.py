"""Suggest what to try next from the results so far, by Optuna's tree-structured Parzen estimator.

The sampler keeps nothing: each call builds its study from the history, with a seed that follows
from the search's seed and the number of the trial. Equal histories therefore give equal
suggestions, in any process and after any interruption. Source of the method: Bergstra et al.,
Algorithms for Hyper-Parameter Optimization, NeurIPS 2011.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aiqc_core.seeds import derive
from aiqc_core.stages.train.search import space

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

STARTUP_TRIALS = 10  # drawn at random before there is a model of the results; Optuna's default
ATTEMPTS = 8  # to be suggested something new, before one of the untried is drawn

State = Literal["complete", "running", "failed", "pruned"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination that was tried, or is being tried.

    Attributes:
        state: `'complete'` with scores of every fold, `'pruned'` with some, or without a result.
        scores: the running mean of the score after each fold. One that is not finite has
            diverged, which counts as worse than any number.
    """

    params: Mapping[str, Any]
    state: State
    scores: tuple[float, ...] = ()


def suggest(
    dimensions: Mapping[str, space.Dimension],
    history: Sequence[Trial],
    *,
    seed: int,
    lower_is_better: bool = False,
) -> dict[str, Any]:
    """Return the combination to try after `history`; a new one while there are untried ones.

    Args:
        dimensions: what `space.parse` gave.
        history: the trials before it, in the order in which they were suggested.
        seed: of the search.
        lower_is_better: whether the scores count errors.

    >>> dimensions = space.parse({"layers": [1, 2]})
    >>> suggest(dimensions, [Trial({"layers": 1}, "running")], seed=3)
    {'layers': 2}
    """
    import optuna  # noqa: PLC0415 - only this search needs it

    tried = {space.canonical(dict(trial.params)) for trial in history}
    size = space.size(dimensions)
    all_tried = size is not None and len(tried) >= size
    distributions = {n: distribution(d) for n, d in dimensions.items() if d.size != 1}
    direction = "minimize" if lower_is_better else "maximize"
    with _quiet():
        trials = [frozen(trial, dimensions, distributions) for trial in history]
        for attempt in range(ATTEMPTS):
            sampler = optuna.samplers.TPESampler(
                seed=derive(seed, "trial", len(history), attempt), n_startup_trials=STARTUP_TRIALS
            )
            study = optuna.create_study(sampler=sampler, direction=direction)
            study.add_trials(trials)
            asked = study.ask(distributions).params
            suggested = {n: d.value(asked.get(n, 0)) for n, d in dimensions.items()}
            if all_tried or space.canonical(suggested) not in tried:
                return suggested
    generator = np.random.default_rng(derive(seed, "untried", len(history)))
    return space.draw_new(dimensions, generator, tried)[1]


def distribution(dimension: space.Dimension) -> BaseDistribution:
    """Return the positions of a dimension: values that Python calls equal stay distinct."""
    from optuna import distributions  # noqa: PLC0415

    if isinstance(dimension, space.Choices):
        return distributions.CategoricalDistribution(range(dimension.size))
    if dimension.size is None:
        return distributions.FloatDistribution(dimension.low, dimension.high, log=dimension.log)
    if dimension.log:
        return distributions.IntDistribution(int(dimension.low), int(dimension.high), log=True)
    return distributions.IntDistribution(0, dimension.size - 1)


def frozen(
    trial: Trial, dimensions: Mapping[str, space.Dimension],
    distributions: dict[str, BaseDistribution],
) -> FrozenTrial:  # fmt: skip
    """Return a trial as Optuna takes it."""
    from optuna.trial import TrialState, create_trial  # noqa: PLC0415

    diverged = not all(map(math.isfinite, trial.scores))
    state = {
        "complete": TrialState.PRUNED if diverged else TrialState.COMPLETE,
        "running": TrialState.RUNNING,
        "failed": TrialState.FAIL,
        "pruned": TrialState.PRUNED,
    }[trial.state]
    # A pruned trial that was never measured stands behind all others.
    measured = state is TrialState.PRUNED and not diverged
    return create_trial(
        state=state,
        params={name: dimensions[name].position(trial.params[name]) for name in distributions},
        distributions=distributions,
        value=trial.scores[-1] if state is TrialState.COMPLETE else None,
        intermediate_values=dict(enumerate(trial.scores)) if measured else {},
    )


@contextmanager
def _quiet() -> Generator[None]:
    """Keep Optuna from logging each study."""
    from optuna import logging  # noqa: PLC0415

    before = logging.get_verbosity()
    logging.set_verbosity(logging.WARNING)
    try:
        yield
    finally:
        logging.set_verbosity(before)
