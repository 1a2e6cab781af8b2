"""The pods of the real jobs as dagster_k8s makes them, from the values that are shipped."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
import yaml
from dagster_internals import (
    KnownExecutionState,
    ModuleCodePointer,
    RepositoryPythonOrigin,
    StepOutputHandle,
    create_execution_plan,
)
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import construct_dagster_k8s_job, get_user_defined_k8s_config
from kubernetes.client import ApiClient
from places import ROOT

from aiqc_core.errors import TrainingError
from aiqc_dagster import definitions
from aiqc_dagster.build import experiment
from aiqc_dagster.executors import choose, gpu, kubernetes
from aiqc_dagster.executors._dagster_internals import (
    ExecuteStepArgs,
    JobPythonOrigin,
    UnresolvedMappedExecutionStep,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VALUES = yaml.safe_load((ROOT / "deploy/k8s/values.yaml").read_text("utf-8"))
JOBS = ("retrain_breast_cancer", "run_queue")
NAMESPACE = "aiqc"
# What a cluster is spoken to with; rendering a pod speaks to none.
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
"""


def load(**settings: str) -> dg.Definitions:
    """Load the definitions as a code server with these settings does."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in settings.items():
            patch.setenv(variable, value)
        return experiment.build([definitions.experiment("breast_cancer")])


def launcher(folder: Path) -> K8sRunLauncher:
    """Return the run launcher that the chart writes into dagster.yaml from the values."""
    given = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG, encoding="utf-8")
    run_config = given["runK8sConfig"]
    return K8sRunLauncher(
        service_account_name="dagster",
        instance_config_map="dagster-instance",
        dagster_home=VALUES["global"]["dagsterHome"],
        postgres_password_secret=VALUES["global"]["postgresqlSecretName"],
        load_incluster_config=False,
        kubeconfig_file=str(kubeconfig),
        job_namespace=NAMESPACE,
        resources=given["resources"],
        security_context=given["securityContext"],
        run_k8s_config={
            "pod_spec_config": run_config["podSpecConfig"],
            "job_spec_config": run_config["jobSpecConfig"],
        },
    )


def run() -> dg.DagsterRun:
    """Return a run of the values' user deployment, with the context that the chart gives it."""
    (given,) = VALUES["dagster-user-deployments"]["deployments"]
    context = {
        "image_pull_policy": given["image"]["pullPolicy"],
        "env_config_maps": [f"dagster-{given['name']}-user-env"],
        "env_secrets": [secret["name"] for secret in given["envSecrets"]],
        "volumes": given["volumes"],
        "volume_mounts": given["volumeMounts"],
        "namespace": NAMESPACE,
        "service_account_name": "dagster-user-deployments",
    }
    image = f"{given['image']['repository']}:{given['image']['tag']}"
    pointer = ModuleCodePointer("aiqc_dagster.definitions", "defs")
    repository = RepositoryPythonOrigin("python", pointer, image, None, {"k8s": context})
    return dg.DagsterRun(job_name="any", job_code_origin=JobPythonOrigin("any", repository))


