"""Configure Kubernetes: the pod of a training, and the executor.

Dagster's K8sRunLauncher and its Helm chart pass image, namespace, secrets and environment of the
run to the pods of its steps. Variables (`aiqc_dagster.settings`) add to that, and to the pod that
trains.
"""

from __future__ import annotations

import math
import re
from typing import Any

from aiqc_core.errors import TrainingError
from aiqc_dagster.settings import settings

NODE_SELECTOR_VARIABLE = "AIQC_GPU_NODE_SELECTOR"
TOLERATION_VARIABLE = "AIQC_GPU_TOLERATION"
GPU_RESOURCE = "nvidia.com/gpu"
MOST_JOBS = 5_000  # a pod's command holds all earlier outcomes, 128 KiB at most: docs/scale.md
START_SECONDS = 600  # to pull an image of several GB and import a framework, beside the training

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")


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
    if jobs > MOST_JOBS and settings.executor == "k8s":
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
    if image := settings.k8s_image:
        config["job_image"] = image
    if policy := settings.k8s_pull_policy:
        config["image_pull_policy"] = _one_of("AIQC_K8S_PULL_POLICY", policy, _PULL_POLICIES)
    if most := settings.k8s_max_concurrent:
        config["max_concurrent"] = most
    if name := settings.k8s_namespace:
        config["job_namespace"] = _name("AIQC_K8S_NAMESPACE", name)
    if name := settings.k8s_service_account:
        config["service_account_name"] = _name("AIQC_K8S_SERVICE_ACCOUNT", name)
    if names := _parts(settings.k8s_env_secrets):
        config["env_secrets"] = [_name("AIQC_K8S_ENV_SECRETS", name) for name in names]
    if names := _parts(settings.k8s_env_config_maps):
        config["env_config_maps"] = [_name("AIQC_K8S_ENV_CONFIG_MAPS", name) for name in names]
    return config


def _selector() -> dict[str, str]:
    selector: dict[str, str] = {}
    for part in _parts(settings.gpu_node_selector):
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
    for part in _parts(settings.gpu_toleration):
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


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _one_of(variable: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise TrainingError(f"{variable}: {value!r} is none of {', '.join(allowed)}.")
    return value


def _name(variable: str, value: str) -> str:
    if not _NAME.fullmatch(value):
        raise TrainingError(
            f"{variable}={value!r} is no name of Kubernetes: lower-case letters, digits, '-' and "
            "'.', starting and ending with a letter or digit."
        )
    return value
