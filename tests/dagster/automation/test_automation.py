"""Schedules, sensors and the notifier, each asked as the daemon asks it."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from small_experiment import declare, source

from aiqc_core.experiment import workflow
from aiqc_core.orm import Snapshot
from aiqc_dagster import resources
from aiqc_dagster.assets import partitions
from aiqc_dagster.automation import notify, schedules, sensors
from aiqc_dagster.build.experiment import of_everything, of_experiment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiqc_core.experiment import Experiment

NOON = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
SENSOR_TAG = "dagster/sensor_name"
STORE = {"metastore": resources.MetastoreResource(), "cache": resources.CacheResource()}


@pytest.fixture
def instance(home: Path, dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """Give an instance on disk."""
    with dg.DagsterInstance.get() as real:
        yield real


def job_of(experiment: Experiment) -> dg.JobDefinition:
    """Return `retrain_<e>` as the code location has it."""
    defs = dg.Definitions.merge(of_experiment(experiment), of_everything())
    return defs.resolve_job_def(f"retrain_{experiment.name}")


def tick(experiment: Experiment, instance: dg.DagsterInstance, when: dt.datetime = NOON) -> Any:
    """Evaluate the schedule, at noon by default."""
    (schedule,) = schedules.retrain(experiment, job_of(experiment))
    context = dg.build_schedule_context(
        instance=instance, scheduled_execution_time=when, resources=STORE
    )
    return schedule.evaluate_tick(context)


def look(sensor: dg.SensorDefinition, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    """Evaluate a sensor; return what it asks for."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=STORE)
    return sensor.evaluate_tick(context)


def test_the_schedule_opens_todays_snapshot_and_skips_once_it_is_trained(
    instance: dg.DagsterInstance,
) -> None:
    experiment = declare(schedule="0 6 * * *")
    found = tick(experiment, instance)
    (request,) = found.run_requests
    assert request.tags["aiqc/snapshot"] == "2026-11-25"
    assert instance.get_dynamic_partitions("updown_snapshot") == ["2026-11-25"]
    assert (
        job_of(experiment)
        .execute_in_process(run_config=request.run_config, instance=instance)
        .success
    )
    skipped = tick(experiment, instance)
    assert not skipped.run_requests
    assert "content is that of snapshot 2026-11-25" in skipped.skip_message


def test_moved_content_is_trained_again(instance: dg.DagsterInstance) -> None:
    workflow.run(declare(), snapshot="2026-11-24")
    moved = declare(source=lambda: source(61), schedule="0 6 * * *")
    (request,) = tick(moved, instance).run_requests
    assert "moved since snapshot 2026-11-24" in request.tags["aiqc/reason"]


def test_each_content_of_a_day_has_a_snapshot_of_its_own(instance: dg.DagsterInstance) -> None:
    """A, B, A, and then A again: the first three are trained, each under a key of its own."""
    keys = []
    for hour, rows in enumerate((60, 61, 60)):
        moved = declare(source=lambda rows=rows: source(rows), schedule="@hourly")
        (request,) = tick(moved, instance, NOON + dt.timedelta(hours=hour)).run_requests
        key = request.tags["aiqc/snapshot"]
        workflow.prepare(moved, key)
        workflow.queue(moved, key).run_jobs(progress=False)
        keys.append(key)
    assert keys == ["2026-11-25", "2026-11-25_130000", "2026-11-25_140000"]
    held = [workflow.content_of(Snapshot.of("updown", key)) for key in keys]
    assert held[0] == held[2] != held[1]
    last = declare(schedule="@hourly")
    assert "which is trained" in tick(last, instance, NOON + dt.timedelta(hours=3)).skip_message


def test_a_clock_that_is_set_back_names_nothing_twice(home: Path) -> None:
    for rows in (60, 61, 70):
        moved = declare(source=lambda rows=rows: source(rows))
        workflow.prepare(
            moved, workflow.free_key(moved, workflow.source_digest(moved), NOON, finest=True)
        )
    rows = Snapshot.select().where(Snapshot.experiment == "updown")
    second = "2026-11-25_120000"
    assert [row.key for row in rows] == [second, f"{second}_2", f"{second}_3"]


def test_a_snapshot_that_nobody_named_keeps_what_the_day_has_seen_before(home: Path) -> None:
    first = workflow.prepare(declare(), workflow.present_snapshot(declare()))
    again = workflow.present_snapshot(declare())
    moved = declare(source=lambda: source(61))
    later = workflow.present_snapshot(moved)
    assert again == workflow.keys.today() != later
    workflow.prepare(moved, later)
    assert Snapshot.of("updown", again).rows["queue"] == first.id