def rendered(defs: dg.Definitions, job: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Return the Kubernetes Job of every step of a job, by the step's name."""
    config = {"ops": {"open_queue": {"config": {"queue_id": 1}}}} if job == "run_queue" else {}
    plan = create_execution_plan(defs.resolve_job_def(job), config)
    found = {}
    for step in plan.step_dict.values():
        name = step.key.removesuffix("[?]")
        assert step.key.endswith("_train_job[?]") == isinstance(
            step, UnresolvedMappedExecutionStep
        )
        found[name] = render(step.tags or {}, folder)
    return found


def render(tags: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Return the Kubernetes Job of a step, put together as `K8sStepHandler.launch_step` does."""
    launched, launches = run(), launcher(folder)
    context = K8sContainerContext.create_for_run(launched, launches, include_run_tags=False)
    config = get_user_defined_k8s_config(tags)
    context = context.merge(K8sContainerContext(run_k8s_config=config))
    assert context.namespace == NAMESPACE
    assert launched.job_code_origin is not None
    image = launched.job_code_origin.repository_origin.container_image
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(image, launches),
        ["dagster", "api", "execute_step"],
        "step",
        pod_name="step",
        component="step_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    return ApiClient().sanitize_for_serialization(job)


def pod(job: dict[str, Any]) -> dict[str, Any]:
    """Return the spec of a Job's pod."""
    return job["spec"]["template"]["spec"]


def container(job: dict[str, Any]) -> dict[str, Any]:
    """Return the only container of a Job's pod."""
    (found,) = pod(job)["containers"]
    return found


@pytest.fixture(scope="module")
def defs() -> dg.Definitions:
    """Load the real definitions once, for nodes that are selected and tolerated."""
    return load(
        AIQC_EXECUTOR="k8s",
        AIQC_GPU_NODE_SELECTOR="accelerator=l4, pool=training",
        AIQC_GPU_TOLERATION="nvidia.com/gpu,team=ml:NoExecute",
    )


@pytest.mark.parametrize("name", JOBS)
def test_only_the_pod_that_trains_is_given_a_gpu(
    name: str, defs: dg.Definitions, tmp_path: Path
) -> None:
    jobs = rendered(defs, name, tmp_path)
    assert len(jobs) >= 4
    for step, job in jobs.items():
        trains = step.endswith("_train_job")
        limits = container(job)["resources"]["limits"]
        assert limits == {"memory": "8Gi"} | ({"nvidia.com/gpu": "1"} if trains else {}), step
        assert ("nodeSelector" in pod(job)) == trains, step
        assert ("tolerations" in pod(job)) == trains, step
    (training,) = [pod(job) for step, job in jobs.items() if step.endswith("_train_job")]
    assert training["nodeSelector"] == {"accelerator": "l4", "pool": "training"}
    assert training["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"},
    ]


@pytest.mark.parametrize("name", JOBS)
def test_a_fleet_without_gpus_is_asked_for_none(name: str, tmp_path: Path) -> None:
    bare = load(
        AIQC_GPUS_PER_JOB="0", AIQC_GPU_NODE_SELECTOR="accelerator=l4", AIQC_EXECUTOR="k8s"
    )
    for step, job in rendered(bare, name, tmp_path).items():
        assert container(job)["resources"]["limits"] == {"memory": "8Gi"}, step
        assert not {"nodeSelector", "tolerations"} & set(pod(job)), step


def test_every_pod_has_the_secrets_settings_and_scratch_space(
    defs: dg.Definitions, tmp_path: Path
) -> None:
    for job in rendered(defs, "retrain_breast_cancer", tmp_path).values():
        running = container(job)
        assert running["image"] == "aiqc:cuda"
        assert running["imagePullPolicy"] == "IfNotPresent"
        assert {"secretRef": {"name": "aiqc"}} in running["envFrom"]
        assert {"configMapRef": {"name": "dagster-aiqc-code-user-env"}} in running["envFrom"]
        environment = {variable["name"]: variable for variable in running["env"]}
        assert environment["DAGSTER_HOME"]["value"] == "/srv/aiqc/dagster"
        password = environment["DAGSTER_PG_PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert password["name"] == "dagster-postgresql-secret"
        mounts = {mount["mountPath"] for mount in running["volumeMounts"]}
        assert {"/srv/aiqc/cache", "/srv/aiqc/store"} <= mounts
        assert running["securityContext"]["allowPrivilegeEscalation"] is False
        assert pod(job)["securityContext"]["runAsNonRoot"] is True
        assert job["spec"]["ttlSecondsAfterFinished"] == 3600


def test_several_gpus_and_a_time_limit_reach_the_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_GPUS_PER_JOB", "2")
    job = render(gpu.train_tags(90.5), tmp_path)
    assert container(job)["resources"]["limits"]["nvidia.com/gpu"] == "2"
    assert pod(job)["activeDeadlineSeconds"] == 91 + kubernetes.START_SECONDS


def test_no_toleration_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kubernetes.TOLERATION_VARIABLE, "")
    assert "pod_spec_config" not in kubernetes.of_training(1)


def environment_bytes(jobs: int) -> int:
    """Return how large a pod's variable is that tells it of so many Jobs, all of them done."""
    hashes = random.Random(0)
    keys = [f"2026_11_25_nofold_{hashes.getrandbits(48):012x}" for _ in range(jobs)]
    done = {StepOutputHandle(f"breast_cancer_train_job[{key}]", "result") for key in keys}
    state = KnownExecutionState(
        dynamic_mappings={"breast_cancer_plan_jobs": {"missing": keys}}, ready_outputs=done
    )
    origin = run().job_code_origin
    assert origin is not None
    step = ExecuteStepArgs(
        origin, "r" * 36, ["breast_cancer_train_job[x]"], None, known_state=state
    )
    (variable,) = step.get_command_env()
    return len(variable["name"]) + 1 + len(variable["value"])


@pytest.mark.slow
def test_a_run_is_refused_whose_pods_could_not_receive_all_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit = 128 * 1024  # of one variable: Linux' MAX_ARG_STRLEN
    assert (
        environment_bytes(kubernetes.MOST_JOBS)
        < limit
        < environment_bytes(4 * kubernetes.MOST_JOBS)
    )
    kubernetes.refuse_too_many(kubernetes.MOST_JOBS + 1)  # the warm pool takes any number
    monkeypatch.setenv(choose.EXECUTOR_VARIABLE, "k8s")
    kubernetes.refuse_too_many(kubernetes.MOST_JOBS)
    with pytest.raises(TrainingError, match="more than 5,000 lack a Predictor, and one run"):
        kubernetes.refuse_too_many(kubernetes.MOST_JOBS + 1)


def executor(given: dict[str, Any], **settings: str) -> dict[str, Any]:
    """Return the executor's config once its schema has seen run config and settings."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {"AIQC_EXECUTOR": "k8s", **settings}.items():
            patch.setenv(variable, value)
        result = choose.chosen().apply_config_mapping({"config": given})
    assert result.success, result.errors
    return result.value["config"]


def test_the_definitions_load_with_the_executor_of_kubernetes(defs: dg.Definitions) -> None:
    job = defs.resolve_job_def("retrain_breast_cancer")
    assert job.executor_def.name == "k8s"
    assert executor({"max_concurrent": 7})["max_concurrent"] == 7


def test_the_executor_is_set_by_environment_and_run_config_wins() -> None:
    settings = {
        "AIQC_K8S_NAMESPACE": "training",
        "AIQC_K8S_IMAGE": "registry.example.com/aiqc:1",
        "AIQC_K8S_PULL_POLICY": "Always",
        "AIQC_K8S_SERVICE_ACCOUNT": "trainer",
        "AIQC_K8S_ENV_SECRETS": "aiqc, bucket",
        "AIQC_K8S_ENV_CONFIG_MAPS": "proxy",
        "AIQC_K8S_MAX_CONCURRENT": "40",
    }
    expected = {
        "job_namespace": "training",
        "job_image": "registry.example.com/aiqc:1",
        "image_pull_policy": "Always",
        "service_account_name": "trainer",
        "env_secrets": ["aiqc", "bucket"],
        "env_config_maps": ["proxy"],
        "max_concurrent": 40,
    }
    assert executor({}, **settings).items() >= expected.items()
    assert executor({"max_concurrent": 2}, **settings)["max_concurrent"] == 2


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AIQC_K8S_PULL_POLICY", "Sometimes", "'Sometimes' is none of Always, IfNotPresent"),
        ("AIQC_K8S_MAX_CONCURRENT", "0", "give a whole number from 1"),
        ("AIQC_K8S_NAMESPACE", "My_Team", "AIQC_K8S_NAMESPACE='My_Team' is no name"),
        ("AIQC_K8S_ENV_SECRETS", "aiqc,-x", "AIQC_K8S_ENV_SECRETS='-x' is no name"),
        ("AIQC_GPU_NODE_SELECTOR", "a=b,l4", "AIQC_GPU_NODE_SELECTOR='l4': give a label"),
        ("AIQC_GPU_TOLERATION", "team=:NoExecute", "give a taint as key, key=value"),
        ("AIQC_GPU_TOLERATION", "team:Never", "'Never' is none of NoSchedule"),
    ],
)
def test_a_setting_that_kubernetes_would_refuse_is_refused_at_load(
    variable: str, value: str, message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        load(**{"AIQC_EXECUTOR": "k8s", variable: value})
