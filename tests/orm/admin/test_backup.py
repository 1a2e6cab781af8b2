"""Copies of a store, made while others write, and their way back."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import small_store
from typer.testing import CliRunner

from aiqc_core import config
from aiqc_core.cli.app import app
from aiqc_core.errors import MetastoreError, TrustError
from aiqc_core.orm import SCHEMA_VERSION, Algorithm, Dataset, Feature, metastore
from aiqc_core.orm.admin import backup, restore
from aiqc_core.orm.store import blobs

if TYPE_CHECKING:
    from pathlib import Path

RUN = CliRunner()
WRITER = """
import numpy as np, pandas as pd, sys
from aiqc_core.orm import Dataset, Feature
for i in range(100_000):
    frame = pd.DataFrame(np.random.default_rng(i).normal(size=(2000, 2)), columns=["x", "y"])
    Feature.from_dataset(Dataset.Tabular.from_df(frame, name="stream").id)
    if i == 3:
        print("ready", flush=True)
"""
READER = """
from aiqc_core.orm import Dataset
Dataset.select().count()
print("ready", flush=True)
input()
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from aiqc_core.orm.admin import backup, restore

def seen(what, done, total):
    if what == sys.argv[2] and done:
        os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[3])
backup.STEP_PAGES = 4
if sys.argv[1] == "backup":
    backup.backup(path, seen=seen)
else:
    restore.restore(path, force=True, seen=seen)
