"""A store that somebody else made: it opens, lists and compares, and nothing in it runs."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_store

from aiqc_core import config
from aiqc_core.errors import AIQCError, MetastoreError, TrustError
from aiqc_core.orm import Algorithm, Dataset, metastore, trust
from aiqc_core.orm.admin import backup, readonly
from aiqc_core.orm.store import blobs, signing
from aiqc_core.orm.store.fields import BlobField, PickleField
from aiqc_core.orm.tables.algorithm import ROLES
from aiqc_core.orm.tables.schema import tables
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from pathlib import Path

PICKLES = [
    (table, field.name)
    for table in tables()
    for field in table._meta.sorted_fields
    if isinstance(field, PickleField)
]


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def harmed(tmp_path: Path) -> Path:
    """Return a folder that is there once hostile code has run."""
    return tmp_path / "harmed"


def sealed_elsewhere(payload: bytes, folder: Path) -> bytes:
    """Sign bytes as another store would."""
    with config.use_home(folder):
        return signing.seal(payload)


def stored(data: bytes) -> str:
    """Put bytes into the store as who owns the file can: their digest is right."""
    return blobs.put(data)


@pytest.mark.parametrize(("table", "column"), PICKLES, ids=lambda v: getattr(v, "__name__", v))
@pytest.mark.parametrize("signed", [False, True])
def test_no_column_of_pickles_loads_what_this_key_did_not_sign(
    home: Path, tmp_path: Path, harmed: Path, table: Any, column: str, *, signed: bool
) -> None:
    signing.dumps("makes the key of this store")
    bare = pickle.dumps(Hostile(harmed))
    data = sealed_elsewhere(bare, tmp_path / "other") if signed else bare
    row = table(**{column: stored(data)})
    with pytest.raises(TrustError if signed else MetastoreError):
        getattr(row, column)
    assert not harmed.exists()
    if signed:  # and the same bytes do run for who says so: the test can fail
        with trust():
            getattr(row, column)
        assert harmed.is_dir()


def test_functions_of_another_store_are_listed_and_not_loaded(
    home: Path, tmp_path: Path, harmed: Path
) -> None:
    small_store.fill()
    data = sealed_elsewhere(pickle.dumps(Hostile(harmed)), tmp_path / "other")
    Algorithm.update(dict.fromkeys(ROLES, stored(data))).execute()
    algorithm = Algorithm.get_by_id(1)
    assert "def fn_build" in algorithm.get_code()["fn_build"]
    with pytest.raises(TrustError, match="it could run any code"):
        algorithm.payloads()
    assert not harmed.exists()


def test_every_column_of_bytes_is_known_to_be_a_pickle_or_none() -> None:
    """A new column has to be put on one of the two sides, here and in what is checked above."""
    plain = {
        f"{table.__name__}.{field.name}"
        for table in tables()
        for field in table._meta.sorted_fields
        if isinstance(field, BlobField) and not isinstance(field, PickleField)
    }
    assert {name for name in plain if "positions" not in name} == {
        *(f"Algorithm.{role}" for role in ROLES),
        "Dataset.blob", "Fold.samples", "Predictor.model_file", "Splitset.samples",
    }  # fmt: skip


@pytest.mark.parametrize(
    "programs",
    [
        ["CREATE TRIGGER spy AFTER INSERT ON dataset BEGIN DELETE FROM feature; END"],
        ["CREATE TRIGGER spy BEFORE UPDATE ON storeinfo BEGIN SELECT load_extension('x'); END"],
        ["ALTER TABLE champion RENAME TO c", "CREATE VIEW champion AS SELECT * FROM c"],
    ],
)
def test_a_file_with_triggers_or_views_for_tables_is_refused(
    home: Path, programs: list[str]
) -> None:
    path = small_store.fill()
    small_store.change(path, *programs)
    metastore.forget_prepared()
    reported = r"holds (trigger 'spy'|view 'champion'), which"
    with pytest.raises(MetastoreError, match=reported):
        Dataset.select().count()
    with pytest.raises(MetastoreError, match=reported):
        backup.backup(path.with_name("copy"))


def test_a_view_of_ones_own_is_left_alone(home: Path) -> None:
    small_store.change(small_store.fill(), "CREATE VIEW mine AS SELECT name FROM dataset")
    metastore.forget_prepared()
    assert Dataset.select().count() == 1
    metastore.close()


def test_what_a_schema_calls_can_reach_nothing_outside(home: Path) -> None:
    """A default of a column is run by our own INSERT."""
    path = small_store.fill()
    with closing(sqlite3.connect(path)) as store:
        (made,) = store.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'storeinfo'"
        ).fetchone()
    hostile = made.replace('"value" TEXT NOT NULL', "\"value\" TEXT DEFAULT (load_extension('x'))")
    assert hostile != made
    small_store.change(
        path, "DROP TABLE storeinfo", hostile,
        "INSERT INTO storeinfo (key, value) VALUES ('schema_version', '3')",
    )  # fmt: skip
    Dataset.select().count()
    with pytest.raises(Exception, match="unsafe use of load_extension"):
        metastore.execute_sql("INSERT INTO storeinfo (key) VALUES ('x')")
    metastore.close()


def reported(path: Path) -> Any:
    """Return all that a file says, by SQL where it is SQLite's."""
    if path.is_file() and path.read_bytes().startswith(b"SQLite"):
        with closing(sqlite3.connect(path)) as file:
            return list(file.iterdump())
    return path.read_bytes() if path.is_file() else None


