"""What a training asks of its machine, and how the executor is chosen."""

from __future__ import annotations

import json

import dagster as dg
import pytest
from small_experiment import declare

from aiqc_core.errors import TrainingError
from aiqc_dagster import bundle, execution, gpu, pods
from aiqc_dagster.executor import warm_pool_executor


def test_only_the_step_that_trains_asks_for_an_accelerator() -> None:
    defs = dg.Definitions.merge(bundle.of_experiment(declare()), bundle.of_everything())
    nodes = defs.resolve_job_def("retrain_updown").nodes
    tagged = {node.name for node in nodes if "dagster-k8s/config" in node.tags}
    assert tagged == {"updown_train_job"}
    (node,) = [node for node in nodes if node.name == "updown_train_job"]
    assert node.tags["dagster-celery/queue"] == "gpu"
    pod = json.loads(node.tags["dagster-k8s/config"])
    assert pod["container_config"]["resources"]["limits"] == {"nvidia.com/gpu": "1"}


def test_a_training_without_accelerator_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu.GPUS_VARIABLE, "0")
    assert gpu.train_tags() == {"dagster-celery/queue": "default"}
    monkeypatch.setenv(gpu.GPUS_VARIABLE, "two")
    with pytest.raises(TrainingError, match="AIQC_GPUS_PER_JOB='two': give a whole number"):
        gpu.train_tags()


def test_nodes_are_selected_and_tolerated_by_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pods.NODE_SELECTOR_VARIABLE, "accelerator=h100")
    spec = json.loads(gpu.train_tags()["dagster-k8s/config"])["pod_spec_config"]
    assert spec["node_selector"] == {"accelerator": "h100"}
    assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
    monkeypatch.setenv(pods.NODE_SELECTOR_VARIABLE, "h100")
    with pytest.raises(TrainingError, match="give a label as key=value"):
        gpu.train_tags()


def test_the_environment_names_the_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert execution.chosen() is warm_pool_executor
    monkeypatch.setenv(execution.EXECUTOR_VARIABLE, "in_process")
    assert execution.chosen() is dg.in_process_executor
    monkeypatch.setenv(execution.EXECUTOR_VARIABLE, "warp")
    with pytest.raises(TrainingError, match="AIQC_EXECUTOR='warp' is none of warm_pool"):
        execution.chosen()


def test_a_time_limit_is_a_tag_of_the_step() -> None:
    assert gpu.train_tags(30)[gpu.TIME_LIMIT_TAG] == "30"
