"""Modules, functions and asset bodies stay small enough to be seen whole."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MODULES = sorted([*ROOT.glob("aiqc_core/**/*.py"), *ROOT.glob("aiqc_dagster/**/*.py")])
MODULE_LINES, FUNCTION_LINES, ASSET_LINES = 400, 50, 20

DAGSTER_DECORATORS = {
    *("asset", "multi_asset", "graph_asset", "graph_multi_asset", "observable_source_asset"),
    *("op", "graph", "job", "asset_check", "multi_asset_check", "definitions"),
    *("schedule", "sensor", "asset_sensor", "multi_asset_sensor"),
    *("run_status_sensor", "run_failure_sensor", "executor", "resource", "hook"),
}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source: str) -> list[FunctionNode]:
    """Return every function and method, nested ones too."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, FunctionNode)]


def body_lines(function: FunctionNode) -> int:
    """Count the lines of a body; its docstring is not counted."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def is_dagster(function: FunctionNode) -> bool:
    """Tell whether a decorator of Dagster makes this function a step or a definition."""
    calls = (node.func if isinstance(node, ast.Call) else node for node in function.decorator_list)
    names = (node.attr if isinstance(node, ast.Attribute) else ast.unparse(node) for node in calls)
    return any(name in DAGSTER_DECORATORS for name in names)


def too_long(source: str, limit: int, *, only_dagster: bool = False) -> dict[str, int]:
    """Return the functions whose body exceeds the limit, with their lines."""
    return {
        function.name: body_lines(function)
        for function in functions(source)
        if body_lines(function) > limit and (is_dagster(function) or not only_dagster)
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_and_its_functions_fit_their_limits(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MODULE_LINES
    assert too_long(source, FUNCTION_LINES) == {}


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("aiqc_dagster/**/*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_asset_and_op_bodies_are_thin(path: Path) -> None:
    assert too_long(path.read_text(encoding="utf-8"), ASSET_LINES, only_dagster=True) == {}


@pytest.mark.parametrize("decorator", ["@dg.asset", "@dg.op(out={})", "@asset", "@dg.sensor()"])
def test_a_fat_asset_is_found_also_inside_a_factory(decorator: str) -> None:
    lines = ["def build():", f"    {decorator}", "    def fat():", '        """Doc."""']
    thin = "\n".join([*lines, *["        x = 1"] * ASSET_LINES])
    assert too_long(thin, ASSET_LINES, only_dagster=True) == {}
    fat = f"{thin}\n        x = 2"
    assert too_long(fat, ASSET_LINES, only_dagster=True) == {"fat": ASSET_LINES + 1}


def test_a_long_function_is_found_and_a_plain_one_is_no_asset() -> None:
    long = "\n".join(["def long():", *["    x = 1"] * (FUNCTION_LINES + 1)])
    assert too_long(long, FUNCTION_LINES) == {"long": FUNCTION_LINES + 1}
    assert too_long(long, ASSET_LINES, only_dagster=True) == {}
