"""What happens to a store's files while they are open is noticed before a write is lost."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import inference_setups
import pandas as pd
import psutil
import pytest
import small_store

from aiqc_core import config
from aiqc_core.errors import MetastoreError, NotFoundError
from aiqc_core.orm import Dataset, Feature, Queue, Splitset, metastore
from aiqc_core.orm.samples import cache
from aiqc_core.orm.store import file_systems

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0]})
WRITE = "from aiqc_core.orm import Snapshot; Snapshot.of('theirs', 'k')"


def elsewhere(code: str) -> str:
    """Run code in a process of its own, on the present store."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def seen_elsewhere() -> list[str]:
    """Return the names of all Datasets, as another process sees them."""
    code = "from aiqc_core.orm import *; print(*[d.name for d in Dataset.select()])"
    return elsewhere(code).split()


def another_store(folder: Path) -> Path:
    """Make a store with one Dataset `other` elsewhere; returns its file, closed."""
    made = "Dataset.Tabular.from_df(pandas.DataFrame({'a': [4.0]}), name='other')"
    elsewhere(
        f"import pandas, os; os.environ['AIQC_HOME'] = {str(folder)!r}; "
        f"from aiqc_core.orm import Dataset; {made}"
    )
    return folder / "aiqc.sqlite"


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def delete_folder(home: Path, path: Path) -> None:
    shutil.rmtree(home)


def delete_file(home: Path, path: Path) -> None:
    path.unlink()


def move_folder(home: Path, path: Path) -> None:
    home.rename(home.with_name("moved"))


def delete_log(home: Path, path: Path) -> None:
    beside(path, "-wal").unlink()


def delete_index(home: Path, path: Path) -> None:
    beside(path, "-shm").unlink()


def delete_both(home: Path, path: Path) -> None:
    delete_log(home, path)
    delete_index(home, path)


