"""Real runs on a real instance: what the warm pool executor does when steps go well or ill."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg
import psutil
import pytest
from places import LOCATIONS, ROOT

from aiqc_core.errors import TrainingError
from aiqc_dagster.executors.warm_pool import worker_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


pytestmark = pytest.mark.slow


def run_config(folder: Path, deeds: list[str], **execution: Any) -> dict[str, Any]:
    """Return the run config for `deeds`, with two workers by default."""
    return {
        "ops": {"plan": {"config": {"deeds": deeds}}},
        "resources": {"notes": {"config": {"folder": str(folder)}}},
        "execution": {"config": {"max_concurrent": 2, **execution}},
    }


def execute(instance: dg.DagsterInstance, name: str, config: dict[str, Any]) -> SimpleNamespace:
    """Execute a job of `executor_jobs` and return what is left of it."""
    jobs = importlib.import_module("executor_jobs")
    started = time.monotonic()
    with dg.execute_job(
        dg.reconstructable(getattr(jobs, name)), instance=instance, run_config=config
    ) as result:
        return SimpleNamespace(
            success=result.success,
            run_id=result.run_id,
            seconds=time.monotonic() - started,
            instance=instance,
            events=[entry for entry in instance.all_logs(result.run_id) if entry.dagster_event],
        )


def steps(run: SimpleNamespace, kind: str) -> list[str]:
    """Return the sorted keys of the steps that had an event of this type."""
    return sorted(
        entry.step_key
        for entry in run.events
        if entry.dagster_event.event_type_value == kind and entry.step_key
    )


def failure_message(run: SimpleNamespace, step_key: str) -> str:
    """Return the error in the event log that failed a step."""
    (entry,) = (
        entry
        for entry in run.events
        if entry.dagster_event.is_step_failure and entry.step_key == step_key
    )
    return entry.dagster_event.step_failure_data.error.to_string()


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Look again and again until the condition holds or the time is over."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def gone(pids: set[int]) -> bool:
    """Whether no process of these is left, zombies not counted."""
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        for pid in pids
    )


@pytest.fixture(scope="module", autouse=True)
def jobs_on_path() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Not in front: Dagster takes the first entry for the script's folder and drops it.
        patch.setattr(sys, "path", [*sys.path, str(LOCATIONS)])
        yield


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance


@pytest.fixture(scope="module")
def mixed(
    instance: dg.DagsterInstance, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """One run in which some steps fail in every way and the others must not care."""
    folder = tmp_path_factory.mktemp("notes")
    deeds = ["ok", "raise", "killed", "ok", "exit", "flaky", "killed_once", "ok"]
    run = execute(instance, "deeds_job", run_config(folder, deeds))
    run.folder = folder
    return run


def test_a_mapped_graph_runs_to_its_end(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    run = execute(instance, "deeds_job", run_config(tmp_path, ["ok"] * 8))
    assert run.success
    assert steps(run, "STEP_SUCCESS") == sorted(
        ["plan", *(f"work[ok_{number}]" for number in range(8)), "count"]
    )
    pids = {
        entry.dagster_event.engine_event_data.metadata["pid"].value
        for entry in run.events
        if entry.dagster_event.event_type_value == "STEP_WORKER_STARTED"
    }
    assert len(pids) == 2
    # Another's job, which our executor runs: it carries nothing of ours.
    assert not [tag for tag in instance.get_run_by_id(run.run_id).tags if "aiqc" in tag]
    assert gone({int(pid) for pid in pids})


def test_a_hundred_steps_on_eight_workers_meet_no_lock_and_no_hang(
    dagster_home: Path, tmp_path: Path
) -> None:
    """B07, B85: on the SQLite storage that the shipped instance has."""
    with dg.DagsterInstance.get() as instance:
        config = run_config(tmp_path, ["ok"] * 100, max_concurrent=8)
        run = execute(instance, "deeds_job", config)
        assert run.success
        assert len(steps(run, "STEP_SUCCESS")) == 102
        assert steps(run, "STEP_FAILURE") == steps(run, "STEP_UP_FOR_RETRY") == []
        assert not any("locked" in str(entry) for entry in instance.all_logs(run.run_id))


def test_failing_steps_fail_the_run_while_the_others_finish(mixed: SimpleNamespace) -> None:
    assert mixed.instance.get_run_by_id(mixed.run_id).status == dg.DagsterRunStatus.FAILURE
    assert steps(mixed, "STEP_FAILURE") == ["work[exit_4]", "work[killed_2]", "work[raise_1]"]
    assert {"work[ok_0]", "work[ok_3]", "work[ok_7]"} <= set(steps(mixed, "STEP_SUCCESS"))
    assert "count" not in steps(mixed, "STEP_SUCCESS")


def test_an_exception_is_in_the_event_log(mixed: SimpleNamespace) -> None:
    assert "raised on purpose" in failure_message(mixed, "work[raise_1]")


def test_a_killed_worker_is_in_the_event_log_with_its_signal(mixed: SimpleNamespace) -> None:
    message = failure_message(mixed, "work[killed_2]")
    assert "SIGKILL" in message
    assert "out of memory" in message


def test_exiting_is_no_success(mixed: SimpleNamespace) -> None:
    assert "SystemExit" in failure_message(mixed, "work[exit_4]")


def test_steps_are_retried_as_their_policy_says(mixed: SimpleNamespace) -> None:
    retried = steps(mixed, "STEP_UP_FOR_RETRY")
    assert {"work[flaky_5]", "work[killed_once_6]", "work[killed_2]"} <= set(retried)
    assert "work[raise_1]" not in retried
    assert {"work[flaky_5]", "work[killed_once_6]"} <= set(steps(mixed, "STEP_SUCCESS"))
    assert len((mixed.folder / "killed_once").read_text().splitlines()) == 2


def test_each_step_ends_once(mixed: SimpleNamespace) -> None:
    ends = steps(mixed, "STEP_SUCCESS") + steps(mixed, "STEP_FAILURE")
    assert len(ends) == len(set(ends)) == 9


def test_compute_logs_are_captured(mixed: SimpleNamespace) -> None:
    captured = {
        entry.dagster_event.logs_captured_data.step_keys[0]: entry.dagster_event
        for entry in mixed.events
        if entry.dagster_event.event_type_value == "LOGS_CAPTURED"
    }
    manager = mixed.instance.compute_log_manager
    for number in (0, 3):
        data = captured[f"work[ok_{number}]"].logs_captured_data
        logs = manager.get_log_data([mixed.run_id, "compute_logs", data.file_key])
        assert logs.stdout == b"stdout of ok\n"
        assert b"stderr of ok" in logs.stderr
        assert logs.stderr.count(b"logged by ok") == 1


def test_pools_and_tag_limits_are_respected(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    instance.event_log_storage.set_concurrency_slots("narrow", 1)
    limits = [{"key": "weight", "value": "heavy", "limit": 1}]
    config = run_config(tmp_path, ["a"] * 4, max_concurrent=3, tag_concurrency_limits=limits)
    assert execute(instance, "limits_job", config).success
    for name in ("pool", "tag"):
        assert (tmp_path / name).read_text() == "in\nout\n" * 4
    assert (tmp_path / "free").read_text().count("in\n") == 4


def test_retries_can_be_disabled(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    config = run_config(tmp_path, ["flaky"], max_concurrent=1, retries={"disabled": {}})
    run = execute(instance, "deeds_job", config)
    assert not run.success
    assert steps(run, "STEP_UP_FOR_RETRY") == []


def test_code_that_a_worker_cannot_load_fails_the_step_with_the_reason(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module("executor_jobs")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(LOCATIONS)])
    run = execute(instance, "deeds_job", run_config(tmp_path, ["ok"], max_concurrent=1))
    assert not run.success
    assert "No module named 'executor_jobs'" in failure_message(run, "plan")


def test_a_pool_that_breaks_fails_the_run_with_the_reason(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    run = execute(instance, "deeds_job", run_config(tmp_path, ["ok"]))
    assert not run.success
    assert any("/nowhere/python" in str(entry.dagster_event) for entry in run.events)


SCRIPT = """
import json, sys
import dagster as dg
import executor_jobs
with dg.DagsterInstance.get() as instance:
    dg.execute_job(
        dg.reconstructable(getattr(executor_jobs, sys.argv[1])),
        instance=instance,
        run_config=json.loads(sys.argv[2]),
        raise_on_error=False,
    )
