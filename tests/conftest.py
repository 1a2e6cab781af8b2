"""What every test stands on: stores of its own, a fixed seed, a Hypothesis profile."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
import tied
from places import ROOT

from aiqc_core.config import use_home

if TYPE_CHECKING:
    from collections.abc import Iterator


hypothesis.settings.register_profile("local", deadline=None, max_examples=30)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_configure(config: pytest.Config) -> None:
    """Point every store at a folder of this run, before a test module imports a framework."""
    folder = Path(tempfile.mkdtemp(prefix="aiqc-tests-"))
    tied.begin(str(folder))
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    for variable in ("AIQC_HOME", "DAGSTER_HOME", "KERAS_HOME"):
        os.environ[variable] = str(folder / variable.lower())
    (folder / "dagster_home").mkdir()
    shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", folder / "dagster_home")
    if hasattr(config, "workerinput"):
        # One of several processes: xdist has it ignore Ctrl-C, and so would all that it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_collection_finish() -> None:
    """Spare the garbage collector what every test module has imported: it stays to the end."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files whose tests take long, so that none of them is alone at the end."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    browser = {item.path for item in items if item.get_closest_marker("e2e")}
    first = (ROOT / "tests" / "contracts", ROOT / "tests" / "faults")
    items.sort(
        key=lambda item: (
            not (item.path in browser or any(folder in item.path.parents for folder in first)),
            -slow[item.path],
        )
    )


@pytest.fixture(autouse=True)
def seed() -> None:
    """Seed every generator that the test's process has loaded."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - scikit-learn and the frameworks draw from this one
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Give the test an empty store of its own; returns its folder, which does not exist yet."""
    with use_home(tmp_path / "aiqc") as path:
        yield path


@pytest.fixture
def dagster_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty Dagster instance of its own, configured as the shipped one."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", folder)
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder
