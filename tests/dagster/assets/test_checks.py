"""Asset checks on a real instance: beside an asset, and from a job's step in the warm pool."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from places import LOCATIONS, ROOT
from small_experiment import declare, source

from aiqc_core.errors import UnreachableError
from aiqc_core.experiment import workflow
from aiqc_core.orm import Champion, Dataset, Snapshot, Splitset
from aiqc_core.orm.samples import cache
from aiqc_dagster import definitions
from aiqc_dagster.assets import checks, partitions
from aiqc_dagster.assets.checks import Check
from aiqc_dagster.build.experiment import build
from aiqc_dagster.defs.breast_cancer.experiment import EXPERIMENT
from aiqc_dagster.executors.choose import EXECUTOR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from aiqc_core.stages.evaluate.checks import Finding

NAMES = {
    "dataset": {"source_unchanged"},
    "feature": {"no_drift"},
    "splitset": {"no_leak", "every_class"},
    "samples": {"no_leak", "no_nan"},
}
AFTER_TRAINING = {
    "leaderboard": {"all_jobs_present", "challenger_not_worse"},
    "champion": {"not_diverged", "fresh"},
}
CELLS = {
    "dataset": "s1", "feature": "s1", "label": "s1", "splitset": "s1",
    "samples": partitions.cell(snapshot="s1", fold="f1"),
}  # fmt: skip
PASSED = (True, dg.AssetCheckSeverity.ERROR)


@pytest.fixture
def instance(home: Path, dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """Give an instance on disk that knows the snapshot s1."""
    with dg.DagsterInstance.get() as real:
        partitions.add_snapshot(real, EXPERIMENT, "s1")
        yield real


def key(stage: str) -> dg.AssetKey:
    """Return the key of an asset."""
    return dg.AssetKey([EXPERIMENT.name, stage])


def evaluate(
    instance: dg.DagsterInstance, selection: dg.AssetSelection, cell: str
) -> dict[str, dg.AssetCheckEvaluation]:
    """Run what a person selected in the UI; return what the checks said."""
    defs = build([EXPERIMENT])
    job = dg.define_asset_job("clicked", selection=selection)
    built = dg.Definitions.merge(defs, dg.Definitions(jobs=[job])).resolve_job_def("clicked")
    done = built.execute_in_process(
        instance=instance, tags={"dagster/partition": cell}, raise_on_error=False
    )
    found = {e.check_name: e for e in done.get_asset_check_evaluations()}
    blocked = [e for e in found.values() if not e.passed and e.blocking]
    assert done.success == (not blocked)
    return found


def materialise(instance: dg.DagsterInstance) -> dict[str, dict[str, dg.AssetCheckEvaluation]]:
    """Materialise the data's assets one by one."""
    return {
        stage: evaluate(instance, dg.AssetSelection.assets(key(stage)), cell)
        for stage, cell in CELLS.items()
    }


def verdict(evaluation: dg.AssetCheckEvaluation) -> tuple[bool, dg.AssetCheckSeverity]:
    """Return what colours a check."""
    return evaluation.passed, evaluation.severity


def recorded(instance: dg.DagsterInstance, stage: str, name: str) -> dict[str, Any]:
    """Return of each cell the newest status, and whether it is of the newest materialisation."""
    storage = instance.event_log_storage
    check = dg.AssetCheckKey(key(stage), name)
    found = storage.get_asset_check_partition_info([check])
    return {
        str(info.partition_key): (info.latest_execution_status.value, info.is_current)
        for info in found
    }


def test_every_experiment_has_its_checks_in_the_partitions_of_its_assets() -> None:
    graph = definitions.defs.resolve_asset_graph()
    found: dict[str, set[str]] = {}
    for check in graph.asset_check_keys:
        if check.asset_key.path[0] == "iris":
            found.setdefault(check.asset_key.path[1], set()).add(check.name)
        spec = graph.get_check_spec(check)
        assert spec.partitions_def == graph.get(check.asset_key).partitions_def
        assert len(spec.description) > 30
    assert found == NAMES | AFTER_TRAINING | {"prediction": {"no_drift"}}
    assert {check.stage for check in checks.CHECKS} == set(NAMES | AFTER_TRAINING)


@pytest.mark.filterwarnings("ignore:fold_count")
def test_checks_run_beside_the_asset_that_a_person_materialises(
    instance: dg.DagsterInstance,
) -> None:
    said = materialise(instance)
    assert {stage: set(found) for stage, found in said.items() if found} == NAMES
    for stage, found in said.items():
        for name, evaluation in found.items():
            assert verdict(evaluation) == PASSED, (stage, name)
            assert evaluation.metadata["snapshot"].value == "s1"
            assert evaluation.partition == CELLS[stage]
            assert recorded(instance, stage, name) == {CELLS[stage]: ("SUCCEEDED", True)}
    assert said["samples"]["no_leak"].metadata["fold"].value == "f1"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:fold_count")
