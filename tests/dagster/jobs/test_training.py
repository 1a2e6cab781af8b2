"""The steps that train, on a real instance: of a notebook's Queue, and again when forced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from small_experiment import declare

from aiqc_core import frames
from aiqc_core.experiment import workflow
from aiqc_core.orm import Dataset, Job, Predictor, Queue, Snapshot
from aiqc_core.orm.store import process_identity
from aiqc_core.orm.training.run import train_one
from aiqc_dagster.assets import partitions
from aiqc_dagster.build.experiment import of_everything, of_experiment, of_notebooks
from aiqc_dagster.jobs import training

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTEBOOK = dg.AssetKey(["notebook", "predictor"])


@pytest.fixture
def instance(home: Path, dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """Give an instance on disk."""
    with dg.DagsterInstance.get() as real:
        yield real


def location() -> dg.Definitions:
    """Return a code location with the small experiment."""
    parts = (of_experiment(declare()), of_notebooks(), of_everything())
    return dg.Definitions.merge(*parts)


def execute(job: str, instance: dg.DagsterInstance, **options: Any) -> dg.ExecuteInProcessResult:
    """Run a job of the code location."""
    resolved = location().resolve_job_def(job)
    return resolved.execute_in_process(instance=instance, **options)


def run_queue(queue_id: int, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Run `run_queue`, as its launchpad would."""
    config = {"ops": {"open_queue": {"config": {"queue_id": queue_id}}}}
    return execute("run_queue", instance, run_config=config, raise_on_error=False)


def events(instance: dg.DagsterInstance) -> dict[str, list[str]]:
    """Return the data versions with which each cell of a notebook's Jobs was materialised."""
    found: dict[str, list[str]] = {}
    for record in instance.fetch_materializations(NOTEBOOK, limit=1000).records:
        shown = record.asset_materialization
        assert shown is not None
        version = (shown.tags or {})["dagster/data_version"]
        found.setdefault(str(shown.partition), []).append(version)
    return found


def test_a_queue_of_a_notebook_becomes_cells_and_is_trained_once(
    instance: dg.DagsterInstance,
) -> None:
    """B68: Dagster knows its cells; a run that finds a model reports it as that of before."""
    queue = workflow.prepare(declare(), "s1")
    assert run_queue(queue.id, instance).success
    cells = instance.get_dynamic_partitions(partitions.NOTEBOOK)
    assert cells == [f"q{queue.id}_f{fold}_c{combo}" for combo in (0, 1) for fold in (0, 1)]
    trained = events(instance)
    assert sorted(version for (version,) in trained.values()) == [
        f"predictor_{row.id}" for row in Predictor.select()
    ]
    assert queue.runs_completed == 4
    assert run_queue(queue.id, instance).success
    assert instance.get_dynamic_partitions(partitions.NOTEBOOK) == cells
    assert events(instance) == {cell: version * 2 for cell, version in trained.items()}
    assert Predictor.select().count() == 4


def test_a_snapshot_whose_rows_were_deleted_is_no_data_for_what_follows(
    instance: dg.DagsterInstance,
) -> None:
    """B77: Dagster goes on showing what it saw of this key; what needs a row says it is gone."""
    config = {"ops": {"updown_open_snapshot": {"config": {"snapshot": "s1"}}}}
    assert execute("retrain_updown", instance, run_config=config).success
    Dataset.get_by_id(Snapshot.of("updown", "s1").rows["dataset"]).delete_instance(cascade=True)
    assert execute("collect_garbage", instance).success
    assert instance.get_dynamic_partitions("updown_snapshot") == []
    partitions.add_snapshot(instance, declare(), "s1")
    leaderboard = next(
        a for a in location().assets if a.key == dg.AssetKey(["updown", "leaderboard"])
    )
    done = dg.materialize(
        [leaderboard], partition_key="s1", instance=instance, resources=location().resources,
        raise_on_error=False,
    )  # fmt: skip
    (failed,) = done.filter_events(lambda e: e.is_step_failure)
    assert "Queue: no row has id 1" in failed.step_failure_data.error.to_string()
    assert execute("retrain_updown", instance, run_config=config).success
    assert set(Snapshot.of("updown", "s1").rows.values()) == {2}
    assert Predictor.select().count() == 4


