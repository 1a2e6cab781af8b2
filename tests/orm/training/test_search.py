"""A Queue that asks for its combinations as results come, with the rows as its only memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import lines
import numpy as np
import pytest
from places import SUPPORT
from sklearn.metrics import r2_score

from aiqc_core.errors import AlgorithmError
from aiqc_core.orm import Attempt, Hyperparamcombo, Hyperparamset, Job, Predictor, Queue
from aiqc_core.orm.training import search as searching
from aiqc_core.stages.train.search import space, tpe

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = {"weight": {"low": 0.5, "high": 4.0}}


def tpe_queue(count: int, hyperparameters: dict[str, Any] | None = None, **options: Any) -> Queue:
    search = {"search": "tpe", "search_count": count}
    return lines.queue(hyperparameters or WEIGHTS, search, **options)


def r2_by_hand(row: Queue, params: dict[str, Any]) -> float:
    """Mean R² over the folds' evaluation rows, of the model that says `weight * x`."""
    cuts = [fold.positions()[row.splitset.key_evaluation] for fold in row.splitset.ordered_folds]
    scores = [r2_score(2 * lines.X[cut], params["weight"] * lines.X[cut]) for cut in cuts]
    return float(np.mean(scores))


@pytest.mark.slow
def test_combinations_come_one_by_one_and_count_from_the_start(home: Path) -> None:
    row = tpe_queue(4, repeat_count=2)
    assert row.total_runs == 4 * lines.FOLDS * 2
    assert row.jobs.count() == Hyperparamcombo.select().count() == 0
    summary = row.run_jobs(progress=False)
    assert summary.trained == row.runs_completed == row.total_runs
    assert (row.jobs.count(), Hyperparamcombo.select().count()) == (4 * lines.FOLDS, 4)
    again = row.run_jobs(progress=False)
    assert (again.trained, again.found) == (0, row.total_runs)
    assert "nothing to do" in again.describe()


@pytest.mark.slow
def test_a_suggestion_is_what_optuna_says_of_the_mean_over_folds(home: Path) -> None:
    row = tpe_queue(12)
    row.run_jobs(progress=False)
    history: list[tpe.Trial] = []
    for params in lines.tried(row):
        asked = tpe.suggest(space.parse(WEIGHTS), history, seed=row.hyperparamset.seed)
        assert params == asked
        history.append(tpe.Trial(params, "complete", (r2_by_hand(row, params),)))
    for found, expected in zip(searching.trials(row), history, strict=True):
        assert found.state == "complete"
        assert found.scores[-1] == pytest.approx(expected.scores[-1], abs=1e-4)


@pytest.mark.slow
def test_the_same_seed_and_results_give_the_same_sequence(home: Path) -> None:
    alone: dict[str, Any] = {"cut": {"fold_count": None}}
    first, second = tpe_queue(12, **alone), tpe_queue(12, **alone)
    first.run_jobs(progress=False)
    second.run_jobs(progress=False)
    assert lines.tried(first) == lines.tried(second)
    other = lines.queue(WEIGHTS, {"search": "tpe", "search_count": 3, "seed": 6}, **alone)
    other.run_jobs(progress=False)
    assert lines.tried(other) != lines.tried(first)[:3]


@pytest.mark.slow
def test_two_queues_of_one_set_have_searches_of_their_own(home: Path) -> None:
    first = tpe_queue(4)
    second = Queue.from_algorithm(
        first.algorithm_id, lines.splitset(seed=9).id, permute_count=0,
        hyperparamset_id=first.hyperparamset_id, seed=3,
    )  # fmt: skip
    first.run_jobs(progress=False)
    second.run_jobs(progress=False)
    assert lines.tried(first) == lines.tried(second)  # drawn before there is a model of results
    assert Hyperparamcombo.select().count() == 4
    assert second.runs_completed == second.total_runs


def test_a_space_of_choices_is_tried_without_doubles_and_then_is_done(home: Path) -> None:
    row = tpe_queue(100, {"weight": [1, 2, 3], "note": [True, 1]}, cut={"fold_count": None})
    assert row.total_runs == 6
    row.run_jobs(progress=False)
    assert len({space.canonical(params) for params in lines.tried(row)}) == 6


