"""Show in which ancestor two Predictors differ first, and in which others."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from aiqc_core.cli import output
from aiqc_core.orm import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.orm.lineage.diff import Diff, Difference


def show(left: int, right: int, *, as_json: bool) -> bool:
    """Print the differences, the first ancestor first; return whether there are none."""
    found: Diff = Predictor.get_by_id(left).diff(Predictor.get_by_id(right))
    if as_json:
        first = found.first and found.first.ancestor
        output.as_json(found, identical=found.identical, first=first)
    else:
        output.lines(*_lines(found))
    return found.identical


def _lines(found: Diff) -> Iterator[tuple[str, object] | str]:
    pair = f"Predictors {found.left} and {found.right}"
    if found.first is None:
        yield f"{pair} are identical: {', '.join(found.same)}"
        return
    for each in found.differences:
        begin = f"{pair} differ first in" if each is found.differences[0] else "and in"
        yield f"{begin}: {each.ancestor}" + ("" if each.note is None else f" ({each.note})")
        yield from _values(found, each)
    yield "same", ", ".join(found.same)


def _values(found: Diff, difference: Difference) -> Iterator[tuple[str, object]]:
    left, right = difference.left, difference.right
    one, other = str(left).splitlines(), str(right).splitlines()
    if difference.ancestor.startswith("code, fn_") and max(len(one), len(other)) > 1:
        for line in list(difflib.unified_diff(one, other, lineterm="", n=1))[2:]:
            yield "", line
        return
    yield str(found.left), left
    yield str(found.right), right
