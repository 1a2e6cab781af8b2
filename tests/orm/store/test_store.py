"""The metastore: one file, opened late, safe across processes, closed to foreign pickles."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiqc_core import config
from aiqc_core.errors import MetastoreError, NotFoundError, TrustError
from aiqc_core.orm import Dataset, Feature, Label, metastore, trust
from aiqc_core.orm.store import blobs, signing, sqlite
from aiqc_core.orm.store.fields import PositionsField, positions_of
from aiqc_core.orm.tables.schema import StoreInfo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0]})


def test_store_is_made_by_the_first_write_and_not_before(home: Path) -> None:
    assert not home.exists()
    Dataset.Tabular.from_df(FRAME)
    assert config.database_path().exists()


def test_every_connection_enforces_keys_waits_and_uses_wal(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    pragma = {name: metastore.pragma(name) for name in ("foreign_keys", "busy_timeout")}
    assert pragma == {"foreign_keys": 1, "busy_timeout": 30_000}
    assert metastore.pragma("journal_mode") == "wal"


def test_changing_the_home_opens_the_other_store(home: Path, tmp_path: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    with config.use_home(tmp_path / "other"):
        assert Dataset.select().count() == 0
    assert Dataset.select().count() == 1


def test_a_forked_child_opens_a_connection_of_its_own(home: Path) -> None:
    """B31: a SQLite connection must not cross a fork."""
    Dataset.Tabular.from_df(FRAME)
    before = id(metastore.connection())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - runs in the child
        count = Dataset.select().count()
        own = id(metastore.connection()) != before
        os.write(writer, f"{count} {own}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"1 True"
    Dataset.Tabular.from_df(FRAME)
    assert metastore.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)


def _insert_many(folder: str, rows: int) -> None:
    with config.use_home(folder):
        for _ in range(rows):
            with metastore.atomic():
                digest = blobs.put(os.urandom(200_000))
                StoreInfo.create(key=digest, value="x")


@pytest.mark.slow
def test_many_processes_write_without_a_locked_error(home: Path) -> None:
    """B06: writers wait for each other, from the very first opening on."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_insert_many, args=(str(home), 10)) for _ in range(4)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * 4
    assert blobs.Blob.select().count() == 40


def test_ids_are_never_used_twice(home: Path) -> None:
    """B32: a new row never inherits what was said of a deleted one."""
    first = Dataset.Tabular.from_df(FRAME)
    first.delete_instance()
    assert Dataset.Tabular.from_df(FRAME).id == first.id + 1


