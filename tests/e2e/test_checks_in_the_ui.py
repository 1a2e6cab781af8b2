"""The leak check as a person sees it: green for a cut in order, amber with the count else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from places import LOCATIONS
from playwright.sync_api import expect

from aiqc_core.orm import Snapshot, Splitset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(240)]

LEAKING = LOCATIONS / "leaking_location.py"
UNTRAINED = "*{0}_samples,*{0}_hyperparamcombo"


@pytest.fixture(scope="module")
def workspace(stores: Path, dagster: Callable[..., str]) -> Path:
    """Walk both data chains through Dagster, and load both locations."""
    places = {
        "co2": ("-m", "aiqc_dagster.definitions"),
        "leaking": ("-f", str(LEAKING), "-a", "defs"),
    }
    for name, place in places.items():
        dagster("job", "execute", *place, "-j", f"retrain_{name}", "-o", UNTRAINED.format(name))
    path = stores / "workspace.yaml"
    path.write_text(
        "load_from:\n"
        "  - python_module: {module_name: aiqc_dagster.definitions, location_name: aiqc_dagster}\n"
        f"  - python_file: {{relative_path: {LEAKING}, attribute: defs}}\n"
    )
    return path


def shared_rows(experiment: str) -> int:
    """Return how many rows train shares with the split it shares most with, as the store says."""
    snapshot = Snapshot.get(Snapshot.experiment == experiment)
    report = snapshot.get_row(Splitset, "splitset").leak_report["shared_rows"]
    return max(shared["rows"] for shared in report["no_fold"].values())


@pytest.mark.parametrize(
    ("experiment", "icon"), [("co2", "check_circle"), ("leaking", "warning_outline")]
)
def test_the_checks_tab_shows_the_verdict(
    page: Page, pictures: Path, experiment: str, icon: str
) -> None:
    page.goto(f"/assets/{experiment}/samples?view=checks&checkDetail=no_leak")
    expect(page.get_by_text("no_leak").first).to_be_visible()
    expect(page.get_by_text("Evaluation result")).to_be_visible()
    page.screenshot(path=pictures / f"check_{experiment}.png")
    expect(page.get_by_role("img", name=icon).first).to_be_visible()
    assert (shared_rows(experiment) > 0) is (experiment == "leaking")
    if experiment == "leaking":
        expect(page.get_by_text(str(shared_rows(experiment))).first).to_be_visible()
