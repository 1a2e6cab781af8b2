"""What scheduling costs: seconds a mapped Job for in-process, multiprocess and the warm pool.

The Job imports torch and trains nothing, so that only the overhead is left. Each run has its own
process and Dagster instance. Runs of few and of many Jobs are interleaved: their difference is the
steady state, without what starting costs; the many alone are the all-in figure.

    python bench/overhead.py [--rounds N] [--json]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import dagster as dg
from rich.console import Console
from rich.table import Table

from aiqc_dagster.executors.warm_pool import warm_pool_executor

ROOT = Path(__file__).parents[1]
FEW, MANY = 4, 12
WORKERS = 2
TARGET_RATIO, TARGET_SECONDS = 15, 0.15


class Count(dg.Config):
    """How many Jobs to map."""

    jobs: int


@dg.op(out=dg.DynamicOut(int))
def plan_jobs(config: Count) -> Iterator[dg.DynamicOutput[int]]:
    """Map one step a Job."""
    for job in range(config.jobs):
        yield dg.DynamicOutput(job, mapping_key=f"j{job}")


@dg.op
def train_job(job: int) -> int:
    """Import what a Job imports, and train nothing."""
    import torch

    return job * int(torch.ones(1).item())


@dg.op
def finish_queue(jobs: list[int]) -> int:
    """Count the Jobs."""
    return len(jobs)


def _map_jobs() -> None:
    finish_queue(plan_jobs().map(train_job).collect())


# Plan, train, finish: the shape of an experiment's predictor asset, once an executor.
@dg.job(executor_def=dg.in_process_executor)
def in_process() -> None:
    """Run in the run's own process."""
    _map_jobs()


@dg.job(executor_def=dg.multiprocess_executor)
def multiprocess() -> None:
    """Run each step in a new process."""
    _map_jobs()


@dg.job(executor_def=warm_pool_executor)
def warm_pool() -> None:
    """Run the steps in warm workers."""
    _map_jobs()


SIDES = {
    "in_process": "in-process, one Job after another",
    "multiprocess": f"multiprocess, {WORKERS} processes",
    "warm_pool": f"warm pool, {WORKERS} workers",
}


def main() -> None:
    """Time all sides in turn, round by round, and print seconds a Job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--run", nargs=2, metavar=("SIDE", "JOBS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        run(options.run[0], int(options.run[1]))
        return
    seconds = {(side, jobs): [] for side in SIDES for jobs in (FEW, MANY)}
    for _ in range(options.rounds):
        for (side, jobs), times in seconds.items():
            times.append(timed(side, jobs))
    typical = {case: median(times) for case, times in seconds.items()}
    report(figures(typical), as_json=options.json)


def timed(side: str, jobs: int) -> float:
    """Run one side in a fresh process, from its start to its end, and return the seconds."""
    command = [sys.executable, __file__, "--run", side, str(jobs)]
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        before = time.perf_counter()
        done = subprocess.run(
            command,
            check=False,
            env={**os.environ, "DAGSTER_HOME": home, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        seconds = time.perf_counter() - before
    if done.returncode:
        sys.exit(f"{done.stderr}\nThe {side} run of {jobs} Jobs failed; its log is above.")
    return seconds


def run(side: str, jobs: int) -> None:
    """Execute one run in this process."""
    config: dict[str, dict[str, object]] = {"ops": {"plan_jobs": {"config": {"jobs": jobs}}}}
    if side != "in_process":
        config["execution"] = {"config": {"max_concurrent": WORKERS}}
    job = dg.reconstructable(globals()[side])
    with (
        dg.DagsterInstance.get() as instance,
        dg.execute_job(job, instance=instance, run_config=config) as result,
    ):
        assert result.output_for_node("finish_queue") == jobs


def figures(seconds: dict[tuple[str, int], float]) -> dict[str, float]:
    """Return seconds a Job in the steady state and all-in, and the two ratios that matter."""
    table = {}
    for side in SIDES:
        few, many = seconds[side, FEW], seconds[side, MANY]
        table[f"{side}_steady_seconds"] = (many - few) / (MANY - FEW)
        table[f"{side}_all_in_seconds"] = many / MANY
        table[f"{side}_run_seconds"] = many
    for kind in ("steady", "all_in"):
        name = f"multiprocess_over_warm_pool_{kind}"
        table[name] = table[f"multiprocess_{kind}_seconds"] / table[f"warm_pool_{kind}_seconds"]
    return table


def report(values: dict[str, float], *, as_json: bool) -> None:
    """Print the figures as a table, and as JSON when asked."""
    table = Table(title="Seconds a mapped Job that imports torch and trains nothing")
    table.add_column("executor")
    for title in ("steady state", f"all-in of {MANY}", f"run of {MANY}"):
        table.add_column(title, justify="right")
    for side, title in SIDES.items():
        row = (values[f"{side}_{kind}_seconds"] for kind in ("steady", "all_in", "run"))
        table.add_row(title, *(f"{value:.3f}" for value in row))
    ratios = (values[f"multiprocess_over_warm_pool_{kind}"] for kind in ("steady", "all_in"))
    table.add_row("multiprocess / warm pool", *(f"{ratio:.1f}x" for ratio in ratios), "")
    table.caption = f"Wanted in the steady state: {TARGET_SECONDS} s, {TARGET_RATIO}x."
    Console().print(table)
    if as_json:
        print(json.dumps({name: round(value, 4) for name, value in values.items()}))


if __name__ == "__main__":
    main()
