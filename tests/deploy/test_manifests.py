"""Manifests fit Kubernetes' own models, and Helm values name only what Dagster's chart has."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from dagster_postgres.utils import pg_url_from_config
from kubernetes.client import models
from places import ROOT
from sqlalchemy import create_engine

FOLDER = ROOT / "deploy" / "k8s"
MODELS = {
    "ConfigMap": models.V1ConfigMap,
    "Deployment": models.V1Deployment,
    "NetworkPolicy": models.V1NetworkPolicy,
    "PersistentVolumeClaim": models.V1PersistentVolumeClaim,
    "Secret": models.V1Secret,
    "Service": models.V1Service,
}
NATIVE = {"str": str, "int": int, "bool": bool, "float": (int, float), "object": object}
VALUES = ("values.yaml", "kind.yaml")

# What the chart's schema has of the sections that are set; where it was read, values.yaml says.
# A string names a model of Kubernetes, of which `part of` lacks what the chart fills in; `...` is
# free.
SERVER: dict[str, Any] = {
    "replicaCount": "int",
    "resources": "V1ResourceRequirements",
    "podSecurityContext": "V1PodSecurityContext",
    "securityContext": "V1SecurityContext",
}
TICKS = {"purgeAfterDays": dict.fromkeys(("skipped", "success", "failure", "started"), "int")}
CHART: dict[str, Any] = {
    "global": dict.fromkeys(
        ("dagsterHome", "postgresqlSecretName", "serviceAccountName", "dagsterInstanceConfigMap"),
        "str",
    ),
    "generatePostgresqlPasswordSecret": "bool",
    "telemetry": {"enabled": "bool"},
    "dagster-user-deployments": {
        "enabled": "bool",
        "enableSubchart": "bool",
        "deployments": [
            SERVER
            | {
                "name": "str",
                "image": dict.fromkeys(("repository", "tag", "pullPolicy"), "str"),
                "dagsterApiGrpcArgs": "list[str]",
                "port": "int",
                "includeConfigInLaunchedRuns": {"enabled": "bool"},
                "env": "dict(str, str)",
                "envSecrets": "list[V1SecretEnvSource]",
                "volumes": "list[V1Volume]",
                "volumeMounts": "list[V1VolumeMount]",
            }
        ],
    },
    "runLauncher": {
        "type": "str",
        "config": {
            "k8sRunLauncher": {
                "imagePullPolicy": "str",
                "loadInclusterConfig": "bool",
                "resources": "V1ResourceRequirements",
                "securityContext": "V1SecurityContext",
                "runK8sConfig": {
                    "podSpecConfig": "part of V1PodSpec",
                    "jobSpecConfig": "part of V1JobSpec",
                    "containerConfig": "part of V1Container",
                },
                "failPodOnRunFailure": "bool",
            }
        },
    },
    "dagsterWebserver": SERVER,
    "dagsterDaemon": SERVER
    | {
        "enabled": "bool",
        "runMonitoring": {"enabled": "bool"}
        | dict.fromkeys(
            (
                "startTimeoutSeconds",
                "cancelTimeoutSeconds",
                "maxResumeRunAttempts",
                "pollIntervalSeconds",
                "freeSlotsAfterRunEndSeconds",
            ),
            "int",
        ),
    },
    "concurrency": {
        "enabled": "bool",
        "pools": {"granularity": "str", "defaultLimit": "int", "opGranularityRunBuffer": "int"},
        "runs": {"maxConcurrentRuns": "int", "tagConcurrencyLimits": ...},
    },
    "retention": {"enabled": "bool", "sensor": TICKS, "schedule": TICKS},
    "postgresql": {"enabled": "bool", "service": {"port": "int"}}
    | dict.fromkeys(
        ("postgresqlScheme", "postgresqlHost", "postgresqlUsername", "postgresqlDatabase"), "str"
    ),
    "computeLogManager": {"type": "str", "config": ...},
}


def misfits(value: Any, kind: str, place: str) -> list[str]:
    """Return where a value differs from a type as Kubernetes' models write it."""
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{place}: no list"]
        parts = [(item, match[1], f"{place}[{at}]") for at, item in enumerate(value)]
    elif match := re.fullmatch(r"dict[(\[]str, (.+)[)\]]", kind):
        if not isinstance(value, dict):
            return [f"{place}: no mapping"]
        parts = [(item, match[1], f"{place}.{key}") for key, item in value.items()]
    elif kind in NATIVE:
        right = isinstance(value, NATIVE[kind]) and (kind != "int" or value is not True)
        return [] if right else [f"{place}: {value!r} is no {kind}"]
    else:
        return of_model(value, getattr(models, kind), place)
    return [fault for part in parts for fault in misfits(*part)]


