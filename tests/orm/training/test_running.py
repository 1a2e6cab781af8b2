"""How a Queue is run: limits, interruption, pruning, stacks, progress, and many Jobs."""

from __future__ import annotations

import logging
import math
import signal
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, Any

import lines
import numpy as np
import pandas as pd
import pytest

from aiqc_core import config
from aiqc_core.errors import TrainingError
from aiqc_core.orm import (
    Attempt,
    Dataset,
    Feature,
    Hyperparamcombo,
    MedianPruner,
    Predictor,
    Queue,
    Splitset,
    metastore,
)
from aiqc_core.orm.store import process_identity
from aiqc_core.orm.training import run
from aiqc_core.orm.training.measure import Measure
from aiqc_core.orm.training.options import Options
from aiqc_core.orm.training.progress import Progress, RunSummary
from aiqc_core.orm.training.run import train_one

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALONE: dict[str, Any] = {"cut": {"fold_count": None}}


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"workers": 0}, "workers: 0; give a whole number of at least 1"),
        ({"workers": True}, "workers: True"),
        ({"workers": 2.0}, r"workers: 2\.0"),
        ({"time_limit": 0}, "time_limit: 0; give a number of seconds above 0"),
        ({"time_limit": math.nan}, "time_limit: nan"),
        ({"time_limit": "1h"}, "time_limit: '1h'"),
        ({"checkpoint_seconds": -1}, "checkpoint_seconds: -1; .* of at least 0"),
        ({"stack": 1}, "stack: 1; give True or False"),
        ({"progress": None}, "progress: None; give True or False"),
        ({"pruner": "median"}, "pruner: 'median'"),
    ],
)
def test_an_argument_out_of_range_is_refused_before_anything_is_written(
    home: Path, options: dict[str, Any], reported: str
) -> None:
    row = lines.queue({"weight": [1]}, **ALONE)
    with pytest.raises(TrainingError, match=reported):
        row.run_jobs(**options)
    assert Attempt.select().count() == 0


@pytest.mark.slow
def test_a_training_that_takes_too_long_has_failed_and_spoils_no_other(home: Path) -> None:
    """B85: with one worker too, and the worker is replaced."""
    row = lines.queue({"weight": [1, 2], "sleep": [600, 0]}, **ALONE)
    summary = row.run_jobs(time_limit=20, progress=False, raise_on_error=False, workers=2)
    assert summary.trained == 2
    assert len(summary.failures) == 2
    failed = Attempt.select().where(Attempt.kind == "time_limit").order_by(Attempt.id)
    assert [attempt.status for attempt in failed] == ["failed", "failed"]
    assert "time limit of 20 s" in failed[0].reason
    assert "(hyperparameters: weight=1, sleep=600)" in failed[0].reason


@pytest.mark.slow
def test_a_combination_that_runs_out_of_memory_is_reported_and_tried_again(
    home: Path, tmp_path: Path
) -> None:
    """B14: the others run, the reason names the hyperparameters, a rerun retries it only."""
    flag = tmp_path / "memory"
    row = lines.queue({"weight": [1, 2], "flag": [str(flag)]}, **ALONE, train=hungry)
    with pytest.raises(TrainingError, match=r"out of memory.*weight=2"):
        row.run_jobs(progress=False)
    assert row.runs_completed == 1
    (failed,) = Attempt.select().where(Attempt.status == "failed")
    assert (failed.kind, failed.job.hyperparameters["weight"]) == ("out_of_memory", 2)
    flag.touch()
    summary = row.run_jobs(progress=False)
    assert (summary.trained, summary.found, row.runs_completed) == (1, 1, 2)


