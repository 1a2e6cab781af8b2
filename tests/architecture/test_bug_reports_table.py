"""Each report of the table in `docs/bug_reports.md` names tests that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from places import ROOT

TESTS = ROOT / "tests"
PAGE = ROOT / "docs" / "bug_reports.md"
REPORTS, TRIALS = 72, 60


def table(text: str) -> dict[str, list[str]]:
    """Return what stands between backticks in the last cell of each row, by the row's id."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines()]
    named = [cells for cells in rows if re.fullmatch(r"[AB]\d\d|T-[A-F]\d{1,2}", cells[0])]
    assert {len(cells) for cells in named} == {4}
    found = {cells[0]: re.findall(r"`([^`]+)`", cells[3]) for cells in named}
    assert len(found) == len(named)
    return found


@cache
def names_in(path: Path) -> set[str]:
    """Return the names of the tests in a file, those of classes as `Class::test`."""
    if not path.is_file():
        return set()
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}::{inner.name}"
                for inner in node.body
                if isinstance(inner, ast.FunctionDef)
            }
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return {name for name in found if name.split("::")[-1].startswith("test_")}


def gone(name: str) -> bool:
    """Whether there is no test of this name, given as `file::test` or `file::Class::test`."""
    file, _, test = name.partition("::")
    return test not in names_in(TESTS / file)


def test_every_report_names_tests_that_there_are() -> None:
    found = table(PAGE.read_text(encoding="utf-8"))
    assert len(found) == REPORTS + TRIALS
    assert {key: [name for name in names if gone(name)] for key, names in found.items()} == {
        key: [] for key in found
    }
    assert [key for key, names in found.items() if not names] == []


def test_a_test_that_is_gone_is_found() -> None:
    here = Path(__file__).relative_to(TESTS).as_posix()
    assert not gone(f"{here}::test_a_test_that_is_gone_is_found")
    assert gone(f"{here}::test_that_was_renamed")
    assert gone("orm/test_that_was_moved.py::test_every_report_names_tests_that_there_are")
    assert table("| A01 | x | y | `a.py::b`<br>`c.py::D::e` |") == {
        "A01": ["a.py::b", "c.py::D::e"]
    }
