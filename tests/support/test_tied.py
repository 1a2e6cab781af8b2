"""A suite, or a target of `make`, that is interrupted or killed leaves no process running."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from places import ROOT, SUPPORT, TESTS

if TYPE_CHECKING:
    from collections.abc import Callable

SUITE = """\
import os, pathlib, subprocess, time
import services

def test_that_is_interrupted(tmp_path):
    server = services.PostgresServer()
    apart = subprocess.Popen(["sleep", "120"], start_new_session=True)
    reported = [server._process.pid, apart.pid, os.environ["AIQC_HOME"]]
    time.sleep(1)
    said = pathlib.Path(os.environ["SAID"])
    said.with_suffix(".part").write_text(" ".join(map(str, reported)))
    said.with_suffix(".part").rename(said)
    time.sleep(120)
"""


def wait_until(what: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until something holds, and say whether it does."""
    deadline = time.monotonic() + seconds
    while not what() and time.monotonic() < deadline:
        time.sleep(0.1)
    return what()


def runs(process: psutil.Process) -> bool:
    """Say whether a process runs."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "processes"),
    [(signal.SIGINT, "0"), (signal.SIGKILL, "0"), (signal.SIGINT, "1"), (signal.SIGKILL, "1")],
)
def test_no_server_outlives_the_suite(tmp_path: Path, number: int, processes: str) -> None:
    said = tmp_path / "said"
    suite = tmp_path / "test_small.py"
    suite.write_text(SUITE)
    paths = os.pathsep.join((str(SUPPORT), str(TESTS)))  # TESTS: conftest, a plugin here
    options = ["-q", "-n", processes, "-p", "no:cacheprovider", "-p", "conftest", "-c", os.devnull]
    run = subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(suite)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths, "SAID": str(said)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        assert wait_until(said.exists, 120)
        *pids, home = said.read_text().split()
        started = [psutil.Process(int(pid)) for pid in pids]
        run.send_signal(number)
        assert run.wait(60) != 0
        assert wait_until(lambda: not any(map(runs, started)))
        assert wait_until(lambda: not Path(home).parent.exists())
    finally:
        run.kill()
        run.wait()


def test_what_a_command_started_ends_with_it_and_it_ends_with_its_starter(tmp_path: Path) -> None:
    said = tmp_path / "said"
    inner = f"sleep 60 & echo $$ $! > {said}; wait"
    command = [sys.executable, str(SUPPORT / "tied.py"), "bash", "-c", inner]
    code = f"import subprocess; subprocess.run({command!r})"
    starter = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        assert wait_until(lambda: said.exists() and len(said.read_text().split()) == 2)
        started = [psutil.Process(int(pid)) for pid in said.read_text().split()]
        time.sleep(1)
        starter.kill()
        assert wait_until(lambda: not any(map(runs, started)))
    finally:
        starter.kill()
        starter.wait()


def test_each_target_that_starts_servers_is_looked_after() -> None:
    recipes = (ROOT / "Makefile").read_text()
    for target in ("ui", "test", "gallery", "faults", "race", "soak", "bench"):
        (recipe,) = re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", recipes, re.MULTILINE)
        assert "$(TIED)" in recipe, target