def hungry(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Ask for more memory than there is, for one of the weights, until the flag is there."""
    import os

    if hp["weight"] == 2 and not os.path.exists(hp["flag"]):  # noqa: PTH110
        message = "CUDA out of memory. Tried to allocate 999 GiB"
        raise RuntimeError(message)
    return {"loss": [0.0]}, model


@pytest.mark.slow
def test_ctrl_c_records_what_is_done_and_gives_the_rest_back(home: Path, tmp_path: Path) -> None:
    """B78: folds that are done stay done; nothing is held; the rest is trained by the next run."""
    log = tmp_path / "trained"
    row = lines.queue({"weight": [1, 2], "log": [str(log)], "sleep": [0.2]})

    def interrupt() -> None:
        while row_count(log) < 2:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    with background(interrupt), pytest.raises(KeyboardInterrupt):
        row.run_jobs(progress=False)
    done = row.runs_completed
    assert 1 <= done < row.total_runs
    assert Attempt.select().where(Attempt.status == "running").count() == 0
    assert row.run_jobs(progress=False).trained == row.total_runs - done
    assert Predictor.select().count() == row.total_runs


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_recorded_and_ends_the_workers(home: Path, tmp_path: Path) -> None:
    log = tmp_path / "trained"
    sleep = {"weight": [1, 2, 3, 4], "log": [str(log)], "sleep": [0, 600]}
    row = lines.queue(sleep, **ALONE)

    def recorded() -> int:
        with closing(sqlite3.connect(config.database_path())) as store:
            return store.execute("SELECT count(*) FROM predictor").fetchone()[0]

    def interrupt() -> None:
        while row_count(log) < 2 or recorded() < 1:
            time.sleep(0.05)
        time.sleep(1)  # the run is back at waiting
        signal.raise_signal(signal.SIGINT)

    with background(interrupt), pytest.raises(KeyboardInterrupt):
        row.run_jobs(workers=2, progress=False)
    succeeded = Attempt.select().where(Attempt.status == "succeeded").count()
    assert 1 <= row.runs_completed == succeeded < row.total_runs
    assert Attempt.select().where(Attempt.status == "running").count() == 0


def row_count(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


class background:  # noqa: N801 - reads as a statement
    """Run something beside the block."""

    def __init__(self, body: Any) -> None:
        self.thread = threading.Thread(target=body)

    def __enter__(self) -> None:
        """Begin."""
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        """Wait for its end."""
        self.thread.join()


NEAR, FAR = [2, 2.1, 1.9, 2.2], [9, 8]


@pytest.mark.slow
def test_a_combination_worse_than_the_median_is_not_trained_on_its_other_folds(
    home: Path,
) -> None:
    row = lines.queue({"weight": [*NEAR, *FAR]})
    summary = row.run_jobs(progress=False, pruner=MedianPruner(min_rivals=3))
    trained = {job.hyperparameters["weight"]: 0 for job in row.jobs}
    for job in row.jobs:
        trained[job.hyperparameters["weight"]] += len(job.predictors)
    assert [trained[weight] for weight in FAR] == [1, 1]
    assert [trained[weight] for weight in NEAR[:3]] == [3, 3, 3]
    assert summary.pruned == row.runs_pruned == row.total_runs - row.runs_completed > 0
    attempt = Attempt.select().where(Attempt.status == "pruned").order_by(Attempt.id.desc()).get()
    assert "pruned after 1 of 3 folds: its mean r2 on" in attempt.reason
    assert "MedianPruner(min_epochs=5, min_rivals=3" in attempt.reason
    assert "other combinations" in attempt.reason


@pytest.mark.slow
def test_a_pruned_queue_is_finished_and_says_so(home: Path) -> None:
    """B09."""
    row = lines.queue({"weight": [*NEAR, *FAR]})
    row.run_jobs(progress=False, pruner=MedianPruner(min_rivals=3))
    attempts, models = Attempt.select().count(), Predictor.select().count()
    again = row.run_jobs(progress=False)
    assert (again.trained, again.found, again.pruned) == (0, models, row.runs_pruned)
    assert "nothing to do" in again.describe()
    assert f"{row.runs_pruned} pruned" in again.describe()
    assert (Attempt.select().count(), Predictor.select().count()) == (attempts, models)
    assert all(job.missing() == [] for job in row.jobs)


@pytest.mark.slow
def test_a_pruned_combination_is_reported_to_the_search_as_that(home: Path) -> None:
    from aiqc_core.orm.training import search

    weights = {"weight": {"low": 0.0, "high": 9.0}}
    row = lines.queue(weights, {"search": "tpe", "search_count": 6})
    row.run_jobs(progress=False, pruner=MedianPruner(min_rivals=2))
    assert row.runs_completed + row.runs_pruned == row.total_runs
    found = {len(t.scores) < lines.FOLDS: t.state for t in search.trials(row)}
    assert found == {False: "complete", True: "pruned"}


def test_a_model_stopped_by_its_history_is_recorded_with_the_epochs_it_has(home: Path) -> None:
    row = lines.queue({"weight": [*NEAR, 9], "epochs": [6]}, **ALONE)
    row.run_jobs(progress=False, pruner=MedianPruner(min_epochs=2, min_rivals=3))
    epochs = {
        job.hyperparameters["weight"]: len(job.predictors[0].history["loss"]) for job in row.jobs
    }
    assert epochs == {2: 6, 2.1: 6, 1.9: 6, 2.2: 2, 9: 2}
    assert row.runs_completed == row.total_runs


def test_without_folds_nothing_is_pruned(home: Path) -> None:
    row = lines.queue({"weight": [*NEAR, *FAR]}, **ALONE)
    summary = row.run_jobs(progress=False, pruner=MedianPruner(min_rivals=1))
    assert (summary.trained, row.runs_pruned) == (6, 0)


def shown(measure: Measure, scores: list[float], total: int = 9) -> float | None:
    summary = RunSummary(1, total=total, found=0)
    queue: Any = type("Named", (), {"id": 1})
    with Progress(queue, summary, measure, shown=False) as progress:
        for score in scores:
            progress.seen(score)
    return summary.best


def test_the_best_is_never_nan_and_is_the_least_of_a_loss() -> None:
    nan = math.nan
    assert shown(Measure("r2", "test"), [nan, 0.1, nan, 0.5, 0.3, math.inf]) == 0.5
    assert shown(Measure("loss", "test"), [nan, 0.1, nan, 0.5, -math.inf]) == 0.1
    assert shown(Measure("r2", "test"), [nan]) is None


def test_the_best_counts_what_was_found_and_a_diverged_first_one_does_not_stay(
    home: Path,
) -> None:
    row = lines.queue({"weight": [None, 1, 2, 3]}, **ALONE)
    summary = row.run_jobs(progress=False)
    assert summary.best == pytest.approx(1.0)
    Predictor.select().order_by(Predictor.id.desc()).get().delete_instance(cascade=True)
    assert row.run_jobs(progress=False).best == pytest.approx(1.0)


def fitting(
    model: Any, loser: Any, optimizer: Any, train_features: Any, train_label: Any,
    eval_features: Any, eval_label: Any, **hp: Any,
) -> Any:  # fmt: skip
    """Three epochs by the package's loop, which can train several models together."""
    from aiqc_core.utils.pytorch import fit

    return fit(
        model, loser, optimizer, train_features, train_label, eval_features, eval_label,
        epochs=3, batch_size=8,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 2])
