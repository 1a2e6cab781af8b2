"""Bytes of rows on an object store: once, checked, there before their row, freed when unused."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from aiqc_core import config
from aiqc_core.cli.app import app
from aiqc_core.errors import ArtifactsError, MetastoreError
from aiqc_core.orm import Dataset
from aiqc_core.orm.admin import gc
from aiqc_core.orm.admin.gc import collect
from aiqc_core.orm.store import blobs
from aiqc_core.orm.store.blobs import OBJECT_BYTES, Blob, BlobChunk
from aiqc_core.orm.store.database import metastore
from aiqc_core.storage import objects
from aiqc_core.storage.objects import Entry, ObjectStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services_s3 import Line

LARGE = os.urandom(3 * OBJECT_BYTES)

PUT = """
from aiqc_core.orm.store import blobs
for index in range(20):
    print(blobs.put(bytes([index]) * 50_000))
"""


def frame(rows: int = 3000) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(rows).normal(size=(rows, 3)), columns=list("abc"))


def object_names(store: ObjectStore) -> list[str]:
    return [entry.name for entry in store.entries(blobs.FOLDER)]


def test_large_bytes_lie_on_the_store_and_small_ones_in_the_metastore(store: ObjectStore) -> None:
    large, small = blobs.put(LARGE), blobs.put(b"small")
    assert object_names(store) == [blobs.object_name(large)]
    assert [chunk.blob_id for chunk in BlobChunk.select()] == [small]
    assert {blob.sha256: blob.size for blob in Blob.select()} == {large: len(LARGE), small: 5}
    for reading in (blobs.get, blobs.read):
        assert reading(large) == LARGE
        assert reading(small) == b"small"


def test_equal_bytes_are_sent_once(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = blobs.put(LARGE)

    def refuse(*_: object) -> None:
        pytest.fail("sent again")

    monkeypatch.setattr(ObjectStore, "put", refuse)
    assert blobs.put(LARGE) == first
    blobs.send_ahead(LARGE)
    assert Blob.select().count() == 1


def test_what_was_stored_before_the_setting_stays_and_reads(
    artifacts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIQC_ARTIFACTS")
    digest = blobs.put(LARGE)
    monkeypatch.setenv("AIQC_ARTIFACTS", artifacts)
    assert blobs.get(digest) == LARGE
    assert blobs.put(LARGE) == digest
    found = objects.configured()
    assert found is not None
    assert object_names(found) == []


def test_without_the_setting_the_error_says_to_set_it_and_storing_again_mends(
    artifacts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = blobs.put(LARGE)
    monkeypatch.delenv("AIQC_ARTIFACTS")
    with pytest.raises(MetastoreError, match="Set AIQC_ARTIFACTS as it was"):
        blobs.read(digest)
    blobs.put(LARGE)
    assert blobs.read(digest) == LARGE


@pytest.mark.parametrize("damage", ["missing", "changed", "cut", "longer"])
def test_a_damaged_object_is_named_and_storing_again_mends(
    store: ObjectStore, damage: str
) -> None:
    dataset = Dataset.Tabular.from_df(frame())
    digest = dataset.__data__["blob"]
    name, data = blobs.object_name(digest), dataset.blob
    store.delete([name])
    spoilt = {"changed": bytes(len(data)), "cut": data[:-1], "longer": data + b"x"}
    if damage in spoilt:
        store.put(name, spoilt[damage])
    with pytest.raises(ArtifactsError, match="restore the object") as caught:
        dataset.to_df()
    assert digest in str(caught.value)
    assert store.shown(name) in str(caught.value)
    store.delete([name])
    Dataset.Tabular.from_df(frame())
    assert dataset.to_df().equals(frame())


def test_bytes_are_there_before_their_row_is(store: ObjectStore) -> None:
    """A broken transaction leaves an object without a row, never a row without its object."""

    def put_and_break() -> None:
        with metastore.atomic():
            digest = blobs.put(LARGE)
            assert store.size(blobs.object_name(digest)) == len(LARGE)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        put_and_break()
    assert Blob.select().count() == 0
    assert len(object_names(store)) == 1


def test_what_cannot_be_sent_leaves_no_row_and_the_same_call_works_later(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PAUSES_SECONDS", (0.05,))
    kept = Dataset.Tabular.from_df(frame(4000), name="kept")
    line.cut()
    with pytest.raises(ArtifactsError, match="run the same again"):
        Dataset.Tabular.from_df(frame(), name="data")
    assert [row.name for row in Dataset.select()] == ["kept"]
    assert Blob.select().where(Blob.size > OBJECT_BYTES).count() == 1
    line.mend()
    again = Dataset.Tabular.from_df(frame(), name="data")
    assert again.to_df().equals(frame())
    assert kept.to_df().equals(frame(4000))


@pytest.mark.slow
@pytest.mark.parametrize("artifacts", ["file", "s3"], indirect=True)
def test_two_processes_put_the_same_bytes(artifacts: str, store: ObjectStore) -> None:
    command = [sys.executable, "-c", PUT]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        reported = [process.communicate(timeout=120)[0].split() for process in both]
    finally:
        for process in both:
            process.kill()
    assert reported[0] == reported[1]
    assert object_names(store) == sorted(map(blobs.object_name, reported[0]))
    assert [blobs.get(digest) for digest in reported[0]] == [
        bytes([i]) * 50_000 for i in range(20)
    ]


def test_the_collector_frees_what_no_row_needs_after_the_time_of_grace(
    store: ObjectStore,
) -> None:
    kept = Dataset.Tabular.from_df(frame())
    orphan = blobs.put(LARGE)
    store.put("samples/no-splitset/manifest.json", b"{}")
    assert collect(dry_run=True).objects == 0
    would = collect(dry_run=True, grace_seconds=-60)
    assert (would.blobs, would.blob_bytes) == (1, 0)
    assert (would.objects, would.object_bytes) == (2, len(LARGE) + 2)
    assert store.size(blobs.object_name(orphan)) == len(LARGE)
    assert collect(dry_run=False, grace_seconds=-60) == would
    assert object_names(store) == [blobs.object_name(kept.__data__["blob"])]
    assert store.entries("samples") == []
    assert kept.to_df().equals(frame())


def test_bytes_that_are_stored_while_the_collector_runs_stay(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has listed an object as nobody's when a writer comes to need it."""
    name = blobs.object_name(blobs.put(LARGE))
    Blob.delete().execute()
    free = gc.free_objects

    def free_late(entries: Iterable[Entry]) -> None:
        blobs.put(LARGE)
        free(list(entries))

    monkeypatch.setattr(gc, "free_objects", free_late)
    assert collect(dry_run=False, grace_seconds=-60).objects == 1
    assert store.size(name) == len(LARGE)


def test_an_object_that_was_collected_before_its_row_is_sent_again(store: ObjectStore) -> None:
    blobs.send_ahead(LARGE)
    collect(dry_run=False, grace_seconds=-60)
    assert object_names(store) == []
    assert blobs.get(blobs.put(LARGE)) == LARGE


def test_another_store_neither_writes_nor_collects_there(
    store: ObjectStore, tmp_path_factory: pytest.TempPathFactory
) -> None:
    digest = blobs.put(LARGE)
    with config.use_home(tmp_path_factory.mktemp("other")):
        with pytest.raises(ArtifactsError, match="belongs to another store"):
            blobs.put(LARGE + b"x")
        with pytest.raises(ArtifactsError, match="a prefix of its own"):
            collect(dry_run=False, grace_seconds=-60)
    assert blobs.get(digest) == LARGE


def test_the_command_reports_objects(artifacts: str) -> None:
    blobs.put(LARGE)
    said = CliRunner().invoke(app, ["gc", "--dry-run"]).stdout
    assert "would free 1 contents (0.0 MB), 0 objects (0.0 MB), " in said
