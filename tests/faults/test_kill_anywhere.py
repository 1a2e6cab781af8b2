"""Twenty kills at random moments; `make faults` makes two hundred."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).with_name("harness.py")


@pytest.mark.slow
@pytest.mark.story
@pytest.mark.timeout(600)
def test_a_store_whose_makers_were_killed_is_as_one_whose_makers_were_not() -> None:
    done = subprocess.run(
        [sys.executable, HARNESS, "--kills", "20", "--seed", "1"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("every store came out as one that was never killed\n")
