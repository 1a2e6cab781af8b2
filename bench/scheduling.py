"""How well devices are used: a simulation of scheduling, in which nothing is trained.

Jobs of lognormal duration are given to devices, each with a slot or more. Every attempt costs the
overhead of its executor on the slot, and the attention of the run's coordinator, one step after
another; docs/scale.md says where the defaults are from. A Job that fails is tried again. The
result is held against what no schedule can beat: the work divided by the slots, the longest Job,
or the coordinators' own time.

    python bench/scheduling.py [--jobs N] [--devices N] [--mean SECONDS] [--sigma S] [--failing P]
        [--overhead SECONDS] [--slots N] [--most N] [--runs N] [--seed N]
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Seconds = NDArray[np.float64]

# Seconds that a slot is held by a step beside its training.
EXECUTORS = {"warm pool": 0.1, "celery": 0.4, "kubernetes": 15.0}
# Seconds of a coordinator for each step: at least, and more for each step of the same run, whose
# outcomes it hands on to every later one.
DISPATCH, DISPATCH_GROWTH = 0.043, 1.6e-5
SIZES = ((12, 1), (12, 4), (1_000, 8), (10_000, 100), (1_000_000, 1_000))
POLICIES = ("first come", "longest first")


@dataclass(frozen=True)
class Fleet:
    """What Jobs run on.

    Attributes:
        devices: how many there are.
        slots_per_device: how many Jobs share one; each is `slots_per_device` times slower then
            where the device is the bottleneck, see `sharing`.
        sharing: how much of a device one Job can use, 1.0 for all of it. Two Jobs that use 0.5
            each do not slow each other.
        most: of one run at a time; `AIQC_K8S_MAX_CONCURRENT`, a pool's limit. None: no bound.
        overhead: seconds that a slot is held by each attempt beside the training.
        runs: how many runs, each with a coordinator of its own, share the Jobs. None: nothing
            has to be coordinated.
    """

    devices: int
    slots_per_device: int = 1
    sharing: float = 1.0
    most: int | None = None
    overhead: float = 0.0
    runs: int | None = None

    @property
    def slots(self) -> int:
        """Return how many Jobs run at a time."""
        slots = self.devices * self.slots_per_device
        return slots if self.most is None else min(slots, self.most)

    @property
    def slowdown(self) -> float:
        """Return by how much a Job takes longer for what shares its device, at least 1."""
        return max(1.0, self.slots_per_device * self.sharing)

    def pause(self, jobs: int) -> float:
        """Return the seconds between two starts that the coordinators can bring about."""
        if self.runs is None:
            return 0.0
        return (DISPATCH + DISPATCH_GROWTH * jobs / self.runs) / self.runs


@dataclass(frozen=True)
class Outcome:
    """What came of a schedule, in seconds.

    Attributes:
        makespan: until the last Job is done.
        bound: what no schedule can beat on as many slots.
        utilisation: the share of the slots' time in which a device trained for a result.
        attempts: trainings that were started, failed ones too.
    """

    makespan: float
    bound: float
    utilisation: float
    attempts: int


def durations(jobs: int, mean: float, sigma: float, seed: int) -> Seconds:
    """Return lognormal durations with this mean, shape `(jobs,)`; `sigma` 0 makes them equal."""
    drawn = np.random.default_rng(seed).normal(-(sigma**2) / 2, sigma, jobs)
    return mean * np.exp(drawn)


def attempts_of(seconds: Seconds, failing: float, tries: int, seed: int) -> list[Seconds]:
    """Return what each try costs the Jobs that come to it: `tries` arrays of shape `(n,)`.

    An attempt fails with probability `failing`, at a moment of its training that is uniform. The
    last try succeeds, so that work and result can be compared.
    """
    generator = np.random.default_rng(seed + 1)
    rounds: list[Seconds] = []
    left = seconds
    for number in range(tries):
        failed = generator.random(left.size) < (failing if number < tries - 1 else 0.0)
        cost = np.where(failed, left * generator.random(left.size), left)
        rounds.append(cost)
        left = left[failed]
    return rounds


def schedule(costs: Seconds, free: list[float], pause: float = 0.0, started: float = 0.0) -> float:
    """Give each cost, in order, to the slot that is free first; returns when the last is done.

    Args:
        costs: of shape `(jobs,)`.
        free: when each slot is free, a heap; it is changed to when each is free afterwards.
        pause: seconds between two starts, at least.
        started: when the first may start.
    """
    last = 0.0
    exchange = heapq.heapreplace
    for cost in costs.tolist():
        started = max(free[0], started) + pause
        end = started + cost
        exchange(free, end)
        last = max(last, end)
    return last


def simulate(
    seconds: Seconds, fleet: Fleet, policy: str = "first come", failing: float = 0.0,
    tries: int = 3, seed: int = 0,
) -> Outcome:  # fmt: skip
    """Return what comes of Jobs on a fleet.

    Args:
        seconds: of training, alone on a device, shape `(jobs,)`.
        fleet: what they run on.
        policy: `first come`, or `longest first` as if durations were known.
        failing: probability that an attempt fails; it is tried again after all first tries.
        tries: at most, of which the last succeeds.
        seed: of the failures.
    """
    rounds = attempts_of(seconds * fleet.slowdown, failing, tries, seed)
    free = [0.0] * fleet.slots
    pause = fleet.pause(seconds.size)
    last = 0.0
    for costs in rounds:
        ordered = np.sort(costs)[::-1] if policy == "longest first" else costs
        last = max(last, schedule(ordered + fleet.overhead, free, pause))
    spent = np.concatenate(rounds) + fleet.overhead
    useful = float(seconds.sum()) * min(1.0, fleet.sharing)
    devices = min(fleet.devices, fleet.slots)
    return Outcome(
        makespan=last,
        bound=max(
            float(spent.sum()) / fleet.slots, float(spent.max(initial=0.0)), pause * spent.size
        ),
        utilisation=useful / (last * devices) if last else 0.0,
        attempts=spent.size,
    )


def main() -> None:
    """Print what sizes, executors, policies, sharing and failures make of the same Jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--devices", type=int, default=100)
    parser.add_argument("--mean", type=float, default=60.0, help="seconds of a training")
    parser.add_argument("--sigma", type=float, default=1.0, help="of the logarithm of seconds")
    parser.add_argument("--failing", type=float, default=0.02, help="probability of an attempt")
    parser.add_argument("--overhead", type=float, help="seconds a step, of an executor of yours")
    parser.add_argument("--slots", type=int, default=1, help="Jobs that share a device")
    parser.add_argument("--most", type=int, help="Jobs of a run at a time")
    parser.add_argument(
        "--runs", type=int, help="that share the Jobs; 1,000 Jobs each if left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    executors = EXECUTORS if given.overhead is None else {"yours": given.overhead}
    sizes = SIZES if given.jobs is None else ((given.jobs, given.devices),)
    for table in (_executors(given, executors, sizes), _variants(given, executors, sizes)):
        Console(width=100).print(table)


def _executors(
    given: argparse.Namespace, executors: dict[str, float], sizes: Sequence[tuple[int, int]]
) -> Table:
    table = Table(title=f"Jobs of {given.mean:g} s (lognormal, sigma {given.sigma:g})")
    for column in ("Jobs", "devices", "executor", "makespan", "of the bound", "utilisation"):
        table.add_column(column, justify="left" if column == "executor" else "right")
    for jobs, devices in sizes:
        seconds = durations(jobs, given.mean, given.sigma, given.seed)
        for name, overhead in executors.items():
            runs = given.runs or -(-jobs // 1000)
            fleet = Fleet(devices, given.slots, 1 / given.slots, given.most, overhead, runs)
            outcome = simulate(seconds, fleet, failing=given.failing, seed=given.seed)
            table.add_row(f"{jobs:,}", f"{devices:,}", name, *_cells(outcome))
    return table


def _variants(
    given: argparse.Namespace, executors: dict[str, float], sizes: Sequence[tuple[int, int]]
) -> Table:
    jobs, devices = sizes[-2:][0]
    plain = Fleet(devices, overhead=executors.get("celery", next(iter(executors.values()))))
    cases: dict[str, tuple[Fleet, str, float, float]] = {
        "no coordinator, no failures": (plain, POLICIES[0], 0.0, 1.0),
        "longest first": (plain, POLICIES[1], 0.0, 1.0),
        "one attempt in ten fails": (plain, POLICIES[0], 0.1, 1.0),
        "half of the devices at a time": (
            replace(plain, most=max(1, devices // 2)), POLICIES[0], 0.0, 1.0,
        ),
        "each uses half a device, alone": (replace(plain, sharing=0.5), POLICIES[0], 0.0, 1.0),
        "each uses half a device, two share": (
            replace(plain, sharing=0.5, slots_per_device=2), POLICIES[0], 0.0, 1.0,
        ),
        "all in one run": (replace(plain, runs=1), POLICIES[0], 0.0, 1.0),
        "trainings of a tenth, all in one run": (replace(plain, runs=1), POLICIES[0], 0.0, 0.1),
        "trainings of a tenth, in ten runs": (replace(plain, runs=10), POLICIES[0], 0.0, 0.1),
    }  # fmt: skip
    table = Table(title=f"{jobs:,} Jobs on {devices:,} devices, {plain.overhead:g} s a step")
    for column in ("variant", "makespan", "of the bound", "utilisation"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name, (fleet, policy, failing, scale) in cases.items():
        seconds = durations(jobs, given.mean * scale, given.sigma, given.seed)
        table.add_row(name, *_cells(simulate(seconds, fleet, policy, failing, seed=given.seed)))
    return table


def _cells(outcome: Outcome) -> tuple[str, str, str]:
    hours = outcome.makespan / 3600
    span = f"{hours:,.1f} h" if hours >= 1 else f"{outcome.makespan:,.0f} s"
    return span, f"{outcome.makespan / outcome.bound:.3f}", f"{outcome.utilisation:.1%}"


if __name__ == "__main__":
    main()
