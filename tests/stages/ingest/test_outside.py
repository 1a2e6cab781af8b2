"""Sources that stay outside the store: decoded once, and never taken for what they were."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import content, external, images, tabular
from aiqc_core.stages.ingest.content import Content, Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRAME = pd.DataFrame(
    {
        "a": [0.5, 1.5, 2.5],
        "big": [2**53 + 1, None, 3],
        "word": ["x", "y", None],
        "flag": [True, False, True],
    }
).astype({"big": "Int64"})


def registered(source: Source, **changes: Any) -> tuple[Content, Callable[..., Any]]:
    """Return what a source is registered as, and how it is read after that."""
    found = content.read(source, **changes)
    facts = (source, found.columns, found.dtypes, found.digest())

    def part(columns: list[str] | None = None, samples: list[int] | None = None) -> Any:
        return external.read_part(*facts, columns=columns or found.columns, samples=samples)

    return found, part


def watched(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[dict[str, Any]]:
    """Return a list that grows by the arguments of each call of a function, which goes on."""
    calls: list[dict[str, Any]] = []
    function = getattr(module, name)

    def watch(*given: Any, **named: Any) -> Any:
        calls.append(named)
        return function(*given, **named)

    monkeypatch.setattr(module, name, watch)
    return calls


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    FRAME.to_csv(path, index=False)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for value in range(3):
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(folder / f"{value}.bmp")
    return folder


def test_text_is_decoded_once_while_it_is_as_it_was(
    csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, part = registered(Source(content.TABULAR, str(csv)))
    calls = watched(monkeypatch, tabular, "read_table")
    pd.testing.assert_frame_equal(part(), found.values)
    pd.testing.assert_frame_equal(
        part(["word"], [2, 0]), FRAME[["word"]].iloc[[2, 0]].reset_index(drop=True)
    )
    assert len(calls) == 1
    os.utime(csv, ns=(0, csv.stat().st_mtime_ns + 1))
    pd.testing.assert_frame_equal(part(), found.values)
    assert len(calls) == 2


def test_images_are_decoded_once_while_they_are_as_they_were(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, part = registered(Source(content.IMAGE, str(folder)))
    calls = watched(monkeypatch, images, "from_folder")
    assert np.array_equal(part(), found.values)
    assert np.array_equal(part(samples=[1]), found.values[[1]])
    assert len(calls) == 1


@pytest.mark.parametrize("change", ["pixels", "added", "removed", "renamed"])
def test_a_folder_that_changed_since_it_was_read_is_refused(folder: Path, change: str) -> None:
    """A11: whatever this process holds of it."""
    _, part = registered(Source(content.IMAGE, str(folder)))
    part()
    altered = Image.fromarray(np.full((2, 2), 9, np.uint8))
    if change == "removed":
        (folder / "1.bmp").unlink()
    elif change == "renamed":
        (folder / "0.bmp").rename(folder / "7.bmp")
    else:
        path = folder / ("1.bmp" if change == "pixels" else "3.bmp")
        altered.save(path)
        os.utime(path, ns=(0, 10**18))  # a clock may tick too slowly for a test
    with pytest.raises(IngestError, match="images has changed since it was registered"):
        part()


def test_a_table_that_changed_since_it_was_read_is_refused(csv: Path) -> None:
    _, part = registered(Source(content.TABULAR, str(csv)))
    part()
    csv.write_text(csv.read_text().replace("0.5", "0.25"))
    with pytest.raises(IngestError, match=r"rows\.csv has changed since it was registered"):
        part(["word"])


def test_what_a_caller_writes_reaches_no_other_caller(csv: Path, folder: Path) -> None:
    table, rows = registered(Source(content.TABULAR, str(csv)))
    stack, pixels = registered(Source(content.IMAGE, str(folder)))
    for _ in range(2):
        frame, array = rows(), pixels()
        frame.loc[0, "a"] = -1.0
        frame["word"] = "z"
        array[:] = 77
    pd.testing.assert_frame_equal(rows(), table.values)
    assert np.array_equal(pixels(), stack.values)


@pytest.mark.parametrize("header", ["infer", None])
def test_of_text_too_large_to_hold_only_the_columns_asked_for_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, header: str | None
) -> None:
    path = tmp_path / "rows.tsv"
    FRAME.to_csv(path, index=False, header=header is not None, sep="\t")
    names = ["c", "d", "e", "f"]
    source = Source(content.TABULAR, str(path), header=header)
    found, part = registered(source, rename_columns=names, retype={"e": "category"})
    monkeypatch.setattr(external, "MOST_BYTES", 10)
    whole = part()
    calls = watched(monkeypatch, pd, "read_csv")
    pd.testing.assert_frame_equal(
        part(["e", "d"], [2, 0]), whole[["e", "d"]].iloc[[2, 0]].reset_index(drop=True)
    )
    assert {tuple(call["usecols"]) for call in calls} == {(1, 2)}
    pd.testing.assert_frame_equal(part(["f"]), found.values[["f"]])


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
@pytest.mark.parametrize("retype", [None, {"flag": "boolean"}, {"flag": "Int8"}])
def test_what_has_blanks_is_read_as_it_was_registered(
    tmp_path: Path, ending: str, retype: dict[str, str] | None
) -> None:
    flags = pd.array([True, None, False], dtype="boolean")
    frame = pd.DataFrame({"flag": flags, "big": pd.array([2**53 + 1, None, 3], dtype="Int64")})
    path = tmp_path / f"rows{ending}"
    if ending == ".parquet":
        frame.astype({"flag": object}).to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",", na_rep="NA")
    found, part = registered(Source(content.TABULAR, str(path)), retype=retype)
    wanted = frame if retype is None else frame.astype(retype)
    assert found.digest() == content.of_table(wanted, "dataframe").digest()
    for _ in range(2):  # whole, and of what is known
        pd.testing.assert_frame_equal(part(), wanted)
        pd.testing.assert_frame_equal(
            part(["flag", "big"], [1, 0]), wanted.iloc[[1, 0]].reset_index(drop=True)
        )


def test_a_source_of_before_words_were_kept_is_read_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("kind,v\nNA,1\nnorth,NA\n")
    frame = pd.DataFrame({"kind": ["NA", "north"], "v": [1.0, None]})
    then = content.of_table(frame.assign(kind=[None, "north"]), "csv")
    monkeypatch.setattr(external, "MOST_BYTES", 1)
    source, dtypes = Source(content.TABULAR, str(path)), dict(then.dtypes)
    for columns in (["kind", "v"], ["kind"]):
        part = external.read_part(
            source, then.columns, dtypes, then.digest(), columns=columns, samples=None
        )
        pd.testing.assert_frame_equal(part, then.values[columns])
    _, now = registered(source)
    pd.testing.assert_frame_equal(now(), frame)


sizes = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 12)), max_size=30)


@given(sizes)
def test_no_more_is_held_than_allowed_and_the_latest_first(puts: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(external, "MOST_BYTES", 10)
        held = external.Recent()
        kept: dict[int, int] = {}  # by hand: the oldest go until the rest fits
        for key, size in puts:
            held.put(key, np.full(size, key, np.uint8))
            if size <= 10:
                kept.pop(key, None)
                kept[key] = size
                while sum(kept.values()) > 10:
                    kept.pop(next(iter(kept)))
        for key in range(6):
            values = held.get(key)
            assert (None if values is None else values.tolist()) == (
                [key] * kept[key] if key in kept else None
            )
