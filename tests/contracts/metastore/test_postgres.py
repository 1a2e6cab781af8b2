"""A PostgreSQL server that is down, goes away, or is not what it should be, and its report."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import lines
import pandas as pd
import psycopg
import pytest
from places import STORES
from services import PASSWORD, PostgresServer, use_database

from aiqc_core.errors import (
    MetastoreError,
    NotFoundError,
    UnreachableError,
    UnrecordedError,
)
from aiqc_core.orm import SCHEMA_VERSION, Attempt, Dataset, Predictor, Snapshot, metastore
from aiqc_core.orm.store import postgres as driver
from aiqc_core.orm.tables import migrations
from aiqc_core.orm.training import run

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0, 1, 0]})


def test_a_server_that_is_down_is_named_with_what_to_do(server: PostgresServer) -> None:
    server.stop()
    metastore.close()
    with pytest.raises(UnreachableError) as raised:
        Dataset.select().count()
    reported = str(raised.value)
    assert f"PostgreSQL at 127.0.0.1:{server.port}/test_" in reported
    assert "Connection refused" in reported
    assert "Start it or correct AIQC_DATABASE_URL; nothing was lost" in reported


@pytest.mark.parametrize("at_once", [False, True], ids=["shut down", "crashed"])
def test_the_same_process_goes_on_when_the_server_is_back(
    server: PostgresServer, *, at_once: bool
) -> None:
    Dataset.Tabular.from_df(FRAME)
    server.stop(at_once=at_once)
    with pytest.raises(UnreachableError):
        Dataset.Tabular.from_df(FRAME)
    server.start()
    Dataset.Tabular.from_df(FRAME)
    assert Dataset.select().count() == 2


def test_a_connection_that_broke_unseen_is_replaced(server: PostgresServer) -> None:
    Dataset.Tabular.from_df(FRAME)
    server.stop()
    server.start()
    assert Dataset.select().count() == 1
    with metastore.atomic():
        Snapshot.of("e", "k")
    assert Snapshot.select().count() == 1


def test_a_server_that_goes_within_a_transaction_keeps_nothing_of_it(
    server: PostgresServer,
) -> None:
    def write() -> None:
        with metastore.atomic():
            Snapshot.of("e", "before")
            server.stop(at_once=True)
            with metastore.atomic():
                Snapshot.of("e", "after")

    with pytest.raises(UnreachableError, match="nothing was lost: run the same command again"):
        write()
    assert not metastore.in_transaction()
    server.start()
    assert Snapshot.select().count() == 0


@pytest.mark.slow
def test_what_is_trained_while_the_server_is_down_is_kept_and_recorded_later(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = lines.queue({"weight": [1]}, cut={"fold_count": None})
    train = run.train_run.run

    def train_and_lose_the_server(spec: Any) -> Any:
        outcome = train(spec)
        server.stop()
        return outcome

    monkeypatch.setattr(run.train_run, "run", train_and_lose_the_server)
    job = row.jobs[0]
    with pytest.raises(UnrecordedError, match=r"is kept in .*\.outcome.* run again"):
        run.train_one(job, 0)
    server.start()
    monkeypatch.undo()
    assert row.run_jobs(progress=False).trained == 0
    assert Predictor.select().count() == 1
    assert [attempt.status for attempt in Attempt.select()] == ["succeeded"]


def test_a_wrong_password_is_reported_without_it(
    postgres_server: PostgresServer, home: Path
) -> None:
    wrong = postgres_server.url("postgres").replace(quote(PASSWORD, safe=""), "wr0ng")
    with use_database(wrong), pytest.raises(UnreachableError, match="authentication") as raised:
        Dataset.select().count()
    assert "wr0ng" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///x",
        "mysql://u:s3cr@h/db",
        "postgresql://u:s3cr@t@h/db",
        "postgresql://u:s3cr@h:port/db",
        "s3cr",
    ],
)
def test_what_is_no_url_of_postgresql_is_refused_unseen(home: Path, url: str) -> None:
    with use_database(None), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIQC_DATABASE_URL", url)
        with pytest.raises(MetastoreError, match="expected postgresql://user:password") as raised:
            Dataset.select().count()
        assert "s3cr" not in str(raised.value)


def test_without_the_driver_the_error_says_how_to_install_it(postgres: str) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from aiqc_core.orm import Dataset; Dataset.select().count()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert "pip install 'aiqc-dagster[postgres]'" in done.stderr
    assert PASSWORD not in done.stderr


def test_a_database_that_holds_not_every_letter_is_refused(
    postgres_server: PostgresServer, home: Path
) -> None:
    options = "ENCODING 'LATIN1' LOCALE 'C'"
    with (
        postgres_server.database(options=options) as url,
        use_database(url),
        pytest.raises(MetastoreError, match=r"encoding LATIN1, .* ENCODING 'UTF8'"),
    ):
        Dataset.select().count()


def test_a_writer_that_never_ends_is_reported(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LOCK_SECONDS", 0.05)
    with psycopg.connect(postgres) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (driver.WRITING,))
        assert Dataset.select().count() == 0
        with pytest.raises(MetastoreError, match="written to by another process"):
            Snapshot.of("e", "k")
    Snapshot.of("e", "k")
    assert Snapshot.select().count() == 1


def test_tables_of_something_else_are_left_alone(database_url: str, home: Path) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("CREATE TABLE customers (id INTEGER)")
    with use_database(database_url), pytest.raises(MetastoreError, match="is no store of AIQC"):
        Dataset.select().count()
    with psycopg.connect(database_url) as other:
        tables = other.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert tables.fetchall() == [("customers",)]


@pytest.mark.slow
def test_an_empty_database_gets_its_tables_once(database_url: str, home: Path) -> None:
    code = "from aiqc_core.orm import Snapshot; Snapshot.of('e', 'k')"
    with use_database(database_url):
        makers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
        assert [maker.wait() for maker in makers] == [0, 0, 0]
        assert Snapshot.select().count() == 1


def definitions(url: str) -> set[tuple[object, ...]]:
    """Return what a database says of each column, index and key."""
    with psycopg.connect(url) as other:
        return {
            *other.execute(
                "SELECT table_name, column_name, data_type, is_nullable, column_default, "
                "attstorage FROM information_schema.columns JOIN pg_attribute ON "
                "attrelid = table_name::regclass AND attname = column_name "
                "WHERE table_schema = 'public'"
            ),
            *other.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"),
            *other.execute(
                "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
                "WHERE connamespace = 'public'::regnamespace"
            ),
        }


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_an_earlier_database_is_brought_to_the_present_tables(
    postgres: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    fresh = definitions(postgres)
    with postgres_server.database() as url:
        with psycopg.connect(url) as other:
            other.execute(STORES.joinpath("v1.postgres.sql").read_bytes())
        with use_database(url):
            with monkeypatch.context() as patch:
                earlier = [lambda: migrations.migrate(1, version)]
                patch.setattr(metastore.store, "when_opened", earlier)
                assert migrations.found_version() == version
            metastore.close()
            metastore.store.forget_prepared()
            dataset = Dataset.Tabular.from_df(FRAME)
            pd.testing.assert_frame_equal(Dataset.get_by_id(dataset.id).to_df(), FRAME)
        assert definitions(url) == fresh


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(["DROP SCHEMA public CASCADE", "CREATE SCHEMA public"], id="schema"),
        pytest.param(
            ['DROP DATABASE "{name}" WITH (FORCE)', 'CREATE DATABASE "{name}"'], id="all"
        ),
    ],
)
def test_a_database_that_is_made_again_under_an_open_handle_is_an_empty_store(
    postgres: str, postgres_server: PostgresServer, statements: list[str]
) -> None:
    """The tables counted as made, so that each use said: relation "dataset" does not exist."""
    first = Dataset.Tabular.from_df(FRAME)
    whole, name = "all" if "DATABASE" in statements[0] else "schema", postgres.rpartition("/")[2]
    url = postgres_server.url("postgres") if whole == "all" else postgres
    with psycopg.connect(url, autocommit=True) as admin:
        for statement in statements:
            admin.execute(statement.format(name=name).encode())
    if whole == "schema":
        with pytest.raises(MetastoreError, match=r"has lost tables.*The next use begins an empty"):
            Dataset.Tabular.from_df(FRAME)
    with pytest.raises(NotFoundError, match="Dataset 1 is not in PostgreSQL at"):
        first.flip_star()
    assert Dataset.Tabular.from_df(FRAME).id == 1
