"""The README's Python runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from places import ROOT

from aiqc_core.orm import Predictor

if TYPE_CHECKING:
    from pathlib import Path

NOTEBOOK, EXPERIMENT = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE
)
pytestmark = pytest.mark.slow


def run(folder: Path, code: str) -> str:
    """Run code as a script in a folder of its own; returns what it printed."""
    script = folder / "readme.py"
    script.write_text(code)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_notebook_example_trains_and_prints_metrics(home: Path, tmp_path: Path) -> None:
    printed = run(tmp_path, NOTEBOOK)
    assert Predictor.select().count() == 6
    assert "accuracy" in printed
    assert "[18 rows x" in printed  # 2 combinations, 3 folds, 3 splits


def test_the_experiment_to_add_trains(home: Path, tmp_path: Path) -> None:
    run(
        tmp_path,
        f"{EXPERIMENT}\nfrom aiqc_core.experiment import workflow\n\nworkflow.run(EXPERIMENT)\n",
    )
    accuracies = [p.predictions[0].metrics["test"]["accuracy"] for p in Predictor.select()]
    assert len(accuracies) == 2
    assert max(accuracies) > 0.8
