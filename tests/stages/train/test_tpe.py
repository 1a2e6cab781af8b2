"""What results suggest to try next, asked of Optuna with nothing kept between the questions."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiqc_core.stages.train.search import space, tpe
from aiqc_core.stages.train.search.tpe import Trial

SPACE = {
    "x": {"low": -5.0, "high": 5.0},
    "rate": {"low": 1e-4, "high": 0.1, "log": True},
    "units": {"low": 1, "high": 64, "log": True},
    "drop": {"low": 0.0, "high": 0.5, "step": 0.1},
    "kind": ["a", True, 1, 1.0],
    "fixed": 3,
}


def goodness(params: dict[str, Any]) -> float:
    """A bowl, with its top at x=2, rate=0.01, units=16, drop=0, kind=True."""
    return -(
        (params["x"] - 2) ** 2
        + (math.log10(params["rate"]) + 2) ** 2
        + abs(params["units"] - 16) / 16
        + params["drop"]
        + (params["kind"] is not True)
    )


def searched(count: int, seed: int, *, in_flight: int = 1, sign: int = 1) -> list[Trial]:
    """Run a search, with results that come `in_flight - 1` trials late."""
    dimensions, done = space.parse(SPACE), []
    for number in range(count):
        known = max(number - in_flight + 1, 0)
        seen = done[:known] + [Trial(trial.params, "running") for trial in done[known:]]
        params = tpe.suggest(dimensions, seen, seed=seed, lower_is_better=sign < 0)
        done.append(Trial(params, "complete", (sign * goodness(params),)))
    return done


def best(trials: list[Trial]) -> float:
    return max(goodness(dict(trial.params)) for trial in trials)


@pytest.mark.slow
@pytest.mark.parametrize(("in_flight", "sign"), [(1, 1), (4, 1), (1, -1)])
def test_it_finds_better_than_chance(in_flight: int, sign: int) -> None:
    found = [best(searched(50, seed, in_flight=in_flight, sign=sign)) for seed in range(4)]
    dimensions = space.parse(SPACE)
    drawn = [
        max(
            goodness(space.draw_new(dimensions, np.random.default_rng([s, i]), ())[1])
            for i in range(50)
        )
        for s in range(40)
    ]
    assert np.mean(found) > np.mean(drawn)


def test_equal_histories_give_equal_suggestions_and_other_seeds_others() -> None:
    assert searched(14, seed=1) == searched(14, seed=1)
    assert searched(14, seed=1) != searched(14, seed=2)


def test_values_are_of_the_space_with_their_own_types() -> None:
    for trial in searched(14, seed=1):
        params = dict(trial.params)
        assert list(params) == list(SPACE)
        assert -5 <= params["x"] <= 5
        assert 1e-4 <= params["rate"] <= 0.1
        assert type(params["units"]) is int
        assert params["drop"] in {0.0, 0.1, 0.2, 0.3, 0.4, 0.5}
        assert space.canonical(params["kind"]) in {'"a"', "true", "1", "1.0"}
        assert params["fixed"] == 3


@given(
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.integers(0, 2**31 - 1),
    st.sampled_from(["complete", "failed", "pruned", "running"]),
)
@settings(max_examples=15)
def test_each_combination_comes_once_before_one_comes_twice(
    sizes: list[int], seed: int, state: tpe.State
) -> None:
    dimensions = space.parse({f"a{i}": list(range(size)) for i, size in enumerate(sizes)})
    history: list[Trial] = []
    for _ in range(math.prod(sizes)):
        params = tpe.suggest(dimensions, history, seed=seed)
        history.append(Trial(params, state, (0.5,) if state == "complete" else ()))
    assert len({space.canonical(trial.params) for trial in history}) == math.prod(sizes)
    assert tpe.suggest(dimensions, history, seed=seed) in [trial.params for trial in history]


def reported(state: tpe.State, *scores: float) -> Any:
    dimensions = space.parse({"x": {"low": 0.0, "high": 1.0}})
    distributions = {name: tpe.distribution(each) for name, each in dimensions.items()}
    return tpe.frozen(Trial({"x": 0.5}, state, scores), dimensions, distributions)


def test_what_optuna_receives() -> None:
    states = optuna.trial.TrialState
    assert (reported("complete", 0.5, 0.7).state, reported("complete", 0.5, 0.7).value) == (
        states.COMPLETE,
        0.7,
    )
    assert reported("failed").state is states.FAIL
    assert reported("running").state is states.RUNNING
    pruned = reported("pruned", 0.5, 0.4)
    assert pruned.state is states.PRUNED
    assert pruned.intermediate_values == {0: 0.5, 1: 0.4}


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_diverged_trial_stands_behind_every_other(score: float) -> None:
    trial = reported("complete", 0.5, score)
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert trial.intermediate_values == {}


@pytest.mark.slow
def test_where_models_diverge_is_left_alone() -> None:
    dimensions = space.parse({"x": {"low": 0.0, "high": 1.0}})
    history: list[Trial] = []
    for _ in range(40):
        params = tpe.suggest(dimensions, history, seed=1)
        score = math.nan if params["x"] > 0.5 else 0.5
        history.append(Trial(params, "complete", (score,)))
    late = [trial.params["x"] for trial in history[20:]]
    assert np.mean(np.array(late) <= 0.5) > 0.65  # half of it by chance


def test_optuna_announces_nothing_and_its_verbosity_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.enable_propagation()
    with caplog.at_level(logging.DEBUG):
        searched(2, seed=1)
    optuna.logging.disable_propagation()
    assert not [record for record in caplog.records if record.name.startswith("optuna")]
    assert optuna.logging.get_verbosity() == before
