"""The simulation of scheduling is held against closed forms and against laws of any schedule."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import scheduling
from scheduling import Fleet, durations, simulate

costs = st.lists(st.floats(0.1, 1000), min_size=1, max_size=60)
devices = st.integers(1, 12)


@given(st.integers(1, 200), devices, st.floats(0.5, 100), st.floats(0, 5))
def test_equal_durations_go_in_full_rounds(n: int, m: int, d: float, overhead: float) -> None:
    outcome = simulate(np.full(n, d), Fleet(m, overhead=overhead))
    assert outcome.makespan == pytest.approx(math.ceil(n / m) * (d + overhead))
    assert outcome.utilisation == pytest.approx(n * d / (outcome.makespan * m))


@given(costs)
def test_one_device_takes_the_sum(seconds: list[float]) -> None:
    outcome = simulate(np.array(seconds), Fleet(1))
    assert outcome.makespan == pytest.approx(sum(seconds))
    assert outcome.makespan == pytest.approx(outcome.bound)
    assert outcome.utilisation == pytest.approx(1)


@given(costs, devices)
def test_no_list_schedule_is_worse_than_graham_says(seconds: list[float], m: int) -> None:
    for policy, factor in (("first come", 2 - 1 / m), ("longest first", 2 - 1 / m)):
        outcome = simulate(np.array(seconds), Fleet(m), policy)
        assert outcome.bound <= outcome.makespan * (1 + 1e-9)
        assert outcome.makespan <= factor * outcome.bound * (1 + 1e-9)
        assert 0 < outcome.utilisation <= 1 + 1e-9


def test_longest_first_can_be_worth_it() -> None:
    seconds = np.array([1.0, 1.0, 1.0, 1.0, 4.0])  # the long one last leaves a device idle
    assert simulate(seconds, Fleet(2)).makespan == 6
    assert simulate(seconds, Fleet(2), "longest first").makespan == 4


@given(costs, devices, st.floats(0, 0.9), st.integers(0, 5))
def test_failures_cost_time_and_every_job_succeeds(
    seconds: list[float], m: int, failing: float, seed: int
) -> None:
    outcome = simulate(np.array(seconds), Fleet(m), failing=failing, tries=3, seed=seed)
    assert len(seconds) <= outcome.attempts <= 3 * len(seconds)
    assert outcome.makespan >= sum(seconds) / m * (1 - 1e-9)
    again = simulate(np.array(seconds), Fleet(m), failing=failing, tries=3, seed=seed)
    assert again == outcome


def test_sharing_helps_jobs_that_leave_a_device_idle_and_no_others() -> None:
    seconds = np.full(40, 10.0)
    half = simulate(seconds, Fleet(2, slots_per_device=2, sharing=0.5))
    assert half.makespan == 100
    assert half.utilisation == pytest.approx(1)
    assert simulate(seconds, Fleet(2, sharing=0.5)).utilisation == pytest.approx(0.5)
    assert simulate(seconds, Fleet(2, slots_per_device=2)).makespan == 200


def test_a_bound_on_jobs_leaves_devices_idle() -> None:
    seconds = np.full(40, 10.0)
    assert simulate(seconds, Fleet(8, most=4)).makespan == simulate(seconds, Fleet(4)).makespan


def test_one_coordinator_feeds_so_many_devices_and_no_more() -> None:
    seconds, fleet = np.full(1000, 5.0), Fleet(1000, runs=1)
    pause = scheduling.DISPATCH + scheduling.DISPATCH_GROWTH * 1000
    assert fleet.pause(1000) == pytest.approx(pause)
    assert simulate(seconds, fleet).makespan == pytest.approx(1000 * pause + 5)
    several = simulate(seconds, Fleet(1000, runs=10))
    assert several.makespan < simulate(seconds, fleet).makespan / 5


@given(st.floats(1, 500), st.floats(0, 1.5), st.integers(0, 20))
def test_durations_have_the_mean_that_was_asked_for(mean: float, sigma: float, seed: int) -> None:
    drawn = durations(20_000, mean, sigma, seed)
    assert drawn.min() > 0
    error = mean * math.sqrt((math.exp(sigma**2) - 1) / drawn.size)  # of the mean of lognormals
    assert drawn.mean() == pytest.approx(mean, abs=6 * error + 1e-9 * mean)