def test_a_tick_while_a_run_trains_the_same_content_asks_for_none(
    instance: dg.DagsterInstance,
) -> None:
    experiment = declare(schedule="@hourly")
    job = job_of(experiment)
    (request,) = tick(experiment, instance).run_requests
    run = instance.create_run_for_job(
        job, run_config=request.run_config, tags=request.tags, status=dg.DagsterRunStatus.STARTED
    )
    later = NOON + dt.timedelta(hours=1)
    assert run.run_id in tick(experiment, instance, later).skip_message
    moved = declare(source=lambda: source(61), schedule="@hourly")
    (other,) = tick(moved, instance, later).run_requests
    assert other.tags["aiqc/snapshot"] != request.tags["aiqc/snapshot"]
    instance.report_run_canceled(run)
    assert tick(experiment, instance, later).run_requests


def test_a_changed_declaration_is_due_and_a_reverted_one_is_not(home: Path) -> None:
    workflow.run(declare(epochs=(2,)), snapshot="s1")
    assert not workflow.due(declare(epochs=(2,), owner="team:other")).is_due
    assert "The declaration has changed" in workflow.due(declare(epochs=(2, 4))).reason
    workflow.run(declare(epochs=(2, 4)), snapshot="s1")
    assert not workflow.due(declare(epochs=(2, 4))).is_due


def test_without_a_cron_there_is_no_schedule() -> None:
    assert schedules.retrain(declare(), job_of(declare())) == []


