from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import SelectionError
from aiqc_core.stages.preprocess.columns import select

AVAILABLE = {"f": "float64", "s": "str", "g": "float64", "i": "int64"}


def test_a_filter_by_dtype_matches_in_the_order_of_the_feature() -> None:
    chosen = select(AVAILABLE, dtypes=["int64", "float64"])
    assert chosen.matching == ["f", "g", "i"]
    assert chosen.leftover == ["s"]
    assert chosen.leftover_dtypes == ["str"]


def test_names_come_beside_dtypes() -> None:
    assert select(AVAILABLE, dtypes=["float64"], columns=["s"]).matching == ["f", "s", "g"]
    assert select(AVAILABLE, include=False, dtypes=["float64"], columns="s").matching == ["i"]


def test_a_dtype_may_be_given_as_a_type() -> None:
    assert select(AVAILABLE, dtypes=[np.float64]).matching == ["f", "g"]  # type: ignore[list-item]
    assert select(AVAILABLE, dtypes="str").matching == ["s"]


@pytest.mark.parametrize("include", [True, False])
def test_no_filter_means_all_that_is_left(include: bool) -> None:  # noqa: FBT001
    chosen = select(AVAILABLE, include=include, taken=["g"])
    assert chosen.matching == ["f", "s", "i"]
    assert chosen.leftover == []


def test_what_is_taken_is_neither_matched_nor_left_over() -> None:
    chosen = select(AVAILABLE, dtypes=["float64"], taken=["f"])
    assert chosen.matching == ["g"]
    assert chosen.leftover == ["s", "i"]
    assert chosen.leftover_dtypes == ["str", "int64"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"columns": ["z"]}, r"columns: unknown \['z'\]"),
        ({"columns": []}, "columns: none given"),
        ({"columns": ["s", "s"]}, "columns: named twice"),
        ({"columns": [None]}, r"columns: unknown \[None\]"),
        ({"columns": ["f"], "taken": ["f"]}, r"an earlier coder took \['f'\]"),
        ({"columns": ["f"], "taken": ["f"], "include": False}, "an earlier coder took"),
        ({"columns": ["f"], "dtypes": ["float64"]}, r"\['f'\] are matched by dtypes already"),
        ({"dtypes": ["int8"]}, r"no column is of \['int8'\]; there are \['float64', 'str'"),
        ({"dtypes": []}, "dtypes: .*at least one"),
        ({"dtypes": [None]}, "no column is of .*None"),
        ({"dtypes": [3]}, "no column is of .*3"),
        ({"dtypes": ["str", "str"]}, "each once"),
        ({"dtypes": ["float64"], "taken": ["f", "g"]}, "no column matches"),
        ({"include": False, "dtypes": ["float64", "str", "int64"]}, "no column matches"),
        ({"taken": list(AVAILABLE)}, "free are none"),
    ],
)
def test_a_filter_that_cannot_be_is_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        select(AVAILABLE, **asked)  # type: ignore[arg-type]


@given(st.lists(st.sampled_from(sorted(AVAILABLE)), unique=True), st.booleans(), st.data())
def test_every_column_is_matched_left_or_taken(
    taken: list[str],
    include: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    free = [name for name in AVAILABLE if name not in taken]
    named = data.draw(st.lists(st.sampled_from(free), unique=True, min_size=1)) if free else None
    try:
        chosen = select(AVAILABLE, include=include, columns=named, taken=taken)
    except SelectionError:
        assert not free or (not include and set(named or []) == set(free))
    else:
        assert sorted([*chosen.matching, *chosen.leftover, *taken]) == sorted(AVAILABLE)