def test_a_fit_that_saw_other_rows_turns_red_and_so_does_a_changed_source(
    instance: dg.DagsterInstance,
) -> None:
    materialise(instance)
    splitset = Snapshot.of(EXPERIMENT.name, "s1").get_row(Splitset, "splitset")
    fold, other = splitset.ordered_folds[1], splitset.ordered_folds[0]
    cache.keep(splitset, other)
    fold.fitted_preprocessing = type(other).get_by_id(other.id).__data__["fitted_preprocessing"]
    fold.save()
    alone = dg.AssetSelection.checks_for_assets(key("samples"))
    said = evaluate(instance, alone, CELLS["samples"])
    assert verdict(said["no_leak"]) == (False, dg.AssetCheckSeverity.ERROR)
    assert "do not follow from the training rows alone" in (said["no_leak"].description or "")
    assert said["no_leak"].metadata["differences"].value > 0
    assert recorded(instance, "samples", "no_leak") == {CELLS["samples"]: ("FAILED", True)}

    dataset = Snapshot.of(EXPERIMENT.name, "s1").get_row(Dataset, "dataset")
    dataset.sha256_hexdigest = "0" * 64
    dataset.save()
    alone = dg.AssetSelection.checks_for_assets(key("dataset"))
    said = evaluate(instance, alone, "s1")
    assert verdict(said["source_unchanged"]) == (False, dg.AssetCheckSeverity.ERROR)


@pytest.mark.slow
@pytest.mark.e2e
def test_the_retrain_job_reports_the_same_checks(home: Path, dagster_home: Path) -> None:
    dagster = str(Path(sys.executable).with_name("dagster"))
    location = ("-f", str(LOCATIONS / "leaking_location.py"), "-a", "defs")
    done = subprocess.run(
        [dagster, "job", "execute", *location, "-j", "retrain_leaking"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, EXECUTOR_VARIABLE: "in_process"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with dg.DagsterInstance.get() as real:
        (snapshot,) = real.get_dynamic_partitions("leaking_snapshot")
        said = {}
        for stage, names in (NAMES | AFTER_TRAINING).items():
            for name in names:
                check = dg.AssetCheckKey(dg.AssetKey(["leaking", stage]), name)
                history = real.event_log_storage.get_asset_check_execution_history(check, limit=9)
                events = [record.event.dagster_event.event_specific_data for record in history]
                said[stage, name] = {event.partition: event for event in events}
        cells = {f"nofold|{snapshot}"}
        assert set(said["samples", "no_leak"]) == set(said["samples", "no_nan"]) == cells
        assert set(said["splitset", "no_leak"]) == {snapshot}
        newest = real.get_latest_materialization_event(dg.AssetKey(["leaking", "samples"]))
        (leak,) = said["samples", "no_leak"].values()
        assert leak.target_materialization_data.run_id == newest.run_id
    warned = {"splitset", "samples"}
    for (stage, name), found in said.items():
        (evaluation,) = found.values()
        amber = name == "no_leak" and stage in warned
        expected = (False, dg.AssetCheckSeverity.WARN) if amber else PASSED
        assert verdict(evaluation) == expected, (stage, name)
    (rows,) = said["splitset", "no_leak"].values()
    assert rows.metadata["shared_rows"].value > 0


def test_a_check_that_cannot_judge_says_so_and_raises_only_for_the_store() -> None:
    def complains(*_: object, **__: str) -> Finding:
        raise ValueError("'<' not supported between 'str' and 'int'")

    def is_down(*_: object, **__: str) -> Finding:
        raise UnreachableError("the database is down")

    for blocking, verdict in ((True, "failed"), (False, "warning")):
        check = Check("samples", "no_nan", "", complains, blocking=blocking)
        found = checks.finding_of(check, EXPERIMENT, {"snapshot": "s1", "fold": "f0"})
        assert found.verdict == verdict
        assert found.summary.startswith("no_nan cannot judge this: ValueError: '<'")
    down = Check("samples", "no_nan", "", is_down)
    with pytest.raises(UnreachableError):
        checks.finding_of(down, EXPERIMENT, {"snapshot": "s1", "fold": "f0"})


@pytest.mark.slow
def test_a_run_on_changed_data_ends_and_its_model_is_promoted_by_hand(
    instance: dg.DagsterInstance,
) -> None:
    wider = [False]

    def read() -> pd.DataFrame:
        frame = source(80)
        return frame.assign(w=frame["x"] * 3) if wider[0] else frame

    experiment = declare(source=read, epochs=(2,), fold_count=None)
    job = build([experiment]).resolve_job_def("retrain_updown")

    def run(snapshot: str) -> dict[str, dg.AssetCheckEvaluation]:
        done = job.execute_in_process(instance=instance, tags={"dagster/partition": snapshot})
        assert done.success
        return {one.check_name: one for one in done.get_asset_check_evaluations()}

    assert run("s1")["challenger_not_worse"].passed
    wider[0] = True
    reported = run("s2")["challenger_not_worse"]
    assert not reported.passed
    assert reported.severity == dg.AssetCheckSeverity.WARN
    assert "takes columns ['w'], which the champion's data lack" in (reported.description or "")
    assert "aiqc promote updown --snapshot s2" in (reported.description or "")
    assert Champion.of("updown").snapshot == "s1"
    workflow.promote("updown", "s2")
    assert run("s2")["challenger_not_worse"].passed
    assert Champion.of("updown").snapshot == "s2"