def of_model(value: Any, model: type[Any], place: str) -> list[str]:
    """Return where a mapping differs from a model: unknown keys, wrong types, missing fields."""
    if not isinstance(value, dict):
        return [f"{place}: no mapping"]
    names = {theirs: ours for ours, theirs in model.attribute_map.items()}
    faults = [f"{place}: {key} is unknown" for key in value if key not in names]
    known = {names[key]: item for key, item in value.items() if key in names}
    for name, item in known.items():
        kind = model.openapi_types[name]
        faults += misfits(item, kind, f"{place}.{model.attribute_map[name]}")
    try:
        model(**known)  # the client refuses what lacks a required field
    except ValueError as error:
        faults.append(f"{place}: {error}")
    return faults


def unfitting(value: Any, chart: Any, place: str) -> list[str]:
    """Return where Helm values differ from the chart."""
    if chart is ...:
        return []
    if isinstance(chart, str):
        kind = chart.removeprefix("part of ")
        faults = misfits(value, kind, place)
        return [one for one in faults if kind == chart or "must not be `None`" not in one]
    if isinstance(chart, list):
        parts = [(item, chart[0], f"{place}[{at}]") for at, item in enumerate(value)]
        return [fault for part in parts for fault in unfitting(*part)]
    faults = [f"{place}: {key} is unknown" for key in value if key not in chart]
    known = [(value[key], chart[key], f"{place}.{key}") for key in value if key in chart]
    return faults + [fault for part in known for fault in unfitting(*part)]


def documents() -> list[tuple[str, dict[str, Any]]]:
    """Return every object of every manifest with the name of its file."""
    files = sorted(path for path in FOLDER.glob("*.yaml") if path.name not in VALUES)
    return [
        (path.name, found)
        for path in files
        for found in yaml.safe_load_all(path.read_text("utf-8"))
    ]


def values(name: str) -> dict[str, Any]:
    """Return a file of Helm values."""
    return yaml.safe_load((FOLDER / name).read_text("utf-8"))


def pick(name: str, kind: str) -> dict[str, Any]:
    """Return the object with this name and kind."""
    (found,) = [
        one for _, one in documents() if (one["metadata"]["name"], one["kind"]) == (name, kind)
    ]
    return found


def test_every_manifest_fits_the_models_of_kubernetes() -> None:
    found = documents()
    assert {file for file, _ in found} == {
        "kind-services.yaml", "network-policy.yaml", "secret.example.yaml",
    }  # fmt: skip
    for file, one in found:
        assert of_model(one, MODELS[one["kind"]], f"{file}:{one['kind']}") == []


def test_a_misspelt_or_missing_field_is_found() -> None:
    claim = pick("aiqc-artifacts", "PersistentVolumeClaim")
    wrong = claim | {"spec": {"accesModes": ["ReadWriteOnce"], "resources": {"requests": 5}}}
    assert of_model(wrong, models.V1PersistentVolumeClaim, "claim") == [
        "claim.spec: accesModes is unknown",
        "claim.spec.resources.requests: no mapping",
    ]
    (fault,) = of_model({"ports": [{"name": "x"}]}, models.V1ServiceSpec, "service")
    assert "port" in fault
    assert unfitting({"dagit": {}}, CHART, "values") == ["values: dagit is unknown"]


