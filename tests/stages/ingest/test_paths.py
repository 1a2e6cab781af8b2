from __future__ import annotations

from typing import TYPE_CHECKING

import fsspec
import pytest

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import paths

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_is_opened_by_any_of_its_paths(tmp_path: Path) -> None:
    path = tmp_path / "a b.csv"
    path.write_bytes(b"a\n1\n")
    fsspec.filesystem("memory").pipe("/paths/a.csv", b"a\n1\n")
    for source in (path, str(path), f"file://{path}", "memory://paths/a.csv"):
        with paths.open_source(source) as stream:
            assert stream.read() == b"a\n1\n"
    assert paths.local_path(f"file://{path}") == path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("memory://paths/gone.csv", "there is no file memory://paths/gone"),
        ("gone.csv", "there is no file gone.csv"),
        ("nowhere://a.csv", "Protocol not known: nowhere"),
        ("https://h/a.csv", "Dataset.Image.from_urls"),
    ],
)
def test_a_path_that_leads_nowhere_is_named(path: str, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        paths.open_source(path)


def test_a_folder_is_no_file_and_a_file_no_folder(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="cannot be opened"):
        paths.open_source(tmp_path)
    fsspec.filesystem("memory").pipe("/paths/a.csv", b"a")
    for folder in ("memory://paths/a.csv", "memory://gone", "gone"):
        with pytest.raises(IngestError, match="there is no folder"):
            paths.list_folder(folder)
    with pytest.raises(IngestError, match="Protocol not known"):
        paths.list_folder("nowhere://a")


def test_a_folder_lists_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "b").mkdir()
    fsspec.filesystem("memory").pipe({"/listed/a": b"", "/listed/b/c": b""})
    for folder in (tmp_path, "memory://listed"):
        entries = sorted(paths.list_folder(folder))
        assert [(name, is_folder) for name, _, is_folder in entries] == [("a", False), ("b", True)]
        with paths.open_source(entries[0][1]) as stream:
            assert stream.read() == b""


def test_a_source_that_changed_after_registration_is_named() -> None:  # A11
    paths.refuse_changed("a.csv", registered="01", found="01")
    with pytest.raises(IngestError, match=r"a\.csv has changed .* 01, and is 02"):
        paths.refuse_changed("a.csv", registered="01", found="02")
