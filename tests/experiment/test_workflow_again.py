"""What a declaration that changed, or is walked again, trains: only what is not trained yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from small_experiment import declare, source

from aiqc_core.experiment import workflow
from aiqc_core.orm import Predictor, Queue, Snapshot
from aiqc_core.orm.training.reuse import adopt

if TYPE_CHECKING:
    from pathlib import Path


def probabilities(queue: Queue) -> dict[str, np.ndarray]:
    """Return the test probabilities of each Job."""
    return {job.key: job.predictors[0].predictions[0].probabilities["test"] for job in queue.jobs}


def test_an_edited_grid_takes_over_what_stayed_and_trains_the_rest(home: Path) -> None:
    before = workflow.run(declare(epochs=(2, 4)), snapshot="s1")
    edited = workflow.prepare(declare(epochs=(4, 6)), "s1")
    assert edited.id != before.id
    assert edited.runs_completed == 2
    taken = [p for job in edited.jobs for p in job.predictors]
    assert {Predictor.get_by_id(p.adopted_from).job.key for p in taken} == {
        p.job.key for p in taken
    }
    assert edited.run_jobs(progress=False).trained == 2
    old, new = probabilities(before), probabilities(edited)
    assert all(np.array_equal(old[key], new[key]) for key in old.keys() & new.keys())
    assert len(old.keys() & new.keys()) == 2


def test_what_is_taken_over_equals_what_training_would_have_given(home: Path) -> None:
    before = workflow.run(declare(), snapshot="s1")
    renewed = workflow.renew(declare(), "s1", [job.key for job in before.jobs])
    assert renewed.runs_completed == 0
    renewed.run_jobs(progress=False)
    old, new = probabilities(before), probabilities(renewed)
    assert old.keys() == new.keys()
    assert all(np.array_equal(old[key], new[key]) for key in old)


def test_forcing_some_jobs_keeps_the_others_and_loses_nothing(home: Path) -> None:
    experiment = declare()
    before = workflow.run(experiment, snapshot="s1")
    (forced, *_) = experiment.job_keys()
    renewed = workflow.renew(experiment, "s1", [forced])
    assert [job.key for job in renewed.jobs if job.missing()] == [forced]
    assert before.runs_completed == before.total_runs == 4
    assert workflow.prepare(experiment, "s2").id == renewed.id
    assert Snapshot.of("updown", "s1").rows["queue"] == renewed.id


def test_other_seeds_or_permutations_are_not_taken_over(home: Path) -> None:
    workflow.run(declare(seed=5), snapshot="s1")
    assert workflow.prepare(declare(seed=6), "s1").runs_completed == 0
    assert adopt(workflow.prepare(declare(seed=5), "s1")) == 0


def test_jobs_are_found_in_the_order_asked_for(home: Path) -> None:
    experiment = declare()
    workflow.prepare(experiment, "s1")
    keys = experiment.job_keys()[::-1]
    assert [job.key for job in workflow.jobs(experiment, "s1", keys)] == keys


def test_an_experiment_is_due_until_it_is_trained_and_when_its_content_moves(home: Path) -> None:
    experiment = declare()
    assert workflow.due(experiment).reason == "No snapshot is there yet."
    workflow.prepare(experiment, "s1")
    assert workflow.due(experiment).reason == "Snapshot s1 lacks 4 trainings."
    workflow.run(experiment, snapshot="s1")
    found = workflow.due(experiment)
    assert not found.is_due
    assert "which is trained" in found.reason
    moved = workflow.due(declare(source=lambda: source(61)))
    assert moved.is_due
    assert "moved since snapshot s1" in moved.reason
    assert Queue.select().count() == 1


def test_looking_whether_a_file_moved_writes_nothing(home: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    source().to_csv(path, index=False)
    experiment = declare(source=path)
    workflow.run(experiment, snapshot="s1")
    assert not workflow.due(experiment).is_due
    with path.open("a") as file:
        pd.DataFrame({"x": [0.1], "z": [0.2], "y": ["up"]}).to_csv(file, header=False, index=False)
    assert workflow.due(experiment).is_due
    assert Snapshot.select().count() == 1
