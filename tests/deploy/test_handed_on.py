"""What steps hand on lies where every machine of a run can read it."""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING

import dagster as dg
import pytest
import services_s3
from small_experiment import declare

from aiqc_core import config
from aiqc_core.orm import Predictor
from aiqc_core.storage import objects
from aiqc_dagster.build import experiment
from aiqc_dagster.resources import handed_on

if TYPE_CHECKING:
    from pathlib import Path


def test_without_shared_artifacts_it_is_in_the_home_of_dagster() -> None:
    assert handed_on() == {}


@pytest.mark.slow
def test_with_shared_artifacts_it_is_beside_them(
    tmp_path: Path, home: Path, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv(config.ARTIFACTS_VARIABLE, f"file://{shared}/")
    monkeypatch.setenv("AIQC_EXECUTOR", "in_process")

    def retrain() -> bool:
        parts = experiment.of_experiment(declare(epochs=(2,))), experiment.of_everything()
        job = dg.Definitions.merge(*parts).resolve_job_def("retrain_updown")
        with dg.DagsterInstance.get() as instance:
            return job.execute_in_process(instance=instance).success

    # Dagster's context may still name the instance of a test that ran before in this process.
    assert Context().run(retrain)
    assert Predictor.select().count() == 2  # one for each fold
    handed = {file.relative_to(shared / "steps").parts[1] for file in shared.glob("steps/*/*")}
    assert "updown_open_snapshot" in handed
    assert any(step.startswith("updown_train_job") for step in handed)
    assert not (dagster_home / "storage").exists() or not any(
        file.is_file() and "train_job" in str(file)
        for file in (dagster_home / "storage").rglob("*")
    )


@pytest.mark.slow
def test_an_object_store_hands_on_too(dagster_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @dg.op
    def plan() -> list[str]:
        return ["fold0", "fold1"]

    @dg.op
    def count(names: list[str]) -> int:
        return len(names)

    with services_s3.serving() as server:
        for variable, value in services_s3.settings(server.endpoint).items():
            monkeypatch.setenv(variable, value)
        services_s3.lead_to(server.endpoint)
        monkeypatch.setenv(config.ARTIFACTS_VARIABLE, f"s3://{services_s3.BUCKET}/artifacts")

        @dg.job(resource_defs=handed_on())
        def counting() -> None:
            count(plan())

        with dg.DagsterInstance.get() as instance:
            result = counting.execute_in_process(instance=instance)
        assert result.output_for_node("count") == 2
        store = objects.ObjectStore(f"s3://{services_s3.BUCKET}/artifacts")
        assert store.get(f"steps/{result.run_id}/plan/result")
        assert not list((dagster_home / "storage").rglob("result"))
