"""`dagster job execute` as CI calls it: exit codes and what the log says at its end."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from places import LOCATIONS, ROOT
from small_experiment import declare

from aiqc_core.experiment import workflow
from aiqc_core.orm import Predictor, Queue
from aiqc_dagster.executors.choose import EXECUTOR_VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def execute(job: str, *arguments: str, ops: object = None) -> subprocess.CompletedProcess[str]:
    """Run a job of the small location to its end, in one process: who executes matters not."""
    program = str(Path(sys.executable).with_name("dagster"))
    location = ["-f", str(LOCATIONS / "small_location.py"), "-a", "defs"]
    config = []
    if ops is not None:
        path = Path(os.environ["AIQC_HOME"]).with_name("run.yaml")
        path.write_text(json.dumps({"ops": ops}))  # JSON is YAML
        config = ["-c", str(path)]
    return subprocess.run(
        [program, "job", "execute", *location, "-j", job, *config, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {EXECUTOR_VARIABLE: "in_process"},
    )  # fmt: skip


def cells() -> set[str]:
    """Return the cells of the predictor asset that Dagster counts as materialised."""
    with dg.DagsterInstance.get() as instance:
        return instance.get_materialized_partitions(dg.AssetKey(["updown", "predictor"]))


def test_the_partition_tag_names_the_snapshot_and_a_second_run_finds_all(
    home: Path, dagster_home: Path
) -> None:
    tag = ("--tags", json.dumps({"dagster/partition": "tagged"}))
    done = execute("retrain_updown", *tag)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {cell.split("|")[-1] for cell in cells()} == {"tagged"}
    assert len(cells()) == Predictor.select().count() == 4
    again = execute("retrain_updown", ops={"updown_open_snapshot": {"config": {"snapshot": "c"}}})
    assert again.returncode == 0, again.stderr[-3000:]
    assert "nothing to do, all 4 Jobs were trained before" in again.stderr
    assert len(cells()) == 8
    assert Predictor.select().count() == 4


def test_a_config_that_is_none_exits_with_a_fault_and_writes_nothing(
    home: Path, dagster_home: Path
) -> None:
    done = execute("retrain_updown", ops={"updown_open_snapshot": {"config": {"snap": "s1"}}})
    assert done.returncode != 0
    assert 'Received unexpected config entry "snap"' in done.stderr
    assert not home.exists() or Predictor.select().count() == 0


def test_a_queue_that_is_not_there_exits_with_a_fault_that_names_it(
    home: Path, dagster_home: Path
) -> None:
    done = execute("run_queue", ops={"open_queue": {"config": {"queue_id": 7}}})
    assert done.returncode != 0
    assert "Queue: no row has id 7" in done.stderr


def test_the_queue_of_a_notebook_is_trained_by_command(home: Path, dagster_home: Path) -> None:
    queue = workflow.prepare(declare(), "s1")
    done = execute("run_queue", ops={"open_queue": {"config": {"queue_id": queue.id}}})
    assert done.returncode == 0, done.stderr[-3000:]
    assert Queue.get_by_id(queue.id).runs_completed == 4
    assert "notebook: 4 trained, 0 found, of 4 Jobs" in done.stderr


def test_a_sensor_that_a_documented_command_starts_runs_where_the_ui_looks(
    home: Path, dagster_home: Path
) -> None:
    page = (ROOT / "docs" / "automation.md").read_text()
    (command,) = re.findall(r"^(dagster sensor start [^#\n]+?) +#", page, re.MULTILINE)
    program, *arguments = command.split()
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    workspace = yaml.safe_load((ROOT / "workspace.yaml").read_text())
    with dg.DagsterInstance.get() as instance:
        (state,) = instance.all_instigator_state()
    origin = state.origin.repository_origin.code_location_origin
    assert (state.name, state.status.value) == ("iris_retry", "RUNNING")
    assert origin.location_name == workspace["load_from"][0]["python_module"]["location_name"]
