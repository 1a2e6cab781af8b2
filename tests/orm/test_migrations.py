"""Stores of earlier versions open, keep every row, and leave a copy of what they were."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from aiqc_core import config
from aiqc_core.errors import MetastoreError
from aiqc_core.orm import (
    SCHEMA_VERSION,
    Champion,
    Dataset,
    Prediction,
    Predictor,
    Queue,
    metastore,
)
from aiqc_core.orm.schema import StoreInfo, tables

STORES = Path(__file__).with_name("stores")


def restore(home: Path, version: int) -> Path:
    """Put a store of an earlier version where the next query finds it."""
    home.mkdir(parents=True)
    shutil.copy(STORES / f"v{version}.key", config.key_path())
    with closing(sqlite3.connect(config.database_path())) as store:
        store.executescript((STORES / f"v{version}.sql").read_text())
    return config.database_path()


def columns(path: Path) -> dict[str, set[tuple[str, int]]]:
    """Return the columns of each table, and whether they may be null."""
    with closing(sqlite3.connect(path)) as store:
        names = [n for (n,) in store.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        return {
            name: {(c[1], c[3]) for c in store.execute(f"PRAGMA table_info({name})")}
            for name in names
            if not name.startswith("sqlite_")
        }


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_earlier_store_is_brought_to_the_present_tables(
    home: Path, tmp_path: Path, version: int
) -> None:
    path = restore(home, version)
    assert Dataset.get_by_id(1).name == "old"
    metastore.close()
    with config.use_home(tmp_path / "new"):
        Dataset.select().count()
        metastore.close()
        assert columns(path) == columns(config.database_path())
    with closing(sqlite3.connect(path)) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert store.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_what_was_trained_goes_on_being_of_use(home: Path, version: int) -> None:
    restore(home, version)
    queue = Queue.get_by_id(1)
    assert queue.run_jobs(progress=False).trained == 0
    assert len(queue.metrics_df()) == 2
    said = Predictor.get_by_id(1).predict([[0.1], [0.2]])
    assert len(said) == 2
    assert Prediction.get_by_id(1).splitset is None
    assert Champion.select().count() == 0


def test_the_store_as_it_was_lies_beside_it(home: Path) -> None:
    path = restore(home, 1)
    Dataset.select().count()
    copy = path.with_suffix(".v1.sqlite")
    assert "champion" not in columns(copy)
    assert "champion" in columns(path)


@pytest.mark.parametrize(("version", "hint"), [(99, "Upgrade the program"), (0, "is damaged")])
def test_a_store_of_no_known_version_is_refused_as_it_is(
    home: Path, version: int, hint: str
) -> None:
    path = restore(home, 1)
    with closing(sqlite3.connect(path)) as store, store:
        store.execute("UPDATE storeinfo SET value = ?", [str(version)])
    before = columns(path)
    with pytest.raises(MetastoreError, match=hint):
        Dataset.select().count()
    assert columns(path) == before


def test_every_table_is_known_to_the_schema() -> None:
    assert {table._meta.table_name for table in tables()} >= {"champion", "prediction", "attempt"}


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_migration_that_ends_before_its_version_is_noted_is_made_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Killed there, a store that had the new tables and the old version opened never again."""
    path = restore(home, version)
    before = columns(path)
    with monkeypatch.context() as patch:
        patch.setattr(StoreInfo, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Dataset.get_by_id(1)
    assert columns(path) == before
    assert Dataset.get_by_id(1).name == "old"


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
