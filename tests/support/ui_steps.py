"""What a person clicks in Dagster's UI, for the tests that do."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Page

LOOK_MILLISECONDS = 4_000


def launch(page: Page, *dimensions: list[str], button: str = "Launch", new: str = "") -> None:
    """Choose cells in the dialog of the asset that the page shows, and launch them.

    Args:
        page: shows the asset's partitions.
        dimensions: the keys to choose of each dimension, in the order of their names; none where
            the asset has no partitions.
        button: how the label of the button begins.
        new: a partition to add first.
    """
    page.get_by_role("button", name="Materialize…").click()
    dialog = page.get_by_role("dialog")
    if new:
        dialog.get_by_text("Add a partition").click()
        page.get_by_placeholder("name", exact=True).fill(new)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("button", name="Save")).to_have_count(0)
    for keys in filter(None, dimensions):
        dialog.get_by_text("Select a partition or create one").first.click()
        for key in keys:
            page.get_by_role("menuitem", name=key).click()
        page.keyboard.press("Escape")
    dialog.get_by_role("button", name=re.compile(f"^{button}")).click()


def wait_for(page: Page, text: str, *, within: float) -> None:
    """Load the page again and again until it shows a text: it looks for news only now and then.

    Args:
        page: the page.
        text: what it will show.
        within: seconds.
    """
    deadline = time.monotonic() + within
    shown = page.get_by_text(text)
    while time.monotonic() < deadline:
        try:
            expect(shown).to_be_visible(timeout=LOOK_MILLISECONDS)
        except AssertionError:
            page.reload()
        else:
            return
    expect(shown).to_be_visible()