@pytest.mark.parametrize("name", VALUES)
def test_the_values_name_only_what_the_chart_has(name: str) -> None:
    assert unfitting(values(name), CHART, name) == []


def test_the_values_are_of_the_installed_dagster() -> None:
    version = re.search(r'"dagster==([\d.]+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert version
    for file in ("values.yaml", "README.md"):
        assert version[1] in (FOLDER / file).read_text("utf-8"), file


def deployment(name: str) -> dict[str, Any]:
    """Return the user deployment of a file of values."""
    (found,) = values(name)["dagster-user-deployments"]["deployments"]
    return found


def test_the_secrets_that_are_asked_for_are_those_of_the_example() -> None:
    shipped = {one["metadata"]["name"]: one for _, one in documents() if one["kind"] == "Secret"}
    asked = {entry["name"] for name in VALUES for entry in deployment(name)["envSecrets"]}
    asked.add(values("values.yaml")["global"]["postgresqlSecretName"])
    assert asked == set(shipped)
    assert {"AIQC_DATABASE_URL", "AIQC_STORE_KEY"} <= set(shipped["aiqc"]["stringData"])
    for secret in shipped.values():  # a template holds no secret
        assert all("CHANGE-ME" in text or "AWS" in text for text in secret["stringData"].values())


@pytest.mark.parametrize("name", VALUES)
def test_runs_are_given_what_they_need(name: str) -> None:
    given = deployment(name)
    assert given["env"]["AIQC_EXECUTOR"] == "k8s"
    assert given["env"]["AIQC_ARTIFACTS"]
    assert given["includeConfigInLaunchedRuns"]["enabled"]
    volumes = {volume["name"] for volume in given["volumes"]}
    assert {mount["name"] for mount in given["volumeMounts"]} == volumes
    assert "resources" not in given  # would become those of every run and step
    text = (FOLDER / name).read_text("utf-8")
    assert not re.search(r"(?i)(password|secret_?key|token): *\S", text)


def test_runs_reach_the_instance_by_the_driver_that_dagster_has() -> None:
    given = values("values.yaml")["postgresql"]
    url = pg_url_from_config(
        {
            "postgres_db": {
                "scheme": given["postgresqlScheme"],
                "hostname": given["postgresqlHost"],
                "username": given["postgresqlUsername"],
                "password": "secret",
                "db_name": given["postgresqlDatabase"],
                "port": given["service"]["port"],
            }
        }
    )
    assert create_engine(url).dialect.driver == "psycopg2"


def test_no_service_puts_a_variable_over_one_of_ours() -> None:
    # A Service called `aiqc` would set AIQC_PORT and AIQC_SERVICE_HOST in every pod.
    names = [deployment(name)["name"] for name in VALUES]
    names += [one["metadata"]["name"] for _, one in documents() if one["kind"] == "Service"]
    assert "aiqc" not in names


def test_policies_and_try_out_name_what_there_is() -> None:
    (code,) = {deployment(name)["name"] for name in VALUES}
    policy = pick("aiqc-code-server", "NetworkPolicy")
    assert policy["spec"]["podSelector"]["matchLabels"]["deployment"] == code
    assert policy["spec"]["ingress"][0]["ports"] == [{"port": deployment("kind.yaml")["port"]}]
    service = pick(values("kind.yaml")["postgresql"]["postgresqlHost"], "Service")
    labels = pick("postgres", "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    claims = [v["persistentVolumeClaim"]["claimName"] for v in deployment("kind.yaml")["volumes"]
              if "persistentVolumeClaim" in v]  # fmt: skip
    assert [pick(claim, "PersistentVolumeClaim")["kind"] for claim in claims]
