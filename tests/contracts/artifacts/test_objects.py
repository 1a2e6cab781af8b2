"""What every object store keeps to: whole objects, clear errors, no credentials shown."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from services_s3 import SECRET, Line

from aiqc_core.errors import ArtifactsError, MetastoreError, NotFoundError
from aiqc_core.storage import objects
from aiqc_core.storage.objects import ObjectStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause briefly between tries."""
    monkeypatch.setattr(objects, "PAUSES_SECONDS", (0.05, 0.1))


def test_bytes_come_back_and_can_be_written_over(store: ObjectStore) -> None:
    for data in (b"first", b"", os.urandom(100_000)):
        store.put("blobs/ab/abc", data)
        assert store.get("blobs/ab/abc") == data
        assert store.size("blobs/ab/abc") == len(data)


def test_much_goes_in_parts_and_comes_in_pieces(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PART_BYTES", 5 * 2**20)
    monkeypatch.setattr(objects, "PIECE_BYTES", 2**20)
    data = os.urandom(12 * 2**20 + 7)
    store.put("large", memoryview(data))
    pieces = list(store.pieces("large"))
    assert len(pieces) == 13
    assert b"".join(pieces) == data


def test_a_file_goes_and_comes(store: ObjectStore, tmp_path: Path) -> None:
    for data in (b"", b"of a file"):
        (tmp_path / "source").write_bytes(data)
        store.put_file("copy", tmp_path / "source")
        store.get_file("copy", tmp_path / "below" / "target")
        assert (tmp_path / "below" / "target").read_bytes() == data


def test_what_is_not_there_has_no_size_and_is_named(store: ObjectStore) -> None:
    assert store.size("never/written") is None
    with pytest.raises(NotFoundError, match=f"{store.url}/never/written"):
        store.get("never/written")


def test_entries_tell_names_sizes_and_ages(store: ObjectStore) -> None:
    assert store.entries("blobs") == []
    store.put("blobs/cd/cde", b"12")
    store.put("blobs/ab/abc", b"1")
    store.put("samples/k/x", b"123")
    found = store.entries("blobs")
    assert [(e.name, e.size) for e in found] == [("blobs/ab/abc", 1), ("blobs/cd/cde", 2)]
    assert all(-5 < entry.age_seconds < 60 for entry in found)


def test_what_is_deleted_is_gone_and_may_have_been(store: ObjectStore) -> None:
    for name in ("a", "b", "c"):
        store.put(name, b"x")
    store.delete(["a", "never", "b"])
    store.delete([])
    assert [store.size(name) for name in ("a", "b", "c")] == [None, None, 1]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """A draft that cannot take its place is deleted, and listed by nobody."""
    store = ObjectStore(f"file://{tmp_path}")
    store.put("a/b", b"whole")
    (tmp_path / "a" / "b").unlink()
    (tmp_path / "a" / "b" / "folder").mkdir(parents=True)
    with pytest.raises(ArtifactsError):
        store.put("a/b", b"cannot replace a folder")
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]


def test_a_folder_that_cannot_be_written_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ArtifactsError, match=r"file/below cannot be reached or used"):
        ObjectStore(f"file://{tmp_path}/file/below").put("a", b"x")


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_does_not_exist_is_named() -> None:
    with pytest.raises(ArtifactsError, match="s3://no-such-bucket/x cannot be reached or used"):
        ObjectStore("s3://no-such-bucket/x").put("a", b"x")
    assert ObjectStore("s3://no-such-bucket/x").entries("blobs") == []


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_gone_is_said_without_credentials(line: Line) -> None:
    store = objects.configured()
    assert store is not None
    store.put("a", b"x")
    line.cut()
    for call in (lambda: store.put("b", b"y"), lambda: store.get("a"), lambda: store.size("a")):
        with pytest.raises(MetastoreError, match="run the same again") as caught:
            call()
        assert store.url in str(caught.value)
        assert SECRET not in str(caught.value)
    line.mend()
    assert store.get("a") == b"x"
    assert store.size("b") is None


def test_a_short_outage_is_waited_for(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    store = objects.configured()
    assert store is not None
    store.put("a", b"x")
    line.cut()
    mending = threading.Timer(0.4, line.mend)
    mending.start()
    try:
        store.put("a", b"later")
    finally:
        mending.join()
    assert store.get("a") == b"later"


@pytest.mark.usefixtures("impatient")
def test_a_line_that_breaks_within_a_large_object_leaves_no_part_of_it(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PART_BYTES", 5 * 2**20)
    store = objects.configured()
    assert store is not None
    store.put("large", b"as it was")
    line.cut_after = 2
    with pytest.raises(ArtifactsError, match="cannot be reached"):
        store.put("large", os.urandom(22 * 2**20))
    line.mend()
    assert store.get("large") == b"as it was"


@pytest.mark.parametrize(
    ("url", "reported"),
    [
        ("somewhere", "names no place"),
        ("s3://", "names no place"),
        ("s3://me:pass-word@bucket/x", "holds credentials"),
        ("s3://bucket/x?key=pass-word", "holds credentials"),
        ("nosuch://bucket/x", "Protocol not known"),
    ],
)
def test_a_url_that_cannot_be_is_refused(url: str, reported: str) -> None:
    with pytest.raises(ArtifactsError, match=reported) as caught:
        ObjectStore(url)
    assert "pass-word" not in str(caught.value)
    assert "s3://bucket/prefix" in str(caught.value)


def test_a_missing_package_is_reported_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    with pytest.raises(ArtifactsError, match="pip install s3fs"):
        ObjectStore("s3://bucket/prefix")