"""


@pytest.fixture
def store(home: Path) -> Path:
    """Give a store with rows; returns its file."""
    return small_store.fill()


@pytest.fixture
def saved(store: Path, tmp_path: Path) -> Path:
    """Give a backup of that store; returns its file."""
    return backup.backup(tmp_path / "saved.sqlite").path


def names(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as file:
        return [name for (name,) in file.execute("SELECT name FROM dataset")]


def test_a_backup_is_one_file_that_restores_to_the_same_store(store: Path, tmp_path: Path) -> None:
    frame = Dataset.get_by_id(1).to_df()
    metastore.close()
    copy = backup.backup(tmp_path / "b.sqlite", with_key=True)
    assert (copy.schema_version, copy.outside) == (SCHEMA_VERSION, 0)
    assert {p.name for p in tmp_path.iterdir()} == {"aiqc", "b.sqlite", "b.sqlite.key"}
    for path in (copy.path, copy.key):
        assert path is not None
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with config.use_home(tmp_path / "elsewhere"):
        done = restore.restore(copy.path, with_key=True)
        assert (done.opens, done.kept) == (True, None)
        assert Dataset.get_by_id(1).to_df().equals(frame)
        assert Algorithm.get_by_id(1).payloads()["fn_build"]
        metastore.close()


def test_without_the_key_what_was_pickled_stays_closed(saved: Path, tmp_path: Path) -> None:
    assert not saved.with_name("saved.sqlite.key").exists()
    with config.use_home(tmp_path / "elsewhere"):
        assert restore.restore(saved).opens is False
        assert Dataset.get_by_id(1).name == "kept"
        with pytest.raises(TrustError, match="not signed by this store's key"):
            Algorithm.get_by_id(1).payloads()
        metastore.close()


def wait_for_more() -> None:
    """Wait until the other process has written a Dataset, which a busy machine may delay."""
    before, deadline = Dataset.select().count(), time.monotonic() + 60
    while Dataset.select().count() == before and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.slow
def test_a_backup_is_of_one_moment_while_another_process_writes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_store.fill()
    monkeypatch.setattr(backup, "STEP_PAGES", 1)
    with small_store.process(WRITER) as writer:
        made = []
        for i in range(3):
            made.append(backup.backup(tmp_path / f"{i}.sqlite").path)
            wait_for_more()
        assert writer.poll() is None
    counted: list[int] = []
    for path in made:
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            found: Any = file.execute(
                "SELECT (SELECT COUNT(*) FROM dataset), (SELECT COUNT(*) FROM feature), "
                "(SELECT COUNT(*) FROM blob WHERE sha256 NOT IN (SELECT blob_id FROM blobchunk))"
            ).fetchone()
        assert found[0] - found[1] in {0, 1}
        assert found[2] == 0
        counted.append(found[0])
    assert counted == sorted(set(counted)), "each is of a later moment: the writer went on"


def test_a_backup_that_is_cut_short_or_changed_is_refused(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    (tmp_path / "new").mkdir()
    with config.use_home(tmp_path / "new"):
        for data, reported in (
            (whole[: len(whole) // 2], "damaged"),
            (whole[:1000], "damaged|no SQLite file"),
            (b"", "an empty file"),
            (b"PK\x03\x04" + whole, "no SQLite file"),
        ):
            saved.write_bytes(data)
            with pytest.raises(MetastoreError, match=reported):
                restore.restore(saved)
        saved.write_bytes(whole)
        small_store.change(saved, "UPDATE blobchunk SET data = zeroblob(length(data))")
        with pytest.raises(MetastoreError, match=r"\d contents are damaged: [0-9a-f]{64}"):
            restore.restore(saved)
    assert {p.name for p in (tmp_path / "new").iterdir()} <= {"aiqc.lock"}


def test_a_backup_of_a_newer_program_or_with_a_trigger_is_refused(saved: Path) -> None:
    small_store.change(saved, "UPDATE storeinfo SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(MetastoreError, match=r"schema version 99.* Upgrade the program"):
        restore.restore(saved, force=True)
    small_store.change(
        saved, "CREATE TRIGGER spy AFTER INSERT ON dataset BEGIN DELETE FROM feature; END"
    )
    with pytest.raises(MetastoreError, match="trigger 'spy'"):
        restore.restore(saved, force=True)


def test_a_store_with_rows_is_replaced_by_force_alone_and_kept(saved: Path, store: Path) -> None:
    small_store.change(store, "UPDATE dataset SET name = 'newer'")
    with pytest.raises(MetastoreError, match=r"is not empty\. Give --force"):
        restore.restore(saved)
    assert names(store) == ["newer"]
    store.chmod(0o640)
    kept = restore.restore(saved, force=True).kept
    assert kept is not None
    assert (names(store), names(kept)) == (["kept"], ["newer"])
    assert stat.S_IMODE(store.stat().st_mode) == 0o640
    Dataset.select().count()
    metastore.close()
    assert not [path for path in store.parent.iterdir() if path.name.endswith((".draft", "-wal"))]


def test_a_damaged_store_is_replaced_and_kept_with_its_log(saved: Path, store: Path) -> None:
    store.write_bytes(store.read_bytes()[:5000])
    log = store.with_name(store.name + "-wal")
    log.write_bytes(b"what a crash left")
    kept = restore.restore(saved, force=True).kept
    assert kept is not None
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"what a crash left"
    assert not log.exists()
    assert Dataset.get_by_id(1).name == "kept"
    metastore.close()


@pytest.mark.slow
def test_a_store_that_another_process_has_open_is_not_replaced(
    saved: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_store.process(READER) as reader:
        with pytest.raises(MetastoreError, match=rf"open in .*{reader.pid}"):
            restore.restore(saved, force=True)
        # A process of another user, or in another container, cannot be named; its lock is seen.
        monkeypatch.setattr(restore, "_holders", lambda _: [])
        with pytest.raises(MetastoreError, match="is open in another process"):
            restore.restore(saved, force=True)
        Dataset.Tabular.from_df(Dataset.get_by_id(1).to_df()[["a"]], name="later")
        metastore.close()
    assert restore.restore(saved, force=True).kept is not None
    assert names(store) == ["kept"]


def test_a_store_that_trains_is_not_replaced(saved: Path, store: Path) -> None:
    from aiqc_core.orm.store import process_identity

    owner = process_identity.this_process()
    small_store.change(store, small_store.ATTEMPT.format(json.dumps(owner)))
    with pytest.raises(MetastoreError, match="1 trainings are going on"):
        restore.restore(saved, force=True)
    gone = json.dumps(owner | {"pid": 2**22 + 1})
    small_store.change(store, "DELETE FROM attempt", small_store.ATTEMPT.format(gone))
    assert restore.restore(saved, force=True).kept is not None


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["copied", "checked"])
def test_killed_in_the_middle_all_is_as_before(saved: Path, store: Path, phase: str) -> None:
    small_store.change(store, "UPDATE dataset SET name = 'newer'")
    target = saved.with_name("second.sqlite")
    for command, path in (("backup", target), ("restore", saved)):
        done = subprocess.run([sys.executable, "-c", KILLED, command, phase, path], check=False)
        assert done.returncode == -signal.SIGKILL
        assert names(store) == ["newer"]
        assert not target.exists()
    assert [p for p in target.parent.iterdir() if p.suffix == backup.DRAFT]
    assert [p for p in store.parent.iterdir() if p.suffix == backup.DRAFT]
    backup.backup(target)
    restore.restore(target, force=True)
    for folder in (target.parent, store.parent):
        assert not [p for p in folder.iterdir() if p.suffix == backup.DRAFT]
    assert names(store) == ["newer"]


def test_a_backup_is_refused_before_anything_is_written(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").write_text("mine")
    with pytest.raises(MetastoreError, match="is there already"):
        backup.backup(tmp_path / "there")
    with pytest.raises(MetastoreError, match="there is no folder"):
        backup.backup(tmp_path / "none" / "b")
    with config.use_home(tmp_path / "none"), pytest.raises(MetastoreError, match="no SQLite file"):
        backup.backup(tmp_path / "b")
    usage = os.statvfs(tmp_path)
    needed = (usage.f_bavail + 2**20) * usage.f_frsize
    monkeypatch.setattr(backup, "size_of", lambda _: needed)
    with pytest.raises(MetastoreError, match=r"MB free, and \d+ MB are needed"):
        backup.backup(tmp_path / "b")
    assert {p.name for p in tmp_path.iterdir()} == {"aiqc", "there"}


def test_a_damaged_store_has_no_backup(store: Path, tmp_path: Path) -> None:
    small_store.change(store, "UPDATE blobchunk SET data = zeroblob(length(data)) WHERE idx = 0")
    with pytest.raises(MetastoreError, match=r"contents are damaged.*aiqc doctor --deep"):
        backup.backup(tmp_path / "b.sqlite")
    assert {p.name for p in tmp_path.iterdir()} == {"aiqc"}


def test_what_is_on_an_object_store_is_reported(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_ARTIFACTS", (tmp_path / "objects").as_uri())
    small_store.fill()
    done = RUN.invoke(app, ["backup", str(tmp_path / "b.sqlite")])
    assert done.exit_code == 0, done.output
    assert "Not in it: 2 contents" in done.output
    monkeypatch.delenv("AIQC_ARTIFACTS")
    with pytest.raises(MetastoreError, match="Set AIQC_ARTIFACTS as it was"):
        backup.backup(tmp_path / "c.sqlite")


def test_another_key_is_not_replaced_unless_forced(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = backup.backup(tmp_path / "b.sqlite", with_key=True).path
    with config.use_home(tmp_path / "other"):
        small_store.fill("other")
        own = config.key_path().read_bytes()
        with pytest.raises(MetastoreError, match="is another key than"):
            restore.restore(saved, with_key=True)
        assert restore.restore(saved, force=True, with_key=True).opens
        kept = list((tmp_path / "other").glob("store.key.replaced-*"))
        assert [path.read_bytes() for path in kept] == [own]
        assert Algorithm.get_by_id(1).payloads()["fn_train"]
        metastore.close()


def test_a_store_on_a_server_is_left_to_its_own_tools(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_DATABASE_URL", "postgresql://me:hidden@nowhere:1/aiqc")
    for command in ("backup", "restore"):
        done = RUN.invoke(app, [command, str(tmp_path / "b.sqlite")])
        assert done.exit_code == 1
        assert "pg_dump" in done.output
        assert "hidden" not in done.output


def test_the_commands_tell_what_they_did(store: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "b.sqlite")
    done = RUN.invoke(app, ["backup", file])
    assert done.exit_code == 0, done.output
    assert "verified" in done.output
    assert "The key that signs its pickles is not in it" in done.output
    refused = RUN.invoke(app, ["restore", file])
    assert (refused.exit_code, "--force" in refused.output) == (1, True)
    done = RUN.invoke(app, ["restore", file, "--force", "--json"])
    reported = json.loads(done.output)
    assert (reported["opens"], reported["schema_version"]) == (True, SCHEMA_VERSION)
    assert Feature.select().count() == 1
    assert blobs.Blob.select().count() == reported["contents"]
    metastore.close()
