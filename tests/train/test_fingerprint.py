"""A function's fingerprint moves with what it does, and with nothing else."""

from __future__ import annotations

import textwrap
from typing import Any

from aiqc_core.train.fingerprint import fingerprint

BASE = """
    import math
    WIDTH = 3
    def helper(x):
        return x + WIDTH
    def fn(a, b=2, *, c=(1, 2)):
        def inner(y):
            return helper(y) * math.pi
        return [inner(i) for i in (a, b)] if a in {"u", "v"} else c
"""


def load(source: str) -> Any:
    """Run a module's text and return its function `fn`."""
    space: dict[str, Any] = {}
    exec(textwrap.dedent(source), space)  # noqa: S102 - the text stands above
    return space["fn"]


def test_comments_and_lines_do_not_count() -> None:
    moved = BASE.replace("def helper", "# a comment\n\n    def helper")
    assert fingerprint(load(moved)) == fingerprint(load(BASE))


def test_code_defaults_helpers_and_constants_count() -> None:
    changes = {
        "WIDTH = 3": "WIDTH = 4",
        "return x + WIDTH": "return x - WIDTH",
        "b=2": "b=3",
        "c=(1, 2)": "c=(1, 3)",
        "math.pi": "math.e",
        '"v"': '"w"',
        "* math": "+ math",
    }
    prints = {fingerprint(load(BASE.replace(old, new))) for old, new in changes.items()}
    assert len(prints | {fingerprint(load(BASE))}) == len(changes) + 1


def test_closures_count_and_recursion_ends() -> None:
    def make(value: int) -> Any:
        def fn(n: int) -> int:
            return value if n == 0 else fn(n - 1)

        return fn

    assert fingerprint(make(1)) == fingerprint(make(1))
    assert fingerprint(make(1)) != fingerprint(make(2))