def test_a_row_that_others_need_is_not_deleted(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    feature = Feature.from_dataset(dataset.id, ["a"])
    with pytest.raises(MetastoreError, match=rf"Dataset {dataset.id} .*Feature {feature.id}"):
        dataset.delete_instance()
    assert Dataset.select().count() == 1
    dataset.delete_instance(cascade=True)
    assert Feature.select().count() == 0


def test_keys_are_enforced_by_the_database_itself(home: Path) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    Feature.from_dataset(dataset.id)
    with pytest.raises(Exception, match="FOREIGN KEY"):
        Dataset.delete().where(Dataset.id == dataset.id).execute()


def test_an_unknown_id_says_which_there_are(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    with pytest.raises(NotFoundError, match="no row has id 7; the table holds 1 rows"):
        Dataset.get_by_id(7)
    with pytest.raises(NotFoundError, match="it is empty"):
        Label.get_by_id(1)


def test_a_newer_store_is_refused_untouched(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    StoreInfo.update(value="99").where(StoreInfo.key == "schema_version").execute()
    metastore.close()
    before = config.database_path().read_bytes()
    code = "from aiqc_core.orm import Dataset; Dataset.select().count()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "schema version 99" in done.stderr
    assert "Upgrade the program" in done.stderr
    assert config.database_path().read_bytes() == before


def test_a_store_that_lacks_a_column_is_refused_by_name(home: Path) -> None:
    """B82: a store of another build gives a clear message, not an SQL error later."""
    Dataset.Tabular.from_df(FRAME)
    metastore.execute_sql("ALTER TABLE dataset DROP COLUMN urls")
    metastore.close()
    code = "from aiqc_core.orm import Dataset; Dataset.select().count()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "table 'dataset'" in done.stderr
    assert "['urls']" in done.stderr


def test_a_file_of_something_else_is_refused(home: Path) -> None:
    home.mkdir()
    with sqlite3.connect(config.database_path()) as other:
        other.execute("CREATE TABLE customers (id INTEGER)")
    with pytest.raises(MetastoreError, match="is no store of AIQC"):
        Dataset.select().count()


def test_numbers_of_numpy_are_stored_as_numbers(home: Path) -> None:
    """B81: a numpy integer must not become eight bytes."""
    frame = pd.DataFrame({"a": np.arange(12.0), "y": np.tile(np.array([0, 1]), 6)})
    dataset = Dataset.Tabular.from_df(frame)
    Feature.from_dataset(np.int64(dataset.id), ["a"])
    kinds = metastore.execute_sql("SELECT typeof(dataset_id) FROM feature").fetchall()
    assert kinds == [("integer",)]


@given(data=st.binary(max_size=3000), chunk=st.integers(1, 700))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_come_back_as_they_went_in(
    home: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, chunk: int
) -> None:
    monkeypatch.setattr(blobs, "CHUNK_BYTES", chunk)
    digest = blobs.put(data)
    assert blobs.put(data) == digest
    assert blobs.get(digest) == data
    assert blobs.read(digest) == data


@pytest.mark.parametrize("reading", [blobs.get, blobs.read])
@pytest.mark.parametrize("damage", [b"previous", b"pre", b"precious precious", b""])
@pytest.mark.parametrize("chunk", [4, 100])
def test_damaged_bytes_are_noticed(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    reading: Callable[[str], object],
    damage: bytes,
    chunk: int,
) -> None:
    monkeypatch.setattr(blobs, "CHUNK_BYTES", chunk)
    digest = blobs.put(b"precious")
    blobs.BlobChunk.update(data=damage).where(blobs.BlobChunk.idx == 0).execute()
    with pytest.raises(MetastoreError, match="missing or damaged"):
        reading(digest)


def test_bytes_that_were_never_stored_are_missed(home: Path) -> None:
    with pytest.raises(MetastoreError, match="missing or damaged"):
        blobs.read("0" * 64)


def test_a_large_write_reaches_the_file_beside_what_follows(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LARGE_BYTES", 1000)
    data = os.urandom(2**22)
    with metastore.checkpoint_later(len(data)), metastore.atomic():
        digest = blobs.put(data)
    for thread in threading.enumerate():
        if thread.name == sqlite.CHECKPOINT:
            thread.join()
    assert config.database_path().stat().st_size > len(data)
    assert blobs.get(digest) == data
    pages = metastore.execute_sql("PRAGMA wal_autocheckpoint").fetchone()
    assert pages == (sqlite.PAGES_TO_CHECKPOINT,)


def test_what_fails_within_a_large_write_leaves_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "LARGE_BYTES", 0)

    def write_and_fail() -> None:
        with metastore.checkpoint_later(1), metastore.atomic():
            blobs.put(b"precious")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert blobs.Blob.select().count() == 0


def test_a_store_that_was_deleted_needs_no_checkpoint(tmp_path: Path) -> None:
    sqlite.copy_log(tmp_path / "gone" / "aiqc.sqlite")
    assert not (tmp_path / "gone").exists()


def test_larger_than_one_sqlite_value_may_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B79: chunks keep each value below the limit of SQLite."""
    monkeypatch.setattr(blobs, "CHUNK_BYTES", 2**19)
    Dataset.select().count()
    metastore.connection().setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 2**20)
    data = os.urandom(3 * 2**20)
    assert blobs.get(blobs.put(data)) == data


def test_a_pickle_round_trips_and_a_changed_one_is_refused(home: Path) -> None:
    sealed = signing.dumps({"a": [1, 2]})
    assert signing.loads(sealed) == {"a": [1, 2]}
    with pytest.raises(TrustError, match="not signed by this store's key"):
        signing.loads(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    with pytest.raises(MetastoreError, match="no signed pickle"):
        signing.loads(b"anything")


def test_a_pickle_of_another_store_needs_trust(home: Path, tmp_path: Path) -> None:
    """A15: what this key did not sign is not unpickled, unless somebody says so."""
    sealed = signing.dumps("from here")
    with config.use_home(tmp_path / "other"):
        signing.dumps("makes the other key")
        with pytest.raises(TrustError, match=r"aiqc_core\.orm\.trust"):
            signing.loads(sealed)
        with trust():
            assert signing.loads(sealed) == "from here"


def test_the_key_is_beside_the_database_for_the_owner_only(home: Path) -> None:
    signing.dumps(1)
    assert config.key_path().stat().st_mode & 0o777 == 0o600
    key = config.key_path().read_bytes()
    Dataset.Tabular.from_df(FRAME)
    assert key not in config.database_path().read_bytes()


@given(
    st.dictionaries(
        st.sampled_from(["train", "validation", "test"]), st.lists(st.integers(0, 2**40))
    )
)
def test_positions_round_trip(positions: dict[str, list[int]]) -> None:
    field = PositionsField()
    arrays = {name: np.array(rows, dtype=np.int64) for name, rows in positions.items()}
    data = field.encode(arrays)
    assert field.decode(data) == positions
    assert {name: rows.tolist() for name, rows in positions_of(data).items()} == positions


def test_listing_rows_reads_no_bytes(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME, name="kept")
    blobs.BlobChunk.delete().execute()
    (row,) = list(Dataset.select())
    assert (row.name, row.version, row.shape) == ("kept", 1, {"samples": 3, "columns": 2})


def test_set_info_star_and_times(home: Path) -> None:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(FRAME).id)
    Feature.set_info(feature.id, name="all", description="every column")
    Feature.flip_star(feature.id)
    again = Feature.get_by_id(feature.id)
    assert (again.name, again.description, again.is_starred) == ("all", "every column", True)
    assert again.time_updated > again.time_created
    assert again.created_at() == Feature.created_at(feature.id)
    assert again.created_at() == feature.time_created.strftime("%Y%b%d_%H:%M:%S")
