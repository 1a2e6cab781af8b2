"""What a person clicks in Dagster's UI, for the tests that do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page


def launch(
    page: Page, jobs: list[str], snapshot: str, *, button: str, is_new: bool = False
) -> None:
    """Choose cells in the dialog of the asset that the page shows, and launch them."""
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    if is_new:
        dialog.get_by_text("Add a partition").click()
        page.get_by_placeholder("name", exact=True).fill(snapshot)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
    for keys in (jobs, [snapshot]):  # the dimensions, in the order of their names
        dialog.get_by_text("Select a partition or create one").first.click()
        for key in keys:
            page.get_by_role("menuitem", name=key).click()
        page.keyboard.press("Escape")
    dialog.get_by_role("button", name=button).click()
