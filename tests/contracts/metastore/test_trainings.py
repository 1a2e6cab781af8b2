"""The way from data to predictions, on each store: the same rows, the same numbers, once each."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lines
import pytest
from places import LOCATIONS, ROOT
from services import use_database
from small_experiment import declare, source
from typer.testing import CliRunner

from aiqc_core import config
from aiqc_core.cli.app import app
from aiqc_core.experiment import workflow
from aiqc_core.orm import Attempt, Champion, Hyperparamcombo, Job, Predictor, Queue, metastore
from aiqc_core.orm.admin.gc import collect
from aiqc_dagster.executors.choose import EXECUTOR_VARIABLE

if TYPE_CHECKING:
    import pandas as pd

LOCATION = LOCATIONS / "small_location.py"
pytestmark = pytest.mark.slow


def reported(experiment: Any) -> dict[str, Any]:
    """Walk an experiment, and return all that has to be the same everywhere."""
    queue = experiment.run(snapshot="s")
    champion, _ = workflow.crown(experiment, "s")
    predictor = champion.predictor
    metrics: pd.DataFrame = queue.metrics_df()
    said = predictor.predict(source(5).drop(columns="y"))
    return {
        "jobs": [(job.id, job.key) for job in Job.select()],
        "predictors": [(p.id, p.job_id, p.seed) for p in Predictor.select()],
        "metrics": metrics.drop(columns=[c for c in metrics if "time" in c]).to_dict("list"),
        "champion": (champion.id, predictor.id, champion.reason),
        "said": said.to_dict("list"),
        "best": queue.compare_best("accuracy").verdict,
    }


def test_both_stores_give_the_same_rows_and_numbers(
    home: Path, tmp_path: Path, database_url: str
) -> None:
    in_file = reported(declare())
    with use_database(database_url), config.use_home(tmp_path / "beside"):
        in_database = reported(declare())
        assert metastore.store.describe().startswith("PostgreSQL")
    assert in_database == in_file


def work(queue: int) -> None:
    """Train what a Queue lacks, as one of several processes."""
    Queue.get_by_id(queue).run_jobs(progress=False)


def test_several_processes_train_each_job_of_a_queue_once(store: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    queue = lines.queue({"weight": [1, 2, 3], "log": [str(log)], "sleep": [0.05]})
    metastore.close()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(queue.id,)) for _ in range(2)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(log.read_text().splitlines()) == queue.runs_completed == queue.total_runs == 9
    done = [(a.job_id, a.repeat_index, a.status) for a in Attempt.select()]
    assert sorted(done) == [(job.id, 0, "succeeded") for job in queue.jobs]
    owners = {attempt.owner["pid"] for attempt in Attempt.select()}
    assert len(owners) > 1


def test_a_search_goes_on_from_its_rows_and_goes_with_them(store: str) -> None:
    weights = {"weight": {"low": 0.5, "high": 4.0}}
    queue = lines.queue(weights, {"search": "tpe", "search_count": 3}, {"fold_count": None})
    assert queue.run_jobs(progress=False).trained == 3
    assert [combo.idx for combo in Hyperparamcombo.select()] == [0, 1, 2]
    assert queue.run_jobs(progress=False).trained == 0
    queue.delete_instance(cascade=True)
    assert [table.select().count() for table in (Job, Attempt, Predictor, Champion)] == [0] * 4
    freed = collect(dry_run=False)
    assert freed.blobs > 0
    assert collect(dry_run=True).blobs == 0


def test_dagster_trains_on_a_database(
    postgres: str, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = str(Path(sys.executable).with_name("dagster"))
    place = ["-f", str(LOCATION), "-a", "defs", "-j", "retrain_updown"]

    def execute() -> str:
        done = subprocess.run(
            [program, "job", "execute", *place], cwd=ROOT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stderr

    assert "4 trained, 0 found, of 4 Jobs" in execute()
    assert Predictor.select().count() == 4
    assert not config.database_path().exists()
    monkeypatch.setenv(EXECUTOR_VARIABLE, "in_process")  # there is nothing to hand to workers
    assert "nothing to do, all 4 Jobs were trained before" in execute()
    attempts = [(attempt.job_id, attempt.status) for attempt in Attempt.select()]
    assert sorted(attempts) == [(job.id, "succeeded") for job in Job.select()]


def test_on_each_store_the_declared_metric_leads_and_the_leaderboard_names_the_store(
    store: str,
) -> None:
    queue = declare(metric="roc_auc", epochs=(2,)).run(snapshot="s", progress=False)
    assert Queue.get_by_id(queue.id).metric == "roc_auc"
    workflow.promote("updown", "s")
    done = CliRunner().invoke(app, ["leaderboard", "updown", "--json"])
    shown = json.loads(done.output, parse_constant=pytest.fail)
    assert (shown["metric"], shown["champion"]["snapshot"]) == ("roc_auc", "s")
    place = CliRunner().invoke(app, ["leaderboard", "updown"]).output.split("Store: ")[1]
    assert place.startswith("PostgreSQL at " if store == "postgresql" else str(config.home()))
    assert shown["store"] == config.shown_store()
    assert "password" not in place
