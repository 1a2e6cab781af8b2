"""Rooms that a stranger can guess: no circle, small folders, methods that are where they say."""

from __future__ import annotations

import ast
import collections
import functools
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("aiqc_core", "aiqc_dagster")
FILES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
MOST_FILES = 20
ELSEWHERE = {"operation", "maker", "derived"}


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


@functools.cache
def places() -> dict[str, list[tuple[str, str]]]:
    """Return for each row class the `(name, "module:function")` of what stands elsewhere."""
    found = collections.defaultdict(list)
    for name, path in FILES.items():
        for table in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(table, ast.ClassDef):
                continue
            for node in ast.walk(table):
                match node:
                    case ast.Assign(
                        targets=[ast.Name(id=member)],
                        value=ast.Call(func=ast.Name(id=kind), args=[ast.Constant(value=place)]),
                    ) if kind in ELSEWHERE:
                        found[f"{name}.{table.name}"].append((member, place))
    return found


@pytest.mark.parametrize("table", places())
def test_each_method_that_stands_elsewhere_is_there(table: str) -> None:
    row = pkgutil.resolve_name(
        table.replace(f".{table.rsplit('.', 1)[1]}", f":{table.rsplit('.', 1)[1]}")
    )
    for member, place in places()[table]:
        module, function = place.split(":")
        body = pkgutil.resolve_name(place)
        assert (function, body.__module__) == (member, module)
        shown = getattr(row, member)
        assert (getattr(shown, "body", shown)).__doc__ == body.__doc__


def test_type_checkers_see_the_function_that_runs() -> None:
    """The class names each twice: for type checkers, and for the first use."""
    for path in FILES.values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.If)
                and "TYPE_CHECKING" in ast.unparse(node.test)
                and node.orelse
            ):
                typed, ran = (
                    [(part.targets[0].id, part.value.func.id) for part in parts]  # type: ignore[attr-defined]
                    for parts in (node.body, node.orelse)
                )
                assert typed == ran, path