def fails(*given: Any, **hp: Any) -> Any:
    """Fail as a user's function does."""
    return {}["patience"]


def test_the_log_of_a_failed_training_names_the_users_line(
    instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    """F8: what is read in CI is the log, not the metadata of a step."""
    pipeline = declare().pipeline.model_copy(update={"fold_count": None})
    training = declare().training.model_copy(
        update={"fn_train": fails, "hyperparameters": {"epochs": [1]}}
    )
    queue = workflow.prepare(declare(pipeline=pipeline, training=training), "s1")
    assert not run_queue(queue.id, instance).success
    _, _, said = capfd.readouterr().err.partition("[q1_nofold_c0] - nofold_")  # of the step itself
    assert "KeyError: 'patience', at " in said.splitlines()[0]
    assert 'in fails: `return {}["patience"]`' in said.splitlines()[0]
    assert "KeyError: 'patience'" in said.splitlines()[frames.TAIL_LINES]


def test_a_queue_made_again_shows_nothing_of_the_deleted_one(instance: dg.DagsterInstance) -> None:
    """B77, B32: its cells bear its id, which no other row ever gets."""
    gone = workflow.prepare(declare(), "s1")
    assert run_queue(gone.id, instance).success
    gone.delete_instance(cascade=True)
    assert execute("collect_garbage", instance).success
    assert instance.get_dynamic_partitions(partitions.NOTEBOOK) == []
    again = workflow.prepare(declare(), "s1")
    keys = [partitions.notebook_job(again.id, fold, combo) for combo in (0, 1) for fold in (0, 1)]
    partitions.add_notebook_jobs(instance, keys)
    assert not set(keys) & instance.get_materialized_partitions(NOTEBOOK)


def test_a_queue_whose_rows_are_gone_fails_the_run(instance: dg.DagsterInstance) -> None:
    """B73: nothing to collect is a success only where all was trained before."""
    queue = workflow.prepare(declare(), "s1")
    queue.splitset.delete_instance(cascade=True)
    done = run_queue(queue.id, instance)
    assert not done.success
    assert [e.step_key for e in done.filter_events(lambda e: e.is_step_failure)] == ["open_queue"]
    assert not any(e.is_step_success for e in done.all_events)
    assert events(instance) == {}


def test_one_cell_of_a_notebook_is_trained_alone(instance: dg.DagsterInstance) -> None:
    queue = workflow.prepare(declare(), "s1")
    cell = partitions.notebook_job(queue.id, 1, 0)
    partitions.add_notebook_jobs(instance, [cell])
    done = dg.materialize(
        [next(a for a in location().assets if a.key == NOTEBOOK)],
        partition_key=cell,
        instance=instance,
        resources=location().resources,
    )
    assert done.success
    assert [job.key for job in queue.jobs if not job.missing()] == [queue.jobs[1].key]


def test_an_unknown_queue_fails_before_anything_is_trained(instance: dg.DagsterInstance) -> None:
    done = run_queue(99, instance)
    assert not done.success
    (failed,) = done.filter_events(lambda e: e.is_step_failure)
    assert "no row has id 99" in str(failed.step_failure_data.error)


@pytest.mark.parametrize(
    ("queue_id", "fold", "combo", "key"),
    [(12, 0, 3, "q12_f0_c3"), (1, None, None, "q1_nofold_default")],
)
def test_keys_of_notebook_jobs_are_read_as_they_were_made(
    queue_id: int, fold: int | None, combo: int | None, key: str
) -> None:
    assert partitions.notebook_job(queue_id, fold, combo) == key
    assert partitions.split_notebook_job(key) == (queue_id, fold, combo)
    with pytest.raises(dg.Failure, match="such a key looks like q12_f0_c3"):
        partitions.split_notebook_job(f"{key}/..")


def test_trained_cells_are_trained_again_only_when_forced(instance: dg.DagsterInstance) -> None:
    options: dict[str, Any] = {"open_snapshot": {"config": {"snapshot": "s1"}}}

    def retrain(**more: Any) -> dg.ExecuteInProcessResult:
        config = {f"updown_{name}": value for name, value in (options | more).items()}
        return execute("retrain_updown", instance, run_config={"ops": config})

    assert retrain().success
    first = Snapshot.of("updown", "s1").rows["queue"]
    assert retrain().success
    assert Predictor.select().count() == 4
    assert retrain(plan_jobs={"config": {"force": True}}).success
    assert Predictor.select().count() == 8
    renewed = Snapshot.of("updown", "s1").rows["queue"]
    assert renewed != first
    assert Queue.get_by_id(first).runs_completed == 4
    assert retrain().success
    assert Snapshot.of("updown", "s1").rows["queue"] == renewed
    assert Predictor.select().count() == 8


def test_a_search_that_results_steer_fills_cells_named_by_their_number(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker, so that the notebook's search and Dagster's know the same results."""
    monkeypatch.setenv("AIQC_WORKERS", "1")
    small = declare()
    ranged: dict[str, Any] = {"epochs": {"low": 1, "high": 9}}
    training = small.training.model_copy(
        update={"search": "tpe", "search_count": 3, "hyperparameters": ranged}
    )
    experiment = small.model_copy(update={"training": training, "name": "guided"})
    assert experiment.job_keys()[:3] == ["f0_t000", "f1_t000", "f0_t001"]
    defs = dg.Definitions.merge(of_experiment(experiment), of_everything())
    config = {"ops": {"guided_open_snapshot": {"config": {"snapshot": "s1"}}}}
    job = defs.resolve_job_def("retrain_guided")
    assert job.execute_in_process(instance=instance, run_config=config).success
    cells = instance.get_materialized_partitions(dg.AssetKey(["guided", "predictor"]))
    assert {cell.split("|")[0] for cell in cells} == set(experiment.job_keys())
    done = Queue.get_by_id(Snapshot.of("guided", "s1").rows["queue"])
    assert done.runs_completed == done.total_runs == 6
    assert job.execute_in_process(instance=instance, run_config=config).success
    assert Predictor.select().count() == 6

    alone = workflow.run(experiment.model_copy(update={"name": "alone"}), snapshot="s1")
    tried = [[job.hyperparameters for job in queue.jobs] for queue in (done, alone)]
    assert tried[0] == tried[1]


def test_a_run_counts_what_it_trained_itself_while_another_one_trained_the_rest(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = workflow.prepare(declare(), "s1")
    others = list(queue.jobs)[1:]

    def trained_beside(job: Job, *args: Any, **options: Any) -> Any:
        with process_identity.working_for("another run"):
            while others:
                assert train_one(others.pop(), 0) is not None
        return train_one(job, *args, **options)

    monkeypatch.setattr(training, "train_one", trained_beside)
    run = run_queue(queue.id, instance)
    assert run.success
    text = " ".join(log.message for log in instance.all_logs(run.run_id))
    assert "notebook: 1 trained, 3 found, of 4 Jobs; 3 of those found were trained by" in text
    shown = [cell.metadata["trained"].value for cell in _cells(run)]
    assert sorted(shown) == ["by another run"] * 3 + ["in this run"]
    again = run_queue(queue.id, instance)
    text = " ".join(log.message for log in instance.all_logs(again.run_id))
    assert "nothing to do, all 4 Jobs were trained before" in text
    assert {cell.metadata["trained"].value for cell in _cells(again)} == {"before this run"}


def _cells(run: dg.ExecuteInProcessResult) -> list[dg.AssetMaterialization]:
    found = run.get_asset_materialization_events()
    return [event.step_materialization_data.materialization for event in found]
