"""`make gallery` in a real browser: every figure is drawn, and no names lie on each other."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from places import ROOT
from playwright.sync_api import sync_playwright
from programs import needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu"]
KINDS = [".xtick text", ".ytick text", ".legendtext", ".gtitle, .gtitle-subtitle"]
OVERLAPS = """kinds => {
  const meet = (p, q) =>
    p.left < q.right && q.left < p.right && p.top < q.bottom && q.top < p.bottom;
  const within = (plot, kind) => {
    const names = [...plot.querySelectorAll(kind)];
    const boxes = names.map(name => name.getBoundingClientRect());
    return names.flatMap((name, i) => names.slice(i + 1)
      .filter((_, k) => meet(boxes[i], boxes[i + 1 + k]))
      .map(other => `${plot.id}: ${name.textContent} | ${other.textContent}`));
  };
  const plots = [...document.querySelectorAll('.js-plotly-plot')];
  return plots.flatMap(plot => kinds.flatMap(kind => within(plot, kind)));
}"""
GROW = "Plotly.relayout(document.querySelector('.js-plotly-plot'), {'xaxis.tickfont.size': 90})"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the gallery of two experiments from an empty store; returns its folder."""
    folder = tmp_path_factory.mktemp("gallery")
    script = [sys.executable, ROOT / "docs" / "make_gallery.py"]
    done = subprocess.run(
        [*script, "--only", "diabetes", "breast_cancer", "--out", folder / "out"],
        env={**os.environ, "AIQC_HOME": str(folder / "aiqc")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "out"


@pytest.fixture
def page(gallery: Path) -> Iterator[tuple[Page, list[str]]]:
    """Open the page without a network; returns it and what it complained of."""
    reported: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=needed("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 960, "height": 900})
        page.context.set_offline(True)
        page.on("console", lambda m: reported.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda error: reported.append(str(error)))
        page.goto((gallery / "index.html").as_uri())
        yield page, reported
        browser.close()


def test_every_figure_is_drawn_without_a_complaint_and_without_the_network(
    page: tuple[Page, list[str]],
) -> None:
    shown, reported = page
    sections = shown.locator("section")
    assert sections.count() > 15
    for i in range(sections.count()):
        sections.nth(i).locator("svg.main-svg").first.wait_for()
    assert reported == []


def test_no_names_lie_on_each_other(page: tuple[Page, list[str]]) -> None:
    shown, _ = page
    shown.locator("section svg.main-svg").last.wait_for()
    assert shown.evaluate(OVERLAPS, KINDS) == []
    shown.evaluate(GROW)
    assert shown.evaluate(OVERLAPS, KINDS) != [], "names too large to fit would be found"


def test_every_figure_is_photographed_for_the_readme(gallery: Path) -> None:
    text = (gallery / "README.md").read_text(encoding="utf-8")
    pictures = sorted(gallery.glob("*.png"))
    assert len(pictures) > 15
    assert all(f"]({picture.name})" in text for picture in pictures)
    assert all(picture.stat().st_size > 5000 for picture in pictures)
