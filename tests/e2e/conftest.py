"""A running UI and a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from places import ROOT
from playwright.sync_api import expect, sync_playwright
from programs import needed

from aiqc_dagster.executors.choose import EXECUTOR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

PICTURES_VARIABLE = "AIQC_PICTURES"
START_SECONDS = 90.0
STOP_SECONDS = 20.0
WAIT_MILLISECONDS = 60_000  # a page on a machine whose cores train models beside it
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def executor() -> str:
    """Return what executes runs: their own process alone, as few of these tests ask for more."""
    return "in_process"


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, executor: str) -> Iterator[Path]:
    """Give the module a metastore and a Dagster instance of its own; returns their folder."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "dagster").mkdir()
    shutil.copy(ROOT / ".dagster_home" / "dagster.yaml", folder / "dagster")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIQC_HOME", str(folder / "aiqc"))
        patch.setenv("DAGSTER_HOME", str(folder / "dagster"))
        patch.setenv(EXECUTOR_VARIABLE, executor)
        yield folder


@pytest.fixture(scope="module")
def dagster(stores: Path) -> Callable[..., str]:
    """Run a `dagster` command to its end, which must be a good one; returns its log."""

    def run(*arguments: str) -> str:
        command = [_program("dagster"), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    return run


@pytest.fixture(scope="module")
def workspace() -> Path:
    """Return what `dagster dev` loads; a module with locations of its own overrides it."""
    return ROOT / "workspace.yaml"


@pytest.fixture(scope="module")
def ui(stores: Path, workspace: Path) -> Iterator[str]:
    """Run `dagster dev`, daemon and all, as `make ui` does; returns its address."""
    port = _free_port()
    log = stores / "dev.log"
    options = ["-w", str(workspace), "-h", "127.0.0.1", "-p", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [_program("dagster"), "dev", *options],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its whole group is ended at once
        )
    try:
        _wait_until_served(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        _end_group(process)


@pytest.fixture
def page(ui: str) -> Iterator[Page]:
    """Open a browser on the UI; what is not there after a minute fails the test."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needed("chromium"), args=FLAGS)
        page = browser.new_page(base_url=ui, viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(WAIT_MILLISECONDS)
        expect.set_options(timeout=WAIT_MILLISECONDS)
        yield page
        browser.close()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Return the folder that keeps screenshots: `$AIQC_PICTURES`, or `artifacts`."""
    folder = Path(os.environ.get(PICTURES_VARIABLE) or ROOT / "artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_served(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/server_info")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
    pytest.fail(f"dagster dev serves nothing on port {port}:\n{log.read_text()}")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask every process of `dagster dev` to end, and end those that do not."""
    os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):  # none is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
