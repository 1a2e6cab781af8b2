"""Sets of hyperparameters as rows: what is stored, and that what is refused leaves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lines
import pytest

from aiqc_core.errors import AlgorithmError
from aiqc_core.orm import Algorithm, Hyperparamcombo, Hyperparamset
from aiqc_core.stages.train.search import grid

if TYPE_CHECKING:
    from pathlib import Path


def made(hyperparameters: Any, **options: Any) -> Hyperparamset:
    algorithm = Algorithm.make("pytorch", "regression", lines.fn_build, lines.fn_train)
    return Hyperparamset.from_algorithm(algorithm.id, hyperparameters, **options)


def combos(row: Hyperparamset) -> list[dict[str, Any]]:
    ordered = row.hyperparamcombos.order_by(Hyperparamcombo.idx)
    assert [combo.idx for combo in ordered] == list(range(len(ordered)))
    assert [combo.key for combo in ordered] == [
        grid.combination_key(combo.hyperparameters) for combo in ordered
    ]
    return [combo.hyperparameters for combo in ordered]


def test_values_come_back_from_the_store_as_they_were_given(home: Path) -> None:
    """A04: 1, 1.0 and true differ, a repeated value counts once, a list stays a list."""
    found = combos(made({"a": [1, 1], "b": [True, 1, 1.0, None], "layers": [[8, 4], []]}))
    assert [repr(list(c.values())) for c in found] == [
        repr([1, b, layers]) for b in (True, 1, 1.0, None) for layers in ([8, 4], [])
    ]


@pytest.mark.parametrize(
    ("hyperparameters", "options", "reported"),
    [
        ({"a": []}, {}, "'a' has no values"),
        ({"layers": [(1, 2)]}, {}, "use a list"),
        ({"a": [{1: "x"}]}, {}, "use string keys"),
        ({"a": {"low": 2, "high": 1}}, {}, "a low that is not below its high"),
        ({"a": [1, 2]}, {"search_count": 1}, "at least 2"),
        ({"a": [1, 2]}, {"search_count": -1}, "at least 2"),
        ({"a": [1, 2]}, {"search_percent": 0.0}, "above 0"),
        ({"a": [1, 2]}, {"search_count": 2, "search_percent": 0.5}, "give one"),
        ({"a": [1, 2]}, {"search": "tpe"}, "give a search_count"),
        ({"a": [1, 2]}, {"search": "best", "search_count": 2}, "choose among"),
    ],
)
def test_what_is_refused_leaves_no_row(
    home: Path, hyperparameters: Any, options: dict[str, Any], reported: str
) -> None:
    """A04, A05."""
    with pytest.raises(AlgorithmError, match=reported):
        made(hyperparameters, **options)
    assert Hyperparamset.select().count() == Hyperparamcombo.select().count() == 0


@pytest.mark.parametrize(
    ("options", "kind", "count"),
    [
        ({}, "grid", 6),
        ({"search_count": 10**9}, "random", 6),
        ({"search_count": 2}, "random", 2),
        ({"search_percent": 1e-9}, "random", 1),
        ({"search_percent": 0.5, "search": "random"}, "random", 3),
        ({"search_count": 4, "search": "tpe"}, "tpe", 0),
    ],
)
def test_counts_and_kinds_of_search(
    home: Path, options: dict[str, Any], kind: str, count: int
) -> None:
    """A05: a draw is without replacement, and the stored seed draws it again."""
    values = {"a": [1, 2, 3], "b": ["x", "y"]}
    row = Hyperparamset.get_by_id(made(values, **options).id)
    assert (row.search, row.is_adaptive) == (kind, kind == "tpe")
    found = combos(row)
    assert len(found) == len({repr(c) for c in found}) == count
    assert made(values, seed=row.seed, **options).planned().combinations == (found or None)
    assert row.planned().combinations == (found or None)


def test_a_draw_from_ranges_is_stored_whole(home: Path) -> None:
    ranges = {"rate": {"low": 1e-4, "high": 0.1, "log": True}, "units": {"low": 8, "high": 32}}
    found = combos(made(ranges, search_count=20, seed=1))
    assert found == combos(made(ranges, search_count=20, seed=1))
    assert all(1e-4 <= c["rate"] <= 0.1 and type(c["units"]) is int for c in found)
