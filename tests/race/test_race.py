"""Eight processes and one store; `make race` does more operations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("harness.py")


@pytest.mark.slow
def test_eight_processes_lose_nothing_and_double_nothing() -> None:
    done = subprocess.run(
        [sys.executable, HARNESS, "--processes", "8", "--operations", "20"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost" in done.stdout