def test_failed_and_diverged_trials_are_reported_as_that(home: Path) -> None:
    grid = {"weight": [1, None], "fails": [False, True]}
    row = tpe_queue(4, grid, cut={"fold_count": None})
    summary = row.run_jobs(progress=False, raise_on_error=False)
    assert (summary.trained, len(summary.failures)) == (2, 2)
    states = {(t.params["weight"], t.params["fails"]): t.state for t in searching.trials(row)}
    assert states[1, True] == states[None, True] == "failed"
    assert states[1, False] == states[None, False] == "complete"
    scores = {(t.params["weight"], t.params["fails"]): t.scores for t in searching.trials(row)}
    assert not np.isfinite(scores[None, False][-1])
    assert summary.best is not None
    assert np.isfinite(summary.best)
    again = row.run_jobs(progress=False, raise_on_error=False)
    assert (again.trained, again.found, len(again.failures)) == (0, 2, 2)


def test_a_trial_in_flight_is_not_waited_for_but_taken_into_account(home: Path) -> None:
    row = tpe_queue(3, cut={"fold_count": None})
    first = searching.ask(row, in_flight=2)
    second = searching.ask(row, in_flight=2)
    assert [len(first), len(second)] == [1, 1]
    assert [trial.state for trial in searching.trials(row)] == ["running", "running"]
    row.run_jobs(progress=False)
    assert row.runs_completed == row.total_runs == 3
    assert searching.ask(row) == []


def test_another_process_that_asks_meanwhile_gets_the_next_number(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = tpe_queue(3, cut={"fold_count": None})
    suggest = tpe.suggest

    def late(*args: Any, **kwargs: Any) -> dict[str, Any]:
        monkeypatch.undo()
        searching.ask(row)  # what the other process does
        return suggest(*args, **kwargs)

    monkeypatch.setattr(searching.tpe, "suggest", late)
    searching.ask(row)
    keys = [job.key for job in row.jobs]
    assert len(keys) == len(set(keys)) == 2


def test_an_impossible_search_leaves_no_rows(home: Path) -> None:
    with pytest.raises(AlgorithmError, match="give a search_count"):
        lines.queue(WEIGHTS, {"search": "tpe"})
    assert Hyperparamset.select().count() == Hyperparamcombo.select().count() == 0


@pytest.mark.slow
def test_with_two_workers_the_sequence_does_not_depend_on_who_is_faster(home: Path) -> None:
    first = tpe_queue(12, cut={"fold_count": None})
    second = tpe_queue(12, {**WEIGHTS, "sleep": 0.05}, cut={"fold_count": None})
    first.run_jobs(workers=2, progress=False)
    second.run_jobs(workers=2, progress=False)
    assert [p["weight"] for p in lines.tried(first)] == [p["weight"] for p in lines.tried(second)]
    assert second.runs_completed == second.total_runs == Predictor.select().count() / 2


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from aiqc_core.orm import Queue
from aiqc_core.orm.training import run, search

calls = 0
def dying(function, times, *, before):
    def called(*args, **kwargs):
        global calls
        calls += 1
        if before and calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        value = function(*args, **kwargs)
        if calls == times:
            os.kill(os.getpid(), signal.SIGKILL)
        return value
    return called

{patch}
Queue.get_by_id({queue}).run_jobs(progress=False)
"""
MOMENTS = (
    "search.ask = dying(search.ask, 2, before=False)  # asked, not begun",
    "run.record = dying(run.record, 2, before=True)  # trained, not recorded",
    "run.record = dying(run.record, 5, before=False)  # recorded",
    "search.tpe.suggest = dying(search.tpe.suggest, 2, before=False)  # not yet written",
)


@pytest.mark.slow
def test_a_search_killed_at_any_moment_goes_on_as_if_it_had_not_been(home: Path) -> None:
    """B08, B64: no run lost or doubled, the same suggestions, the same predictions."""
    whole, killed = tpe_queue(13), tpe_queue(13)
    whole.run_jobs(progress=False)
    done = 0
    for patch in MOMENTS:
        code = textwrap.dedent(KILLED.format(tests=str(SUPPORT), patch=patch, queue=killed.id))
        ended = subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ))
        assert ended.returncode == -signal.SIGKILL
        assert killed.runs_completed >= done
        done = killed.runs_completed
    assert done < killed.total_runs
    summary = killed.run_jobs(progress=False)
    assert (summary.found, summary.trained) == (done, killed.total_runs - done)
    assert lines.tried(killed) == lines.tried(whole)
    assert lines.predictions(killed) == lines.predictions(whole)
    recorded = Predictor.select().join(Job).where(Job.queue == killed)
    runs = [(predictor.job_id, predictor.repeat_index) for predictor in recorded]
    assert len(runs) == len(set(runs)) == killed.total_runs
    assert Attempt.select().where(Attempt.status == "running").count() == 0
