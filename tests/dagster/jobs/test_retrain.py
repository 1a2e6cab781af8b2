"""`dagster job execute` as CI runs it: exit codes, and what is in the store afterwards.

Failures, kills and resuming: `tests/contracts/executors` and `tests/faults`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from places import ROOT

from aiqc_core import config
from aiqc_core.orm import Attempt, Predictor
from aiqc_dagster.executors.choose import EXECUTOR_VARIABLE

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


def test_the_demo_trains_twelve_models_and_then_none(
    home: Path, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = execute(*LOCATION, "-j", "retrain_breast_cancer")
    assert done.returncode == 0, done.stderr
    assert count() == len(set(trained())) == len(trained()) == 12
    assert "12 trained, 0 found, of 12 Jobs" in done.stderr
    for stage, cells in (("dataset", 1), ("samples", 3), ("hyperparamcombo", 4),
                         ("predictor", 12), ("leaderboard", 1)):  # fmt: skip
        assert len(materialised("breast_cancer", stage)) == cells, stage
    scores = [p.predictions[0].metrics["test"]["accuracy"] for p in Predictor.select()]
    assert sum(scores) / len(scores) > 0.9

    monkeypatch.setenv(EXECUTOR_VARIABLE, "in_process")  # there is nothing to hand to workers
    again = execute(*LOCATION, "-j", "retrain_breast_cancer")
    assert again.returncode == 0, again.stderr
    assert "nothing to do, all 12 Jobs were trained before" in again.stderr
    assert count() == len(trained()) == 12


def test_a_snapshot_that_cannot_be_a_key_is_refused(
    home: Path, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B67."""
    monkeypatch.setenv(EXECUTOR_VARIABLE, "in_process")
    config_file = home.parent / "run.yaml"
    config_file.write_text(
        "ops: {breast_cancer_open_snapshot: {config: {snapshot: '../../etc'}}}\n"
    )
    done = execute(*LOCATION, "-j", "retrain_breast_cancer", "-c", str(config_file))
    assert done.returncode != 0
    assert "cannot be a partition key" in done.stderr
    assert count() == 0
