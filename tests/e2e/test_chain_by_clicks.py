"""A whole chain by clicks alone: from the dataset of a new snapshot to its champion."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import one_cell_location
import pytest
from ui_steps import launch, wait_for

from aiqc_core.orm import Champion, Predictor

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    pytest.mark.story,
    pytest.mark.timeout(600),
]

LOCATION = Path(one_cell_location.__file__)
RUN_SECONDS = 150.0
SNAPSHOT = "clicked"
CELLS = {
    "hyperparamcombo": one_cell_location.EXPERIMENT.combo_keys(), "dataset": [], "feature": [],
    "label": [], "splitset": [], "samples": ["nofold"],
    "predictor": one_cell_location.EXPERIMENT.job_keys(), "leaderboard": [], "champion": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def workspace(stores: Path) -> Path:
    """Load the location; nothing of it is materialised."""
    path = stores / "workspace.yaml"
    place = f"{{relative_path: {LOCATION}, attribute: defs, location_name: one_cell}}"
    path.write_text(f"load_from:\n  - python_file: {place}\n")
    return path


def test_every_asset_is_materialised_by_a_person(page: Page, pictures: Path) -> None:
    for stage, keys in CELLS.items():
        page.goto(f"/assets/updown/{stage}?view=partitions")
        snapshot = [] if stage in {"hyperparamcombo", "dataset"} else [SNAPSHOT]
        launch(page, keys, snapshot, new=SNAPSHOT if stage == "dataset" else "")
        wait_for(page, f"Materialized ({len(keys) or 1})", within=RUN_SECONDS)
    page.screenshot(path=pictures / "champion_by_clicks.png")
    assert Predictor.select().count() == 1
    champion = Champion.of("updown")
    assert champion
    assert champion.snapshot == SNAPSHOT
