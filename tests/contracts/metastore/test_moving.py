"""`aiqc migrate`: from a file to a server and back, whole or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import lines
import pandas as pd
import pytest
from services import PASSWORD, use_database
from typer.testing import CliRunner

from aiqc_core import config
from aiqc_core.cli import app
from aiqc_core.errors import MetastoreError
from aiqc_core.orm import Attempt, Dataset, Queue, Snapshot, metastore
from aiqc_core.orm.admin import transfer
from aiqc_core.orm.store import blobs, process_identity
from aiqc_core.orm.store.postgres import PostgresStore
from aiqc_core.orm.tables.schema import tables

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pd.DataFrame({"a": [1.0, None, 3.0], "b": [True, False, True]})


def ignore(*reported: Any) -> None:
    """Take what a move tells of its progress."""
    del reported


def move(to: Path | str) -> transfer.Moved:
    """Move the present store."""
    return transfer.move(str(to), begun=ignore, done=ignore)


def rows() -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that a store holds."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for table in tables():
        query: Any = table.select(*table._meta.sorted_fields).tuples()
        found[table._meta.table_name] = sorted(query, key=repr)
    return found


def fill() -> None:
    """Make rows of many tables, and a gap after the newest Dataset."""
    queue = lines.queue({"weight": [1, 2]})
    Snapshot.put("e", "k\0", "queue", queue)
    Dataset.Tabular.from_df(FRAME, name="n" * 300)
    Dataset.Tabular.from_df(FRAME.head(2)).delete_instance()


def test_there_and_back_every_row_and_byte_is_as_it_was(
    home: Path, database_url: str, tmp_path: Path
) -> None:
    fill()
    before = rows()
    to_server = move(database_url)
    assert to_server.rows == {name: len(found) for name, found in before.items()}
    assert to_server.contents == len(before["blob"])
    assert rows() == before
    with use_database(database_url):
        assert rows() == before
        back = move(tmp_path / "back")
    with config.use_home(tmp_path / "back"):
        assert rows() == before
        assert config.key_path().stat().st_mode & 0o777 == 0o600
        assert config.key_path().read_bytes() == (home / "store.key").read_bytes()
        pd.testing.assert_frame_equal(Dataset.select()[-1].to_df(), FRAME)
        assert Dataset.Tabular.from_df(FRAME).id == max(row[0] for row in before["dataset"]) + 2
        metastore.close()
    assert (back.rows, back.contents) == (to_server.rows, to_server.contents)


def test_ids_go_on_where_the_source_was(home: Path, database_url: str) -> None:
    fill()
    newest = Dataset.select().order_by(Dataset.id.desc()).get().id
    move(database_url)
    with use_database(database_url):
        assert Dataset.Tabular.from_df(FRAME).id == newest + 2  # the deleted one's is not used
        assert Snapshot.of("e", "new").id == 2


def test_a_place_that_holds_something_is_refused(
    home: Path, database_url: str, tmp_path: Path
) -> None:
    fill()
    move(database_url)
    move(tmp_path / "other")
    for to in (database_url, tmp_path / "other"):
        with pytest.raises(MetastoreError, match=r"is not empty: it has .* Give an empty"):
            move(to)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MetastoreError])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_breaks_off_leaves_the_target_empty(
    home: Path,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    stop: type[BaseException],
) -> None:
    fill()
    before, reported = rows(), []

    def break_off(table: str, count: int) -> None:
        reported.append(table)
        if len(reported) == 9:
            raise stop

    to = database_url if kind == "postgresql" else str(tmp_path / "new")
    with pytest.raises(stop):
        transfer.move(to, begun=ignore, done=break_off)
    assert rows() == before
    assert move(to).rows["storeinfo"] == len(before["storeinfo"])


def test_a_row_that_is_read_back_otherwise_is_found(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill()
    write = PostgresStore.execute_many

    def lose_one(store: PostgresStore, sql: str, given: list[tuple[Any, ...]]) -> None:
        write(store, sql, [] if '"snapshot"' in sql else given)

    monkeypatch.setattr(PostgresStore, "execute_many", lose_one)
    with pytest.raises(MetastoreError, match=r"'snapshot' was read back .* 0 rows for 1"):
        move(database_url)
    monkeypatch.undo()
    assert move(database_url).rows["dataset"] == 2


def test_contents_that_are_damaged_are_not_moved(home: Path, database_url: str) -> None:
    fill()
    blobs.put(b"precious")
    blobs.BlobChunk.update(data=b"precioux").where(blobs.BlobChunk.data == b"precious").execute()
    with pytest.raises(MetastoreError, match="1 contents do not have their SHA-256"):
        move(database_url)


def test_running_trainings_are_waited_for(home: Path, database_url: str) -> None:
    fill()
    attempt = Attempt.create(
        job=Queue.get().jobs[0], repeat_index=0, owner=process_identity.this_process()
    )
    with pytest.raises(MetastoreError, match=r"1 trainings are running .* Let them end"):
        move(database_url)
    attempt.finish("lost")
    assert move(database_url).rows["attempt"] == 1


def test_the_command_says_what_to_set_and_never_the_password(
    home: Path, database_url: str, tmp_path: Path
) -> None:
    fill()
    done = CliRunner().invoke(app.app, ["migrate"], env={"AIQC_MIGRATE_TO": database_url})
    assert done.exit_code == 0, done.output
    assert "rows alike in number and digest" in done.output
    assert "export AIQC_DATABASE_URL=postgresql://…@127.0.0.1" in done.output
    assert "AIQC_STORE_KEY" in done.output
    again = CliRunner().invoke(app.app, ["migrate", "--to", database_url])
    assert again.exit_code == 1
    with use_database(database_url):
        back = CliRunner().invoke(app.app, ["migrate", "--to", str(tmp_path / "b"), "--json"])
    assert json.loads(back.output)["rows"]["dataset"] == 2
    for said in (done.output, again.output, back.output):
        assert PASSWORD not in said
        assert database_url.split("@", maxsplit=1)[0] not in said
