"""What a person does in the UI, done by clicking in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from ui_steps import launch, wait_for

from aiqc_core.orm import Predictor
from aiqc_dagster.defs.breast_cancer.experiment import EXPERIMENT
from aiqc_dagster.executors.choose import EXECUTOR_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(240)]

JOB = ("-m", "aiqc_dagster.definitions", "-j", "retrain_breast_cancer")
PREDICTOR = "/assets/breast_cancer/predictor?view=partitions"
SNAPSHOT = "2026-11-25"
BACKFILL_SECONDS = 120.0  # the daemon looks for backfills every 30 seconds
CELLS = EXPERIMENT.job_keys()[:3]
GREEN = "[style*='color-accent-green']"


@pytest.fixture(scope="module")
def executor() -> str:
    """Return the executor that people have who set nothing."""
    return "warm_pool"


@pytest.fixture(scope="module")
def snapshot(stores: Path, dagster: Callable[..., str]) -> str:
    """Prepare a snapshot through Dagster, all but its training; returns its key."""
    config = stores / "run.yaml"
    config.write_text(
        f"ops: {{breast_cancer_open_snapshot: {{config: {{snapshot: '{SNAPSHOT}'}}}}}}\n"
    )
    untrained = "*breast_cancer_samples,*breast_cancer_hyperparamcombo"
    dagster("job", "execute", *JOB, "-c", str(config), "-o", untrained)
    return SNAPSHOT


def test_three_cells_are_materialised_by_clicking(
    snapshot: str, page: Page, pictures: Path
) -> None:
    page.goto(PREDICTOR)
    expect(page.get_by_text("Missing (12)")).to_be_visible()
    launch(page, CELLS, [snapshot], button="Launch backfill")

    wait_for(page, "Materialized (3)", within=BACKFILL_SECONDS)
    expect(page.get_by_text("Failed (0)")).to_be_visible()
    trained = {row.job.key: row for row in Predictor.select()}
    assert sorted(trained) == sorted(CELLS)
    for key in CELLS:
        expect(cell(page, key).locator(GREEN)).to_be_visible()
        cell(page, key).click()
        cell(page, snapshot).click()
        expect(page.get_by_text("Materialized", exact=True)).to_be_visible()
        expect(metadata(page, "predictor_id")).to_have_text(str(trained[key].id))
        shown = float(metadata(page, "accuracy_test").inner_text())
        assert shown == trained[key].predictions[0].metrics["test"]["accuracy"]
        assert shown > 0.85
    page.screenshot(path=pictures / "predictor_cells.png")


def test_a_run_of_the_job_completes_what_clicks_began(
    snapshot: str,
    dagster: Callable[..., str],
    stores: Path,
    page: Page,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By another executor, too. Also takes the README's picture: AIQC_PICTURES=docs/assets."""
    monkeypatch.setenv(EXECUTOR_VARIABLE, "in_process")
    found = Predictor.select().count()
    log = dagster("job", "execute", *JOB, "-c", str(stores / "run.yaml"))
    assert f"{12 - found} trained, {found} found, of 12 Jobs" in log
    assert Predictor.select().count() == 12

    page.set_viewport_size({"width": 2400, "height": 900})
    page.goto("/runs")
    page.get_by_text("Hide navigation").click()  # the graph is laid out in the room there is
    page.goto("/locations/aiqc_dagster/asset-groups/breast_cancer")
    expect(page.get_by_text("100% filled")).to_have_count(9)
    expect(page.get_by_text("12 partitions", exact=True)).to_be_visible()
    page.screenshot(path=pictures / "asset_graph.png")


def test_a_cell_of_an_unprepared_snapshot_fails_and_says_what_to_do(
    page: Page, pictures: Path
) -> None:
    page.goto(PREDICTOR)
    launch(page, CELLS[:1], ["unprepared"], button="Launch 1 run", new="unprepared")

    page.get_by_role("link", name="View", exact=True).click()
    wanted = "materialise breast_cancer/splitset for this snapshot first"
    expect(page.get_by_text(wanted).first).to_be_visible(timeout=BACKFILL_SECONDS * 1000)
    page.screenshot(path=pictures / "unprepared_snapshot.png")


def cell(page: Page, key: str) -> Locator:
    """Return the line of a key, with its dots, in the page's lists of partitions."""
    return page.locator(f"div:has(> [data-tooltip='{key}']):has(> [style*='border-radius'])")


def metadata(page: Page, name: str) -> Locator:
    """Return the value of an entry in the metadata of the cell that the page shows."""
    row = page.locator("tr").filter(has=page.get_by_text(name, exact=True))
    return row.locator("td").nth(1)
