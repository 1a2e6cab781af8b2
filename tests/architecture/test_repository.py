"""The files around the code keep their promises."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TARGETS = {"help", "demo", "test", "lint", "ui", "bench", "clean", "lock"}

VAGUE_NAMES = re.compile(r"^_?(helpers?|misc|common|managers?|\w+_(helpers?|manager))\.py$")
# Written so that this file does not match itself.
MACHINE_PATHS = re.compile(r"(?<![\w.~$}])/(?:root|work|farm|home|Users|opt)/\w")
REGISTRY_HOSTS = re.compile(
    r"pypi[.]org|pythonhosted[.]org|npmjs[.]|deb[.]debian|download[.]pytorch"
)


def project_files() -> list[Path]:
    """Return what git tracks, and what it would if it were added now."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    output = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in output.split("\0") if name and (ROOT / name).is_file()]


def faults(text: str) -> list[str]:
    """Return the paths of a machine and the hosts of registries that a text names."""
    return [match[0] for rule in (MACHINE_PATHS, REGISTRY_HOSTS) for match in rule.finditer(text)]


def make(*arguments: str, **environment: str) -> str:
    """Run make with nothing but these variables set; returns what it prints."""
    command = [shutil.which("make") or "make", "--silent", *arguments]
    environment = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [path for path in project_files() if VAGUE_NAMES.match(path.name)] == []
    assert VAGUE_NAMES.match("helpers.py")
    assert VAGUE_NAMES.match("queue_manager.py")


def test_no_file_names_a_path_of_a_machine_or_a_registry() -> None:
    found = {}
    for path in project_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if faults(text):
            found[str(path.relative_to(ROOT))] = faults(text)
    assert found == {}


@pytest.mark.parametrize("rest", ["work/main", "root/x", "home/me", "opt/wheels"])
def test_a_path_of_a_machine_is_found(rest: str) -> None:
    assert faults(f"see /{rest}") != []
    assert faults(f"https://example.com/{rest}") == []


def test_both_packages_ship_their_types() -> None:
    for package in ("aiqc_core", "aiqc_dagster"):
        assert (ROOT / package / "py.typed").is_file()
        assert (ROOT / package / "__init__.py").is_file()


def test_make_help_tells_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rules = re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE)
    reported = dict(re.findall(r"^\s+make (\S+)\s+(\S.*)$", make("help"), re.MULTILINE))
    assert set(rules) == set(reported)
    assert set(reported) >= TARGETS
    assert make() == make("help")


def test_make_keeps_the_stores_in_the_checkout_unless_set_otherwise() -> None:
    show = ["--eval", "show: ; @echo $$DAGSTER_HOME $$AIQC_HOME $$KERAS_HOME", "show"]
    inside = [ROOT / ".dagster_home", ROOT / ".aiqc", ROOT / ".aiqc" / "keras"]
    assert make(*show).split() == [str(path) for path in inside]
    chosen = {"DAGSTER_HOME": "/d", "AIQC_HOME": "/a", "KERAS_HOME": "/k"}
    assert make(*show, **chosen).split() == ["/d", "/a", "/k"]


def test_git_ignores_what_runs_leave_and_keeps_what_is_shipped() -> None:
    left = [".aiqc/aiqc.sqlite", ".dagster_home/history/runs.db", ".venv/bin/pip", "build/lib/x"]
    shipped = [".dagster_home/dagster.yaml", "requirements.lock", "workspace.yaml", ".ci/run"]
    command = ["git", "check-ignore", "--no-index", *left, *shipped]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.split() == left
