"""Celery when a part of it is away, is killed, or runs something else."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import services_redis
from celery import Celery
from executor_contract import DEADLINE_SECONDS, Place, make_queue

from aiqc_core.errors import TrainingError
from aiqc_dagster.executors import versions
from aiqc_dagster.executors.celery.app import RUN_STEP
from aiqc_dagster.settings import settings

if TYPE_CHECKING:
    from pathlib import Path

    from services_celery import Farm

DEEDS = ["calm", "kill", "raise", "tidy"]
HASTY = {"AIQC_CELERY_PATIENCE": "4"}

# Processes that each import a framework, on a machine that does other things too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_broker_that_is_away_is_reported_at_once_with_its_address(place: Place) -> None:
    port = services_redis.free_port()
    environment = place.environment() | {
        "AIQC_EXECUTOR": "celery",
        "AIQC_CELERY_BROKER": f"redis://:secret@127.0.0.1:{port}/0",
    }
    run = place.finish(make_queue(), environment)
    assert (run.code, run.trained) == (1, [])
    assert f"The Celery broker at redis://127.0.0.1:{port}/0 (AIQC_CELERY_BROKER)" in run.log
    assert "Start Redis there (`make up-celery` starts one on this machine)" in run.log
    assert "secret" not in run.log


def test_a_killed_worker_fails_its_step_alone_and_the_next_run_finishes(
    place: Place, farm: Farm
) -> None:
    """Killed outright, it can tell nobody; Celery's result would stay pending for good."""
    worker, queue_id = farm.workers["gpu"], make_queue()
    with place.run(queue_id, farm.environment) as process:
        with place.wrong("endless"):
            place.wait_for_lines(process)
            worker.kill()
        worker.start()
        killed = place.seen(process.wait(DEADLINE_SECONDS), queue_id)
    assert killed.code == 1
    (reason,) = killed.reasons.values()
    assert f"The Celery worker {worker.node} no longer has this step" in reason
    assert len(killed.trained) == len(set(killed.trained)) == 3
    assert place.finish(queue_id, farm.environment).trained == DEEDS


def test_a_broker_that_goes_away_fails_the_run_and_once_back_the_same_command_finishes(
    place: Place, farm: Farm
) -> None:
    """It comes back empty; workers find it again by themselves."""
    queue_id = make_queue(seed=6)
    with place.wrong("endless"), place.run(queue_id, farm.environment | HASTY) as process:
        place.wait_for_lines(process)
        farm.redis.stop()
        parted = place.seen(process.wait(DEADLINE_SECONDS), queue_id)
    assert (parted.code, parted.trained) == (1, [])
    assert all(
        f"The Celery broker at {farm.redis.url} (AIQC_CELERY_BROKER) does not answer" in reason
        for reason in parted.reasons.values()
    )
    farm.redis.start()
    farm.wait()
    done = place.finish(queue_id, farm.environment)
    assert (done.code, done.trained) == (0, DEEDS), done.log[-3000:]


def test_a_worker_of_other_versions_refuses_and_names_both_hosts(farm: Farm) -> None:
    sender = versions.of_this_process() | {"torch": "1.0", "host": "laptop"}
    with Celery(broker=farm.redis.url, backend=farm.redis.url, set_as_current=False) as app:
        result = app.send_task(RUN_STEP, ["train_job", "", sender], queue="gpu")
        with pytest.raises(TrainingError, match=r"torch 1\.0 sent, 2\.\d+\.\d+ here") as refused:
            result.get(timeout=DEADLINE_SECONDS)
    here = versions.of_this_process()["host"]
    assert f"The worker gpu@{here} on {here} runs something else than the run on laptop" in str(
        refused.value
    )


def test_a_worker_of_another_store_refuses(farm: Farm, tmp_path: Path) -> None:
    """It would train into a store where nobody looks."""
    sender = versions.of_this_process() | {"store": str(tmp_path)}
    with Celery(broker=farm.redis.url, backend=farm.redis.url, set_as_current=False) as app:
        result = app.send_task(RUN_STEP, ["train_job", "", sender], queue="gpu")
        with pytest.raises(TrainingError, match=f"store {tmp_path} sent"):
            result.get(timeout=DEADLINE_SECONDS)


ELSEWHERE = """
import os, sys
sys.path.append(os.getcwd())
import dagster as dg, only_here
os.remove(only_here.__file__)
with dg.DagsterInstance.get() as instance:
    job = dg.reconstructable(only_here.job)
    sys.exit(0 if dg.execute_job(job, instance=instance, raise_on_error=False).success else 1)
"""
ONLY_HERE = """
import dagster as dg
from aiqc_dagster.executors.celery.executor import celery_executor
@dg.op
def work(): return 1
@dg.job(executor_def=celery_executor)
def job(): work()
"""


def run_elsewhere(farm: Farm, folder: Path, **environment: str) -> str:
    """Run a job of a module that is gone when a worker looks for it; return what was said."""
    (folder / "only_here.py").write_text(ONLY_HERE)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE],
        env=farm.environment | environment,
        cwd=folder, capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_a_worker_without_the_code_is_reported(farm: Farm, tmp_path: Path) -> None:
    reported = run_elsewhere(farm, tmp_path)
    assert "lacks code of this run: No module named 'only_here'" in reported
    assert "Install it there as on" in reported


def test_a_queue_that_nobody_listens_to_fails_the_step_in_the_end(
    farm: Farm, tmp_path: Path
) -> None:
    broker = farm.redis.url.removesuffix("/0") + "/1"  # another world on the same server
    reported = run_elsewhere(farm, tmp_path, AIQC_CELERY_BROKER=broker, **HASTY)
    assert f"No Celery worker listens to the queue 'default' of {broker}" in reported
    assert "celery -A aiqc_dagster.executors.celery.app worker -Q default" in reported


def test_patience_is_a_number_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.celery_patience == 60
    monkeypatch.setenv("AIQC_CELERY_PATIENCE", "7.5")
    assert settings.celery_patience == 7.5
    monkeypatch.setenv("AIQC_CELERY_PATIENCE", "for ever")
    with pytest.raises(TrainingError, match="'for ever': give a number of seconds above 0"):
        assert settings.celery_patience
