"""The code location: what Dagster sees before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.config import use_home
from aiqc_dagster import definitions, resources
from aiqc_dagster.assets import assets, partitions, stages
from aiqc_dagster.definitions import defs
from aiqc_dagster.defs.breast_cancer.experiment import EXPERIMENT
from aiqc_dagster.jobs import job_sources, training

if TYPE_CHECKING:
    from aiqc_core.experiment import Experiment

STAGES = {
    "dataset", "feature", "label", "splitset", "samples", "hyperparamcombo", "predictor",
    "leaderboard", "champion", "prediction",
}  # fmt: skip
EDGES = {
    "dataset": set(),
    "feature": {"dataset"},
    "label": {"dataset"},
    "splitset": {"feature", "label"},
    "samples": {"splitset"},
    "hyperparamcombo": set(),
    "predictor": {"samples", "hyperparamcombo"},
    "leaderboard": {"predictor"},
    "champion": {"leaderboard"},
    "prediction": {"champion"},
}


def test_everything_loads_and_binds() -> None:
    dg.Definitions.validate_loadable(defs)


def test_each_experiment_has_its_assets_and_its_job() -> None:
    names = {experiment.name for experiment in definitions.experiments()}
    assert names == {"breast_cancer", "co2", "diabetes", "digits", "gestures", "iris"}
    keys = {tuple(key.path) for key in defs.resolve_asset_graph().get_all_asset_keys()}
    unsupervised = {("co2", "label")}  # its future is its label
    declared = {(name, stage) for name in names for stage in STAGES} - unsupervised
    assert keys == declared | {("notebook", "predictor")}
    for name in names:
        assert defs.resolve_job_def(f"retrain_{name}").tags["aiqc/experiment"] == name


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_assets_depend_on_what_they_read_and_say_what_they_are(stage: str) -> None:
    graph = defs.resolve_asset_graph()
    node = graph.get(dg.AssetKey(["iris", stage]))
    assert {key.path[-1] for key in node.parent_keys} == EDGES[stage]
    assert node.group_name == "iris"
    assert node.owners == ["team:ml"]
    assert len(node.description) > 30
    assert node.kinds


def test_the_executor_is_the_warm_pool() -> None:
    job = defs.resolve_job_def("retrain_iris")
    assert job.executor_def.name == "warm_pool"


def test_cells_are_known_before_anything_is_trained() -> None:
    """Static keys follow from the declaration, so that the UI shows each cell."""
    predictor = partitions.cells(EXPERIMENT, partitions.JOB)
    with dg.DagsterInstance.ephemeral() as instance:
        partitions.add_snapshot(instance, EXPERIMENT, "s1")
        partitions.add_snapshot(instance, EXPERIMENT, "s1")
        keys = predictor.get_partition_keys(dynamic_partitions_store=instance)
        assert instance.get_dynamic_partitions("breast_cancer_snapshot") == ["s1"]
    assert len(keys) == len(set(keys)) == 12
    cells = {tuple(partitions.split_cell(key, partitions.JOB).items()) for key in keys}
    assert cells == {(("snapshot", "s1"), ("job", job)) for job in EXPERIMENT.job_keys()}


@given(
    snapshot=st.from_regex(partitions.SNAPSHOT_KEY, fullmatch=True),
    job=st.from_regex(r"f[0-9]_[0-9a-f]{8}", fullmatch=True),
)
def test_a_cell_is_read_as_it_was_made(snapshot: str, job: str) -> None:
    cell = {"snapshot": snapshot, "job": job}
    key = partitions.cell(**cell)
    assert partitions.split_cell(key, partitions.JOB) == cell
    assert partitions.split_cell(str(key), partitions.JOB) == cell


@given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_mapping_keys_hold_only_what_dagster_allows(names: list[str]) -> None:
    """B67."""
    key = partitions.mapping_key(names)
    assert all(c.isascii() and (c.isalnum() or c == "_") for c in key)


@pytest.mark.parametrize("key", ["", "../../etc", "a|b", "a b", "x" * 101, "-a", "温度"])
def test_a_snapshot_that_cannot_be_a_key_is_refused(key: str) -> None:
    with pytest.raises(dg.Failure, match="cannot be a partition key"):
        partitions.checked_snapshot(key)


@pytest.mark.filterwarnings("ignore:fold_count")
@pytest.mark.parametrize("experiment", definitions.experiments(), ids=lambda e: e.name)
def test_the_data_chain_of_every_experiment_materialises(
    home: object, experiment: Experiment
) -> None:
    for stage in stages.of(experiment).values():
        if stage.name in {"leaderboard", "champion"}:
            continue
        for cell in stage.cells(experiment, "s1"):
            made = stage.materialise(experiment, **cell)
            event = made.as_event(stage.key(experiment), partitions.cell(**cell))
            assert event.partition
            assert made.data_version


@pytest.mark.filterwarnings("ignore:fold_count")
def test_assets_materialise_one_by_one_as_a_person_clicks(home: object) -> None:
    small = EXPERIMENT.model_copy(
        update={
            "training": EXPERIMENT.training.model_copy(
                update={
                    "hyperparameters": {"neurons": [2], "learning_rate": [0.01], "epochs": [2]},
                    "permute_count": 0,
                }
            ),
        }
    )
    built = assets.build(small, training.steps(job_sources.ExperimentWork(small)))
    store = {
        "metastore": resources.MetastoreResource(home=str(home)),
        "cache": resources.CacheResource(),
    }
    combo = small.combo_keys()[0]
    with use_home(str(home)), dg.DagsterInstance.ephemeral() as instance:
        partitions.add_snapshot(instance, small, "s1")
        cells = {
            "dataset": "s1", "feature": "s1", "label": "s1", "splitset": "s1",
            "samples": partitions.cell(snapshot="s1", fold="f1"), "hyperparamcombo": combo,
            "predictor": partitions.cell(snapshot="s1", job=f"f1_{combo}"), "leaderboard": "s1",
            "champion": "s1",
        }  # fmt: skip
        for stage, cell in cells.items():
            done = dg.materialize(
                built, selection=[dg.AssetKey([small.name, stage])], partition_key=cell,
                instance=instance, resources=store,
            )  # fmt: skip
            assert done.success
            materialised = instance.get_materialized_partitions(dg.AssetKey([small.name, stage]))
            assert materialised == {str(cell)}
        event = instance.get_latest_materialization_event(dg.AssetKey([small.name, "predictor"]))
        shown = event.asset_materialization.metadata
        assert 0 <= shown["accuracy_test"].value <= 1
        assert shown["trained"].value == "in this run"
        assert shown["epochs"].value == 2
