"""Imports go one way, load nothing heavy and write nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

HEAVY = ("torch", "tensorflow", "keras", "torchmetrics", "dagster")
LATE = ("sklearn", "scipy", "statsmodels", "plotly", "matplotlib", "optuna")  # where it is used

# Modules whose whole purpose is one framework.
FRAMEWORK_MODULES = (
    "aiqc_core.stages.train.backends.keras.",
    "aiqc_core.stages.train.backends.torch.",
    "aiqc_core.stages.train.stacking.",
    "aiqc_core.utils.pytorch",
    "aiqc_core.utils.tensorflow",
)


def fresh_python(code: str, folder: Path) -> str:
    """Return what code prints in a new process whose home and working directory are empty."""
    (folder / "home").mkdir()
    (folder / "cwd").mkdir()
    keep = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**keep, "HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder / "cwd",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of pyproject.toml on the packages in a folder."""
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_hold() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("aiqc_core/errors.py", "import dagster", "aiqc_core works without Dagster"),
        ("aiqc_core/stages/split/__init__.py", "import peewee", "Stages know no rows"),
        (
            "aiqc_core/stages/ingest/__init__.py",
            "import aiqc_core.stages.train",
            "Data walks ingest",
        ),
        ("aiqc_core/storage/cache.py", "import aiqc_core.orm", "Commands above experiments"),
        ("aiqc_dagster/__init__.py", "import peewee", "Only the rows speak peewee"),
        (
            "aiqc_dagster/__init__.py",
            "import aiqc_core.orm.store.signing",
            "Dagster's side enters",
        ),
        ("aiqc_core/orm/__init__.py", "import torch", "Only train"),
    ],
)
def test_a_forbidden_import_breaks_its_contract(
    tmp_path: Path, module: str, line: str, contract: str
) -> None:
    for package in ("aiqc_core", "aiqc_dagster"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    result = lint_imports(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    verdict = next(text for text in result.stdout.splitlines() if text.startswith(contract))
    assert "BROKEN" in verdict


def test_importing_the_code_location_initialises_no_accelerator(tmp_path: Path) -> None:
    """B12: what is not loaded touches no device, and every process loads the code location."""
    frameworks = [name for name in HEAVY if name != "dagster"]
    code = "import sys, aiqc_dagster.definitions; "
    loaded = f"print([name for name in {frameworks} if name in sys.modules])"
    assert fresh_python(code + loaded, tmp_path).strip() == "[]"


@pytest.mark.parametrize("package", ["aiqc_core", "aiqc_core.orm"])
def test_importing_loads_no_framework_and_writes_no_file(tmp_path: Path, package: str) -> None:
    code = (
        f"import sys, {package}; print([name for name in {HEAVY + LATE} if name in sys.modules])"
    )
    assert fresh_python(code, tmp_path).strip() == "[]"
    written = [path for path in tmp_path.rglob("*") if path.name not in {"home", "cwd"}]
    assert written == []


def test_only_framework_modules_import_a_framework_when_loaded(tmp_path: Path) -> None:
    code = f"""
import importlib, pkgutil, sys, aiqc_core
for module in pkgutil.walk_packages(aiqc_core.__path__, "aiqc_core."):
    if not module.name.startswith({FRAMEWORK_MODULES}):
        importlib.import_module(module.name)
        loaded = [name for name in {HEAVY} if name in sys.modules]
        assert not loaded, f"{{module.name}} loads {{loaded}}"
"""
    fresh_python(code, tmp_path)


def test_what_aiqc_core_shows_is_what_it_declares(tmp_path: Path) -> None:
    code = """
import __future__, types, aiqc_core
hidden = types.ModuleType | __future__._Feature
print({name for name, value in vars(aiqc_core).items()
       if not name.startswith("_") and not isinstance(value, hidden)} - set(aiqc_core.__all__))
print([name for name in aiqc_core.__all__ if not hasattr(aiqc_core, name)])
"""
    assert fresh_python(code, tmp_path).split("\n")[:2] == ["set()", "[]"]
