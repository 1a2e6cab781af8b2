"""The documents name what there is: targets, commands, pages, and every field of a declaration."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from places import ROOT
from typer.main import get_command

from aiqc_core import experiment
from aiqc_core.cli.app import app
from aiqc_core.experiment.model.base import Declared

if TYPE_CHECKING:
    from pathlib import Path

PAGES = sorted((ROOT / "docs").rglob("*.md"))
README = ROOT / "README.md"
DECLARATION = ROOT / "docs" / "declaration.md"
AUTOMATION = ("schedule", "timezone", "freshness", "promotion")
LINK = re.compile(r"\]\(([^)#\s]+)")
FIELDS = [
    (model, name)
    for model in (
        experiment.Experiment,
        experiment.Pipeline,
        experiment.Training,
        experiment.Promotion,
    )
    for name in model.model_fields
]
README_LINES = 250


def text(*files: Path) -> str:
    """Return the text of files, one after another."""
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def section(page: str, title: str) -> str:
    """Return what stands under a heading, up to the next one."""
    return re.split(r"^## ", page.split(f"\n## {title}\n")[1], flags=re.MULTILINE)[0]


def row(model: type[Declared], field: str) -> list[str]:
    """Return the cells of a field's row in the table of its model."""
    for line in section(text(DECLARATION), model.__name__).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if f"`{field}`" in cells[0]:
            return cells
    return []


def links(page: Path) -> set[Path]:
    """Return the files that a page links to."""
    found = LINK.findall(text(page))
    return {(page.parent / target).resolve() for target in found if "://" not in target}


def test_every_target_of_make_is_reported() -> None:
    targets = re.findall(r"^([a-z][\w-]*):.*##", text(ROOT / "Makefile"), re.MULTILINE)
    assert "demo" in targets
    assert [name for name in targets if f"make {name}" not in text(README, *PAGES)] == []


def test_every_command_of_aiqc_is_reported() -> None:
    commands = list(getattr(get_command(app), "commands", {}))
    assert "leaderboard" in commands
    assert [name for name in commands if f"aiqc {name}" not in text(README, *PAGES)] == []


def test_every_page_is_linked_from_the_readme() -> None:
    """But for decisions, which the page of the architecture lists."""
    decisions = {page for page in PAGES if page.parent.name == "decisions"}
    assert {page.resolve() for page in PAGES if page not in decisions} <= links(README)
    assert decisions <= links(ROOT / "docs" / "architecture.md")


@pytest.mark.parametrize("page", [README, *PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert [str(target) for target in links(page) if not target.exists()] == []


@pytest.mark.parametrize(
    ("model", "field"), FIELDS, ids=lambda value: getattr(value, "__name__", value)
)
def test_every_field_of_a_declaration_is_reported_with_its_default(
    model: type[Declared], field: str
) -> None:
    cells = row(model, field)
    assert len(cells) == 3, f"docs/declaration.md has no row of {model.__name__}.{field}"
    known = model.model_fields[field]
    assert (cells[1] == "required") == known.is_required()
    default = known.get_default(call_default_factory=True)
    if default is None or default == "" or isinstance(default, Declared) or known.is_required():
        return  # reported in words
    assert cells[1].strip("`") == shown(default)


def shown(default: object) -> str:
    """Return a default as YAML has it."""
    return str(default).lower() if isinstance(default, bool) else f"{default}".removesuffix(".0")


def test_no_field_is_reported_that_there_is_none() -> None:
    for model in (
        experiment.Experiment,
        experiment.Pipeline,
        experiment.Training,
        experiment.Promotion,
    ):
        reported = re.findall(
            r"^\| ((?:`\w+`(?:, )?)+) \|", section(text(DECLARATION), model.__name__), re.MULTILINE
        )
        names = {name for cell in reported for name in re.findall(r"`(\w+)`", cell)}
        assert names - {"functions"} == set(model.model_fields)


def test_what_runs_by_itself_is_listed_on_its_page() -> None:
    reported = text(ROOT / "docs" / "automation.md")
    assert [name for name in AUTOMATION if name not in reported] == []


def test_the_readme_stays_short() -> None:
    assert len(text(README).splitlines()) <= README_LINES


COMMAND = re.compile(r"(?:^|`)(?:\$ )?(dagster (?:sensor|schedule) [^`#\n]+)", re.MULTILINE)


def test_commands_that_turn_something_on_address_what_the_ui_shows() -> None:
    """A location that `-m` names after its module is another one than the workspace's."""
    pages = [README, *PAGES, *sorted((ROOT / "deploy").rglob("*.md"))]
    files = [*pages, *sorted((ROOT / "aiqc_core").rglob("*.py"))]
    commands = [found for file in files for found in COMMAND.findall(text(file))]
    assert len(commands) >= 2
    assert [line for line in commands if "-w workspace.yaml" not in line] == []