@pytest.mark.parametrize("kind", ["text", "folder", "empty", "other"])
def test_what_is_no_store_is_refused_and_left_as_it_is(home: Path, kind: str) -> None:
    path = config.database_path()
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "other":
        small_store.change(path, "CREATE TABLE notes (text)")
    else:
        path.write_bytes(b"no database at all " * 100 if kind == "text" else b"")
    before = reported(path)
    if kind == "empty":  # which SQLite takes for a new file
        assert Dataset.select().count() == 0
    else:
        with pytest.raises(Exception, match=r"not a database|unable to open|is no store of AIQC"):
            Dataset.select().count()
        assert reported(path) == before
    metastore.close()
    if kind != "empty":
        with pytest.raises(AIQCError), readonly.opened(path) as database:
            readonly.schema_version(database, path)


def test_objects_in_arrays_are_not_loaded(home: Path, tmp_path: Path, harmed: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.array([[[Hostile(harmed)]]], dtype=object), allow_pickle=True)
    path = tmp_path / "a.npy"
    path.write_bytes(file.getvalue())
    with pytest.raises(AIQCError, match="of plain values"):
        Dataset.Sequence.from_numpy(str(path))
    row = Dataset.Sequence.from_numpy(np.zeros((2, 2, 2)))
    Dataset.update(blob=stored(file.getvalue())).execute()
    with pytest.raises(ValueError, match="allow_pickle=False"):
        Dataset.get_by_id(row.id).to_arr()
    path.rename(tmp_path / "feature_0.npy")
    with pytest.raises(AIQCError, match="cannot read"):
        cache.load(tmp_path, "feature_0")
    assert not harmed.exists()


def test_a_parquet_file_that_names_a_pickled_type_is_read_without_it(
    home: Path, tmp_path: Path, harmed: Path
) -> None:
    """CVE-2023-47248: earlier versions of Arrow unpickled what a file's schema holds."""
    field = pa.field("a", pa.int64(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Hostile(harmed)),
    })  # fmt: skip
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table([pa.array([1, 2])], schema=pa.schema([field])), path)
    frame = Dataset.Tabular.from_path(str(path)).to_df()
    assert frame.equals(pd.DataFrame({"a": [1, 2]}))
    assert not harmed.exists()


def test_secrets_of_the_environment_are_not_in_the_store(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = hashlib.sha256(os.urandom(8)).hexdigest()
    for name in ("AWS_SECRET_ACCESS_KEY", "AIQC_NOTIFY_URL", "SOME_TOKEN", "PGPASSWORD"):
        monkeypatch.setenv(name, f"http://{secret}")
    path = small_store.fill()
    copy = backup.backup(tmp_path / "copy").path
    assert secret.encode() not in path.read_bytes() + copy.read_bytes()


@pytest.mark.parametrize("address", ["ftp://u:hidden@host/x", "hidden", "file:///etc/hidden"])
def test_the_address_of_the_notifier_is_not_shown(address: str) -> None:
    from aiqc_dagster.automation.notify import NotifierResource

    with pytest.raises(ValueError, match="give an address of http or https") as error:
        NotifierResource(url=address).address()
    assert "hidden" not in str(error.value)


def test_a_pickle_on_the_queue_of_celery_is_not_loaded(harmed: Path) -> None:
    reading = pytest.importorskip("kombu.serialization")  # by which Celery reads messages
    from aiqc_dagster.executors.celery.app import SETTINGS

    accepted = reading.prepare_accept_content(SETTINGS["accept_content"])
    data = pickle.dumps(Hostile(harmed))
    with pytest.raises(Exception, match="untrusted content of type pickle"):
        reading.loads(data, "application/x-python-serialize", "binary", accept=accepted)
    assert not harmed.exists()
