"""Stores of earlier versions open, keep every row, and leave a copy of what they were."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from peewee import CharField
from places import STORES

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
from aiqc_core.orm.tables import migrations, schema
from aiqc_core.orm.tables.schema import StoreInfo, tables

if TYPE_CHECKING:
    from pathlib import Path


def restore(home: Path, version: int) -> Path:
    """Put a store of an earlier version where the next query finds it."""
    home.mkdir(parents=True)
    shutil.copy(STORES / f"v{version}.key", config.key_path())
    with closing(sqlite3.connect(config.database_path())) as store:
        store.executescript((STORES / f"v{version}.sql").read_text())
    return config.database_path()


def columns(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """Return the columns, indices and keys of each table, all but their order."""
    with closing(sqlite3.connect(path)) as store:
        names = [n for (n,) in store.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        indices = set(store.execute("SELECT tbl_name, name FROM sqlite_master WHERE type='index'"))
        return {
            name: {
                *((c[1:]) for c in store.execute(f"PRAGMA table_info({name})")),
                *((k[2:]) for k in store.execute(f"PRAGMA foreign_key_list({name})")),
                *(
                    (index, store.execute(f"PRAGMA index_info({index})").fetchall()[0][2:])
                    for table, index in indices
                    if table == name
                ),
            }
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


def test_the_store_as_it_was_is_kept_beside_it(home: Path) -> None:
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
        patch.setattr(migrations, "note_version", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Dataset.get_by_id(1)
    assert columns(path) == before
    assert Dataset.get_by_id(1).name == "old"


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_column_that_a_later_version_adds_does_not_reach_into_earlier_steps(
    home: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Steps that made today's tables made the column as well, and the next step failed on it."""
    restore(home, version)
    later = ((Champion, "medal"), (Predictor, "medal"), (StoreInfo, "noted_by"))
    with monkeypatch.context() as patch:
        for table, column in later:
            table._meta.add_field(column, CharField(null=True, index=True))
        try:
            patch.setattr(schema, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
            patch.setitem(
                migrations.STEPS,
                SCHEMA_VERSION,
                lambda: [
                    migrations.add_column(table._meta.table_name, column, migrations.TEXT)
                    for table, column in later
                ],
            )
            assert Champion.select(Champion.medal).count() == 0
            assert [row.medal for row in Predictor.select()] == [None]
            assert migrations.found_version() == SCHEMA_VERSION + 1
        finally:
            for table, column in later:
                table._meta.remove_field(column)
                delattr(table, column)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
