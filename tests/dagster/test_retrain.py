"""`dagster job execute` as CI runs it: exit codes, kills, and what is in the store afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import pytest

from aiqc_core import config
from aiqc_core.orm import Attempt, Predictor

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 120.0
LOCATION = ("-m", "aiqc_dagster.definitions")
pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def command(*arguments: str) -> list[str]:
    """Return the command line of `dagster job execute`."""
    return [str(Path(sys.executable).with_name("dagster")), "job", "execute", *arguments]


def execute(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `dagster job execute` to its end."""
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )


def trained() -> list[tuple[int, int]]:
    """Return `(job, repeat)` of each successful attempt, doubles included."""
    done = Attempt.select().where(Attempt.status == "succeeded")
    return [(attempt.job_id, attempt.repeat_index) for attempt in done]


def materialised(*key: str) -> set[str]:
    """Return the cells of an asset that Dagster counts as materialised."""
    with dg.DagsterInstance.get() as instance:
        return instance.get_materialized_partitions(dg.AssetKey(list(key)))


def count() -> int:
    """Return how many Predictors there are, 0 before there is a store."""
    return Predictor.select().count() if config.database_path().exists() else 0


def test_the_demo_trains_twelve_models_and_then_none(home: Path, dagster_home: Path) -> None:
    done = execute(*LOCATION, "-j", "retrain_breast_cancer")
    assert done.returncode == 0, done.stderr
    assert count() == len(set(trained())) == len(trained()) == 12
    assert "12 trained, 0 found, of 12 Jobs" in done.stderr
    for stage, cells in (("dataset", 1), ("samples", 3), ("hyperparamcombo", 4),
                         ("predictor", 12), ("leaderboard", 1)):  # fmt: skip
        assert len(materialised("breast_cancer", stage)) == cells, stage
    scores = [p.predictions[0].metrics["test"]["accuracy"] for p in Predictor.select()]
    assert sum(scores) / len(scores) > 0.9

    again = execute(*LOCATION, "-j", "retrain_breast_cancer")
    assert again.returncode == 0, again.stderr
    assert "nothing to do, all 12 Jobs were trained before" in again.stderr
    assert count() == len(trained()) == 12


def test_a_killed_run_is_finished_by_the_next(home: Path, dagster_home: Path) -> None:
    """B08: nothing is trained twice, nothing is forgotten, no worker stays behind."""
    run = subprocess.Popen(
        command(*LOCATION, "-j", "retrain_breast_cancer"),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + DEADLINE_SECONDS
    while count() < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    before = count()
    assert 3 <= before < 12

    done = execute(*LOCATION, "-j", "retrain_breast_cancer")
    assert done.returncode == 0, done.stderr
    assert count() == 12
    assert len(trained()) == len(set(trained())) == 12


def test_a_failing_combination_fails_the_run_and_spoils_no_other(
    home: Path, dagster_home: Path
) -> None:
    """B72: the exit code tells."""
    failing = ("-f", str(Path(__file__).with_name("failing.py")), "-a", "defs")
    done = execute(*failing, "-j", "retrain_unlucky")
    assert done.returncode != 0
    assert count() == 9
    assert "13 neurons bring bad luck" in done.stderr
    assert len(materialised("unlucky", "predictor")) == 9
    failed = list(Attempt.select().where(Attempt.status == "failed"))
    assert len(failed) == 3
    assert all("ValueError" in attempt.traceback for attempt in failed)
    assert "neurons" in failed[0].reason


def test_a_snapshot_that_cannot_be_a_key_is_refused(home: Path, dagster_home: Path) -> None:
    """B67."""
    config_file = home.parent / "run.yaml"
    config_file.write_text(
        "ops: {breast_cancer_open_snapshot: {config: {snapshot: '../../etc'}}}\n"
    )
    done = execute(*LOCATION, "-j", "retrain_breast_cancer", "-c", str(config_file))
    assert done.returncode != 0
    assert "cannot be a partition key" in done.stderr
    assert count() == 0
