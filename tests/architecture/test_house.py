"""Rooms that a stranger can guess: no circle, small folders, methods that are where they say."""

from __future__ import annotations

import ast
import collections
import functools
import re

import pytest
from places import ROOT

from aiqc_core.orm import BaseModel
from aiqc_core.orm.store.operation import Descriptor

PACKAGES = ("aiqc_core", "aiqc_dagster")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
MOST_FILES = 20
RIDDLES = re.compile(  # words and inversions that readers stumble over
    r"\b(told|anew|bury|buries|buried|mourned|obituary|epitaph|hears|ails|lies in|lie in)\b"
    r"|^\s*(\"\"\")?Of (a|an|the|those|what) "
)


RIDDLE_NAMES = re.compile(
    r"_*(ails|anew|bare|bury|epitaph|heard|judged?|lacking|likeness|mourn|obituary|onlooker|said"
    r"|sure|symptoms|telling|told|unheard)_*",
    re.IGNORECASE,
)


@functools.cache
def imports(name: str) -> set[str]:
    """Return the modules of ours that a module imports, inside functions too."""
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for part in node.body
        for inner in ast.walk(part)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    is_door = FILES[name].name == "__init__.py"  # it shows what stands inside
    return {
        other
        for other in found & FILES.keys()
        if other != name and not (is_door and other.startswith(f"{name}."))
    }


def test_no_module_reaches_itself_through_any_import() -> None:
    """Not through an import in a function either: data flows one way."""
    graph = {name: imports(name) for name in FILES}
    while ends := [name for name, others in graph.items() if not others & graph.keys()]:
        for name in ends:
            del graph[name]
    assert not graph, f"in a circle, or above one: {sorted(graph)}"


def test_a_folder_holds_at_most_twenty_files() -> None:
    counts = collections.Counter(
        path.parent for path in FILES.values() if path.name != "__init__.py"
    )
    big = {str(folder): count for folder, count in counts.items() if count > MOST_FILES}
    assert not big


@pytest.mark.parametrize("table", BaseModel.__subclasses__(), ids=lambda table: table.__name__)
def test_each_method_that_stands_elsewhere_is_there(table: type[BaseModel]) -> None:
    for member, shown in vars(table).items():
        if isinstance(shown, Descriptor) and isinstance(shown.place, str):
            module, function = shown.place.split(":")
            assert (function, shown.body.__module__) == (member, module)
            seen = getattr(table, member)
            assert (getattr(seen, "body", seen)).__doc__ == shown.body.__doc__


def test_type_checkers_see_the_module_that_runs() -> None:
    """A module names it twice: for type checkers, and for the first use."""
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.If)
                and "TYPE_CHECKING" in ast.unparse(node.test)
                and node.orelse
            ):
                typed = {
                    (alias.asname or alias.name, f"{part.module}.{alias.name}")
                    for part in node.body
                    if isinstance(part, ast.ImportFrom)
                    for alias in part.names
                }
                ran = {
                    (part.targets[0].id, part.value.args[0].value)  # type: ignore[attr-defined]
                    for part in node.orelse
                }
                assert ran <= typed, path


def test_prose_speaks_plainly() -> None:
    """In the packages, tests, pages, and everything else that people read."""
    folders = ("docs", "tests", "examples", "deploy", "bench")
    pages = {
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".md", ".py", ".yaml", ".yml"} and path.name != "test_house.py"
    }
    pages |= {*FILES.values(), *ROOT.glob("*.md"), ROOT / "Makefile"} - {ROOT / "CHANGELOG.md"}
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted(pages)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if RIDDLES.search(line)
    ]
    assert not found, "say it with a verb and the field's terms"


def test_names_are_the_terms_of_the_field() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {name}"
        for path in FILES.values()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in [
            getattr(node, "name", None)
            or (isinstance(node, ast.arg) and node.arg)
            or (isinstance(node, ast.Name) and node.id)
        ]
        if isinstance(name, str) and RIDDLE_NAMES.fullmatch(name)
    ]
    assert not found, "name it by what it is, or by what it returns"


def test_private_names_of_dagster_stand_in_two_files() -> None:
    """One for the code, one for the tests: what to check at each release of Dagster."""
    private = re.compile(r"^\s*(from|import) dagster(\._|\.components\.)", re.MULTILINE)
    folders = ("aiqc_core", "aiqc_dagster", "tests", "bench", "deploy", "docs", "examples")
    found = [
        str(path.relative_to(ROOT))
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*.py"))
        if private.search(path.read_text(encoding="utf-8"))
    ]
    assert found == [
        "aiqc_dagster/executors/_dagster_internals.py",
        "tests/support/dagster_internals.py",
    ]
