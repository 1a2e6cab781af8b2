"""`aiqc doctor`: each faulty part is named with what mends it, and nothing is changed."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import small_store
from typer.testing import CliRunner

from aiqc_core import config
from aiqc_core.cli.app import app
from aiqc_core.orm import SCHEMA_VERSION, Dataset, Queue, metastore
from aiqc_core.orm.admin import backup, doctor, readonly
from aiqc_core.orm.store import blobs, file_systems, process_identity

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiqc_core.orm.admin.diagnostic import Diagnostic

RUN = CliRunner()
NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up, for a while, what only root may do."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


@pytest.fixture
def store(home: Path) -> Path:
    """Give a store with rows; returns its file."""
    return small_store.fill()


def part(name: str, *, deep: bool = False) -> Diagnostic:
    """Return what is said of one part."""
    (found,) = [s for s in doctor.examine(deep=deep).diagnostics if s.part == name]
    return found


def test_a_sound_store_is_sound_and_left_as_it_was(store: Path) -> None:
    before = small_store.contents(store.parent)
    moment = store.stat().st_mtime_ns
    done = RUN.invoke(app, ["doctor", "--deep", "--json"])
    assert done.exit_code == 0, done.output
    reported = json.loads(done.output)
    assert reported["store"] == str(store)
    assert {p["part"]: p["verdict"] for p in reported["parts"] if p["verdict"] != "ok"} == {}
    assert small_store.contents(store.parent) == before
    assert store.stat().st_mtime_ns == moment


def test_a_log_that_a_crash_left_stays_and_is_read(store: Path) -> None:
    code = (
        "import os, pandas as pd\n"
        "from aiqc_core.orm import Dataset\n"
        "Dataset.Tabular.from_df(pd.DataFrame({'a': [1.0, 2.0]}), name='last')\n"
        "print('ready', flush=True)\ninput()"
    )
    with small_store.process(code) as process:
        process.kill()
        process.wait()
    before = small_store.contents(store.parent)
    assert len(before["aiqc.sqlite-wal"]) > 0
    with readonly.opened() as database:
        assert database.execute_sql("SELECT COUNT(*) FROM dataset").fetchone() == (2,)
    assert doctor.examine().is_sound
    after = small_store.contents(store.parent)
    del before["aiqc.sqlite-shm"], after["aiqc.sqlite-shm"]  # which is memory that is shared
    assert after == before


def test_no_store_is_no_fault_and_none_is_made(home: Path) -> None:
    done = RUN.invoke(app, ["doctor"])
    assert done.exit_code == 0, done.output
    assert "there is no store yet" in done.output
    assert not home.exists()


@pytest.mark.parametrize(
    ("harm", "name", "verdict", "reported"),
    [
        ("UPDATE blobchunk SET data = zeroblob(8)", "blobs", "fail", "are damaged"),
        ("DELETE FROM blobchunk WHERE idx = 0", "blobs", "fail", "set AIQC_ARTIFACTS"),
        ("DELETE FROM blob", "integrity", "fail", "of blobchunk refers to no row of blob"),
        ("DELETE FROM dataset", "integrity", "fail", "row 1 of feature refers to no row of"),
        (
            "CREATE TRIGGER spy AFTER INSERT ON dataset BEGIN DELETE FROM feature; END",
            "programs", "fail", "trigger 'spy'",
        ),
        (
            "UPDATE storeinfo SET value = '99' WHERE key = 'schema_version'",
            "schema", "fail", "version 99",
        ),
        (
            "UPDATE storeinfo SET value = '1' WHERE key = 'schema_version'",
            "schema", "warn", "the rows are not looked at",
        ),
        ("DROP TABLE storeinfo", "schema", "fail", "is no store of AIQC"),
        (
            "UPDATE dataset SET time_created = '2999-01-01T00:00:00+00:00'",
            "clock", "warn", "2999",
        ),
    ],
)  # fmt: skip
def test_what_ails_the_file_is_named(
    store: Path, harm: str, name: str, verdict: str, reported: str
) -> None:
    small_store.change(store, harm)
    found = part(name)
    assert (found.verdict, reported in found.found) == (verdict, True), found
    assert found.remedy or name in {"schema", "blobs"}
    assert RUN.invoke(app, ["doctor"]).exit_code == (1 if verdict == "fail" else 0)


def test_bytes_that_changed_in_place_are_found_when_hashed(store: Path) -> None:
    small_store.change(store, "UPDATE blobchunk SET data = zeroblob(length(data)) WHERE idx = 0")
    assert part("blobs").verdict == "ok"
    assert "are damaged" in part("blobs", deep=True).found


@pytest.mark.parametrize("data", [b"", b"no database at all", b"SQLite format 3\0" + b"x" * 5000])
def test_what_is_no_store_is_reported(store: Path, data: bytes) -> None:
    store.write_bytes(data)
    found = part("store")
    assert (found.verdict, found.remedy[:12]) == ("fail", "aiqc restore")
    assert store.read_bytes() == data


def test_pages_that_are_torn_are_found(store: Path) -> None:
    data = bytearray(store.read_bytes())
    data[3 * 2**16 : 3 * 2**16 + 200] = b"\xff" * 200
    store.write_bytes(data)
    assert not doctor.examine().is_sound


def test_pickles_of_another_key_or_of_none_are_counted(store: Path) -> None:
    config.key_path().write_bytes(os.urandom(32))
    found = part("signatures")
    assert (found.verdict, found.found[:9]) == ("warn", "0 pickles")
    assert "by another, 0 not at all" in found.found
    assert "trust()" in found.remedy


def test_a_key_that_others_may_read_is_a_fault(store: Path) -> None:
    key = config.key_path()
    key.chmod(0o644)
    found = part("key")
    assert (found.verdict, found.remedy) == ("fail", f"chmod 600 {key}")
    key.write_bytes(b"short")
    key.chmod(0o600)
    assert "5 bytes instead of 32" in part("key").found
    key.unlink()
    assert part("key").verdict == "ok"
    assert not key.exists()


def test_a_folder_that_all_may_write_to_is_reported(store: Path) -> None:
    store.parent.chmod(0o777)
    assert part("access").remedy.startswith("chmod -R o-w")


def test_a_store_that_is_a_link_is_reported(store: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.sqlite"
    store.rename(elsewhere)
    store.symlink_to(elsewhere)
    assert str(elsewhere) in part("access").found


def test_leftovers_are_counted_and_gc_frees_them(store: Path) -> None:
    blobs.put(os.urandom(200_000_000 // 2**6))
    Dataset.select().count()
    metastore.close()
    found = part("unused")
    assert found.found.startswith("1 contents, 0 objects and 0 folders (3.0 MB)")
    assert found.remedy == "aiqc gc"
    assert RUN.invoke(app, ["gc"]).exit_code == 0
    metastore.close()
    assert part("unused").found.startswith("0 contents")


def test_claims_of_processes_that_ended_are_reported(store: Path) -> None:
    owner = process_identity.this_process()
    small_store.change(store, small_store.ATTEMPT.format(json.dumps(owner)))
    assert part("claims").found == "1 trainings are going on"
    gone = json.dumps(owner | {"pid": 2**22 + 1})
    small_store.change(store, "DELETE FROM attempt", small_store.ATTEMPT.format(gone))
    found = part("claims")
    assert (found.verdict, "1 of 1" in found.found) == ("warn", True)
    assert "dagster instance concurrency" in found.remedy


def test_half_written_samples_and_waiting_trainings_are_reported(store: Path) -> None:
    recipe = config.samples_path() / "abc"
    (recipe / "no_fold").mkdir(parents=True)
    (recipe / ".fold_0.123").mkdir()
    found = part("cache")
    assert "1 not whole" in found.found
    assert "1 drafts" in found.found
    spill = config.spill_paths()[0]
    spill.mkdir()
    (spill / "job.outcome").write_bytes(b"")
    assert "1 trainings wait" in part("waiting").found
    (spill / "job.outcome").rename(spill / "q1_nofold_x_r0_12345678.outcome")
    assert "1 trainings wait" in part("waiting").found
    Queue.get_by_id(1).delete_instance(cascade=True)
    metastore.close()
    assert "1 trainings are of Queues that were deleted" in part("waiting").found


def test_a_network_file_system_is_warned_of(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_systems, "kind_of", lambda _: "nfs4")
    found = part("file system")
    assert (found.verdict, "AIQC_DATABASE_URL" in found.remedy) == ("warn", True)


def test_a_lost_object_is_reported(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_ARTIFACTS", (tmp_path / "objects").as_uri())
    small_store.fill()
    assert part("objects").found == "2 of 2 objects belong to rows"
    next(p for p in (tmp_path / "objects" / "blobs").rglob("*") if p.is_file()).unlink()
    assert part("objects").verdict == "fail"


@pytest.mark.slow
def test_a_store_that_may_only_be_read_is_looked_at_and_copied(
    store: Path, tmp_path: Path
) -> None:
    """By a user who may not write there: as root everything may be written."""
    for folder in (tmp_path, *tmp_path.parents):
        if os.geteuid() == 0:
            folder.chmod(folder.stat().st_mode | 0o011)  # to be walked through
    free = tmp_path / "free"
    free.mkdir()
    free.chmod(0o777)
    assert doctor.examine().is_sound  # all modules are loaded before the user is another
    store.chmod(0o444)
    store.parent.chmod(0o555)
    config.key_path().chmod(0o444)
    with as_nobody():
        found = {s.part: s.verdict for s in doctor.examine().diagnostics if s.part != "key"}
        copy = backup.backup(free / "copy.sqlite")
    assert set(found.values()) == {"ok"}, found
    assert copy.schema_version == SCHEMA_VERSION
