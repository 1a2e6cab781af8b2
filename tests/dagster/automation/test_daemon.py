"""The daemon in real time: a file that changes is trained without anyone looking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from places import LOCATIONS, ROOT
from small_experiment import source

from aiqc_core import config
from aiqc_core.orm import Attempt, Predictor, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = ("-f", str(LOCATIONS / "watched_location.py"), "-a", "defs")
DEADLINE_SECONDS = 150.0
pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(400)]


def program(name: str) -> str:
    """Return the path of one of Dagster's commands."""
    return str(Path(sys.executable).with_name(name))


@pytest.fixture
def watched(
    home: Path, dagster_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Give the file, and turn its sensor on."""
    path = tmp_path / "rows.csv"
    monkeypatch.setenv("WATCHED_FILE", str(path))
    source().to_csv(path, index=False)
    started = subprocess.run(
        [program("dagster"), "sensor", "start", "updown_source", *PLACE],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert started.returncode == 0, started.stderr
    return path


class Daemon:
    """A daemon process that can be killed and started again."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [program("dagster-daemon"), "run", *PLACE],
                cwd=ROOT, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """Kill it and all that it started, at once."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """Give a daemon that ends with the test."""
    found = Daemon(tmp_path / "daemon.log")
    yield found
    found.kill()


def trained() -> int:
    """Return how many Predictors there are, 0 before there is a store."""
    return Predictor.select().count() if config.database_path().exists() else 0


def wait_for(count: int, daemon: Daemon) -> None:
    """Wait until so many Predictors are recorded."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while trained() < count and time.monotonic() < deadline:
        time.sleep(0.2)
    assert trained() >= count, daemon.log.read_text()[-3000:]


def test_a_changed_file_is_trained_though_the_daemon_was_killed(
    watched: Path, daemon: Daemon
) -> None:
    daemon.start()
    wait_for(4, daemon)
    daemon.kill()
    source(61).to_csv(watched, index=False)
    daemon.start()
    wait_for(8, daemon)
    done = [
        (a.job_id, a.repeat_index) for a in Attempt.select().where(Attempt.status == "succeeded")
    ]
    assert len(done) == len(set(done)) == 8
    assert [queue.runs_completed for queue in Queue.select()] == [4, 4]
