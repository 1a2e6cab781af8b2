"""What every store does with rows and bytes, whichever database holds it."""

from __future__ import annotations

import math
import os
import threading
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import strategies
from hypothesis import HealthCheck, given, settings
from peewee import IntegrityError
from services import use_database

from aiqc_core.errors import MetastoreError, NotFoundError
from aiqc_core.orm import Attempt, Dataset, Feature, Label, Snapshot, metastore
from aiqc_core.orm.admin.gc import collect
from aiqc_core.orm.store import blobs
from aiqc_core.orm.tables.schema import StoreInfo

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0]})


def reopen() -> None:
    """Have this process open the store as a new one would."""
    metastore.close()
    metastore.store._prepared.clear()  # pyright: ignore[reportPrivateUsage]


@given(frame=strategies.frames())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_table_of_any_dtypes_comes_back_exactly(store: str, frame: pd.DataFrame) -> None:
    dataset = Dataset.Tabular.from_df(frame)
    found = Dataset.get_by_id(dataset.id)
    pd.testing.assert_frame_equal(found.to_df(), frame)
    assert found.columns == list(frame.columns)


@pytest.mark.parametrize("name", ["n" * 5000, "a\0b", "naïve 🎈", "", "100% %s ?"])
def test_a_text_of_any_length_and_letters_comes_back(store: str, name: str) -> None:
    row = Snapshot.of("e", "k")
    row.set_info(name=name, description=name)
    assert Snapshot.get_by_id(row.id).description == name
    assert Snapshot.select().where(Snapshot.name == name).get() == row


def test_values_of_json_come_back_as_they_went_in(store: str) -> None:
    rows = {"nan": math.nan, "inf": math.inf, "text": "a\0\ud800", "deep": [{"x": 2**70}]}
    Snapshot.create(experiment="e", key="k", rows=rows)
    found = Snapshot.get(experiment="e").rows
    assert math.isnan(found.pop("nan"))
    assert found == {name: value for name, value in rows.items() if name != "nan"}


def test_numbers_keep_all_their_bits(store: str) -> None:
    large = 3 * 2**40
    blobs.Blob.insert(sha256="0" * 64, size=large).execute()
    assert blobs.Blob.get().size == large
    from lines import queue

    job = queue({"weight": [1]}).jobs[0]
    Attempt.create(job=job, repeat_index=0, owner={}, peak_memory_mb=0.1 + 0.2)
    assert Attempt.get().peak_memory_mb == 0.1 + 0.2


def test_bytes_in_many_pieces_come_back(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "CHUNK_BYTES", 1000)
    data = os.urandom(12_345)
    digest = blobs.put(memoryview(data))
    assert blobs.put(data) == digest
    assert blobs.get(digest) == data
    assert bytes(blobs.read(digest)) == data
    assert blobs.BlobChunk.select().count() == 13


def test_changed_bytes_are_reported(store: str) -> None:
    digest = blobs.put(b"precious")
    blobs.BlobChunk.update(data=b"precioux").execute()
    with pytest.raises(MetastoreError, match="missing or damaged"):
        blobs.get(digest)


def test_ids_are_never_used_twice(store: str) -> None:
    first = Dataset.Tabular.from_df(FRAME)
    first.delete_instance()
    assert Dataset.Tabular.from_df(FRAME).id == first.id + 1


def test_rows_come_in_the_order_in_which_they_were_made(store: str) -> None:
    rows = [Snapshot.of("e", str(key)) for key in range(5)]
    for row in (rows[1], rows[3]):
        row.set_info(name="changed")
    assert list(Snapshot.select()) == rows
    assert list(Snapshot.select().where(Snapshot.experiment == "e")) == rows


def test_a_pair_that_is_taken_is_refused_and_the_transaction_goes_on(store: str) -> None:
    with metastore.atomic():
        Snapshot.create(experiment="e", key="k")
        with pytest.raises(IntegrityError), metastore.atomic():
            Snapshot.create(experiment="e", key="k")
        Snapshot.create(experiment="e", key="other")
    assert [row.key for row in Snapshot.select()] == ["k", "other"]


def test_a_transaction_that_fails_leaves_nothing(store: str) -> None:
    def write_and_fail() -> None:
        with metastore.atomic():
            blobs.put(b"precious")
            Dataset.Tabular.from_df(FRAME)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_fail()
    assert (blobs.Blob.select().count(), Dataset.select().count()) == (0, 0)


def test_keys_hold_and_cascades_reach_all_that_depends(store: str) -> None:
    dataset = Dataset.Tabular.from_df(FRAME)
    feature = Feature.from_dataset(dataset.id, ["a"])
    Label.from_dataset(dataset.id, "b")
    with pytest.raises(MetastoreError, match=f"Feature {feature.id}"):
        dataset.delete_instance()
    with pytest.raises(IntegrityError):
        Dataset.delete().where(Dataset.id == dataset.id).execute()
    dataset.delete_instance(cascade=True)
    assert [table.select().count() for table in (Dataset, Feature, Label)] == [0, 0, 0]
    assert collect(dry_run=False).blobs > 0
    assert blobs.BlobChunk.select().count() == blobs.Blob.select().count() == 0


def test_an_unknown_id_says_which_there_are(store: str) -> None:
    Dataset.Tabular.from_df(FRAME)
    with pytest.raises(NotFoundError, match="no row has id 7; the table holds 1 rows"):
        Dataset.get_by_id(7)


def test_a_forked_child_opens_a_connection_of_its_own(store: str) -> None:
    Dataset.Tabular.from_df(FRAME)
    before = id(metastore.connection())
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - runs in the child
        count = Dataset.select().count()
        os.write(writer, f"{count} {id(metastore.connection()) != before}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"1 True"
    assert Dataset.select().count() == 1
    assert id(metastore.connection()) == before


def test_threads_write_side_by_side(store: str) -> None:
    def write(key: int) -> None:
        for part in range(5):
            Snapshot.put(f"e{key}", "k", str(part), dataset)
        metastore.close()

    dataset = Dataset.Tabular.from_df(FRAME)
    threads = [threading.Thread(target=write, args=(key,)) for key in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(row.rows) for row in Snapshot.select()] == [5] * 4


def test_one_process_turns_from_store_to_store(database_url: str, home: Path) -> None:
    Dataset.Tabular.from_df(FRAME, name="in the file")
    for _ in range(2):
        with use_database(database_url):
            Snapshot.of("e", "in the database")
            assert Dataset.select().count() == 0
        assert [row.name for row in Dataset.select()] == ["in the file"]
        assert Snapshot.select().count() == 0


@pytest.mark.parametrize(("version", "hint"), [("99", "Upgrade the program"), ("0", "is damaged")])
def test_a_store_of_no_known_version_is_refused(store: str, version: str, hint: str) -> None:
    Dataset.Tabular.from_df(FRAME)
    StoreInfo.update(value=version).execute()
    reopen()
    with pytest.raises(MetastoreError, match=hint):
        Dataset.select().count()


def test_a_store_that_lacks_a_column_is_refused_by_name(store: str) -> None:
    Dataset.Tabular.from_df(FRAME)
    metastore.execute_sql("ALTER TABLE dataset DROP COLUMN urls")
    reopen()
    with pytest.raises(MetastoreError, match=r"table 'dataset' of .* lacks \['urls'\]"):
        Dataset.select().count()
