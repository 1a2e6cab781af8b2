"""What a browser makes of names that were written to run scripts: text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from places import LOCATIONS
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(400)]

STAGES = ("dataset", "feature", "label", "splitset", "hyperparamcombo")
BUTTON = "Materialize…"
PAGES = {f"/assets/hostile/{name}": BUTTON for name in STAGES} | {
    "/assets/hostile/predictor?view=partitions": BUTTON,
    "/assets/hostile/dataset?view=events": BUTTON,
    "/locations/h/asset-groups/hostile": "predictor",
    "/runs/{}": "retrain_hostile",
}
LOCATION = LOCATIONS / "hostile_location.py"


@pytest.fixture(scope="module")
def workspace(stores: Path, dagster: Callable[..., str]) -> Path:
    """Load the location."""
    path = stores / "workspace.yaml"
    path.write_text(
        "load_from:\n"
        f"  - python_file: {{relative_path: {LOCATION}, attribute: defs, location_name: h}}\n"
    )
    return path


@pytest.fixture(scope="module")
def run_id(stores: Path) -> str:
    """Train the two combinations, one of which fails; returns the run's id."""
    import subprocess
    import sys

    program = str(Path(sys.executable).with_name("dagster"))
    place = ["-f", str(LOCATION), "-a", "defs", "-j", "retrain_hostile"]
    done = subprocess.run(
        [program, "job", "execute", *place], capture_output=True, text=True, check=False
    )
    assert "Job 2 (nofold_" in done.stderr, done.stderr
    assert done.returncode == 1
    with dg.DagsterInstance.get() as instance:
        (run,) = instance.get_runs()
    return run.run_id


def test_no_page_runs_a_script_or_fetches_a_picture_of_a_name(run_id: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    shown = 0
    for path, there in PAGES.items():
        page.goto(path.format(run_id))
        expect(page.get_by_text(there).first).to_be_visible(timeout=60_000)
        page.wait_for_load_state("networkidle")
        if "runs" in path:
            page.get_by_text("View full message").first.click()
            page.wait_for_load_state("networkidle")
        shown += page.get_by_text("window.harmed=1").count()
        assert page.evaluate("window.harmed") is None
        assert page.locator("img[src*='harm.png']").count() == 0
        assert page.locator("a[href^='javascript:']").count() == 0
    assert shown > 0, "the names are there, as text"
    assert [url for url in asked if "harm.png" in url] == []
