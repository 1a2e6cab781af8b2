"""Tell in which ancestor two Predictors differ first, and in which others."""

from __future__ import annotations

import difflib
from itertools import chain, repeat
from typing import TYPE_CHECKING

from aiqc_core.cli import telling
from aiqc_core.orm import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiqc_core.orm.lineage.diff import Diff, Difference


def show(left: int, right: int, *, as_json: bool) -> bool:
    """Print the differences, the first ancestor first.

    Returns:
        Whether the two are identical.

    Raises:
        NotFoundError: no such Predictor.
    """
    found: Diff = Predictor.get_by_id(left).diff(Predictor.get_by_id(right))
    if as_json:
        first = found.first
        telling.as_json(
            found, identical=found.identical, first=None if first is None else first.ancestor
        )
        return found.identical
    telling.lines(*_told(found))
    return found.identical


def _told(found: Diff) -> Iterator[tuple[str, object] | str]:
    called = f"Predictors {found.left} and {found.right}"
    if found.first is None:
        yield f"{called} are identical: {', '.join(found.same)}"
        return
    for begin, each in zip(
        chain([f"{called} differ first in"], repeat("and in")), found.differences, strict=False
    ):
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