@pytest.mark.parametrize(
    ("happens", "kept"),
    [
        (delete_folder, []),
        (delete_file, []),
        (move_folder, []),
        (delete_log, ["first"]),
        (delete_index, ["first"]),
        (delete_both, ["first"]),
    ],
)
def test_the_next_write_is_seen_by_every_process(
    home: Path,
    happens: Callable[[Path, Path], None],
    kept: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It went to a file that had no name any more, with id 2, and was gone at exit."""
    Dataset.Tabular.from_df(FRAME, name="first")
    with caplog.at_level(logging.WARNING):
        happens(home, config.database_path())
        dataset = Dataset.Tabular.from_df(FRAME.assign(a=0.5), name="second")
    assert "while it was open" in caplog.text
    assert dataset.id == len(kept) + 1
    assert seen_elsewhere() == [*kept, "second"]
    metastore.close()
    assert metastore.execute_sql("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_moved_store_takes_its_log_along(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME, name="first")
    path = config.database_path()
    path.rename(home / "kept.sqlite")
    assert Dataset.select().count() == 0
    with closing(sqlite3.connect(home / "kept.sqlite")) as moved:
        assert moved.execute("SELECT name FROM dataset").fetchall() == [("first",)]


def test_another_store_in_its_place_is_reported_once_and_then_used(
    home: Path, tmp_path: Path
) -> None:
    first = Dataset.Tabular.from_df(FRAME, name="first")
    another_store(tmp_path / "other").replace(config.database_path())
    with pytest.raises(MetastoreError, match="was replaced by another file while it was open"):
        Dataset.Tabular.from_df(FRAME)
    assert [row.name for row in Dataset.select()] == ["other"] == seen_elsewhere()
    with pytest.raises(NotFoundError, match=r"Dataset 1 is not in .* any more"):
        first.set_info(name="a row of the former store")
    assert Dataset.get_by_id(1).name == "other"


def test_a_link_that_leads_elsewhere_is_noticed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a").mkdir()
    another_store(tmp_path / "b")
    with config.use_home(link):
        Dataset.Tabular.from_df(FRAME, name="first")
        link.unlink()
        link.symlink_to(tmp_path / "b", target_is_directory=True)
        with pytest.raises(MetastoreError, match="was replaced"):
            Dataset.select().count()
        assert [row.name for row in Dataset.select()] == ["other"]


def test_a_file_that_is_cut_short_is_reported(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    path = config.database_path()
    metastore.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    Dataset.select().count()
    os.truncate(path, path.stat().st_size // 3)
    with pytest.raises(MetastoreError, match="was cut short while it was open"):
        Dataset.select().count()
    with pytest.raises(MetastoreError, match=r"is damaged.* restore a backup"):
        list(Dataset.select())


def test_a_file_that_became_smaller_by_vacuum_is_used_on(home: Path) -> None:
    first = Dataset.Tabular.from_df(FRAME)
    first.delete_instance()
    with closing(sqlite3.connect(config.database_path())) as other:
        other.execute("DROP INDEX dataset_sha256_hexdigest")
        other.execute("VACUUM")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert Dataset.Tabular.from_df(FRAME).id == 2


def test_a_file_of_something_else_in_its_place_is_refused(home: Path, tmp_path: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"no store at all" * 1000)
    garbage.replace(config.database_path())
    with pytest.raises(MetastoreError, match="was replaced"):
        Dataset.select().count()
    with pytest.raises(MetastoreError, match="is no SQLite file"):
        Dataset.select().count()


def test_a_log_that_another_process_begins_again_ends_this_ones_use(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    metastore.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    Dataset.select().count()
    delete_both(home, config.database_path())
    elsewhere(WRITE)
    for _ in range(2):
        with pytest.raises(MetastoreError, match="has another log while it was open"):
            Dataset.select().count()
    assert elsewhere("from aiqc_core.orm import *; print(Snapshot.select().count())") == "1"


@pytest.mark.parametrize("happens", [delete_folder, delete_file])
def test_a_transaction_on_a_file_that_went_is_not_taken_for_done(
    home: Path, happens: Callable[[Path, Path], None]
) -> None:
    Dataset.Tabular.from_df(FRAME)

    def write() -> None:
        with metastore.atomic():
            Feature.from_dataset(1, "a")
            happens(home, config.database_path())

    with pytest.raises(MetastoreError, match="Nothing of this was kept; run it again"):
        write()
    assert Dataset.select().count() == 0


def test_each_thread_notices_for_itself(home: Path) -> None:
    Dataset.Tabular.from_df(FRAME)
    opened, go, found = threading.Event(), threading.Event(), list[object]()

    def count() -> None:
        Dataset.select().count()
        opened.set()
        go.wait()
        with pytest.raises(MetastoreError, match="was replaced"):
            Dataset.select().count()
        found.append(Dataset.select().count())
        metastore.close()

    thread = threading.Thread(target=count)
    thread.start()
    opened.wait()
    shutil.rmtree(home)
    Dataset.Tabular.from_df(FRAME, name="second")
    go.set()
    thread.join()
    assert found == [1]


def test_a_home_that_changes_within_a_transaction_waits_for_its_end(
    home: Path, tmp_path: Path
) -> None:
    with metastore.atomic():
        Dataset.Tabular.from_df(FRAME, name="first")
        with config.use_home(tmp_path / "other"):
            assert Dataset.select().count() == 1
    assert seen_elsewhere() == ["first"]


def test_a_queue_in_hand_is_missed_by_name(home: Path) -> None:
    """It trained nothing and said so as if all were done, or failed in the words of SQL."""
    small_store.fill()
    queue = Queue.get_by_id(1)
    shutil.rmtree(home)
    for use in (queue.run_jobs, queue.metrics_df, queue.flip_star, queue.save):
        with pytest.raises(NotFoundError, match=r"Queue 1 is not in .* any more"):
            use()
    assert Queue.select().count() == 0


def test_files_of_a_store_that_is_gone_are_not_taken_for_those_of_the_next(home: Path) -> None:
    """The ids begin again at 1, and the key that signs stays: the samples, too, look alike."""
    small_store.fill()
    job = Queue.get_by_id(1).jobs[0]
    name = job.file_name(0)
    config.database_path().unlink()
    small_store.fill()
    again = Queue.get_by_id(1).jobs[0]
    assert again.training_name(0) == job.training_name(0)
    assert again.file_name(0) != name
    folder = cache.folder_of(Splitset.get_by_id(1))
    config.key_path().unlink()  # what is fitted was signed by it, and could not be read
    assert cache.folder_of(Splitset.get_by_id(1)) != folder


@pytest.mark.slow
def test_samples_of_new_data_follow_from_what_the_predictor_learned(home: Path) -> None:
    """They went by the Predictor's id, which another one has in the store that comes after."""
    made: set[str] = set()
    for label in ("y", "z"):
        cut, _ = inference_setups.tabular(label)
        build = inference_setups.sigmoid_build if label == "y" else inference_setups.flat_build
        kind = "classification_binary" if label == "y" else "classification_multi"
        predictor = inference_setups.trained(cut, kind, build)
        new = Splitset.make(cut.feature_ids, predictor_id=predictor.id)
        made.add(cache.recipe_key(new))
        metastore.close()
        config.database_path().unlink()
    assert len(made) == 2


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("nfs4", "delete"), ("cifs", "delete"), ("smb3", "delete"), ("9p", "delete"),
        ("fuse.sshfs", "delete"), ("lustre", "delete"), ("ceph", "delete"),
        ("ext4", "wal"), ("overlay", "wal"), ("fuseblk", "wal"), ("tmpfs", "wal"),
    ],
)  # fmt: skip
def test_a_network_file_system_gets_no_log(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    mode: str,
) -> None:
    """SQLite's log needs memory that processes share, which no network gives."""
    mounts = [SimpleNamespace(mountpoint="/", fstype="ext4")]
    mounts += [SimpleNamespace(mountpoint=str(home.parent), fstype=kind)]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    for _ in range(2):
        assert metastore.pragma("journal_mode") == mode
        Dataset.Tabular.from_df(FRAME)
        metastore.close()
    warned = [r for r in caplog.records if "network's file system" in r.getMessage()]
    assert len(warned) == (mode == "delete")
    assert not beside(config.database_path(), "-wal").exists()


def test_a_store_with_a_log_loses_it_when_it_comes_to_a_network(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Dataset.Tabular.from_df(FRAME, name="first")
    metastore.close()
    file_systems.network_kind.cache_clear()
    monkeypatch.setattr(file_systems, "kind_of", lambda _: "nfs")
    assert [row.name for row in Dataset.select()] == ["first"]
    assert metastore.pragma("journal_mode") == "delete"
    with closing(sqlite3.connect(config.database_path())) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("delete",)