def test_stacked_training_gives_each_its_own_predictor(
    home: Path, caplog: pytest.LogCaptureFixture, workers: int | None
) -> None:
    weights = {"weight": [1, 2, 3, 4]}
    alone, stacked = (lines.queue(weights, train=fitting, repeat_count=2) for _ in range(2))
    alone.run_jobs(progress=False)
    with caplog.at_level(logging.INFO):
        summary = stacked.run_jobs(workers, progress=False, stack=True)
    assert summary.trained == stacked.runs_completed == stacked.total_runs == 24
    assert workers == 2 or "Trained together: " in caplog.text
    expected, found = lines.predictions(alone), lines.predictions(stacked)
    assert expected.keys() == found.keys()
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-4, atol=1e-5)
    assert stacked.run_jobs(progress=False, stack=True).trained == 0


@pytest.mark.slow
def test_what_cannot_be_stacked_trains_alone_and_the_log_says_why(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = lines.queue({"weight": [1, 2]}, train=fitting)
    with caplog.at_level(logging.INFO):
        summary = row.run_jobs(progress=False, stack=True, checkpoint_seconds=60)
    assert summary.trained == 6
    assert "stack: 6 trained alone: checkpoint_seconds: a Job that keeps" in caplog.text


def test_what_fails_together_is_trained_one_by_one(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiqc_core.stages.train.stacking import run as stacked

    def too_large(specs: Any) -> None:
        message = "out of memory"
        raise MemoryError(message)

    monkeypatch.setattr(stacked, "run_stacked", too_large)
    row = lines.queue({"weight": [1, 2]}, train=fitting, **ALONE)
    assert row.run_jobs(progress=False, stack=True).trained == 2
    assert "2 are trained one by one: MemoryError: out of memory" in caplog.text
    assert [a.status for a in Attempt.select().order_by(Attempt.id)] == [
        "lost", "lost", "succeeded", "succeeded",
    ]  # fmt: skip


def test_all_else_works_without_stacking(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stacking = "aiqc_core.stages.train.stacking"
    for name in [stacking, *(name for name in sys.modules if name.startswith(f"{stacking}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    row = lines.queue({"weight": [1, 2]}, train=fitting, **ALONE)
    assert row.run_jobs(progress=False).trained == 2
    with pytest.raises(ImportError, match="stacking"):
        lines.queue({"weight": [3, 4]}, train=fitting, **ALONE).run_jobs(stack=True)


def test_a_finished_queue_calls_no_function_again(home: Path, tmp_path: Path) -> None:
    """B09: four combinations, four calls; three are left after one is deleted."""
    log = tmp_path / "trained"
    row = lines.queue({"weight": [1, 2, 3, 4], "log": [str(log)]}, **ALONE)
    row.run_jobs(progress=False)
    row.run_jobs(progress=False)
    assert row_count(log) == 4
    Predictor.select().first().delete_instance(cascade=True)
    assert row.run_jobs(progress=False).trained == 1
    assert log.read_text().split() == ["1", "2", "3", "4", "1"]


def test_predictions_of_new_data_are_no_scores_of_the_search(home: Path) -> None:
    from aiqc_core.orm.training.scores import Scores

    row = lines.queue({"weight": [1, 2]}, **ALONE)
    row.run_jobs(progress=False)
    measure = Measure.of_queue(row)
    before = Scores.read(row, measure)
    new = Feature.from_dataset(Dataset.Tabular.from_df(pd.DataFrame({"x": [0.5, 9.0]})).id)
    predictor = row.jobs[0].predictors[0]
    Splitset.make([new.id], predictor_id=predictor.id).infer()
    assert predictor.predictions.count() == 2
    assert Scores.read(row, measure) == before


@pytest.fixture
def counted(home: Path) -> Iterator[list[str]]:
    """Collect the statements that are made, each by its first word."""
    made: list[str] = []
    metastore.connect(reuse_if_open=True)
    metastore.connection().set_trace_callback(lambda text: made.append(text.split()[0]))
    yield made
    metastore.connection().set_trace_callback(None)


def test_what_is_pending_is_found_in_as_many_queries_for_many_jobs_as_for_few(
    counted: list[str],
) -> None:
    numbers = []
    for count in (2, 700):
        row = Queue.get_by_id(lines.queue({"weight": list(range(count))}).id)
        counted.clear()
        todo = run.still_pending(row)
        numbers.append(len(counted))
        assert len(todo) == count * lines.FOLDS
        counted.clear()
        for job, index in todo:
            assert (job.key, job.hyperparameters["weight"], index) != ("", None, 1)
            assert job.queue is row
        assert counted == []
    assert numbers[0] == numbers[1] <= 8


def test_ten_thousand_jobs_are_planned_in_few_statements(counted: list[str]) -> None:
    """B09: their order is combination by combination, fold by fold."""
    row = lines.queue({"weight": list(range(3334))})
    assert row.jobs.count() == row.total_runs == 10_002
    assert counted.count("INSERT") < 60
    assert Hyperparamcombo.select().count() == 3334
    first = [(job.hyperparameters["weight"], job.fold.idx) for job in row.jobs.limit(4)]
    assert first == [(0, 0), (0, 1), (0, 2), (1, 0)]
    assert len(run.still_pending(row)) == 10_002


def test_options_use_other_processes_only_when_they_must() -> None:
    given: dict[str, Any] = {"progress": True, "checkpoint_seconds": None, "stack": False}
    assert not Options.checked(workers=None, pruner=None, time_limit=None, **given).pooled
    assert Options.checked(workers=1, pruner=None, time_limit=9, **given).pooled
    assert Options.checked(workers=2, pruner=None, time_limit=None, **given).pooled


def test_two_calls_at_once_each_count_what_they_trained_themselves(home: Path) -> None:
    row = lines.queue({"weight": [1, 2, 3, 4]}, **ALONE)
    with ThreadPoolExecutor(2) as both:
        calls = [
            both.submit(lambda: Queue.get_by_id(row.id).run_jobs(progress=False)) for _ in range(2)
        ]
        done = [call.result() for call in calls]
    for summary in done:
        parts = (summary.trained, summary.found, summary.elsewhere, summary.held)
        assert sum(parts) == 4
    assert sum(summary.trained for summary in done) == 4


def test_what_another_process_trained_meanwhile_is_not_said_to_be_in_training(
    home: Path,
) -> None:
    row = lines.queue({"weight": [1, 2]}, **ALONE)
    summary = RunSummary(row.id, total=2, found=0)
    first, second = row.jobs
    with Progress(row, summary, Measure.of_queue(row), shown=False) as progress:
        progress.held(first, 0)
        progress.held(second, 0)
        assert train_one(first, 0) is not None
    assert "0 trained, 0 found, of 2; 1 were trained by another" in summary.describe()
    assert "; 1 are being trained by another process" in summary.describe()


def test_a_claim_that_was_taken_over_counts_as_another_process_work(home: Path) -> None:
    row = lines.queue({"weight": [1]}, **ALONE)
    (job,) = row.jobs
    with process_identity.working_for("this run"):
        attempt = job.claim(0)
    Attempt.update(status="lost").where(Attempt.id == attempt.id).execute()
    with process_identity.working_for("other run"):
        assert train_one(job, 0) is not None
    attempt.finish("succeeded")
    assert attempt.status == "lost"
    assert (job.is_trained_in("this run"), job.is_trained_in("other run")) == (False, True)