"""


@pytest.mark.parametrize("executor", ["warm_pool", "multiprocess"])
def test_no_step_inherits_what_the_runs_process_holds(
    tmp_path: Path, dagster_home: Path, executor: str
) -> None:
    """B12: in a fork of a process that has touched CUDA, CUDA is broken."""
    run = subprocess.run(
        [sys.executable, "-c", f"import os, torch; print(os.getpid())\n{SCRIPT}", "loaded_job",
         json.dumps(run_config(tmp_path, ["look", "look"]))],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{LOCATIONS}",
             "AIQC_EXECUTOR": executor},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    seen = [line.split() for line in (tmp_path / "look").read_text().splitlines()]
    assert [torch for _, torch in seen] == ["False", "False"], run.stderr
    assert run.stdout.split()[0] not in {pid for pid, _ in seen}


@contextmanager
def sleeping(folder: Path, job: str, deeds: list[str]) -> Iterator[SimpleNamespace]:
    """Start a run in a process of its own; as many steps as `deeds` are in their work."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, job, json.dumps(run_config(folder, deeds))],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{LOCATIONS}"},
        stderr=subprocess.DEVNULL,
    )
    working = folder / "working"
    try:
        assert eventually(
            lambda: working.exists() and len(working.read_text().splitlines()) == len(deeds),
            seconds=120,  # the run's process and its workers import Dagster first
        )
        pids = {int(line) for line in working.read_text().splitlines()}
        yield SimpleNamespace(process=process, pids=pids, folder=folder)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def sleeping_run(tmp_path: Path, dagster_home: Path) -> Iterator[SimpleNamespace]:
    """A run with two steps in the middle of their work."""
    with sleeping(tmp_path, "deeds_job", ["sleep", "sleep"]) as run:
        yield run