def test_a_changed_file_is_seen_once_and_an_equal_one_is_not_trained(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    experiment = declare(source=path)
    watch, _ = sensors.build(experiment, job_of(experiment))
    assert "is not there" in look(watch, instance, None).skip_message
    source().to_csv(path, index=False)
    first = look(watch, instance, None)
    (request,) = first.run_requests
    assert (
        job_of(experiment)
        .execute_in_process(run_config=request.run_config, instance=instance)
        .success
    )
    assert "as it was" in look(watch, instance, first.cursor).skip_message
    path.touch()
    touched = look(watch, instance, first.cursor)
    assert "which is trained" in touched.skip_message
    source(61).to_csv(path, index=False)
    (again,) = look(watch, instance, touched.cursor).run_requests
    assert again.run_key != request.run_key


def test_a_skip_for_a_run_under_way_spends_no_cursor(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """When that run is cancelled the content is asked for; so it is after a person's edits."""
    path = tmp_path / "rows.csv"
    source().to_csv(path, index=False)
    experiment = declare(source=path, schedule="@hourly")
    watch, _ = sensors.build(experiment, job_of(experiment))
    (request,) = tick(experiment, instance).run_requests
    run = instance.create_run_for_job(
        job_of(experiment), run_config=request.run_config, tags=request.tags,
        status=dg.DagsterRunStatus.STARTED,
    )  # fmt: skip
    found = look(watch, instance, None)
    assert run.run_id in found.skip_message
    assert look(watch, instance, found.cursor).skip_message == found.skip_message
    instance.report_run_canceled(run)
    asked = look(watch, instance, found.cursor)
    assert asked.run_requests
    assert "as it was" in look(watch, instance, asked.cursor).skip_message
    for edited in ("", "#", "x#y", "1_2_3#-4", "1#²"):
        assert look(watch, instance, edited).run_requests


@pytest.mark.parametrize("place", ["none.csv", "rows.csv/below.csv", f"{'n' * 300}.csv"])
def test_a_source_that_is_not_there_is_a_skip(
    instance: dg.DagsterInstance, tmp_path: Path, place: str
) -> None:
    source().to_csv(tmp_path / "rows.csv", index=False)
    experiment = declare(source=tmp_path / place)
    watch, _ = sensors.build(experiment, job_of(experiment))
    assert "is not there" in look(watch, instance, None).skip_message


def test_content_that_comes_back_is_asked_for_under_a_key_of_its_own(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    """Dagster drops a request whose key it has seen: A, B, A and a cursor that someone reset."""
    path = tmp_path / "rows.csv"
    experiment = declare(source=path)
    job = job_of(experiment)
    watch, _ = sensors.build(experiment, job)
    kept, cursor, asked = tmp_path / "kept.csv", None, []
    for rows in (60, 61, 60):
        source(rows).to_csv(path, index=False)
        if kept.exists() and rows == 60:
            shutil.copy2(kept, path)  # with the time of the first
        shutil.copy2(path, kept) if cursor is None else None
        found = look(watch, instance, cursor)
        (request,) = found.run_requests
        (twice,) = look(watch, instance, cursor).run_requests
        assert twice.run_key == request.run_key  # asked twice at once, it is run once
        workflow.run(experiment, snapshot=request.tags["aiqc/snapshot"])
        tags = request.tags | {"dagster/run_key": str(request.run_key), SENSOR_TAG: watch.name}
        run = instance.create_run_for_job(job, run_config=request.run_config, tags=tags)
        instance.report_run_failed(run)
        asked.append(request.run_key)
        cursor = found.cursor
    assert len(set(asked)) == 3
    Snapshot.delete().execute()
    (reset,) = look(watch, instance, None).run_requests
    assert reset.run_key not in asked
    instance.delete_run(run.run_id)
    assert look(watch, instance, None).run_requests


def fn_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Fail."""
    message = "no model today"
    raise ValueError(message)


def failing() -> Experiment:
    """Declare an experiment whose Jobs fail."""
    good = declare()
    training = good.training.model_copy(update={"fn_build": fn_build})
    return declare(training=training)


def test_a_failed_run_is_tried_again_with_growing_waits_and_then_left(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = failing()
    job = job_of(experiment)
    (retry,) = sensors.build(experiment, job)
    assert "did not fail" in look(retry, instance, None).skip_message
    config: Any = {"ops": {"updown_open_snapshot": {"config": {"snapshot": "s1"}}}}
    tags: dict[str, str] = {"aiqc/snapshot": "s1"}
    for number, minutes in enumerate((1, 5, 25)):
        done = job.execute_in_process(
            run_config=config, instance=instance, tags=tags, raise_on_error=False
        )
        assert not done.success
        waiting = look(retry, instance, None).skip_message
        assert 0 < int(re.findall(r"in (\d+) s", waiting)[0]) <= minutes * 60
        later = time.time() + minutes * 60 + 1
        with monkeypatch.context() as clock:
            clock.setattr(sensors.time, "time", lambda later=later: later)
            (request,) = look(retry, instance, None).run_requests
        assert request.tags[sensors.RETRY_TAG] == str(number + 1)
        assert request.tags["aiqc/snapshot"] == "s1"
        assert request.run_config == config
        tags = dict(request.tags)
    job.execute_in_process(run_config=config, instance=instance, tags=tags, raise_on_error=False)
    assert "last of 3 retries" in look(retry, instance, None).skip_message


@pytest.fixture
def received() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Give the address of a real web server, and what it is sent."""
    events: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            events.append(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", events
    server.shutdown()
    server.server_close()


def test_a_failed_run_is_sent_to_the_webhook_with_its_reason(
    instance: dg.DagsterInstance, received: tuple[str, list[dict[str, Any]]]
) -> None:
    url, events = received
    job = job_of(failing())
    done = job.execute_in_process(
        run_config={"ops": {"updown_open_snapshot": {"config": {"snapshot": "s1"}}}},
        instance=instance, raise_on_error=False,
    )  # fmt: skip
    (failure,) = [e for e in done.all_events if e.event_type_value == "PIPELINE_FAILURE"]
    context = dg.build_run_status_sensor_context(
        "notify_failure", failure, instance, done.dagster_run,
        resources={"notifier": notify.NotifierResource(url=url)},
    ).for_run_failure()  # fmt: skip
    notify.on_failure()(context)
    (event,) = events
    assert event["event"] == "run_failed"
    assert event["experiment"] == "updown"
    assert any("no model today" in step["reason"] for step in event["failed_steps"])


def test_an_address_that_is_no_web_address_is_refused() -> None:
    with pytest.raises(ValueError, match="give an address of http or https"):
        notify.NotifierResource(url="file:///etc/passwd").send({})
    assert not notify.NotifierResource().send({})


def test_a_new_snapshots_data_are_prepared_when_a_person_asks_for_automation(
    instance: dg.DagsterInstance,
) -> None:
    experiment = declare()
    defs = dg.Definitions.merge(of_experiment(experiment), of_everything())
    conditions = dg.evaluate_automation_conditions(defs, instance)
    assert conditions.total_requested == 0
    partitions.add_snapshot(instance, experiment, "s1")
    asset = defs.resolve_assets_def(dg.AssetKey(["updown", "dataset"]))
    done = dg.materialize([asset], partition_key="s1", instance=instance)
    assert done.success
    found = dg.evaluate_automation_conditions(defs, instance, cursor=conditions.cursor)
    asked = {key.path[-1] for key in _requested(found)}
    assert {"feature", "label"} <= asked
    assert "predictor" not in asked


def _requested(found: dg.EvaluateAutomationConditionsResult) -> set[dg.AssetKey]:
    return {result.key for result in found.results if result.true_subset.size}
