"""The examples run as they are, each in a process and a store of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize(
    ("example", "said"), [("quickstart.py", "accuracy"), ("multimodal.py", "are [0, 1, 2]")]
)
def test_an_example_runs_and_says_what_it_promises(home: Path, example: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert said in done.stdout
