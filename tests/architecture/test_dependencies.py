"""What is declared is imported, what is imported is declared, and the lock agrees with both."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = "aiqc-dagster"
EXTRAS = ("torch", "tensorflow", "celery", "postgres", "s3", "k8s")

# Needed though no line imports them.
UNIMPORTED = {
    "dagster-webserver": "`dagster dev` starts it",
    "dagster-k8s": "the executor is imported by its name",
    "dagster-postgres": "named in the dagster.yaml of a deployment",
    "s3fs": "fsspec imports it for s3:// paths",
    "tensorflow": "what keras computes with",
    "pyarrow": "the engine of pandas' Parquet and of its str dtype",
}


def declared(*extras: str) -> dict[str, Requirement]:
    """Return the requirements of the package and of these extras by canonical name."""
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][e] for e in extras)]
    requirements = [Requirement(text) for group in groups for text in group]
    return {canonicalize_name(r.name): r for r in requirements if r.name != OWN}


def locked() -> dict[str, str]:
    """Return the versions of requirements.lock by canonical name."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def imported() -> set[str]:
    """Return the distributions that a line of the packages imports, at any depth."""
    modules: set[str] = set()
    for path in [*ROOT.glob("aiqc_core/**/*.py"), *ROOT.glob("aiqc_dagster/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    owners = packages_distributions()
    names = {canonicalize_name(name) for module in modules for name in owners.get(module, ())}
    return names - {OWN}


def test_every_import_is_declared() -> None:
    assert imported() - set(declared(*EXTRAS)) == set()


def test_every_dependency_is_imported_or_has_a_reason_not_to_be() -> None:
    unused = set(declared(*EXTRAS)) - imported()
    assert unused - set(UNIMPORTED) == set()


def test_every_dependency_tells_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for requirement in declared(*EXTRAS, "dev").values():
        pattern = rf'^ *"{re.escape(requirement.name)}[^"]*",.*# \w.*$'
        assert re.search(pattern, text, re.MULTILINE), f"{requirement} has no comment"


@pytest.mark.parametrize("name", sorted(declared(*EXTRAS, "dev")))
def test_the_lock_satisfies_the_declaration(name: str) -> None:
    assert declared(*EXTRAS, "dev")[name].specifier.contains(locked()[name])


def test_the_lock_takes_torch_from_wherever_pip_is_set_to() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert locked()["torch"] == "2.13.0"
    assert re.search(r"\+|--hash|@|://", text) is None
