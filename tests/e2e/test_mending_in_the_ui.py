"""A combination that fails, mended; a schedule that a person turns on; figures to look at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from places import LOCATIONS
from playwright.sync_api import expect
from small_experiment import declare
from ui_steps import launch, wait_for

from aiqc_core.orm import Attempt, Predictor, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.timeout(280)]

MOODY = LOCATIONS / "moody_location.py"
RUN_SECONDS = 120.0
PLACE = ("-f", str(MOODY), "-a", "defs")
CELLS = [key for key in declare().job_keys() if key.startswith("f0_")]  # of the two, one fails


@pytest.fixture(scope="module")
def flag(stores: Path) -> Iterator[Path]:
    """Put the experiment in its mood; who removes the file mends it."""
    path = stores / "moody"
    path.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOODY_FLAG", str(path))
        yield path


@pytest.fixture(scope="module")
def workspace(stores: Path, flag: Path, dagster: Callable[..., str]) -> Path:
    """Prepare a snapshot, all but its training, and load the location."""
    config = stores / "run.yaml"
    config.write_text("ops: {moody_open_snapshot: {config: {snapshot: s1}}}\n")
    untrained = "*moody_samples,*moody_hyperparamcombo"
    dagster("job", "execute", *PLACE, "-j", "retrain_moody", "-c", str(config), "-o", untrained)
    path = stores / "workspace.yaml"
    path.write_text(
        "load_from:\n"
        f"  - python_file: {{relative_path: {MOODY}, attribute: defs, location_name: moody}}\n"
    )
    return path


def test_a_failing_combination_is_red_with_its_reason_and_mended_alone(
    page: Page, flag: Path, pictures: Path
) -> None:
    page.goto("/assets/moody/predictor?view=partitions")
    launch(page, CELLS, ["s1"], button="Launch backfill")
    wait_for(page, "Failed (1)", within=RUN_SECONDS)
    expect(page.get_by_text("Materialized (1)")).to_be_visible()
    page.screenshot(path=pictures / "failed_combination.png")

    with dg.DagsterInstance.get() as instance:
        failed = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])
        (run,) = instance.get_runs(failed)
    page.goto(f"/runs/{run.run_id}")
    expect(page.get_by_text("four epochs put me in a mood").first).to_be_visible(timeout=20_000)
    page.screenshot(path=pictures / "failed_reason.png")

    flag.unlink()
    page.goto("/assets/moody/predictor?view=partitions")
    launch(page, CELLS, ["s1"], button="Launch backfill")
    wait_for(page, "Materialized (2)", within=RUN_SECONDS)
    succeeded = [a.job_id for a in Attempt.select().where(Attempt.status == "succeeded")]
    assert len(succeeded) == len(set(succeeded)) == Predictor.select().count() == 2


def test_a_schedule_turned_on_adds_the_days_snapshot_and_trains(
    page: Page, flag: Path, pictures: Path
) -> None:
    """The daemon ticks in real time; nobody helps. What is trained already it would skip."""
    flag.with_suffix(".grown").touch()
    page.goto("/locations/moody/schedules/moody_schedule")
    expect(page.get_by_text("moody_schedule").first).to_be_visible()
    page.get_by_role("switch").or_(page.locator("label:has(input[type=checkbox])")).first.click()
    deadline = time.monotonic() + 150
    while not _scheduled() and time.monotonic() < deadline:
        time.sleep(1)
    assert _scheduled(), "no tick of the schedule added a snapshot"
    page.goto("/runs")
    expect(page.get_by_text("retrain_moody").first).to_be_visible()
    page.screenshot(path=pictures / "scheduled_run.png")


def test_the_figures_of_a_champion_are_pictures_in_the_page(page: Page, pictures: Path) -> None:
    page.goto("/assets/moody/champion?view=events")
    page.get_by_text("[Show Markdown]").first.click()
    expect(page.locator("img[src^='data:image/png']").first).to_be_visible()
    page.screenshot(path=pictures / "figures.png")


def _scheduled() -> list[Snapshot]:
    rows = Snapshot.select().where(Snapshot.experiment == "moody", Snapshot.key != "s1")
    return [row for row in rows if "queue" in row.rows]
