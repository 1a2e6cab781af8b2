"""The Compose file of Celery, held against the code: no Docker daemon is at hand to start it."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from places import ROOT

from aiqc_core import config
from aiqc_dagster.executors import choose, gpu
from aiqc_dagster.executors.celery import app
from aiqc_dagster.settings import settings

FOLDER = ROOT / "deploy" / "celery"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("aiqc:")]
ENTRYPOINT = (ROOT / "deploy" / "docker" / "entrypoint.sh").read_text("utf-8")
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text("utf-8")


def text_of_sources() -> str:
    """Return the code in which a variable of the project would be read."""
    files = [*ROOT.glob("aiqc_core/**/*.py"), *ROOT.glob("aiqc_dagster/**/*.py")]
    return ENTRYPOINT + "\n".join(file.read_text("utf-8") for file in files)


def test_every_part_of_a_deployment_is_there() -> None:
    assert set(SERVICES) == {
        "redis", "postgres", "s3", "code-server", "webserver", "daemon", "worker-default",
        "worker-gpu",
    }  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_each_service_has_a_role_and_a_target_of_the_image(name: str) -> None:
    service = SERVICES[name]
    assert re.search(rf"^  {re.escape(service['command'][0])}\)", ENTRYPOINT, re.MULTILINE)
    target = service["build"]["target"]
    assert service["image"] == f"aiqc:{target}"
    assert re.search(rf"^FROM \S+ AS {target}$", DOCKERFILE, re.MULTILINE)
    context = (FOLDER / service["build"]["context"]).resolve()
    assert context == ROOT
    assert (context / service["build"]["dockerfile"]).is_file()


def test_a_worker_listens_to_each_queue_and_only_that_of_trainings_has_a_device() -> None:
    queues = {
        service["command"][1]: "deploy" in service
        for service in SERVICES.values()
        if service.get("command", [""])[0] == "celery"
    }
    assert queues == {gpu.DEFAULT_QUEUE: False, gpu.GPU_QUEUE: True}
    worker = SERVICES["worker-gpu"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert worker["build"]["target"] == "cuda"


@pytest.mark.parametrize("name", OURS)
def test_all_processes_share_one_environment_of_variables_that_the_code_reads(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert environment == SERVICES["code-server"]["environment"]
    assert environment[choose.EXECUTOR_VARIABLE] == "celery"
    assert choose.EXECUTORS["celery"]().name == "celery"
    assert environment[app.BROKER_VARIABLE].endswith("@redis:6379/0")
    assert environment[config.DATABASE_VARIABLE].endswith("@postgres:5432/aiqc")
    sources = text_of_sources()
    ours = [variable for variable in environment if variable.startswith("AIQC_")]
    assert [variable for variable in ours if variable not in sources] == []


def test_hosts_in_addresses_are_services() -> None:
    environment = SERVICES["code-server"]["environment"]
    hosts = {host for value in environment.values() for host in re.findall(r"@([\w-]+):", value)}
    workspace = yaml.safe_load((FOLDER / "workspace.yaml").read_text("utf-8"))
    hosts |= {entry["grpc_server"]["host"] for entry in workspace["load_from"]}
    assert hosts == {"redis", "postgres", "code-server"}


def test_what_is_mounted_is_there_and_volumes_are_declared() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            there = (FOLDER / source).is_file() if source.startswith(".") else None
            assert there or source in COMPOSE["volumes"], mount


def test_dagster_keeps_its_runs_where_the_environment_says() -> None:
    instance = yaml.safe_load((FOLDER / "dagster.yaml").read_text("utf-8"))
    variable = instance["storage"]["postgres"]["postgres_url"]["env"]
    address = SERVICES["code-server"]["environment"][variable]
    assert address.startswith("postgresql+psycopg2://")
    assert address.endswith("@postgres:5432/dagster")
    assert "CREATE DATABASE dagster;" in (FOLDER / "databases.sql").read_text("utf-8")


def test_passwords_have_to_be_set_and_every_variable_is_in_the_example() -> None:
    text = (FOLDER / "docker-compose.yml").read_text("utf-8")
    asked = set(re.findall(r"\$\{(\w+)", text))
    example = (FOLDER / ".env.example").read_text("utf-8")
    offered = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert asked == set(offered)
    required = set(re.findall(r"\$\{(\w+):\?", text))
    assert required == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert all(offered[name] == "" for name in required)


def test_the_page_tells_the_patience() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    reported = f"`AIQC_CELERY_PATIENCE` seconds ({settings.celery_patience:g})"
    assert reported in page
