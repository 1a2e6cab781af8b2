"""A whole chain by clicks alone: from the dataset of a new snapshot to its champion."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from small_experiment import declare

from aiqc_core.orm import Champion, Predictor

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(600)]

LOCATION = Path(__file__).parents[1] / "dagster" / "small_location.py"
RUN_MILLISECONDS = 150_000
SNAPSHOT = "clicked"
CELLS = {
    "hyperparamcombo": declare().combo_keys(), "dataset": [], "feature": [], "label": [],
    "splitset": [], "samples": ["f0", "f1"], "predictor": declare().job_keys(),
    "leaderboard": [], "champion": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def workspace(stores: Path) -> Path:
    """Load the small location; nothing of it is materialised."""
    path = stores / "workspace.yaml"
    place = f"{{relative_path: {LOCATION}, attribute: defs, location_name: small}}"
    path.write_text(f"load_from:\n  - python_file: {place}\n")
    return path


def test_every_asset_is_materialised_by_a_person(page: Page, pictures: Path) -> None:
    for stage, keys in CELLS.items():
        page.goto(f"/assets/updown/{stage}?view=partitions")
        snapshot = [] if stage in {"hyperparamcombo", "dataset"} else [SNAPSHOT]
        materialise(page, keys, snapshot, is_new=stage == "dataset")
        done = page.get_by_text(f"Materialized ({len(keys) or 1})")
        expect(done).to_be_visible(timeout=RUN_MILLISECONDS)
    page.screenshot(path=pictures / "champion_by_clicks.png")
    assert Predictor.select().count() == 4
    champion = Champion.of("updown")
    assert champion
    assert champion.snapshot == SNAPSHOT


def materialise(page: Page, keys: list[str], snapshot: list[str], *, is_new: bool) -> None:
    """Choose the keys of each dimension that there is, or add the snapshot; launch."""
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    if is_new:
        dialog.get_by_text("Add a partition").click()
        page.get_by_placeholder("name", exact=True).fill(SNAPSHOT)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
    for chosen in filter(None, (keys, snapshot)):
        dialog.get_by_text("Select a partition or create one").first.click()
        for key in chosen:
            page.get_by_role("menuitem", name=key).click()
        page.keyboard.press("Escape")
    dialog.get_by_role("button", name=re.compile("^Launch")).click()