@pytest.mark.parametrize(
    ("signal_number", "requested", "status"),
    [
        (signal.SIGTERM, True, dg.DagsterRunStatus.CANCELED),
        (signal.SIGINT, False, dg.DagsterRunStatus.FAILURE),
    ],
)
def test_cancelling_interrupts_the_steps_and_ends_the_workers(
    sleeping_run: SimpleNamespace,
    signal_number: int,
    requested: bool,  # noqa: FBT001
    status: dg.DagsterRunStatus,
) -> None:
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
        if requested:
            instance.report_run_canceling(run)
        sleeping_run.process.send_signal(signal_number)
        sleeping_run.process.wait(15)
        assert gone(sleeping_run.pids)
        interrupted = (sleeping_run.folder / "interrupted").read_text().splitlines()
        assert {int(line) for line in interrupted} == sleeping_run.pids
        assert [record.status for record in instance.get_runs()] == [status]


@pytest.mark.parametrize(
    ("signal_number", "status"),
    [
        (signal.SIGTERM, dg.DagsterRunStatus.CANCELED),
        (signal.SIGKILL, dg.DagsterRunStatus.FAILURE),
    ],
)
def test_a_run_that_was_ended_blocks_no_pool_and_is_not_shown_as_running(
    tmp_path: Path, dagster_home: Path, signal_number: int, status: dg.DagsterRunStatus
) -> None:
    """B70, B15: with no daemon to look after it, and one slot."""
    with dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("narrow", 1)
        with sleeping(tmp_path, "limits_job", ["sleep"]) as run:
            assert storage.get_concurrency_info("narrow").active_slot_count == 1
            (first,) = instance.get_runs()
            if status == dg.DagsterRunStatus.CANCELED:
                instance.report_run_canceling(first)
            run.process.send_signal(signal_number)
            run.process.wait(30)
        if status == dg.DagsterRunStatus.CANCELED:
            assert storage.get_concurrency_info("narrow").active_slot_count == 0
        assert execute(instance, "limits_job", run_config(tmp_path, ["a"])).success
        assert instance.get_run_by_id(first.run_id).status == status
        assert storage.get_concurrency_info("narrow").active_slot_count == 0


def test_a_killed_run_worker_leaves_no_worker_behind(sleeping_run: SimpleNamespace) -> None:
    sleeping_run.process.kill()
    assert eventually(lambda: gone(sleeping_run.pids), seconds=3)


def test_the_number_of_workers_is_configured_then_from_the_environment_then_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIQC_WORKERS", "3")
    assert worker_count(5) == 5
    assert worker_count(None) == 3
    monkeypatch.setenv("AIQC_WORKERS", "")
    assert worker_count(None) == os.cpu_count()
    monkeypatch.delenv("AIQC_WORKERS")
    assert worker_count(None) == os.cpu_count()


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5"])
def test_a_senseless_number_of_workers_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("AIQC_WORKERS", value)
    with pytest.raises(TrainingError, match=f"AIQC_WORKERS='{value}': give a whole number"):
        worker_count(None)
    with pytest.raises(TrainingError, match="max_concurrent=0"):
        worker_count(0)


def test_the_executor_needs_an_instance_that_other_processes_can_open(tmp_path: Path) -> None:
    jobs = importlib.import_module("executor_jobs")
    with (
        dg.DagsterInstance.ephemeral() as instance,
        pytest.raises(dg.DagsterUnmetExecutorRequirementsError, match="ephemeral"),
    ):
        dg.execute_job(
            dg.reconstructable(jobs.deeds_job),
            instance=instance,
            run_config=run_config(tmp_path, ["ok"]),
            raise_on_error=True,
        )
