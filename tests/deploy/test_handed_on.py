"""What steps hand on lies where every machine of a run can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest
from small_experiment import declare

from aiqc_core import config
from aiqc_core.orm import Predictor
from aiqc_dagster import bundle
from aiqc_dagster.resources import handed_on

if TYPE_CHECKING:
    from pathlib import Path


def test_without_shared_artifacts_it_lies_in_the_home_of_dagster() -> None:
    assert handed_on() == {}


@pytest.mark.slow
def test_with_shared_artifacts_it_lies_beside_them(
    tmp_path: Path, home: Path, dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv(config.ARTIFACTS_VARIABLE, f"file://{shared}/")
    monkeypatch.setenv("AIQC_EXECUTOR", "in_process")
    parts = bundle.of_experiment(declare(epochs=(2,))), bundle.of_everything()
    job = dg.Definitions.merge(*parts).resolve_job_def("retrain_updown")
    with dg.DagsterInstance.get() as instance:
        assert job.execute_in_process(instance=instance).success
    assert Predictor.select().count() == 2  # one for each fold
    handed = {file.relative_to(shared / "steps").parts[1] for file in shared.glob("steps/*/*")}
    assert "updown_open_snapshot" in handed
    assert any(step.startswith("updown_train_job") for step in handed)
    assert not (dagster_home / "storage").exists() or not any(
        file.is_file() and "train_job" in str(file)
        for file in (dagster_home / "storage").rglob("*")
    )
