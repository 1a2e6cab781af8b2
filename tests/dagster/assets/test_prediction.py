"""New data predicted by the champion, as a batch that Dagster shows."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from small_experiment import declare, source

from aiqc_core import config
from aiqc_core.experiment import workflow
from aiqc_core.orm import Prediction
from aiqc_dagster.build import experiment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = dg.AssetKey(["updown", "prediction"])
EXPERIMENT = declare(epochs=(20, 30))


@pytest.fixture
def instance(home: Path, dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """Give an instance on disk, and a champion."""
    workflow.run(EXPERIMENT, snapshot="s1")
    workflow.crown(EXPERIMENT, "s1")
    with dg.DagsterInstance.get() as real:
        yield real


def predict(instance: dg.DagsterInstance, **config: Any) -> dg.ExecuteInProcessResult:
    """Run `predict_updown`, as its launchpad would."""
    location = dg.Definitions.merge(
        experiment.of_experiment(EXPERIMENT), experiment.of_everything()
    )
    return location.resolve_job_def("predict_updown").execute_in_process(
        run_config={"ops": {"updown_predict": {"config": config}}},
        instance=instance, raise_on_error=False,
    )  # fmt: skip


def test_a_file_becomes_a_batch_with_predictions_and_metrics(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    path = tmp_path / "new.csv"
    new = source(30)[["y", "z", "x"]].assign(more=1)
    new.to_csv(path, index=False)
    assert predict(instance, path=str(path), batch="b1").success
    assert instance.get_dynamic_partitions("updown_batch") == ["b1"]
    event = instance.get_latest_materialization_event(KEY)
    assert event
    shown = event.asset_materialization.metadata
    row = Prediction.get_by_id(shown["prediction_id"].value)
    (split,) = row.predictions
    said = row.predictions[split]
    truth = new["y"].to_numpy()
    assert shown["samples"].value == 30
    assert shown[f"accuracy_{split}"].value == float(np.mean(said == truth))
    table = pd.read_parquet(shown["file"].value)
    assert list(table.columns) == ["y", "probability_down", "probability_up", "more"]
    assert table["y"].tolist() == said.tolist()
    assert [record.data["y"] for record in shown["first_rows"].value.records] == said[:5].tolist()
    assert shown["positive_class"].value == "up"
    pd.testing.assert_frame_equal(table, row.predictor.predict(path, carry=True))
    assert (table["probability_up"] > 0.5).tolist() == (said == "up").tolist()
    assert workflow.batch_drift(EXPERIMENT, "b1").facts["columns"]


def test_without_the_label_there_are_predictions_and_no_metrics(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    path = tmp_path / "new.parquet"
    source(5)[["x", "z"]].to_parquet(path)
    assert predict(instance, path=str(path), batch="b2").success
    row = workflow.of_batch(EXPERIMENT, "b2")
    assert len(row.predictions[next(iter(row.predictions))]) == 5
    assert not any(row.metrics.values())


def test_a_missing_column_fails_the_run_and_adds_no_batch(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    path = tmp_path / "new.csv"
    source(5)[["x"]].to_csv(path, index=False)
    done = predict(instance, path=str(path), batch="b3")
    assert not done.success
    (failed,) = done.filter_events(lambda e: e.is_step_failure)
    assert "columns ['z'] are missing" in str(failed.step_failure_data.error)
    assert instance.get_dynamic_partitions("updown_batch") == []


def test_a_batch_that_nobody_predicted_asks_for_its_path(instance: dg.DagsterInstance) -> None:
    done = predict(instance, batch="b4")
    (failed,) = done.filter_events(lambda e: e.is_step_failure)
    assert "give the path of its data" in str(failed.step_failure_data.error)


def test_batches_of_one_second_that_nobody_named_are_kept_apart(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
    monkeypatch.setattr("aiqc_core.experiment.workflow.keys.timezone_now", lambda: noon)
    for rows in (4, 5):
        path = tmp_path / f"{rows}.csv"
        source(rows)[["x", "z"]].to_csv(path, index=False)
        assert predict(instance, path=str(path)).success
    assert not predict(instance, path="").success
    keys = ["2026-11-25_120000", "2026-11-25_120000_2"]
    assert instance.get_dynamic_partitions("updown_batch") == keys
    folder = config.home() / "predictions" / "updown"
    assert [len(pd.read_parquet(folder / f"{key}.parquet")) for key in keys] == [4, 5]
