"""What a training asks of its machine, and how the executor is chosen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from places import LOCATIONS, ROOT
from small_experiment import declare

from aiqc_core.errors import TrainingError
from aiqc_core.orm import Predictor
from aiqc_dagster.build import experiment
from aiqc_dagster.executors import choose, gpu, kubernetes
from aiqc_dagster.executors.warm_pool import warm_pool_executor


def test_only_the_step_that_trains_asks_for_an_accelerator() -> None:
    defs = dg.Definitions.merge(experiment.of_experiment(declare()), experiment.of_everything())
    nodes = defs.resolve_job_def("retrain_updown").nodes
    tagged = {node.name for node in nodes if "dagster-k8s/config" in node.tags}
    assert tagged == {"updown_train_job"}
    (node,) = [node for node in nodes if node.name == "updown_train_job"]
    assert node.tags["dagster-celery/queue"] == "gpu"
    pod = json.loads(node.tags["dagster-k8s/config"])
    assert pod["container_config"]["resources"]["limits"] == {"nvidia.com/gpu": "1"}


def test_a_training_without_accelerator_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIQC_GPUS_PER_JOB", "0")
    assert gpu.train_tags() == {"dagster-celery/queue": "default"}
    monkeypatch.setenv("AIQC_GPUS_PER_JOB", "two")
    with pytest.raises(TrainingError, match="AIQC_GPUS_PER_JOB='two': give a whole number"):
        gpu.train_tags()


def test_the_pool_says_whether_trainings_ask_for_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIQC_DEVICES", "cpu")
    assert gpu.train_pool() == "cpu"
    monkeypatch.setenv("AIQC_DEVICES", "cuda:0")
    assert gpu.train_pool() == "gpu"
    defs = dg.Definitions.merge(experiment.of_experiment(declare()), experiment.of_everything())
    nodes = defs.resolve_job_def("retrain_updown").nodes
    (train,) = [node for node in nodes if node.name == "updown_train_job"]
    assert train.definition.pool == "gpu"  # type: ignore[attr-defined]
    monkeypatch.setenv("AIQC_GPUS_PER_JOB", "0")
    assert gpu.train_pool() == "cpu"
    monkeypatch.delenv("AIQC_GPUS_PER_JOB")
    monkeypatch.setenv("AIQC_DEVICES", "cpu")
    monkeypatch.setenv(choose.EXECUTOR_VARIABLE, "celery")  # its workers have the devices
    assert gpu.train_pool() == "gpu"


def test_the_pool_has_a_slot_for_each_of_the_devices_unless_a_person_says_otherwise(
    dagster_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limit(slots_per_device: str) -> int:
        monkeypatch.setenv("AIQC_SLOTS_PER_DEVICE", slots_per_device)
        gpu.limit_pool(instance)
        return storage.get_concurrency_info("gpu").slot_count

    monkeypatch.setenv("AIQC_DEVICES", "cuda:0,cuda:1")
    with dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        storage.set_concurrency_slots("train", 3)  # of an earlier version: stays as it is
        assert [limit("1"), limit("3"), limit("1")] == [2, 6, 2]
        storage.set_concurrency_slots("gpu", 5)
        assert [limit("1"), limit("2")] == [5, 5]
        assert storage.get_concurrency_info("train").slot_count == 3


@pytest.mark.slow
def test_a_run_trains_on_a_device_slot_and_records_it(
    home: Path, dagster_home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The slot is leased by the worker that trains; the pool is given as many as there are."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("AIQC_DEVICES", "cuda:1")
    monkeypatch.setenv("AIQC_WORKERS", "1")
    location = ["-f", str(LOCATIONS / "small_location.py")]
    program = str(Path(sys.executable).with_name("dagster"))
    run = subprocess.run(
        [program, "job", "execute", *location, "-j", "retrain_updown"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    devices = [predictor.device for predictor in Predictor.select()]
    assert devices == [{"device": "cpu", "slot": "cuda:1"}] * 4
    with dg.DagsterInstance.get() as instance:
        info = instance.event_log_storage.get_concurrency_info("gpu")
        assert (info.slot_count, info.active_slot_count) == (1, 0)


def test_nodes_are_selected_and_tolerated_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kubernetes.NODE_SELECTOR_VARIABLE, "accelerator=h100")
    spec = json.loads(gpu.train_tags()["dagster-k8s/config"])["pod_spec_config"]
    assert spec["node_selector"] == {"accelerator": "h100"}
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    monkeypatch.setenv(kubernetes.NODE_SELECTOR_VARIABLE, "h100")
    with pytest.raises(TrainingError, match="give a label as key=value"):
        gpu.train_tags()


def test_the_environment_names_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose.chosen() is warm_pool_executor
    monkeypatch.setenv(choose.EXECUTOR_VARIABLE, "in_process")
    assert choose.chosen() is dg.in_process_executor
    monkeypatch.setenv(choose.EXECUTOR_VARIABLE, "warp")
    with pytest.raises(TrainingError, match="AIQC_EXECUTOR='warp' is none of warm_pool"):
        choose.chosen()


def test_steps_of_multiprocess_are_forked_unless_run_config_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(choose.EXECUTOR_VARIABLE, "multiprocess")

    def configured(**given: object) -> Any:
        mapped: Any = choose.chosen().apply_config_mapping({"config": given})
        return mapped.value["config"]

    found = configured(max_concurrent=3)
    assert list(found["start_method"]) == ["forkserver"]
    assert found["max_concurrent"] == 3
    assert configured(start_method={"spawn": {}})["start_method"] == {"spawn": {}}


def test_a_time_limit_is_a_tag_of_the_step() -> None:
    assert gpu.train_tags(30)[gpu.TIME_LIMIT_TAG] == "30"
