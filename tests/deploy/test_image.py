"""The Dockerfile, as far as it can be held to its promises without building an image."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING, NamedTuple

import pytest
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
ENTRYPOINT = ROOT / "deploy" / "docker" / "entrypoint.sh"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SECRETS = re.compile(r"(?i)password|secret|token|access_key|store_key|database_url")


class Stage(NamedTuple):
    """A stage: what it starts from, and its instructions with their arguments."""

    base: str
    steps: list[tuple[str, str]]


def stages() -> dict[str, Stage]:
    """Return the stages by name."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    found: dict[str, Stage] = {}
    steps: list[tuple[str, str]] = []
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        if not line.strip():
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            steps = []
            found[name] = Stage(base, steps)
        else:
            steps.append((word, rest.strip()))
    return found


def lineage(name: str) -> list[tuple[str, str]]:
    """Return all instructions of a stage, those of the stages it starts from first."""
    known = stages()
    stage = known[name]
    return [*(lineage(stage.base) if stage.base in known else []), *stage.steps]


def sources(rest: str) -> list[str]:
    """Return what a COPY takes from the checkout; nothing if it takes from another stage."""
    words = shlex.split(rest)
    if any(word.startswith("--from=") for word in words):
        return []
    return [word for word in words if not word.startswith("--")][:-1]


def test_there_is_an_image_with_cuda_and_one_without() -> None:
    known = stages()
    assert {"wheel", "build-cpu", "build-cuda", "runtime", "cpu", "cuda"} == set(known)
    for target in ("cpu", "cuda"):
        assert known[target].base == "runtime"
        copies = [rest for word, rest in lineage(target) if word == "COPY" and "--from=" in rest]
        assert copies == [f"--from=build-{target} /venv /venv"]
    assert "NVIDIA_VISIBLE_DEVICES" in str(known["cuda"].steps)
    assert "tensorflow[and-cuda]" in str(known["build-cuda"].steps)


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_it_runs_as_no_root_and_never_returns_to_it(target: str) -> None:
    steps = lineage(target)
    (user,) = [at for at, (word, _) in enumerate(steps) if word == "USER"]
    assert steps[user][1] == "10001"
    assert "--uid 10001" in str(steps[:user])
    assert not [rest for word, rest in steps[user:] if word == "RUN"]
    assert [rest for word, rest in steps if word == "ENTRYPOINT"] == [
        '["tini", "--", "aiqc-entrypoint"]'
    ]


def test_stores_are_volumes_and_no_secret_is_baked_in() -> None:
    steps = lineage("cpu")
    settings = " ".join(rest for word, rest in steps if word == "ENV")
    homes = dict(re.findall(r"(AIQC_HOME|AIQC_CACHE|DAGSTER_HOME)=(\S+)", settings))
    (volumes,) = [rest for word, rest in steps if word == "VOLUME"]
    assert set(homes.values()) == set(re.findall(r'"([^"]+)"', volumes))
    everything = [rest for stage in stages().values() for word, rest in stage.steps
                  if word in {"ENV", "ARG"}]  # fmt: skip
    assert [rest for rest in everything if SECRETS.search(rest)] == []


def test_every_source_is_in_the_checkout_and_in_the_context() -> None:
    copies = [rest for stage in stages().values() for word, rest in stage.steps if word == "COPY"]
    taken = {source for rest in copies for source in sources(rest)}
    assert {"aiqc_core", "aiqc_dagster", "requirements.lock"} <= taken
    assert [source for source in taken if not (ROOT / source).exists()] == []
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in rules  # nothing but what is named
    assert {rule[1:] for rule in rules if rule.startswith("!")} == taken


def test_versions_come_from_the_project_and_its_lock() -> None:
    text = DOCKERFILE.read_text("utf-8")
    python = re.search(r"PYTHON_IMAGE=python:(\d+\.\d+)-slim", text)
    assert python
    tested = f"Programming Language :: Python :: {python[1]}"
    assert tested in PROJECT["project"]["classifiers"]
    installs = [rest for stage in stages().values() for word, rest in stage.steps
                if word == "RUN" and "pip install" in rest]  # fmt: skip
    assert len(installs) == 2
    assert all("--constraint requirements.lock" in rest for rest in installs)
    assert not re.search(r"\w==\d", text)  # no version is said twice


def test_the_image_has_what_every_executor_and_store_needs() -> None:
    known = PROJECT["project"]["optional-dependencies"]
    chosen = re.findall(r"EXTRAS=(\S+)", DOCKERFILE.read_text("utf-8"))
    assert len(chosen) == 2
    for extras in chosen:
        needed = [need for extra in extras.split(",") for need in known[extra]]
        names = {re.split(r"[<>=~\[]", need)[0] for need in needed}
        assert {"dagster-k8s", "celery", "dagster-postgres", "s3fs"} <= names


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint") or shutil.which("hadolint", path=ROOT / ".venv" / "bin")
    if hadolint is None:
        pytest.fail("hadolint is not installed: make install brings it")
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


ROLES = [
    ([], "dagster api grpc --host 0.0.0.0 --port 4000 --module-name aiqc_dagster.definitions"),
    (["webserver"], "dagster-webserver --host 0.0.0.0 --port 3000 --workspace w.yaml"),
    (["daemon", "-l"], "dagster-daemon run --workspace w.yaml -l"),
    (["dagster", "api", "execute_step", "{}"], "dagster api execute_step {}"),
]


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the entrypoint where Dagster's commands only say how they were called."""
    for name in ("dagster", "dagster-webserver", "dagster-daemon", "celery"):
        command = folder / name
        command.write_text(f'#!/bin/sh\necho {name} "$@"\n', encoding="utf-8")
        command.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "AIQC_WORKSPACE": "w.yaml"}
    return subprocess.run(
        ["sh", ENTRYPOINT, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("arguments", "command"), ROLES)
def test_a_container_takes_a_role_or_any_command(
    tmp_path: Path, arguments: list[str], command: str
) -> None:
    assert start(tmp_path, *arguments).stdout.strip() == command


def test_a_celery_worker_receives_its_queue(tmp_path: Path) -> None:
    reported = start(tmp_path, "celery", "gpu").stdout.strip()
    assert (
        reported
        == "celery -A aiqc_dagster.executors.celery.app worker -Q gpu -n gpu@%h --concurrency 1"
    )
    refused = start(tmp_path, "celery")
    assert refused.returncode != 0
    assert "name the queue" in refused.stderr


def test_the_entrypoint_can_be_executed() -> None:
    assert os.access(ENTRYPOINT, os.X_OK)
