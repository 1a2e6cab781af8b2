from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from strategies import frames

from aiqc_core.stages.ingest import tabular
from aiqc_core.stages.ingest.digest import array_digest, frame_digest
from aiqc_core.stages.ingest.parquet import from_parquet, to_parquet

if TYPE_CHECKING:
    from collections.abc import Callable


@given(frames())
def test_the_digest_survives_storing_and_another_layout(frame: pd.DataFrame) -> None:
    conformed = tabular.conform(frame)
    digest = frame_digest(conformed)
    assert frame_digest(from_parquet(to_parquet(conformed))) == digest
    halves = [conformed.iloc[: len(frame) // 2], conformed.iloc[len(frame) // 2 :]]
    assert frame_digest(pd.concat([half for half in halves if len(half)])) == digest


def test_the_digest_does_not_move_between_versions() -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "f": [0.5, None],
            "s": ["é", None],
            "n": pd.array([1, None], dtype="Int64"),
            "c": pd.Categorical(["b", "a"]),
            "t": pd.to_datetime(["2020-01-01", None]).as_unit("us"),
        }
    )
    assert (
        frame_digest(frame) == "8e7a03a46cdf1eeaf7235eded159c2a143e109d08c1561fe18cd95bedd2b5d0d"
    )


BASE = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.astype("int64"),
        lambda f: f[["b", "a"]],
        lambda f: f.rename(columns={"a": "c"}),
        lambda f: f.iloc[::-1].reset_index(drop=True),
        lambda f: f.assign(a=[np.nextafter(1.0, 2.0), 2.0]),
        lambda f: f.iloc[:1],
    ],
)
def test_every_difference_of_content_counts(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    assert frame_digest(change(BASE)) != frame_digest(BASE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["", None], [None, ""]),
        (pd.Categorical(["a"], ["a", "b"]), pd.Categorical(["a"], ["a"])),
        (pd.array([0, None], dtype="Int64"), pd.array([None, 0], dtype="Int64")),
    ],
)
def test_texts_blanks_and_categories_are_distinguished(one: object, other: object) -> None:
    assert frame_digest(pd.DataFrame({"a": one})) != frame_digest(pd.DataFrame({"a": other}))


def test_neither_the_payload_of_a_nan_nor_memory_layout_counts() -> None:
    odd = np.array([0x7FF8000000000001, 0xFFF8000000000000], dtype=np.uint64).view(np.float64)
    plain = np.full(2, np.nan)
    assert frame_digest(pd.DataFrame({"a": odd})) == frame_digest(pd.DataFrame({"a": plain}))
    array = np.arange(12.0).reshape(3, 4)
    swapped = array.astype(array.dtype.newbyteorder(">"))
    digests = {array_digest(a) for a in (array, np.asfortranarray(array), swapped)}
    assert len(digests) == 1
    assert array_digest(array.reshape(4, 3)) not in digests
    assert array_digest(array.astype("float32")) not in digests
