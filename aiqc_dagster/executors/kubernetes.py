"""Configure Kubernetes: the pod of a training, and the executor.

Dagster's K8sRunLauncher and its Helm chart pass image, namespace, secrets and environment of the
run to the pods of its steps. These variables add to that, and to the pod that trains:

    AIQC_GPU_NODE_SELECTOR    labels of the nodes with a device: `key=value`, several by commas
    AIQC_GPU_TOLERATION       taints of those nodes: `key[=value][:effect]`, several by commas
    AIQC_K8S_NAMESPACE        where the pods of steps are made
    AIQC_K8S_IMAGE            their image, instead of the run's
    AIQC_K8S_PULL_POLICY      `Always`, `IfNotPresent` or `Never`
    AIQC_K8S_SERVICE_ACCOUNT  the account they run under
    AIQC_K8S_ENV_SECRETS      Secrets whose keys become variables, several by commas
    AIQC_K8S_ENV_CONFIG_MAPS  ConfigMaps likewise
    AIQC_K8S_MAX_CONCURRENT   how many pods of one run there may be at a time; no bound without
"""

from __future__ import annotations

import math
import os
import re
from typing import Any

from aiqc_core.errors import TrainingError

NODE_SELECTOR_VARIABLE = "AIQC_GPU_NODE_SELECTOR"
TOLERATION_VARIABLE = "AIQC_GPU_TOLERATION"
GPU_RESOURCE = "nvidia.com/gpu"
MOST_JOBS = 5_000  # a pod's command holds all earlier outcomes, 128 KiB at most: docs/scale.md
START_SECONDS = 600  # to pull an image of several GB and import a framework, beside the training

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_NAMES_OF_ONE = {
    "AIQC_K8S_NAMESPACE": "job_namespace",
    "AIQC_K8S_SERVICE_ACCOUNT": "service_account_name",
}
_NAMES_OF_SEVERAL = {
    "AIQC_K8S_ENV_SECRETS": "env_secrets",
    "AIQC_K8S_ENV_CONFIG_MAPS": "env_config_maps",
}


def of_training(gpus: int, time_limit: float | None = None) -> dict[str, Any]:
    """Return what the pod of a training has beyond those of other steps; {} if nothing.

    It ends 600 seconds after the time limit, where the training did not end itself; waiting for a
    node does not count.

    Raises:
        TrainingError: a variable is not written as it should be.
    """
    pod: dict[str, Any] = {}
    spec: dict[str, Any] = {}
    if gpus:
        pod["container_config"] = {"resources": {"limits": {GPU_RESOURCE: str(gpus)}}}
        if selector := _selector():
            spec["node_selector"] = selector
        if tolerations := _tolerations():
            spec["tolerations"] = tolerations
    if time_limit is not None:
        spec["active_deadline_seconds"] = math.ceil(time_limit) + START_SECONDS
    return pod | ({"pod_spec_config": spec} if spec else {})


def refuse_too_many(jobs: int) -> None:
    """Refuse to map more Jobs in one run than the command of a pod can hold.

    Raises:
        TrainingError: there are more than 5,000, and the executor is Kubernetes.
    """
    if jobs > MOST_JOBS and _given("AIQC_EXECUTOR") == "k8s":
        raise TrainingError(
            f"Jobs: more than {MOST_JOBS:,} lack a Predictor, and one run on Kubernetes trains "
            "no more. Materialise the cells of `predictor` in parts, split the grid into several "
            "experiments, or set AIQC_EXECUTOR=celery."
        )


def executor_config() -> dict[str, Any]:
    """Return what the environment says of the executor, in the terms of `k8s_job_executor`.

    Raises:
        TrainingError: a variable is not written as it should be.
    """
    config: dict[str, Any] = {}
    if image := _given("AIQC_K8S_IMAGE"):
        config["job_image"] = image
    if policy := _given("AIQC_K8S_PULL_POLICY"):
        config["image_pull_policy"] = _one_of("AIQC_K8S_PULL_POLICY", policy, _PULL_POLICIES)
    if most := _given("AIQC_K8S_MAX_CONCURRENT"):
        config["max_concurrent"] = _count("AIQC_K8S_MAX_CONCURRENT", most)
    for variable, field in _NAMES_OF_ONE.items():
        if name := _given(variable):
            config[field] = _name(variable, name)
    for variable, field in _NAMES_OF_SEVERAL.items():
        if names := _parts(variable):
            config[field] = [_name(variable, name) for name in names]
    return config


def _selector() -> dict[str, str]:
    selector: dict[str, str] = {}
    for part in _parts(NODE_SELECTOR_VARIABLE):
        key, _, value = part.partition("=")
        if not (key and value):
            raise TrainingError(
                f"{NODE_SELECTOR_VARIABLE}={part!r}: give a label as key=value; several are "
                "parted by commas."
            )
        selector[key] = value
    return selector


def _tolerations() -> list[dict[str, str]]:
    """Return a toleration for each taint; an unset variable means the taint of NVIDIA's plugin."""
    found: list[dict[str, str]] = []
    for part in _parts(TOLERATION_VARIABLE, GPU_RESOURCE):
        taint, _, effect = part.partition(":")
        key, equals, value = taint.partition("=")
        if not key or (equals and not value):
            raise TrainingError(
                f"{TOLERATION_VARIABLE}={part!r}: give a taint as key, key=value or "
                "key=value:effect; several are parted by commas."
            )
        matching = {"operator": "Equal", "value": value} if equals else {"operator": "Exists"}
        effect = _one_of(TOLERATION_VARIABLE, effect or "NoSchedule", _EFFECTS)
        found.append({"key": key, **matching, "effect": effect})
    return found


def _given(variable: str, default: str = "") -> str:
    return os.environ.get(variable, default).strip()


def _parts(variable: str, default: str = "") -> list[str]:
    return [part.strip() for part in _given(variable, default).split(",") if part.strip()]


def _one_of(variable: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise TrainingError(f"{variable}: {value!r} is none of {', '.join(allowed)}.")
    return value


def _count(variable: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise TrainingError(f"{variable}={value!r}: give a whole number from 1, or leave it out.")
    return int(value)


def _name(variable: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise TrainingError(
            f"{variable}={value!r} is no name of Kubernetes: lower-case letters, digits, '-' and "
            "'.', starting and ending with a letter or digit."
        )
    return value
